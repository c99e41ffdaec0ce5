"""Bullets that are drawn and not written: small shapes of one kind in a column, each before a line of text."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from ingest.layout import Line, pieces_of
from ingest.sheet import WHITE, Rect, Sheet, centre, union

_FILLS_MAX, _LINES_MAX = 300, 1000
_ITEMS_MIN = 2
_SIZE_EMS, _SQUARE, _GAP_EMS, _OFF_EMS = 0.55, 1.25, 2.0, 0.35
_BULLET = "\u2022 "


def with_drawn_bullets(lines: Sequence[Line], sheet: Sheet) -> list[Line]:
    """The same lines; those behind a drawn bullet begin with a written one. Signs of a legend differ in colour."""
    kinds: defaultdict[tuple[int, int, int], list[Rect]] = defaultdict(list)
    for box, colour in sheet.fills[:_FILLS_MAX]:
        if colour != WHITE and _is_square(box):
            kinds[colour, round(box[0]), round(box[2])].append(box)
    columns = [boxes for boxes in kinds.values() if len(boxes) >= _ITEMS_MIN]
    if not columns or len(lines) > _LINES_MAX:
        return list(lines)
    marked: dict[int, Rect] = {}
    for boxes in columns:
        pairs = [(id(line), box) for box in boxes for line in lines if _is_before(box, line)]
        if len(pairs) == len(boxes):
            marked.update(pairs)
    return [_begun(line, marked[id(line)]) if id(line) in marked else line for line in lines]


def _is_square(box: Rect) -> bool:
    sides = box[2] - box[0], box[3] - box[1]
    return max(sides) <= _SQUARE * min(sides)


def _is_before(box: Rect, line: Line) -> bool:
    """Small, on the line's height, with nothing but white between them."""
    small = box[3] - box[1] <= _SIZE_EMS * line.size
    level = abs(centre(box)[1] - centre(line.box)[1]) <= _OFF_EMS * line.size
    return small and level and 0 <= line.box[0] - box[2] <= _GAP_EMS * line.size


def _begun(line: Line, box: Rect) -> Line:
    whole = union(box, line.box)
    return replace(line, text=_BULLET + line.text, box=whole, pieces=((_BULLET, box), *pieces_of(line)))
