"""Where on a page rows of cells follow each other: between ruling lines, or by alignment alone."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from ingest.layout import Line, same_row
from ingest.sheet import Rect, centre, holds, union
from ingest.table_columns import Band, bands_of
from ingest.table_rules import TOUCH, Frame
from ingest.table_tokens import CAPTION, CURRENCY, coarse, is_amount, is_spaced, middle, rows_of, source_of, tokens

_PITCH_EMS_MAX = 3.0
_NEAR_EMS_MAX = 2.0
_SINGLES_MAX = 2
_LARGER = 1.2
_BESIDE_EMS = 4.0
_UNEVEN = 12.0
_COLUMNS_APART = 40.0
_LONG_CHARS = 60
_FITS_MIN = 0.6
_GUTTER_EMS = 2.5
_BASELINE_EMS = 0.08
_NARROW = 0.85
_PROSE_LINES_MIN = 3
_PROSE_CHARS_MIN = 25
_PROSE_FULL = 0.85
_PROSE_FULL_SHARE = 0.6
_PROSE_PITCH_EMS = 1.8
_PROSE_SHARE_MAX = 0.8

Row = list[Line]


def without_prose(lines: Sequence[Line]) -> list[Line]:
    """Lines that are no part of a paragraph: of three or more full lines that stand under each other."""
    prose: set[int] = set()
    for stack in _stacked(lines):
        if len(stack) < _PROSE_LINES_MIN:
            continue
        widest = max(line.box[2] - line.box[0] for line in stack)
        full = [line for line in stack if line.box[2] - line.box[0] >= _PROSE_FULL * widest]
        chars = sum(len(line.text) for line in stack) / len(stack)
        if chars >= _PROSE_CHARS_MIN and len(full) >= _PROSE_FULL_SHARE * len(stack):
            prose |= {id(line) for line in stack}
    return [line for line in lines if id(line) not in prose]


def _stacked(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Lines that begin at one x and follow each other closely; a first line may be indented."""
    stack: list[Line] = []
    whole = [line for line in lines if not line.pieces or not is_spaced(line)]
    for line in sorted(whole, key=lambda line: (round(line.box[0] / 6), line.box[1])):
        last = stack[-1] if stack else None
        if last is not None and (
            abs(line.box[0] - last.box[0]) > line.size
            or not 0 < line.box[3] - last.box[3] <= _PROSE_PITCH_EMS * line.size
        ):
            yield stack
            stack = []
        stack.append(line)
    if stack:
        yield stack


def by_alignment(lines: Sequence[Line]) -> Iterator[list[Row]]:
    """Runs of rows with two texts or more; a single text may stand between them."""
    run: list[Row] = []
    for row in [*rows_of([part for line in lines for part in coarse(line)]), []]:
        near = bool(run) and bool(row) and _pitch(run[-1], row) <= _PITCH_EMS_MAX
        if near and (len(row) > 1 or not _ends(run, row)):
            run.append(row)
            continue
        yield from _trimmed(run)
        run = [row] if len(row) > 1 else []


def beside_a_gutter(run: Sequence[Row], *, uneven: bool) -> list[list[Row]]:
    """The runs left and right of the widest strip of white: a table beside a column of other short texts.

    `uneven`: only if their lines do not stand on the same baselines; else the strip is one between two columns.
    """
    spans = sorted((line.box[0], line.box[2]) for row in run for line in row)
    reach, widest, gutter = spans[0][1], 0.0, 0.0
    for left, right in spans:
        if left - reach > widest:
            widest, gutter = left - reach, (left + reach) / 2
        reach = max(reach, right)
    if widest < _GUTTER_EMS * run[0][0].size or (uneven and not _is_uneven(run, gutter)):
        return []
    lines = {id(source): source for source in (source_of(line) for row in run for line in row)}
    sides = [[line for line in lines.values() if (line.box[2] <= gutter) == is_left] for is_left in (True, False)]
    return [part for side in sides for part in by_alignment(side)]


def _is_uneven(run: Sequence[Row], gutter: float) -> bool:
    off = even = 0
    for row in run:
        sides = [line.box[3] for line in row if line.box[2] <= gutter][-1:] + [
            line.box[3] for line in row if line.box[0] >= gutter
        ][:1]
        if len(sides) == 2:
            is_off = abs(sides[0] - sides[1]) > _BASELINE_EMS * row[0].size
            off, even = off + is_off, even + (not is_off)
    return off > even


def _ends(run: Sequence[Row], row: Row) -> bool:
    """A caption, a sentence or the third single text in a row ends a run."""
    line = row[0]
    singles = all(len(above) == 1 for above in run[-_SINGLES_MAX:])
    larger = line.size > _LARGER * max(other.size for above in run for other in above)
    return singles or larger or len(line.text) > _LONG_CHARS or bool(CAPTION.match(line.text))


