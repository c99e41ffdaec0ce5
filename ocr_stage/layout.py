"""Lines on a page in the order in which a person reads them: levelled, cut into columns, grouped into rows."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

Quad = Sequence[Sequence[float]]
Rectangle = tuple[float, float, float, float]

COLUMN_LINES_MIN = 4
PROSE_CHARS_MIN = 16
PROSE_SHARE_MIN = 0.6
PROSE_PITCH_MAX = 1.6
"""Lines of running text follow each other closer than this many line heights; rows of tables do not."""
CROSSING_SHARE_MAX = 0.34
"""Titles and wide captions cross a gutter; when more do, it is none."""
SAME_ROW = 0.5
CELL_GAP = 0.8
"""In line heights: the detector cuts a line at wide word gaps; a wider gap than this separates cells."""


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of text as it was found. `box` is where it lies in the image, the rest after levelling the page."""

    text: str
    box: Rectangle
    x0: float
    x1: float
    middle: float
    height: float
    slope: float = 0.0

    @classmethod
    def of(cls, quad: Quad, text: str) -> "Line":
        """From the four corners, clockwise from the top left."""
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = quad
        width = (math.dist((ax, ay), (bx, by)) + math.dist((dx, dy), (cx, cy))) / 2
        height = (math.dist((ax, ay), (dx, dy)) + math.dist((bx, by), (cx, cy))) / 2
        across, down = (ax + bx + cx + dx) / 4, (ay + by + cy + dy) / 4
        return cls(
            text=" ".join(text.split()),
            box=(min(ax, dx), min(ay, by), max(bx, cx), max(cy, dy)),
            x0=across - width / 2,
            x1=across + width / 2,
            middle=down,
            height=height,
            slope=math.atan2(by - ay + cy - dy, bx - ax + cx - dx),
        )

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    def turned(self, angle: float) -> "Line":
        """Where it would lie if the page were turned back by `angle` around its corner."""
        across, down = (self.x0 + self.x1) / 2, self.middle
        level = across * math.cos(angle) + down * math.sin(angle)
        return replace(
            self,
            x0=level - self.width / 2,
            x1=level + self.width / 2,
            middle=down * math.cos(angle) - across * math.sin(angle),
        )


Row = list[Line]
"""Cells side by side; running text has one."""


def regions(lines: Sequence[Line]) -> list[list[Row]]:
    """The page in reading order: each region is one column, or one band across, as rows from top to bottom."""
    return [_rows(region) for region in _columns(_levelled(lines))]


def _levelled(lines: Sequence[Line]) -> list[Line]:
    slopes = [line.slope for line in lines if line.width > 4 * line.height]
    return [line.turned(median(slopes)) for line in lines] if slopes else list(lines)


def _columns(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Cut at the gutter if there is one. Lines that cross it divide the page into bands, read one after the other."""
    gutter = _gutter(lines)
    if gutter is None:
        yield list(lines)
        return
    crossing = sorted((line for line in lines if line.x0 < gutter < line.x1), key=lambda line: line.middle)
    rest = [line for line in lines if not line.x0 < gutter < line.x1]
    edges = [-math.inf, *(line.middle for line in crossing), math.inf]
    across: list[Line] = []
    for index, (top, bottom) in enumerate(pairwise(edges)):
        band = [line for line in rest if top <= line.middle < bottom]
        left = [line for line in band if line.x1 <= gutter]
        right = [line for line in band if line.x1 > gutter]
        if _is_prose(left) or _is_prose(right):
            yield from filter(None, [across, *_columns(left), *_columns(right)])
            across = []
        else:
            across += band
        across += crossing[index : index + 1]
    yield from filter(None, [across])


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
    return _is_prose([line for line in lines if line.x1 <= place]) and _is_prose(
        [line for line in lines if line.x0 >= place]
    )


def _is_prose(lines: Sequence[Line]) -> bool:
    """Most of it stands in lines that are long enough, and close enough, to be running text rather than cells."""
    long = [line for line in lines if weight(line.text) >= PROSE_CHARS_MIN]
    letters = sum(weight(line.text) for line in lines)
    if len(long) < COLUMN_LINES_MIN or sum(weight(line.text) for line in long) < PROSE_SHARE_MIN * letters:
        return False
    pitch = median(below - above for above, below in pairwise(sorted(line.middle for line in long)))
    return pitch < PROSE_PITCH_MAX * median(line.height for line in long)


def _rows(lines: Sequence[Line]) -> list[Row]:
    rows: list[Row] = []
    for line in sorted(lines, key=lambda line: line.middle):
        if rows and _beside(rows[-1], line):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [_cells(sorted(row, key=lambda line: line.x0)) for row in rows]


def _beside(row: Row, line: Line) -> bool:
    last = row[-1]
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


def joined(lines: Sequence[Line], text: str) -> Line:
    """One line in the place of several that lie side by side."""
    return replace(
        lines[0],
        text=text,
        box=around([line.box for line in lines]),
        x0=min(line.x0 for line in lines),
        x1=max(line.x1 for line in lines),
        height=max(line.height for line in lines),
    )


def around(boxes: Sequence[Rectangle]) -> Rectangle:
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )


def is_cjk(character: str) -> bool:
    """Written without spaces between words: Han, kana and their punctuation."""
    return "\u2e80" <= character <= "\u9fff" or "\uf900" <= character <= "\ufaff" or "\uff00" <= character <= "\uffef"


def weight(text: str) -> int:
    """Characters, a Han character counting as two: what a line holds."""
    return sum(2 if is_cjk(character) else 1 for character in text)
