"""Columns of text rows: strips of white that hardly any row crosses, and which columns a text stands in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ingest.layout import Line
from ingest.sheet import Rect
from ingest.table_tokens import is_number

Band = tuple[float, float]
"""Left and right end of a column's texts."""

_ROWS_A_CROSSING = 9
_FULL_ROW = 0.6
_GAP_EMS = 0.12
_INTO_EMS = 0.3
_CLOSE_EMS = 0.8
_SYMBOLS_BEFORE = frozenset("$€£¥₹")
_SYMBOLS_AFTER = frozenset({"%", ")", "%)", "*", "**", "†", "‡"})


@dataclass(frozen=True, slots=True)
class Placed:
    """A text and the first and the last column that it stands in."""

    line: Line
    first: int
    last: int


def bands_of(rows: Sequence[Sequence[Line]], heads: int) -> list[Band]:
    """The columns, told by the rows below the head; a text of a head that stands beside all of them adds one."""
    body = [row for row in rows[heads:] if len(row) > 1] or [row for row in rows if len(row) > 1]
    if not body:
        return []
    em = max(line.size for line in body[0])
    counts = sorted(map(len, body))
    usual = counts[3 * len(counts) // 4]
    fullest = [row for row in body if len(row) >= _FULL_ROW * usual]
    bands = _covered(fullest, len(fullest) // _ROWS_A_CROSSING, _GAP_EMS * em)
    for row in [*body, *(head for head in rows[:heads] if len(head) >= len(bands))]:
        for line in row:
            left, _, right, _ = line.box
            if len(row) > 1 and not any(begin < right and left < end for begin, end in bands):
                bands = sorted([*bands, (left, right)])
    return _without_symbols(bands, body, em)


def _covered(rows: Sequence[Sequence[Line]], allowed: int, gap: float) -> list[Band]:
    """Where more than `allowed` rows have text."""
    steps = [(line.box[0], 1) for row in rows for line in row] + [(line.box[2], -1) for row in rows for line in row]
    bands: list[Band] = []
    count, left = 0, 0.0
    for x, step in sorted(steps):
        before, count = count, count + step
        if before <= allowed < count:
            left = x
        elif count <= allowed < before:
            if bands and left - bands[-1][1] <= gap:
                bands[-1] = (bands[-1][0], x)
            else:
                bands.append((left, x))
    return bands


def _without_symbols(bands: Sequence[Band], rows: Sequence[Sequence[Line]], em: float) -> list[Band]:
    """A column of currency signs belongs to the numbers right of it, one of per cent signs to those left of it."""
    texts: list[set[str]] = [set() for _ in bands]
    for row in rows:
        for line in row:
            if (at := nearest(bands, line.box)) is not None:
                texts[at].add(line.text)
    found: list[Band] = []
    pending: float | None = None
    for band, said in zip(bands, texts, strict=True):
        if said and said <= _SYMBOLS_BEFORE and band is not bands[-1]:
            pending = band[0] if pending is None else pending
        elif said and said <= _SYMBOLS_AFTER and found and band[0] - found[-1][1] <= _CLOSE_EMS * em:
            found[-1] = (found[-1][0], band[1])
        else:
            found.append((band[0] if pending is None else pending, band[1]))
            pending = None
    return found


def _shared(band: Band, box: Rect) -> float:
    return min(band[1], box[2]) - max(band[0], box[0])


def nearest(bands: Sequence[Band], box: Rect) -> int | None:
    """The band that it shares most with, else the one that it stands closest to."""
    if not bands:
        return None
    left, right = box[0], box[2]
    shared = [(min(end, right)) - (max(begin, left)) for begin, end in bands]
    return shared.index(max(shared))


def place(row: Sequence[Line], bands: Sequence[Band]) -> list[Placed]:
    """A text is in one column; in several only where it covers most of each and stands alone in them."""
    firsts = [_reached(line, bands) for line in row]
    return [
        Placed(line, *_settled(row, bands, reach, firsts[:at] + firsts[at + 1 :], line=line))
        for at, (line, reach) in enumerate(zip(row, firsts, strict=True))
    ]


def _settled(
    row: Sequence[Line],
    bands: Sequence[Band],
    reach: tuple[int, int],
    others: Sequence[tuple[int, int]],
    *,
    line: Line,
) -> tuple[int, int]:
    if len(row) == 1 or reach[0] == reach[1]:
        return reach[0], reach[0]
    alone = all(right < reach[0] or left > reach[1] for left, right in others)
    if alone and not is_number(line.text):
        return reach
    at = nearest(bands, line.box) or 0
    return at, at


def _reached(line: Line, bands: Sequence[Band]) -> tuple[int, int]:
    into = _INTO_EMS * line.size
    left, _, right, _ = line.box
    met = [
        at
        for at, (begin, end) in enumerate(bands)
        if begin < right and left < end and _shared((begin, end), line.box) > min(into, (end - begin) / 2)
    ]
    if not met:
        at = nearest(bands, line.box) or 0
        return at, at
    return met[0], met[-1]


def over(head: Sequence[Line], bands: Sequence[Band], level: Sequence[Rect], *, more: bool) -> list[Placed]:
    """Texts of one row of a head: over the columns that a rule below them joins, or in whose middle they stand.

    `more`: another row of the head follows, so that these may be names of groups.
    """
    placed = [Placed(line, *_reached(line, bands)) for line in head]
    if more and (groups := _groups(head, bands)):
        return groups
    spans = []
    for at, each in enumerate(placed):
        left = placed[at - 1].last + 1 if at else 0
        right = placed[at + 1].first - 1 if at + 1 < len(placed) else len(bands) - 1
        under = _joined_by_rule(each.line, bands, level)
        if under is not None:
            spans.append(Placed(each.line, *under))
        else:
            spans.append(_centred(each, bands, (min(left, each.first), max(right, each.last))))
    return list(_apart(spans, placed))


def _groups(head: Sequence[Line], bands: Sequence[Band]) -> list[Placed] | None:
    """The columns up to the last one in groups, one for each text, which stands in the middle of its group."""
    if len(head) < 2:
        return None
    for start in range(1, max(1, _reached(head[0], bands)[0]) + 1):
        found: list[Placed] = []
        first = start
        for line in head:
            best = min(range(first, len(bands)), key=lambda last: _off(line, bands, first, last), default=first)
            if best >= len(bands) or _off(line, bands, first, best) > line.size:
                break
            found.append(Placed(line, first, best))
            first = best + 1
        if len(found) == len(head) and first == len(bands) and any(each.first < each.last for each in found):
            return found
    return None


def _off(line: Line, bands: Sequence[Band], first: int, last: int) -> float:
    """How far its middle is from the middle of these columns."""
    return abs((bands[first][0] + bands[last][1]) - (line.box[0] + line.box[2])) / 2


def _apart(spans: Sequence[Placed], before: Sequence[Placed]) -> Iterator[Placed]:
    """No two texts over one column: the later one gives way, then both fall back to their own columns."""
    reached = -1
    for wide, own in zip(spans, before, strict=True):
        each = wide if wide.first > reached else Placed(own.line, max(own.first, reached + 1), own.last)
        if each.first > each.last:
            each = Placed(own.line, own.last, own.last)
        reached = max(reached, each.last)
        yield each


def _joined_by_rule(line: Line, bands: Sequence[Band], level: Sequence[Rect]) -> tuple[int, int] | None:
    """The columns over a rule that lies close below the text and reaches out on both sides of it."""
    left, _, right, bottom = line.box
    em = line.size
    below = [
        rule
        for rule in level
        if -0.5 * em <= rule[1] - bottom <= 0.8 * em and rule[0] <= left + em / 2 and rule[2] >= right - em / 2
    ]
    if not below:
        return None
    rule = min(below, key=lambda rule: rule[2] - rule[0])
    met = [at for at, band in enumerate(bands) if _shared(band, rule) > (band[1] - band[0]) / 2]
    if len(met) < 2 or len(met) == len(bands):
        return None
    return met[0], met[-1]


def _centred(each: Placed, bands: Sequence[Band], room: tuple[int, int]) -> Placed:
    """Grow over free columns while the text's middle comes closer to the middle of what it stands over."""
    line, em = each.line, each.line.size
    own = bands[each.first][0] - em / 2 <= line.box[0] and line.box[2] <= bands[each.last][1] + em / 2
    aligned = abs(line.box[0] - bands[each.first][0]) < em / 2 or abs(line.box[2] - bands[each.last][1]) < em / 2
    if each.first == each.last and (own or aligned or _off(line, bands, each.first, each.last) < em):
        return each
    choices = [
        (first, last)
        for first in range(max(room[0], each.first - 8), each.first + 1)
        for last in range(each.last, min(room[1], each.last + 8) + 1)
    ]
    best = min(choices, key=lambda choice: (round(_off(line, bands, *choice) / (2 * em)), choice[0] - choice[1]))
    return Placed(line, *best) if _off(line, bands, *best) < _off(line, bands, each.first, each.last) else each