def _trimmed(run: list[Row]) -> Iterator[list[Row]]:
    while run and len(run[-1]) == 1:
        run = run[:-1]
    if len(run) > 1:
        yield [_finely(row) for row in run]


def _finely(row: Row) -> Row:
    sources = {id(source): source for source in map(source_of, row)}
    return sorted((part for line in sources.values() for part in tokens(line)), key=lambda part: part.box[0])


def _pitch(above: Row, row: Row) -> float:
    return (middle(row) - middle(above)) / max(0.1, *(line.size for line in row))


def between_rules(frame: Frame, lines: Sequence[Line], plumb: Sequence[Rect]) -> Iterator[list[Row]]:
    """Rows in those strips between level rules that hold cells, with the heads that stand on the first rule."""
    left, top, right, bottom = frame.box
    inside = [
        line
        for line in lines
        if left - line.size / 2 <= line.box[0]
        and line.box[2] <= right + line.size / 2
        and top - 4 * line.size <= centre(line.box)[1]
    ]
    if sum(top <= centre(line.box)[1] <= bottom for line in inside) < 2:
        return
    paragraphs = {id(line) for line in inside} - {id(line) for line in without_prose(inside)}
    rows = rows_of([part for line in inside for part in tokens(line, _walls(line, plumb))])
    heights = sorted({centre(rule)[1] for rule in frame.level} | {top, bottom})
    strips = [_strip(rows, low, high) for low, high in pairwise(heights)]
    above = [row for row in rows if middle(row) <= top]
    below = [row for row in rows if middle(row) >= bottom]
    size = median([line.size for strip in strips for row in strip if len(row) > 1 for line in row] or [0.0])
    for first, last in _tabular([_kind(strip, paragraphs, size) for strip in strips]):
        run = [row for strip in strips[first : last + 1] for row in strip]
        before = above if first == 0 else strips[first - 1]
        after = below if last == len(strips) - 1 else []
        single = first == 0 and all(rule[2] - rule[0] < _NARROW * (right - left) for rule in frame.level)
        yield from _parted(
            [*_heads_above(before, run, heights[first], single=single), *run, *_more_below(after, run)], size
        )


def _parted(run: Sequence[Row], size: float) -> Iterator[list[Row]]:
    """A heading or a caption between two of its rows ends one table and begins the next."""
    part: list[Row] = []
    for row in run:
        line = row[0]
        if len(row) == 1 and part and (line.size > _LARGER * size or CAPTION.match(line.text)):
            yield part
            part = []
        else:
            part.append(row)
    if len(part) > 1:
        yield part


def _walls(line: Line, plumb: Sequence[Rect]) -> list[float]:
    left, top, right, bottom = line.box
    y = (top + bottom) / 2
    return [rule[0] for rule in plumb if left < rule[0] < right and rule[1] <= y <= rule[3]] if plumb else []


def stands_alone(box: Rect, lines: Sequence[Line]) -> bool:
    """Few of the lines at its height stand close to its sides: it is no part of a wider table, nor just its head."""
    left, top, right, bottom = box
    level = [line for line in lines if top <= centre(line.box)[1] <= bottom]
    inside = [line for line in level if left <= centre(line.box)[0] <= right]
    beside = [
        line
        for line in level
        if left - _BESIDE_EMS * line.size < line.box[2] <= left + line.size
        or right - line.size <= line.box[0] < right + _BESIDE_EMS * line.size
    ]
    return 2 * len(rows_of(beside)) < len(rows_of(inside)) and not _is_only_head(box, inside, lines)


def _is_only_head(box: Rect, inside: Sequence[Line], lines: Sequence[Line]) -> bool:
    """It has no numbers, and directly below stands a row of them."""
    left, _, right, bottom = box
    below = [
        line
        for line in lines
        if left <= centre(line.box)[0] <= right and 0 < centre(line.box)[1] - bottom <= _NEAR_EMS_MAX * line.size
    ]
    if not below:
        return False
    row = rows_of(below)[0]
    numbers = sum(is_amount(line.text) for line in row)
    return numbers >= 2 and 2 * numbers >= len(row) and sum(is_amount(line.text) for line in inside) <= len(inside) / 4


def side_by_side(found: Sequence[Frame], lines: Sequence[Line]) -> list[Frame]:
    """Frames of single columns, next to each other and of one height, as the one frame that they are."""
    joined: list[Frame] = []
    for frame in sorted(found, key=lambda frame: frame.box[0]):
        before = next((other for other in reversed(joined) if _is_beside(other.box, frame.box)), None)
        if before is not None and (_is_column(before.box, lines) or _is_column(frame.box, lines)):
            before.box = union(before.box, frame.box)
            before.level, before.plumb = before.level + frame.level, before.plumb + frame.plumb
        else:
            joined.append(Frame(frame.box, frame.level, frame.plumb))
    return joined


def _is_beside(one: Rect, other: Rect) -> bool:
    level = abs(one[1] - other[1]) <= _UNEVEN and abs(one[3] - other[3]) <= _UNEVEN
    return level and -TOUCH <= other[0] - one[2] <= _COLUMNS_APART


