"""Footnotes: smaller type at the foot of a column that begins with a mark."""

import re
from collections.abc import Sequence
from typing import TypeVar

from ingest.layout import Line, box_of
from ingest.links import bare

_SMALLER = 0.93
_LOWER_HALF = 0.45
_MARK = re.compile(
    r"^(?:\d{1,3}[)\]]\s+(?=\d)|(?:\d{1,3}[.)\]]|\[\d{1,3}\]|\(\d{1,3}\)|[*†‡§¶\u2217]{1,3})\s*(?=[^\s\d]))"
)
_RAISED_MARK = re.compile(r"^(?:\d{1,3}(?!\d)|[a-z](?![a-z])|[*†‡§¶\u2217]{1,3})\s*\S")

T = TypeVar("T")


def part_notes(flows: Sequence[Sequence[T]], body: float, height: float) -> tuple[list[list[T]], list[list[Line]]]:
    """The columns without the notes at their feet, and the notes, each with all of its lines."""
    kept: list[list[T]] = []
    notes: list[list[Line]] = []
    for at, flow in enumerate(flows):
        small = _small(flow, body, height)
        first = next((begin for begin, line in enumerate(small) if _is_marked(line)), None)
        if first is not None:
            small = small[first:]
        elif not notes or not small or small[0].box[1] < notes[0][0].box[1]:
            small = []
        if small and not _is_foot(small, flows[at + 1 :], body):
            small = []
        for line in small:
            if _is_marked(line) or not notes:
                notes.append([line])
            else:  # it goes on, maybe from the column before
                notes[-1].append(line)
        if rest := flow[: len(flow) - len(small)]:
            kept.append(list(rest))
    return kept, notes


def _small(flow: Sequence[object], body: float, height: float) -> list[Line]:
    """The lines in small type at the column's end."""
    found: list[Line] = []
    for item in reversed(flow):
        if not isinstance(item, Line) or item.size > _SMALLER * body or item.box[1] < _LOWER_HALF * height:
            break
        found.append(item)
    return found[::-1]


def _is_marked(line: Line) -> bool:
    text = bare(line.text)
    return bool(_MARK.match(text) or (line.noted and _RAISED_MARK.match(text)))


def _is_foot(notes: Sequence[Line], following: Sequence[Sequence[object]], body: float) -> bool:
    """Nothing but small type follows below in the same column."""
    left, top, right, _ = box_of(notes)
    for flow in following:
        for item in flow:
            box = item.box  # type: ignore[attr-defined]  # everything in a flow has a box
            larger = not isinstance(item, Line) or item.size > _SMALLER * body
            if larger and box[1] > top and box[0] < right and left < box[2]:
                return False
    return True
