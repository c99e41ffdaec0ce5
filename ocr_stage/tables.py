"""Rows with several cells, one below the other, are a table: where it ends, and which cell stands in which column."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from statistics import median

from ocr_stage.lines import CAPTIONS, Line, RegionKind, Row

ROWS_MIN = 2
PITCH_MAX = 3.5
PITCH_GROWTH = 1.8
WRAPPED_PITCH = 1.25
"""In line heights: a lone cell this close below another is its next line."""

NO_CELL = CAPTIONS | {RegionKind.TITLE}
SPAN_SHARE = 0.6
"""A cell that covers so much of a neighbouring column spans it."""

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Cell:
    """`texts` are its lines; `rows` and `columns` say how far it spans."""

    row: int
    column: int
    texts: tuple[str, ...]
    rows: int = 1
    columns: int = 1


def table_end(rows: Sequence[Row], start: int) -> int | None:
    """The row after the table that starts here, or None if none does."""
    if len(rows[start]) < 2 or rows[start][0].role in NO_CELL:
        return None
    end, seen = start + 1, 1
    columns = _columns(rows[start : start + 1])
    pitches: list[float] = []
    for at in range(start + 1, len(rows)):
        if rows[at][0].is_whole or rows[at][0].role in NO_CELL:
            break
        pitch = rows[at][0].middle - rows[at - 1][0].middle
        if pitch > _pitch_max(pitches, rows[at][0].height):
            break
        pitches.append(pitch)
        if len(rows[at]) > 1:
            end, seen = at + 1, seen + 1
            columns = _columns(rows[start:end])
        elif not (_fits(rows[at][0], columns) and (at == end or _wraps(rows[at - 1], rows[at][0], columns))):
            break
    return end if seen >= ROWS_MIN else None


def grid(rows: Sequence[Row]) -> Iterator[Cell]:
    """The cells of rows that are only aligned; one that lies over several columns spans them."""
    columns = _columns(rows)
    table: list[dict[int, tuple[int, list[str]]]] = []
    above: Row = []
    for row in rows:
        parts = [part for whole in row for part in _parts(whole, columns)]
        if not (len(row) == 1 and above and _wraps(above, row[0], columns)):
            table.append({})
        taken = [_column(part, columns) for part in parts]
        for part, column in zip(parts, taken, strict=True):
            first, last = _spanned(part, columns, column, taken)
            table[-1].setdefault(first, (last - first + 1, []))[1].append(part.text)
        above = row
    for number, places in enumerate(table):
        hidden = {column for first, (wide, _) in places.items() for column in range(first + 1, first + wide)}
        for column in range(len(columns)):
            wide, texts = places.get(column, (1, []))
            if texts or column not in hidden:
                yield Cell(number, column, tuple(texts), columns=wide)


def _spanned(cell: Line, columns: Sequence[Span], column: int, taken: Sequence[int]) -> tuple[int, int]:
    """First and last column that it covers, as far as no other cell of its row stands there."""
    first = last = column
    while first > 0 and first - 1 not in taken and _covers(cell, columns[first - 1]):
        first -= 1
    while last < len(columns) - 1 and last + 1 not in taken and _covers(cell, columns[last + 1]):
        last += 1
    return first, last


def _covers(cell: Line, column: Span) -> bool:
    return _overlap(cell, column) >= SPAN_SHARE * (column[1] - column[0])


def in_columns(rows: Sequence[Row]) -> list[list[Line]]:
    """The cells of each column, from top to bottom."""
    columns = _columns(rows)
    held: list[list[Line]] = [[] for _ in columns]
    for cell in (cell for row in rows for cell in row):
        held[_column(cell, columns)].append(cell)
    return held


def lies_over(cell: Line, rows: Sequence[Row]) -> bool:
    """Whether a lone cell stands over several columns of these rows, as a title of the table does."""
    return sum(_overlap(cell, column) > 0 for column in _columns(rows)) > 1


def _parts(cell: Line, columns: Sequence[Span]) -> list[Line]:
    """Figures of several columns that the detector took for one line, each at the place that its letters suggest."""
    words = cell.text.split()
    figures = all(any(character.isdigit() for character in word) for word in words[1:])
    if not figures or sum(_overlap(cell, column) > 0 for column in columns) < 2:
        return [cell]
    each = cell.width / len(cell.text)
    starts = [0, *accumulate(len(word) + 1 for word in words)]
    return [
        replace(cell, text=word, x0=cell.x0 + start * each, x1=cell.x0 + (start + len(word)) * each)
        for start, word in zip(starts, words, strict=False)
    ]


def _columns(rows: Sequence[Row]) -> list[Span]:
    """The row with the most cells says how many columns there are; cells that touch one of them only widen it."""
    columns = [(cell.x0, cell.x1) for cell in max(rows, key=len)]
    for cell in (cell for row in rows for cell in row):
        touched = [index for index, column in enumerate(columns) if _overlap(cell, column) > 0]
        if len(touched) == 1:
            x0, x1 = columns[touched[0]]
            columns[touched[0]] = (min(x0, cell.x0), max(x1, cell.x1))
    return columns


def _column(cell: Line, columns: Sequence[Span]) -> int:
    middle = (cell.x0 + cell.x1) / 2
    return max(
        range(len(columns)),
        key=lambda index: (_overlap(cell, columns[index]), -abs(middle - sum(columns[index]) / 2)),
    )


def _overlap(cell: Line, column: Span) -> float:
    return max(0.0, min(cell.x1, column[1]) - max(cell.x0, column[0]))


def _fits(cell: Line, columns: Sequence[Span]) -> bool:
    """Whether a lone cell may belong to the table: the next line of a wrapped one, or a row of its own."""
    return sum(_overlap(cell, column) > 0 for column in columns) == 1


def _pitch_max(pitches: Sequence[float], height: float) -> float:
    """A gap that is wide beside those above it ends the table: what follows is another one."""
    if not pitches:
        return PITCH_MAX * height
    return min(PITCH_MAX * height, PITCH_GROWTH * max(median(pitches), height))


def _wraps(above: Row, cell: Line, columns: Sequence[Span]) -> bool:
    place = _column(cell, columns)
    over = [other for other in above if _column(other, columns) == place]
    return bool(over) and cell.middle - over[-1].middle < WRAPPED_PITCH * cell.height
