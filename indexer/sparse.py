"""Text becomes a sparse vector of its words, for BM25: our own tokenizer, the same on every store.

Latin words and numbers as they stand, ids such as INV-2024-001 whole and in parts, and scripts that put no space
between words (Han, kana, Hangul, Thai ...) as pairs of characters. The store adds the inverse document frequency.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from operator import add
from typing import Any

VERSION = "bm25-cjk2-v1"
"""Documents and questions must be cut alike: another version is another generation of the index."""
K1, B = 1.2, 0.75
TERMS_USUAL = 150
"""The length that a passage is compared with. Fixed, so that a text has one vector whatever lies beside it."""
QUERY_TERMS_MAX = 256
MEMO_MAX = 1 << 17
MEMO_CHARS_MAX = 32
"""Longer words do not come back, and would make the memo's size a stranger's choice."""
_PAIRED = (
    "\u3005\u3007\u3040-\u30ff\u3105-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff"
)
_MARKS = "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
"""Vowel signs and accents that Python's \\w leaves out: a word goes on over them."""
_TOKEN = re.compile(rf"[\w{_MARKS}]+(?:[-./:,'\u2019&+@]+[\w{_MARKS}]+)*")
_WORD = re.compile(rf"[^\W_{_PAIRED}](?:[^\W_{_PAIRED}]|[{_MARKS}])*")
_RUN = re.compile(f"[{_PAIRED}]+")
_IGNORED = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
"""The comma in 5,120 says nothing."""

Sparse = tuple[list[int], list[float]]
"""Indices and their weights."""

_words: dict[str, tuple[int, ...]] = {}
_indices: dict[str, int] = {}


def document_vector(text: str) -> Sparse:
    """What a passage is found by: each term's index, and its weight by how often it is there."""
    counts: dict[int, int] = {}
    for token, times in Counter(_TOKEN.findall(_folded(text))).items():
        for index in _words.get(token) or _learnt(token):
            counts[index] = counts.get(index, 0) + times
    damping = K1 * (1 - B + B * sum(counts.values()) / TERMS_USUAL)
    return list(counts), [times * (K1 + 1) / (times + damping) for times in counts.values()]


def query_vector(text: str) -> Sparse:
    """What a question looks for: every term once."""
    indices = list(dict.fromkeys(terms(text).values()))[:QUERY_TERMS_MAX]
    return indices, [1.0] * len(indices)


def terms(text: str) -> dict[str, int]:
    """The terms of a text in their order, and the index of each."""
    return {term: _index(term) for token in _TOKEN.findall(_folded(text)) for term in _cut(token)}


def shared_terms(question: str, text: str) -> tuple[str, ...]:
    """What of the question is there, in the question's order."""
    there = set(terms(text).values())
    return tuple(term for term, index in terms(question).items() if index in there)


def _folded(text: str) -> str:
    folded = text.lower() if text.isascii() else _IGNORED.sub("", unicodedata.normalize("NFKC", text)).casefold()
    return _GROUPED.sub("", folded) if "," in folded else folded


def _learnt(token: str) -> Sequence[int]:
    """The indices of a token's terms, remembered for short words: those come back."""
    indices = [_index(term) for term in _cut(token)]
    if len(token) <= MEMO_CHARS_MAX and not _RUN.search(token):
        _room_in(_words)[token] = tuple(indices)
    return indices


def _cut(token: str) -> list[str]:
    if token.isascii() and token.isalnum():
        return [token]
    parts = _WORD.findall(token)
    found = _RUN.findall(token)
    for run in found:
        parts += map(add, run, run[1:]) if len(run) > 1 else run
    is_id = not found and len(parts) > 1 and any(character.isdigit() for character in token)
    return [token, *parts] if is_id else parts


def _index(term: str) -> int:
    index = _indices.get(term)
    if index is None:
        index = int.from_bytes(hashlib.blake2b(term.encode(), digest_size=4).digest(), "little")
        _room_in(_indices)[term] = index
    return index


def _room_in(memo: dict[str, Any]) -> dict[str, Any]:
    if len(memo) >= MEMO_MAX:
        memo.clear()
    return memo
