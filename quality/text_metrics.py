"""How near a read text is to the truth: reading order (NID), words, characters. All pure functions of two strings."""

import re
from collections import Counter
from typing import NamedTuple

from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein

from quality.pipe_tables import with_html_tables, without_tables

CHARS_MAX = 1_000_000
"""Longer texts are compared by their beginnings: the cost grows with the product of the lengths (1 MB: some 20 s)."""
_SPACE = re.compile(r"\s+")
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)


class Words(NamedTuple):
    """Shares of words, 0 to 1."""

    precision: float
    recall: float
    f1: float


def nid(truth: str, read: str) -> float | None:
    """Normalised indel similarity of two Markdown texts, 0 to 1; None when the truth is empty.

    1 - (insertions + deletions) / (length of both), over characters, white space collapsed, tables as HTML. It falls
    when text is missing, wrong, invented, or stands elsewhere: the measure of reading order in opendataloader-bench
    (`src/evaluator_reading_order.py`), there and here by rapidfuzz's `ratio`.
    """
    return _ratio(with_html_tables(truth), with_html_tables(read))


def nid_s(truth: str, read: str) -> float | None:
    """NID of what stands outside of tables, 0 to 1; None when the truth is empty."""
    return _ratio(without_tables(truth), without_tables(read)) if collapsed(truth) else None


def collapsed(text: str) -> str:
    """Every run of white space is one space, none at the ends."""
    return _SPACE.sub(" ", text).strip()


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, lower case; a Chinese or Japanese character is a word by itself."""
    return _WORD.findall(text.lower())


def word_scores(truth: str, read: str) -> Words:
    """Precision, recall and F1 of the words read, as a bag: their order does not count, their number does.

    A word read once too often costs precision, one missing costs recall. Two empty texts agree fully.
    """
    wanted, got = Counter(words_of(truth)), Counter(words_of(read))
    if not wanted and not got:
        return Words(1.0, 1.0, 1.0)
    shared = (wanted & got).total()
    precision = shared / got.total() if got else 0.0
    recall = shared / wanted.total() if wanted else 0.0
    return Words(precision, recall, 2 * precision * recall / (precision + recall) if shared else 0.0)


def word_f1(truth: str, read: str) -> float:
    """The harmonic mean of word precision and recall, 0 to 1, order free: how well a page was read by OCR."""
    return word_scores(truth, read).f1


def character_error_rate(truth: str, read: str) -> float:
    """Insertions, deletions and replacements per character of the truth, white space collapsed; may exceed 1."""
    wanted, got = collapsed(truth)[:CHARS_MAX], collapsed(read)[:CHARS_MAX]
    return Levenshtein.distance(wanted, got) / max(1, len(wanted))


def _ratio(truth: str, read: str) -> float | None:
    wanted, got = collapsed(truth)[:CHARS_MAX], collapsed(read)[:CHARS_MAX]
    return fuzz.ratio(wanted, got) / 100 if wanted else None
