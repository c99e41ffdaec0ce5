"""Footnotes: smaller type at the foot of a column that begins with a mark."""

import re
from collections.abc import Sequence
from typing import TypeVar

from ingest.layout import Line
from ingest.links import bare

_SMALLER = 0.93
_LOWER_HALF = 0.45
_MARK = re.compile(r"^(?:\d{1,3}[.)\]]\s*|\[\d{1,3}\]\s*|\(\d{1,3}\)\s*|[*†‡§¶\u2217]{1,3}\s*)(?=[^\s\d])")
_RAISED_MARK = re.compile(r"^(?:\d{1,3}(?!\d)|[a-z](?![a-z])|[*†‡§¶\u2217]{1,3})\s*\S")

T = TypeVar("T")


def part_notes(flows: Sequence[Sequence[T]], body: float, height: float) -> tuple[list[list[T]], list[list[Line]]]:
    """The columns without the notes at their feet, and the notes, each with all of its lines."""
    kept: list[list[T]] = []
    notes: list[list[Line]] = []
    for at, flow in enumerate(flows):
        cut = _cut(flow, body, height)
        if cut is not None and _is_foot(flow[cut:], flows[at + 1 :]):
            notes += _each(flow[cut:])  # type: ignore[arg-type]  # _cut lets nothing but lines through
        else:
            cut = None
        if flow[:cut]:
            kept.append(list(flow[:cut]))
    return kept, notes


def _cut(flow: Sequence[object], body: float, height: float) -> int | None:
    """Where the small type at the column's end begins with a mark."""
    first = None
    for at in range(len(flow) - 1, -1, -1):
        item = flow[at]
        if not isinstance(item, Line) or item.size > _SMALLER * body or item.box[1] < _LOWER_HALF * height:
            break
        if _is_marked(item):
            first = at
    return first


def _is_marked(line: Line) -> bool:
    text = bare(line.text)
    return bool(_MARK.match(text) or (line.noted and _RAISED_MARK.match(text)))


def _is_foot(notes: Sequence[object], following: Sequence[Sequence[object]]) -> bool:
    """Nothing that is not small type follows below in the same column."""
    left = min(note.box[0] for note in notes if isinstance(note, Line))
    right = max(note.box[2] for note in notes if isinstance(note, Line))
    top = min(note.box[1] for note in notes if isinstance(note, Line))
    size = max(note.size for note in notes if isinstance(note, Line))
    for flow in following:
        for item in flow:
            box = item.box  # type: ignore[attr-defined]  # everything in a flow has a box
            larger = not isinstance(item, Line) or item.size > 1.05 * size
            if larger and box[1] > top and box[0] < right and left < box[2]:
                return False
    return True


def _each(lines: Sequence[Line]) -> list[list[Line]]:
    notes: list[list[Line]] = []
    for line in lines:
        if not notes or _is_marked(line):
            notes.append([line])
        else:
            notes[-1].append(line)
    return notes