def _is_column(box: Rect, lines: Sequence[Line]) -> bool:
    """Hardly any of its rows has two texts, but for signs of currency."""
    left, top, right, bottom = box
    inside = [line for line in lines if left <= centre(line.box)[0] <= right and top <= centre(line.box)[1] <= bottom]
    rows = rows_of([line for line in inside if line.text not in CURRENCY])
    return sum(len(row) > 1 for row in rows) <= len(rows) / 4


def widened(frame: Frame, lines: Sequence[Line], others: Sequence[Rect]) -> Frame:
    """With the labels left of it and what else stands in its rows; rules are often under numbers only."""
    left, top, right, bottom = frame.box
    level = [
        line
        for line in lines
        if top - line.size <= centre(line.box)[1] <= bottom + line.size
        and not any(holds(box, *centre(line.box)) for box in others)
    ]
    inside = rows_of([line for line in level if left <= centre(line.box)[0] <= right])
    if len(inside) < 2 or len(inside) == len(level):
        return frame
    closed = [rule for rule in frame.plumb if rule[3] - rule[1] >= (bottom - top) / 2]
    if not any(abs(rule[0] - left) <= TOUCH for rule in closed):
        left = min([left, *(line.box[0] for line in _in_rows(inside, [x for x in level if x.box[2] <= left + x.size]))])
    if not any(abs(rule[2] - right) <= TOUCH for rule in closed):
        right = max(
            [right, *(line.box[2] for line in _in_rows(inside, [x for x in level if x.box[0] >= right - x.size]))]
        )
    return Frame((left, top, right, bottom), frame.level, frame.plumb)


def _in_rows(rows: Sequence[Row], lines: Sequence[Line]) -> list[Line]:
    """These lines, if most rows have one of them."""
    found = [[line for line in lines if same_row(row[0].box, line.box)] for row in rows]
    return [line for row in found for line in row] if 2 * sum(map(bool, found)) > len(found) else []


def _strip(rows: Sequence[Row], low: float, high: float) -> list[Row]:
    return [row for row in rows if low < middle(row) < high]


def _kind(strip: Sequence[Row], paragraphs: set[int], size: float) -> str:
    """cells, text, or open: nothing, or one short text no larger than the cells, which may stand in a table."""
    if not strip:
        return "open"
    several = sum(len(row) > 1 for row in strip)
    chars = sum(len(line.text) for row in strip for line in row)
    prose = sum(len(line.text) for row in strip for line in row if id(source_of(line)) in paragraphs)
    if prose > _PROSE_SHARE_MAX * chars or any(CAPTION.match(row[0].text) for row in strip if len(row) == 1):
        return "text"
    if several and 2 * several >= len(strip):
        return "cells"
    short = len(strip) <= _SINGLES_MAX and all(
        len(line.text) <= _LONG_CHARS and line.size <= _LARGER * size for row in strip for line in row
    )
    return "open" if short else "text"


def _tabular(kinds: Sequence[str]) -> Iterator[tuple[int, int]]:
    """First and last strip of every run of cells; what is open may stand between them, or above."""
    first = 0
    for at, kind in enumerate([*kinds, "text"]):
        if kind != "text":
            continue
        cells = [strip for strip in range(first, at) if kinds[strip] == "cells"]
        if cells:
            yield first, cells[-1]
        first = at + 1


def _heads_above(above: Sequence[Row], run: Sequence[Row], rule: float, *, single: bool) -> list[Row]:
    """Rows of short texts directly above the first rule; one text alone only over a rule for some columns."""
    found: list[Row] = []
    bottom = rule
    for row in reversed(above):
        em = max(line.size for line in row)
        near = bottom - max(line.box[3] for line in row) <= (0.6 if found else 1.0) * em
        short = sum(len(line.text) for line in row) <= _PROSE_CHARS_MIN * len(row)
        if not near or not short or len(row) < 2 - single or len(found) >= 3:
            break
        found.insert(0, row)
        bottom = min(line.box[1] for line in row)
    return found


def _more_below(below: Sequence[Row], run: Sequence[Row]) -> list[Row]:
    """Rows that go on under the last rule in the columns of those above it; a single text may stand between."""
    found: list[Row] = []
    bands = bands_of(run, 0)
    last = run[-1]
    for row in below:
        single = len(row) == 1
        if _pitch(last, row) > _NEAR_EMS_MAX or (single and _ends([*run, *found], row)):
            break
        if not single and not _in_columns(row, bands):
            break
        found.append(row)
        last = row
    while found and len(found[-1]) == 1:
        found.pop()
    return found


def _in_columns(row: Row, bands: Sequence[Band]) -> bool:
    """Most of its texts stand in one column each."""
    fits = sum(sum(min(line.box[2], right) > max(line.box[0], left) for left, right in bands) == 1 for line in row)
    return fits >= _FITS_MIN * len(row)
