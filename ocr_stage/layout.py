"""Lines on a page in the order in which a person reads them: levelled, cut into columns, grouped into rows."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from ocr_stage.lines import Line, Rectangle, Row, joined, weight

COLUMN_LINES_MIN = 4
PROSE_CHARS_MIN = 16
PROSE_SHARE_MIN = 0.6
PROSE_PITCH_MAX = 1.6
"""Lines of running text follow each other closer than this many line heights; rows of tables do not."""
CROSSING_SHARE_MAX = 0.34
"""Titles and wide captions cross a gutter; when more do, it is none."""
FILLED = 0.85
SAME_ROW = 0.5
CELL_GAP = 0.8
"""In line heights: the detector cuts a line at wide word gaps; a wider gap than this separates cells."""


def reading_order(lines: Sequence[Line]) -> list[list[Row]]:
    """The level page, part by part: each is one column, or one band across, as rows from top to bottom."""
    return [rows_of(part) for part in _columns(lines)]


def levelled(lines: Sequence[Line]) -> list[Line]:
    """What is left of a page's slope is taken out."""
    slopes = [line.slope for line in lines if line.width > 4 * line.height]
    return [line.turned(median(slopes)) for line in lines] if slopes else list(lines)


def _columns(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Cut at the gutter if there is one. Lines that cross it divide the page into bands, read one after the other."""
    gutter = _gutter(lines)
    if gutter is None:
        yield list(lines)
        return
    crossing = sorted(_crossing(lines, gutter), key=lambda line: line.at)
    passed = {id(line) for line in crossing}
    rest = [line for line in lines if id(line) not in passed]
    edges = [-math.inf, *(line.at for line in crossing), math.inf]
    across: list[Line] = []
    for index, (top, bottom) in enumerate(pairwise(edges)):
        band = [line for line in rest if top <= line.at < bottom]
        left = [line for line in band if line.x1 <= gutter]
        right = [line for line in band if line.x1 > gutter]
        if is_prose(left) or is_prose(right):
            yield from filter(None, [across, *_columns(left), *_columns(right)])
            across = []
        else:
            across += band
        across += crossing[index : index + 1]
    yield from filter(None, [across])


def _crossing(lines: Sequence[Line], gutter: float) -> list[Line]:
    """Lines over both columns, with the short last line of a paragraph most of whose lines are."""
    regions: dict[Rectangle, list[bool]] = {}
    for line in lines:
        if line.within:
            regions.setdefault(line.within, []).append(line.x0 < gutter < line.x1)
    wide = {box for box, crosses in regions.items() if 2 * sum(crosses) > len(crosses)}
    return [line for line in lines if line.x0 < gutter < line.x1 or line.within in wide]


def _gutter(lines: Sequence[Line]) -> float | None:
    """The x that the fewest lines cross, with running text on both sides; the middle of the widest such gap."""
    if len(lines) < 2 * COLUMN_LINES_MIN:
        return None
    left, right = min(line.x0 for line in lines), max(line.x1 for line in lines)
    places = [left + (right - left) * step / 200 for step in range(1, 200)]
    crossings = {place: sum(line.x0 < place < line.x1 for line in lines) for place in places}
    possible = [place for place in places if crossings[place] <= CROSSING_SHARE_MAX * len(lines)]
    between = [place for place in possible if _divides(lines, place)]
    if not between:
        return None
    fewest = min(crossings[place] for place in between)
    best = [place for place in between if crossings[place] == fewest]
    return _middle_of_widest(best, step=(right - left) / 200)


def _middle_of_widest(places: Sequence[float], *, step: float) -> float:
    runs: list[list[float]] = []
    for place in places:
        if runs and place - runs[-1][-1] < 1.5 * step:
            runs[-1].append(place)
        else:
            runs.append([place])
    widest = max(runs, key=len)
    return widest[len(widest) // 2]


def _divides(lines: Sequence[Line], place: float) -> bool:
    return is_prose([line for line in lines if line.x1 <= place]) and is_prose(
        [line for line in lines if line.x0 >= place]
    )


def is_prose(lines: Sequence[Line]) -> bool:
    """Most of it stands in lines that are long enough, and close enough, to be running text rather than cells."""
    long = [line for line in lines if weight(line.text) >= PROSE_CHARS_MIN]
    letters = sum(weight(line.text) for line in lines)
    if len(long) < COLUMN_LINES_MIN or sum(weight(line.text) for line in long) < PROSE_SHARE_MIN * letters:
        return False
    pitch = median(below - above for above, below in pairwise(sorted(line.middle for line in long)))
    return pitch < PROSE_PITCH_MAX * median(line.height for line in long)


def fills_a_column(lines: Sequence[Line]) -> bool:
    """Running text whose lines are about equally wide, as cells of a table hardly ever are."""
    widest = max((line.width for line in lines), default=0.0)
    return is_prose(lines) and median(line.width for line in lines) >= FILLED * widest


def rows_of(lines: Sequence[Line]) -> list[Row]:
    """Rows of cells; what the detector cut at a wide word gap is one cell again."""
    return [_cells(row) for row in side_by_side(lines)]


def side_by_side(lines: Sequence[Line]) -> list[Row]:
    """Lines side by side are one row, from left to right; a table or figure is a row of its own."""
    rows: list[Row] = []
    for line in sorted(lines, key=lambda line: line.at):
        if rows and _beside(rows[-1], line):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.x0) for row in rows]


def _beside(row: Row, line: Line) -> bool:
    last = row[-1]
    if last.is_whole or line.is_whole:
        return False
    return abs(line.middle - last.middle) < SAME_ROW * min(line.height, last.height) and not any(
        min(cell.x1, line.x1) - max(cell.x0, line.x0) > 0.5 * min(cell.width, line.width) for cell in row
    )


def _cells(row: Row) -> Row:
    """Put together again what the detector cut at a wide word gap."""
    cells = row[:1]
    for line in row[1:]:
        last = cells[-1]
        if line.x0 - last.x1 < CELL_GAP * min(line.height, last.height):
            cells[-1] = joined([last, line], f"{last.text} {line.text}")
        else:
            cells.append(line)
    return cells
