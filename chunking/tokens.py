"""Counting as the embedder counts: its own tokenizer, each word once."""

import json
import re
from collections.abc import Sequence
from itertools import chain, filterfalse
from typing import Any, Protocol

WORDS = "words"
MEMO_WORDS_MAX = 1 << 16
MEMO_CHARS_MAX = 32
"""Longer words do not come back, and would make the memo's size a stranger's choice."""
_PLAIN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[^\w\s]")
_REMOVED = re.compile("[\x0b\x0c\x1c-\x1f\x85]")
"""White space to Python; BERT's normalizer takes them away, so they part nothing."""


class Counter(Protocol):
    """`specials` is what the embedder adds to every text. `exact`: counts of parts add up to that of the whole."""

    specials: int
    exact: bool

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, specials not included."""
        ...


def open_counter(tokenizer: str) -> Counter:
    """From the path of a tokenizer.json, or "words" for tests."""
    if tokenizer == WORDS:
        return PlainWords()
    from tokenizers import Tokenizer

    return of_tokenizer(Tokenizer.from_file(tokenizer))


def of_tokenizer(tokenizer: Any) -> Counter:
    """BERT's kind never joins what white space parts, so its words can be counted one by one; others as wholes."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    written = json.loads(tokenizer.to_str())
    normalizer, splitter = written.get("normalizer") or {}, written.get("pre_tokenizer") or {}
    is_bert = normalizer.get("type") == "BertNormalizer" and splitter.get("type") == "BertPreTokenizer"
    return ByWord(tokenizer) if is_bert and normalizer.get("clean_text") else Whole(tokenizer)


class PlainWords:
    """Deterministic and without a file: words, punctuation marks and single CJK characters."""

    specials = 2
    exact = True

    def counts(self, texts: Sequence[str]) -> list[int]:
        return [sum(1 for _ in _PLAIN.finditer(text)) for text in texts]


class Whole:
    """Any tokenizer: whole texts at once. Parts may not add up, so finished chunks are counted again."""

    exact = False

    def __init__(self, tokenizer: Any) -> None:
        self.specials = int(tokenizer.num_special_tokens_to_add(is_pair=False))
        self._tokenizer = tokenizer

    def counts(self, texts: Sequence[str]) -> list[int]:
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding.ids) for encoding in encodings]


class ByWord(Whole):
    """Words come back, in one document and in the next revision of it: remembering their counts beats tokenizing."""

    exact = True

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        self._memo: dict[str, int] = {}

    def counts(self, texts: Sequence[str]) -> list[int]:
        split = [_REMOVED.sub("", text).split() for text in texts]
        unknown = set(filterfalse(self._memo.__contains__, chain.from_iterable(split)))
        if unknown:
            self._memo.update(zip(unknown, super().counts(list(unknown)), strict=True))
        counts = [sum(map(self._memo.__getitem__, words)) for words in split]
        for word in unknown:
            if len(word) > MEMO_CHARS_MAX:
                del self._memo[word]
        if len(self._memo) > MEMO_WORDS_MAX:
            self._memo.clear()
        return counts
