"""Counting as the embedder counts: its own tokenizer, each word once."""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import chain, filterfalse
from typing import Any, Protocol

WORDS = "words"
MEMO_CHARS_MAX = 16 << 20
WORD_BYTES = 160
"""What the memo holds at most, each word with what it costs beside its characters: its size is no stranger's choice."""
RUNS_FROM = 32
_RUN = re.compile("[A-Za-z0-9]+")
WORD_CHARS_MAX = 100
"""BERT reads a longer word as one unknown token: it is counted by its characters, so that a limit applies to it."""
LONG_WORD_CHARS_A_TOKEN = 4
WORD_CHARS_A_TOKEN = 20
"""No vocabulary has longer tokens: more characters a token are signs that it does not know, or takes away."""
BLANKS_A_TOKEN = 64
BLANK_FROM = 1000
BLANK_SHARE = 16
_BLANKS = re.compile(rf"\s{{{BLANKS_A_TOKEN},}}")
_PLAIN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[^\w\s]")
_REMOVED = re.compile("[\x0b\x0c\x1c-\x1f\x85]")
"""White space to Python; BERT's normalizer takes them away, so they part nothing."""


class Counter(Protocol):
    """`specials` is what the embedder adds to every text. `exact`: counts of parts add up to that of the whole."""

    specials: int
    exact: bool

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, specials not included; more where a text is far longer than its tokens say."""
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
        words = [[_at_least(word, 1) for word in _PLAIN.findall(text)] for text in texts]
        return [_with_blanks(text, sum(counts)) for text, counts in zip(texts, words, strict=True)]


class Whole:
    """Any tokenizer: whole texts at once. Parts may not add up, so finished chunks are counted again."""

    exact = False

    def __init__(self, tokenizer: Any) -> None:
        self.specials = int(tokenizer.num_special_tokens_to_add(is_pair=False))
        self._tokenizer = tokenizer

    def counts(self, texts: Sequence[str]) -> list[int]:
        return list(map(_with_blanks, texts, self._tokens(texts)))

    def _tokens(self, texts: Sequence[str]) -> list[int]:
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding.ids) for encoding in encodings]


class ByWord(Whole):
    """Words come back, in one document and in the next revision of it: remembering their counts beats tokenizing."""

    exact = True

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        self._memo: dict[str, int] = {}
        self._chars = 0

    def counts(self, texts: Sequence[str]) -> list[int]:
        split = [_REMOVED.sub("", text).split() for text in texts]
        unknown = set(filterfalse(self._memo.__contains__, chain.from_iterable(split)))
        if unknown:
            self._learn(unknown)
        words = (sum(map(self._memo.__getitem__, words)) for words in split)
        counts = list(map(_with_blanks, texts, words))
        if self._chars > MEMO_CHARS_MAX:
            self._memo.clear()
            self._chars = 0
        return counts

    def _learn(self, words: set[str]) -> None:
        """What is long is counted run by run: a mark is a token, and what the vocabulary cannot hold is not asked."""
        long = {word: _RUN.findall(word) for word in words if len(word) > RUNS_FROM and _is_plain(word)}
        runs = {run for parts in long.values() for run in parts if len(run) <= WORD_CHARS_MAX}
        asked = list(filterfalse(self._memo.__contains__, words - long.keys() | runs))
        self._keep(zip(asked, map(_at_least, asked, self._tokens(asked)), strict=True))
        for word, parts in long.items():
            known = [self._memo[run] if len(run) <= WORD_CHARS_MAX else _at_least(run, 1) for run in parts]
            self._keep([(word, len(word) - sum(map(len, parts)) + sum(known))])

    def _keep(self, counted: Iterable[tuple[str, int]]) -> None:
        for word, tokens in counted:
            self._memo[word] = tokens
            self._chars += len(word) + WORD_BYTES


def _is_plain(word: str) -> bool:
    return word.isascii() and word.isprintable()


def _at_least(word: str, tokens: int) -> int:
    size = len(word)
    return max(tokens, size // (LONG_WORD_CHARS_A_TOKEN if size > WORD_CHARS_MAX else WORD_CHARS_A_TOKEN))


def _with_blanks(text: str, tokens: int) -> int:
    """Only long white space is text of its own; what has no more of it than any table is not searched."""
    if len(text) <= BLANK_FROM + BLANK_SHARE * tokens:
        return tokens
    return tokens + sum(len(run) // BLANKS_A_TOKEN for run in _BLANKS.findall(text))
