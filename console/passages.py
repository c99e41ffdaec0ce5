"""The part of a passage that answers a question, wrapped for people; of a table never without its header."""

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TEXT_WIDTH = 100
TEXT_LINES_MAX = 8
ELLIPSIS = "..."
RULE = frozenset("|-: \t")
"""All that the line under a table's header is made of."""
IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
WORD = re.compile(rf"[{IDEOGRAPHS}]|[^\W_{IDEOGRAPHS}]+")
PLURAL_CHARS_MIN = 4
ASKING = (
    "a about all an and any are as at be been but by can could did do does for from had has have how i if in into is it"
    " its many me more most much my no not of on or our s should so some than that the their them then there these"
    " they this those to until up us was we were what when where which who whom whose why will with would you your"
    " 的 了 是 在 和 有 吗 呢 多 少 什 么 哪"
)
COMMON = frozenset(ASKING.split())
"""Words that ask rather than name: sharing only them says nothing."""


@dataclass(frozen=True, slots=True)
class Line:
    """A wrapped line; `header` are the numbers of the lines that head its table, should it stand in one."""

    text: str
    header: tuple[int, ...] = ()


def passage(text: str, question: str, *, lines_max: int = TEXT_LINES_MAX) -> list[str]:
    """A passage wrapped; of a long one the lines that share most words with the question, under their table's header.

    Words count more the rarer they are in the passage, and far more where several stand in one line: the row that
    answers, not the paragraph that mentions each word somewhere.
    """
    lines = _lines(text)
    if len(lines) <= lines_max:
        return [line.text for line in lines]
    weights = _weights(lines, question)
    best = max(range(len(lines)), key=weights.__getitem__)
    windows = [_window(lines, start, lines_max) for start in range(len(lines))]
    holding = [window for window in windows if best in window]

    def worth(window: Sequence[int]) -> tuple[float, int, int]:
        return sum(weights[at] for at in window), len(window), -abs(window.index(best) - len(window) // 2)

    return list(_shown(lines, max(holding, key=worth)))


def words(text: str) -> set[str]:
    """Words without regard to case or a plural's s; of scripts without spaces, their characters."""
    found = WORD.findall(text.lower())
    return {word[:-1] if len(word) >= PLURAL_CHARS_MIN and word.endswith("s") else word for word in found}


def telling(text: Iterable[str]) -> set[str]:
    """What is left without the words that only ask."""
    return {word for word in text if word not in COMMON}


def _lines(text: str) -> list[Line]:
    found: list[Line] = []
    header: tuple[int, ...] = ()
    before = ""
    for line in text.splitlines():
        if not line.lstrip().startswith("|"):
            header = ()
        elif set(line) <= RULE and before.lstrip().startswith("|"):
            header = (*range(len(found) - len(_wrapped(before)), len(found)), len(found))
        found += [Line(part, header) for part in _wrapped(line)]
        before = line
    return found


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, TEXT_WIDTH) if line.strip() else []


def _weights(lines: Sequence[Line], question: str) -> list[float]:
    """How much each line has of the question: the square favours words that stand together."""
    asked = words(question)
    asked = telling(asked) or asked
    shared = [words(line.text) & asked for line in lines]
    often = Counter(word for line in shared for word in line)
    return [sum(1 / often[word] for word in sorted(line)) ** 2 for line in shared]


def _window(lines: Sequence[Line], start: int, lines_max: int) -> list[int]:
    """So many lines from `start`; the header of a table that begins before it is shown first, and counted."""
    header = [at for at in lines[start].header if at < start]
    if len(header) >= lines_max // 2:
        header = []  # a header as long as a paragraph would leave no room for what it heads
    return [*header, *range(start, min(len(lines), start + lines_max - len(header)))]


def _shown(lines: Sequence[Line], window: Sequence[int]) -> Iterable[str]:
    """The lines of a window, dots where others were left out; a single one is shown instead of its dots."""
    last = -1
    for at in (*window, len(lines)):
        left_out = at - last - 1
        if left_out:
            yield ELLIPSIS if left_out > 1 else lines[at - 1].text
        if at < len(lines):
            yield lines[at].text
        last = at
