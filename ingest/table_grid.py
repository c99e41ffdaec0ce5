"""Ruled grids: cells between rules, merged where the piece of rule between two of them is missing."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from ingest.layout import MARKER, Line
from ingest.sheet import Rect, centre, holds
from ingest.table_cells import Cell, Table, compact, size_of
from ingest.table_rules import TOUCH, Frame, edges
from ingest.table_tokens import is_number, middle, rows_of, slot, text_of, tokens

_DRAWN_MIN = 0.6
_FILLED_MIN = 0.4
_LOOSE_ROWS_MIN = 3
_LOOSE_SHARE_MIN = 0.4
_LOOSE_CELL_MIN = 0.6
_LOOSE_CELL_ROWS_MIN = 5
_STACKED_LINES_MIN = 3
_HEAD_CHARS_MAX = 40
_CHARS_MAX = 250
_SLOTS_MAX = 20_000

Span = tuple[int, int, int, int]
"""First and last row, first and last column."""


class Grid:
    """Column and row edges of a frame, and which pieces between them are drawn."""

    def __init__(self, frame: Frame) -> None:
        left, top, right, bottom = frame.box
        self.columns = edges([left, right, *(centre(rule)[0] for rule in frame.plumb)])
        self.rows = edges([top, bottom, *(centre(rule)[1] for rule in frame.level)])
        self.box = frame.box
        self.plumb = _drawn(frame.plumb, self.columns, self.rows, across=False)
        self.level = _drawn(frame.level, self.rows, self.columns, across=True)

    @property
    def is_table(self) -> bool:
        """It has cells beside and cells below each other, and not so many that they are hatching."""
        count = (len(self.columns) - 1) * (len(self.rows) - 1)
        return len(self.columns) > 2 and len(self.rows) > 2 and count <= _SLOTS_MAX

    def spans(self) -> list[Span]:
        """Cells: places beside each other without a rule between, then equal ones below each other."""
        found: list[Span] = []
        open_above: dict[tuple[int, int], int] = {}
        for row in range(len(self.rows) - 1):
            here: dict[tuple[int, int], int] = {}
            for first, last in self._runs(row):
                at = open_above.get((first, last))
                if at is not None and not any((row, column) in self.level for column in range(first, last + 1)):
                    found[at] = (found[at][0], row, first, last)
                    here[first, last] = at
                else:
                    here[first, last] = len(found)
                    found.append((row, row, first, last))
            open_above = here
        return found

    def _runs(self, row: int) -> Iterator[tuple[int, int]]:
        first = 0
        for column in range(1, len(self.columns)):
            if column == len(self.columns) - 1 or (column, row) in self.plumb:
                yield first, column - 1
                first = column


def _drawn(
    rules: Sequence[Rect], over: Sequence[float], along: Sequence[float], *, across: bool
) -> set[tuple[int, int]]:
    """(edge, place): the rules on this edge cover most of this place."""
    start = 0 if across else 1
    covered: dict[tuple[int, int], float] = {}
    for rule in rules:
        edge = _closest(over, centre(rule)[1 - start])
        first = max(0, bisect_right(along, rule[start]) - 1)
        for place in range(first, bisect_left(along, rule[start + 2])):
            if place + 1 < len(along):
                shared = min(rule[start + 2], along[place + 1]) - max(rule[start], along[place])
                covered[edge, place] = covered.get((edge, place), 0.0) + max(0.0, shared)
    return {
        (edge, place)
        for (edge, place), length in covered.items()
        if length + TOUCH >= _DRAWN_MIN * (along[place + 1] - along[place])
        or length >= along[place + 1] - along[place] - TOUCH
    }


def _closest(values: Sequence[float], value: float) -> int:
    at = bisect_left(values, value)
    near = [other for other in (at - 1, at) if 0 <= other < len(values)]
    return min(near, key=lambda other: abs(values[other] - value))


def grid_table(grid: Grid, lines: Sequence[Line]) -> tuple[Table | None, list[Line]]:
    """The table and the lines that it took. None: too little text, or its columns and rows are not all ruled."""
    inside = [line for line in lines if holds(grid.box, *centre(line.box))]
    if not inside:
        return None, []
    spans = grid.spans()
    place = {(row, column): at for at, span in enumerate(spans) for row, column in _places(span)}
    held: list[list[Line]] = [[] for _ in spans]
    for line in inside:
        for part in tokens(line, grid.columns):
            x, y = centre(part.box)
            held[place[slot(y, grid.rows), slot(x, grid.columns)]].append(part)
    if _is_loose(spans, held) or _is_stacked(spans, held):
        return None, []
    cells = [
        Cell(text_of(texts), first, left, last - first + 1, right - left + 1)
        for (first, last, left, right), texts in zip(spans, held, strict=True)
    ]
    full = compact(cells)
    rows, columns = size_of(full)
    texts = sum(bool(cell.text) for cell in full)
    chars = sum(len(cell.text) for cell in full)
    if rows < 2 or columns < 2 or texts < _FILLED_MIN * len(full) or chars > _CHARS_MAX * texts:
        return None, []
    return Table(tuple(full), grid.box, _heads(full)), inside


def _places(span: Span) -> Iterator[tuple[int, int]]:
    first, last, left, right = span
    return ((row, column) for row in range(first, last + 1) for column in range(left, right + 1))


def _is_loose(spans: Sequence[Span], held: Sequence[Sequence[Line]]) -> bool:
    """Rows of text in one cell have parts that stand apart: more columns than the rules say."""
    parted = rows = unruled = 0
    for (_, _, first, last), texts in zip(spans, held, strict=True):
        apart, of, most = _parted_rows(rows_of(texts)) if len(texts) > 1 else (0, len(texts), 1)
        if apart >= _LOOSE_CELL_ROWS_MIN and apart >= _LOOSE_CELL_MIN * of:
            return True
        parted, rows = parted + apart, rows + of
        unruled += last - first > 1 and most > 2
    return unruled > 1 or (parted >= _LOOSE_ROWS_MIN and parted >= _LOOSE_SHARE_MIN * rows)


def _parted_rows(rows: Sequence[Sequence[Line]]) -> tuple[int, int, int]:
    """How many of the rows have a wide gap that no bullet makes, of how many, and the most parts in one."""
    gaps = [
        sum(right.box[0] - left.box[2] > left.size and not MARKER.match(left.text) for left, right in pairwise(row))
        for row in rows
    ]
    return sum(count > 0 for count in gaps), len(rows), max(gaps) + 1


def _is_stacked(spans: Sequence[Span], held: Sequence[Sequence[Line]]) -> bool:
    """Cells beside each other hold lines at the same heights, numbers most of them: rows that no rule parts."""
    by_row: dict[tuple[int, int], list[list[list[Line]]]] = {}
    for (first, last, _, _), texts in zip(spans, held, strict=True):
        if texts:
            by_row.setdefault((first, last), []).append(rows_of(texts))
    stacked = lines = 0
    for cells in by_row.values():
        most = max(cells, key=len)
        lines += len(most)
        heights = [middle(row) for row in most]
        others = [cell for cell in cells if cell is not most and len(cell) >= _STACKED_LINES_MIN]
        if len(most) >= _STACKED_LINES_MIN and any(_is_beside(cell, heights) for cell in others):
            stacked += len(most)
    return stacked > lines / 2


def _is_beside(cell: Sequence[Sequence[Line]], heights: Sequence[float]) -> bool:
    numbers = sum(is_number(row[0].text) for row in cell)
    return 2 * numbers > len(cell) and all(
        min(abs(middle(row) - height) for height in heights) <= TOUCH for row in cell
    )


def _heads(cells: Sequence[Cell]) -> int:
    """The first row, and the rows that its cells reach down to or stand over."""
    first = [cell for cell in cells if cell.row == 0]
    deepest = max(cell.rows for cell in first)
    if deepest > 1 and any(cell.rows < deepest for cell in first):
        return min(deepest, 4)
    return 2 if any(cell.columns > 1 for cell in first) and len(first) > 1 else 1


def with_heads_above(table: Table, grid: Grid, lines: Sequence[Line]) -> tuple[Table, list[Line]]:
    """A row of short texts directly above the grid, each over a column of its own, is its head."""
    left, top, right, _ = grid.box
    near = [
        line
        for line in lines
        if left - line.size / 2 <= line.box[0]
        and line.box[2] <= right + line.size / 2
        and -0.5 * line.size <= top - line.box[3] <= line.size
    ]
    if len(near) < 2:
        return table, []
    parts = [part for line in near for part in tokens(line)]
    columns = size_of(table.cells)[1]
    if columns != len(grid.columns) - 1 or any(len(part.text) > _HEAD_CHARS_MAX for part in parts):
        return table, []
    held: dict[int, list[Line]] = {}
    for part in parts:
        held.setdefault(slot(centre(part.box)[0], grid.columns), []).append(part)
    if len(held) < max(2, columns / 2) or len(held) < len(rows_of(parts)[0]):
        return table, []
    heads = [Cell(text_of(texts), 0, column) for column, texts in held.items()]
    cells = compact([*heads, *(replace(cell, row=cell.row + 1) for cell in table.cells if cell.text)])
    box = (left, min(line.box[1] for line in near), right, grid.box[3])
    return Table(tuple(cells), box, 1), near
