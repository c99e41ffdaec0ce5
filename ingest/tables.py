"""Tables on a page: grids of ruling lines first, then rows between level rules, then aligned columns."""

from collections.abc import Iterator, Sequence
from functools import reduce

from ingest.figures import Figure, find_figures
from ingest.layout import Line
from ingest.sheet import Rect, Sheet, area, centre, holds, meet, union
from ingest.table_cells import Table
from ingest.table_grid import Grid, grid_table, with_heads_above
from ingest.table_proof import is_table
from ingest.table_rows import block_of, table_of
from ingest.table_rules import Frame, bands_of, frames, rules_of, stacks, tiles_of, with_bands
from ingest.table_runs import (
    Row,
    beside_a_gutter,
    between_rules,
    by_alignment,
    side_by_side,
    stands_alone,
    widened,
    without_prose,
)
from ingest.table_tokens import source_of, spaced, turned

__all__ = ["Table", "find_tables"]

_CURVES_MIN = 3
_SHOWN_MAX = 0.4
_FRAMES_MAX = 60


def find_tables(lines: Sequence[Line], sheet: Sheet) -> tuple[list[Table | Figure], list[Line]]:
    """The tables and figures of a page, and the lines that are in none of them."""
    found: list[Table | Figure] = []
    rest = spaced(lines, sheet.lines)
    level, plumb = rules_of(sheet)
    aslant = turned(sheet)
    open_frames: list[Frame] = []
    loose = without_prose(rest)
    for frame in _closed(sheet, loose, (level, plumb)):
        grid = Grid(with_bands(frame, sheet) if sheet.fills else frame)
        table, taken = (
            grid_table(grid, [*rest, *aslant]) if grid.is_table and stands_alone(frame.box, loose) else (None, [])
        )
        if table is None:
            open_frames.append(frame)
        else:
            table, heads = with_heads_above(table, grid, _without(rest, taken))
            found.append(table)
            rest = _without(rest, [*taken, *heads])
    figures, rest = find_figures(rest, sheet)
    boxes = [table.box for table in found]
    found += figures
    free = [rule for rule in [*level, *bands_of(sheet)] if not any(holds(box, *centre(rule)) for box in boxes)]
    open_frames = side_by_side([*open_frames, *stacks(free)], loose)
    if len(open_frames) <= _FRAMES_MAX:
        for frame in sorted(open_frames, key=lambda frame: -area(frame.box)):
            others = [other.box for other in open_frames if not meet(frame.box, other.box, 0.0)]
            for run in between_rules(widened(frame, loose, others), [*rest, *aslant], plumb):
                rest = _added(found, run, rest, free)
    for whole in by_alignment(without_prose(rest)):
        for run in beside_a_gutter(whole, uneven=True) or [whole]:
            before = len(found)
            rest = _added(found, run, rest, free)
            for part in beside_a_gutter(run, uneven=False) if len(found) == before else ():
                rest = _added(found, part, rest, free)
    return found, rest


def _closed(sheet: Sheet, lines: Sequence[Line], rules: tuple[Sequence[Rect], Sequence[Rect]]) -> Iterator[Frame]:
    """Frames of crossing rules and of coloured cells, that are no drawings."""
    drawn = [frame for frame in frames(*rules) if frame.plumb and frame.level] if rules[1] else []
    tiled = [frame for frame in tiles_of(sheet) if stands_alone(frame.box, lines)]
    for frame in [*drawn, *tiled] if len(drawn) + len(tiled) <= _FRAMES_MAX else ():
        if not _is_drawn(frame.box, sheet):
            yield frame


def _added(found: list[Table | Figure], run: Sequence[Row], rest: list[Line], level: Sequence[Rect]) -> list[Line]:
    """The run as a table, if it is one; what is left of the lines."""
    block = block_of(run, level)
    if not is_table(block):
        return rest
    found.append(table_of(block))
    return _without(rest, [source_of(line) for row in block.rows for line in row])


def _without(lines: Sequence[Line], taken: Sequence[Line]) -> list[Line]:
    gone = {id(line) for line in taken}
    return [line for line in lines if id(line) not in gone]


def _is_drawn(box: Rect, sheet: Sheet) -> bool:
    """Curves or pictures cover it: a drawing, and no table with a rounded frame or with signs in its cells."""
    inside = [curve for curve in sheet.curves if holds(box, *centre(curve))]
    if len(inside) >= _CURVES_MIN and area(reduce(union, inside)) >= area(box) / 2:
        return True
    shown = sum(area(picture.box) for picture in sheet.pictures if holds(box, *centre(picture.box)))
    return shown >= _SHOWN_MAX * area(box)
