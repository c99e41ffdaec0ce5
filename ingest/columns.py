"""Tables on a page of several text columns: none reaches over the gutter, unless rules say so."""

from collections.abc import Sequence

from ingest.figures import Figure
from ingest.layout import Line, box_of, gutter_of
from ingest.sheet import Rect, Sheet, centre, holds
from ingest.table_cells import Table
from ingest.tables import find_tables

_FULL_LINE = 0.75
_FULL_LINES_MIN = 6
_FULL_SHARE_MIN = 0.35
_ALIKE = 2.0

Found = tuple[list[Table | Figure], list[Line]]


def tables_of(lines: Sequence[Line], sheet: Sheet, em: float) -> Found:
    """The tables and figures of a page, and the lines that are in none of them."""
    found, rest = find_tables(lines, sheet)
    tables = [item.box for item in found if isinstance(item, Table)]
    if not tables:
        return found, rest
    gutter = gutter_of(lines, em)
    crossing = [box for box in tables if gutter is not None and box[0] < gutter < box[2]]
    if gutter is None or not crossing or not _are_columns(lines, gutter):
        return found, rest
    if any(_is_ruled_across(box, gutter, sheet) for box in crossing):
        return found, rest
    return _side_by_side(lines, sheet, gutter)


def _side_by_side(lines: Sequence[Line], sheet: Sheet, gutter: float) -> Found:
    found: list[Table | Figure] = []
    rest = [line for line in lines if line.box[0] < gutter < line.box[2]]
    for side in (_left(lines, gutter), _right(lines, gutter)):
        more, free = find_tables(side, sheet)
        found += [item for item in more if not any(_is_alike(item.box, other.box) for other in found)]
        rest += free
    return found, rest


def _left(lines: Sequence[Line], gutter: float) -> list[Line]:
    return [line for line in lines if line.box[2] <= gutter]


def _right(lines: Sequence[Line], gutter: float) -> list[Line]:
    return [line for line in lines if line.box[0] >= gutter]


def _are_columns(lines: Sequence[Line], gutter: float) -> bool:
    """Running text on both sides: many lines as wide as their column."""
    for side in (_left(lines, gutter), _right(lines, gutter)):
        if not side:
            return False
        left, _, right, _ = box_of(side)
        full = sum(line.box[2] - line.box[0] >= _FULL_LINE * (right - left) for line in side)
        if full < max(_FULL_LINES_MIN, _FULL_SHARE_MIN * len(side)):
            return False
    return True


def _is_ruled_across(box: Rect, gutter: float, sheet: Sheet) -> bool:
    return any(rule[0] < gutter < rule[2] and holds(box, *centre(rule)) for rule in sheet.rules)


def _is_alike(one: Rect, other: Rect) -> bool:
    return all(abs(mine - theirs) <= _ALIKE for mine, theirs in zip(one, other, strict=True))
