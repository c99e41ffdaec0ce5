"""Figures drawn with lines on a page: their scattered labels are gathered, so that no table or paragraph takes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.layout import Line, rows
from ingest.sheet import Rect, Sheet, area, centre, holds, meet, union

_STROKES_MIN = 6
_CURVES_MAX = 1000
_RULES_MAX = 2000
_TOUCH = 3.0
_REACH = 4.0
_PAGE_SHARE_MAX = 0.5
_LABELS_MIN = 3
_LABEL_CHARS_MEAN_MAX = 15
_LABEL_CHARS_MAX = 30
_BELOW_EMS = 1.0
_BELOW_MAX = 3.0
_STACKED_EMS = 0.5
_STACKED_WIDTH_MIN = 0.25


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing's labels, row by row; or one of them."""

    text: str
    box: Rect


def find_figures(lines: Sequence[Line], sheet: Sheet) -> tuple[list[Figure], list[Line]]:
    """The labelled drawings of a page, and the lines that are in none of them."""
    figures: list[Figure] = []
    rest = list(lines)
    for drawing in _drawings(sheet):
        labels = _labels(drawing, rest)
        if labels:
            figures.append(_together(rows(_stacked(labels))))
            taken = {id(label) for label in labels}
            rest = [line for line in rest if id(line) not in taken]
    return figures, rest


def _together(parts: Sequence[Line | Figure]) -> Figure:
    box = parts[0].box
    for part in parts[1:]:
        box = union(box, part.box)
    return Figure(" ".join(part.text for part in parts), box)


def _stacked(lines: Sequence[Line]) -> list[Figure]:
    """Labels of several lines are made whole, before they are read row by row."""
    stacks: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: centre(line.box)[1]):
        above = next((stack for stack in stacks if _is_under(stack[-1], line)), None)
        if above is None:
            stacks.append([line])
        else:
            above.append(line)
    return [_together(stack) for stack in stacks]


def _is_under(above: Line, line: Line) -> bool:
    narrow, wide = sorted((above.box[2] - above.box[0], line.box[2] - line.box[0]))
    common = min(above.box[2], line.box[2]) - max(above.box[0], line.box[0])
    beneath = abs(line.box[1] - above.box[3]) <= _STACKED_EMS * line.size
    return beneath and narrow >= _STACKED_WIDTH_MIN * wide and common >= narrow / 2


def _drawings(sheet: Sheet) -> list[Rect]:
    """Boxes of many strokes that touch each other, curves among them; a page's frame belongs to none."""
    found: list[tuple[Rect, int]] = []
    for curve in sheet.curves[:_CURVES_MAX]:
        found = _joined(found, curve)
    if not found:
        return []
    for rule in sorted(sheet.rules[:_RULES_MAX], key=_length, reverse=True):
        near = [box for box, _ in found if meet(box, rule, _TOUCH)]
        if near and _length(rule) <= _REACH * max(map(_length, near)):
            found = _joined(found, rule)
    page = sheet.width * sheet.height
    return [box for box, strokes in found if strokes >= _STROKES_MIN and area(box) <= _PAGE_SHARE_MAX * page]


def _joined(found: Sequence[tuple[Rect, int]], stroke: Rect) -> list[tuple[Rect, int]]:
    box, strokes = stroke, 1
    others = []
    for other, count in found:
        if meet(box, other, _TOUCH):
            box, strokes = union(box, other), strokes + count
        else:
            others.append((other, count))
    return [*others, (box, strokes)]


def _length(box: Rect) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def _labels(drawing: Rect, lines: Sequence[Line]) -> list[Line]:
    """Short texts inside of the drawing and just below it, where an axis has its numbers. None: it has prose."""
    found = [line for line in lines if holds(drawing, *centre(line.box))]
    bottom = drawing[3]
    for line in sorted(lines, key=lambda line: line.box[1]):
        gap = line.box[1] - bottom
        near = gap <= _BELOW_EMS * line.size and line.box[1] - drawing[3] <= _BELOW_MAX * line.size
        within = drawing[0] - line.size <= line.box[0] and line.box[2] <= drawing[2] + line.size
        if line.box[3] <= drawing[3] or not within or line in found:
            continue
        if not near or len(line.text) > _LABEL_CHARS_MAX:
            break
        found.append(line)
        bottom = max(bottom, line.box[3])
    chars = [len(line.text) for line in found]
    scattered = len(found) >= _LABELS_MIN and sum(chars) <= _LABEL_CHARS_MEAN_MAX * len(chars)
    return found if scattered and max(chars) <= 2 * _LABEL_CHARS_MAX else []
