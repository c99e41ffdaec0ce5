"""Figures, drawn with lines or as pictures: their scattered labels are gathered, so that no paragraph takes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.layout import Line, rows
from ingest.sheet import Rect, Sheet, area, centre, clipped, holds, meet, union

_STROKES_MIN = 6
_CURVES_MAX = 1000
_RULES_MAX = 2000
_TOUCH = 3.0
_REACH = 4.0
_PAGE_SHARE_MAX = 0.5
_LABELS_MIN = 3
_LABEL_CHARS_MEAN_MAX = 20
_LABEL_CHARS_MAX = 30
_BELOW_EMS = 1.0
_BELOW_MAX = 3.0
_SIDE_MIN = 24.0
_PAGE_SHARE_MIN, _PAGE_MAX = 0.004, 0.9
_LABELLED_SHARE_MIN = 0.05
_PICTURES_MAX = 500
_STACKED_EMS = 0.5
_STACKED_WIDTH_MIN = 0.25


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure's labels, row by row, empty when it has none; or one of them."""

    text: str
    box: Rect


def find_figures(lines: Sequence[Line], sheet: Sheet) -> tuple[list[Figure], list[Line]]:
    """The drawings of a page, and the lines that are in none of them. Drawings around prose are frames."""
    figures: list[Figure] = []
    rest = list(lines)
    for drawing in _drawings(sheet):
        labels = _labels(drawing, rest)
        if labels:
            figures.append(_labelled(drawing, labels))
            rest = _without(rest, labels)
        elif _is_large(drawing, sheet) and not any(holds(drawing, *centre(line.box)) for line in rest):
            figures.append(Figure("", drawing))
    return figures, rest


def find_pictures(lines: Sequence[Line], sheet: Sheet, taken: Sequence[Rect]) -> tuple[list[Figure], list[Line]]:
    """The pictures of a page that lie in no table or drawing of `taken`. What lies under prose is its background."""
    figures: list[Figure] = []
    rest = list(lines)
    for box in _pictures(sheet):
        if any(holds(other, *centre(box)) or holds(box, *centre(other)) for other in taken):
            continue
        inside = [line for line in rest if holds(box, *centre(line.box))]
        chars = sum(len(line.text) for line in inside)
        few = len(inside) < _LABELS_MIN and area(box) < _LABELLED_SHARE_MIN * sheet.width * sheet.height
        if inside and (few or chars > _LABEL_CHARS_MEAN_MAX * len(inside)):
            continue
        figures.append(_labelled(box, inside))
        rest = _without(rest, inside)
    return figures, rest


def _pictures(sheet: Sheet) -> list[Rect]:
    """Large enough to mean something; the tiles of one picture made whole."""
    whole: list[Rect] = []
    for picture in sheet.pictures[:_PICTURES_MAX]:
        box = clipped(picture.box, sheet)
        if area(box) <= 0:
            continue
        tile = next((other for other in whole if _are_tiles(other, box)), None)
        if tile is not None:
            whole.remove(tile)
            box = union(tile, box)
        whole.append(box)
    return [box for box in whole if _is_large(box, sheet) and area(box) < _PAGE_MAX * sheet.width * sheet.height]


def _are_tiles(one: Rect, other: Rect) -> bool:
    """Beside each other with the same edges, or largely on each other."""
    if not meet(one, other, _TOUCH):
        return False
    level = abs(one[1] - other[1]) <= _TOUCH and abs(one[3] - other[3]) <= _TOUCH
    plumb = abs(one[0] - other[0]) <= _TOUCH and abs(one[2] - other[2]) <= _TOUCH
    common = max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])
    return level or plumb or area(common) >= min(area(one), area(other)) / 2


def _is_large(box: Rect, sheet: Sheet) -> bool:
    sides = box[2] - box[0], box[3] - box[1]
    return min(sides) >= _SIDE_MIN and area(box) >= _PAGE_SHARE_MIN * sheet.width * sheet.height


def _labelled(box: Rect, labels: Sequence[Line]) -> Figure:
    if not labels:
        return Figure("", box)
    written = _together(rows(_stacked(labels)))
    return Figure(written.text, union(box, written.box))


def _without(lines: Sequence[Line], taken: Sequence[Line]) -> list[Line]:
    gone = {id(line) for line in taken}
    return [line for line in lines if id(line) not in gone]


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
