"""List items that a model ran together on one line, each on its own again."""

import re
from collections.abc import Iterator

ITEM = re.compile(r"[ \t]{0,12}(?:[-*+\u2022\u00b7\u25aa\u25cf\u2013]|\d{1,3}[.)])[ \t]")
_BULLETS = "\u2022\u00b7\u25aa\u25cf"
"""Signs that stand nowhere but before an item."""
_DASH = re.compile(r"(?<=\S)[ \t]?([-*+])[ \t]+(?=[A-Z\u00c0-\u00de\u0391-\u03a9\u0410-\u042f\d\"\u201c(])")
_BULLET = re.compile(rf"(?<=\S)\s*([{_BULLETS}])\s*(?=\S)")
_NUMBER = re.compile(r"(?<=[^\s\d])[ \t]*\b(\d{1,3})([.)])[ \t]+(?=[^\W\d_])")
_ENDS = '.;:!?)\u201d\u2019"%]'
_PREFIXES = frozenset(
    {"anti", "co", "cross", "ex", "inter", "mid", "multi", "neo", "non", "post", "pre", "pro", "self", "semi", "sub"}
    | {"super", "trans", "ultra"}
)
WORDS_MIN = 3
"""An item that was run into another has at least so many words; `Anglo- Saxon` has none."""


def split(text: str) -> str:
    """Line by line; only lines that are items are looked at."""
    if not ITEM.match(text):
        return text
    return "\n".join(part for line in text.split("\n") for part in _items(line))


def _items(line: str) -> Iterator[str]:
    first = ITEM.match(line)
    if not first:
        yield line
        return
    mark = first[0].strip()
    starts = {"-": _dashes, "*": _dashes, "+": _dashes}.get(mark, _bullets if mark in _BULLETS else _numbers)
    at = 0
    for start, following in starts(line, mark, first.end()):
        yield line[at:start].rstrip()
        at = following
    yield line[at:]


def _dashes(line: str, mark: str, at: int) -> Iterator[tuple[int, int]]:
    """After the end of a sentence; or stuck to the word before it, which is no part of a name or a compound."""
    last = at
    for found in _DASH.finditer(line, at):
        before, after = line[last : found.start()], line[found.end() :]
        if found[1] != mark or len(before.split()) < WORDS_MIN or len(after.split(None, WORDS_MIN)) < WORDS_MIN:
            continue
        if before[-1] in _ENDS or (found[0][0] == mark and _may_end(before)):
            yield found.start(), found.start(1)
            last = found.end()


def _may_end(before: str) -> bool:
    word = before.rsplit(maxsplit=1)[-1]
    return word[0].islower() and word.lower() not in _PREFIXES and "-" not in word


def _bullets(line: str, mark: str, at: int) -> Iterator[tuple[int, int]]:
    for found in _BULLET.finditer(line, at):
        if found[1] == mark:
            yield found.start(), found.start(1)


def _numbers(line: str, mark: str, at: int) -> Iterator[tuple[int, int]]:
    """Only the number that comes next, after the same sign; one alone may be the end of a sentence ("see page 2.")."""
    if not mark[:-1].isdecimal():
        return
    number, found = int(mark[:-1]), list[re.Match[str]]()
    for each in _NUMBER.finditer(line, at):
        if each[2] == mark[-1] and int(each[1]) == number + 1:
            number += 1
            found.append(each)
    if len(found) > 1 or mark[-1] == ")" or (found and line[found[0].start() - 1] in _ENDS):
        yield from ((each.start(), each.start(1)) for each in found)
