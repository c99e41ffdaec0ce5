"""Ruling lines of a page: pieces made whole, edges of coloured cells, and the groups of rules that touch."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ingest.sheet import WHITE, Rect, Sheet, area, centre, holds, meet, union

TOUCH = 3.0
DOUBLE = 4.0
"""Rules closer than this are one: a double rule, or the edges of two cells."""
_LENGTH_MIN = 12.0
_PIECE_MIN = 3.0
_PIECES_MAX = 20_000
_RULES_MAX = 400
_FILL_HEIGHT = (6.0, 200.0)
_FILL_WIDTH_MIN = 12.0
_FILLS_MAX = 3000
_TILES_MIN = 4
_TILED_MIN = 0.95
_BAND_LONG = 4.0
_BAND_MIN = 0.9
_PLACES_MAX = 5000


@dataclass(slots=True)
class Frame:
    """Rules that touch each other, or level ones that begin and end alike."""

    box: Rect
    level: list[Rect] = field(default_factory=list)
    plumb: list[Rect] = field(default_factory=list)


def rules_of(sheet: Sheet) -> tuple[list[Rect], list[Rect]]:
    """Level and plumb rules, each whole; none when there are so many that the page is a drawing."""
    return _both(sheet.rules)


def _both(pieces: Sequence[Rect]) -> tuple[list[Rect], list[Rect]]:
    if not pieces or len(pieces) > _PIECES_MAX:
        return [], []
    level, plumb = _whole(pieces, across=True), _whole(pieces, across=False)
    return (level, plumb) if len(level) + len(plumb) <= _RULES_MAX else ([], [])


def tiles_of(sheet: Sheet) -> list[Frame]:
    """Coloured cells that stand close and leave hardly a gap: a grid without rules. A few coloured ones are none."""
    outer: dict[tuple[int, int], Rect] = {}
    for fill in _cells_of(sheet):
        corner = round(fill[0]), round(fill[1])
        if corner not in outer or area(fill) > area(outer[corner]):
            outer[corner] = fill  # a smaller one in the same corner stands in the cell
    if len(outer) < _TILES_MIN:
        return []
    fills = list(outer.values())
    found = frames(*_both([edge for fill in fills for edge in _sides(fill)]))
    return [frame for frame in found if len(frame.plumb) > 2 and _is_tiled(frame, fills)]


def _is_tiled(frame: Frame, fills: Sequence[Rect]) -> bool:
    """Nearly every place between its edges is coloured."""
    columns = edges([centre(rule)[0] for rule in frame.plumb])
    rows = edges([centre(rule)[1] for rule in frame.level])
    places = (len(columns) - 1) * (len(rows) - 1)
    if not 0 < places <= _PLACES_MAX:
        return False
    inside = [fill for fill in fills if holds(frame.box, *centre(fill))]
    if sum(map(area, inside)) < _TILED_MIN * area(frame.box):
        return False
    coloured = {
        (column, row)
        for fill in inside
        for column in range(bisect_left(columns, fill[0] - TOUCH), bisect_left(columns, fill[2] - TOUCH))
        for row in range(bisect_left(rows, fill[1] - TOUCH), bisect_left(rows, fill[3] - TOUCH))
    }
    return len(coloured) >= _TILED_MIN * places


def bands_of(sheet: Sheet) -> list[Rect]:
    """Level edges of coloured bands, of which several begin and end alike."""
    bands = [fill for fill in _cells_of(sheet) if fill[2] - fill[0] >= _BAND_LONG * (fill[3] - fill[1])]
    alike = Counter((round(band[0] / TOUCH), round(band[2] / TOUCH)) for band in bands)
    return [
        (left, y, right, y)
        for left, top, right, bottom in bands
        if alike[round(left / TOUCH), round(right / TOUCH)] > 1
        for y in (top, bottom)
    ]


def with_bands(frame: Frame, sheet: Sheet) -> Frame:
    """With the edges of coloured bands that reach from its left to its right: they part rows as rules do."""
    left, top, right, bottom = frame.box
    widths: Counter[tuple[int, int]] = Counter()
    heights: dict[tuple[int, int], tuple[float, float]] = {}
    for fill in _cells_of(sheet):
        if (
            left - TOUCH <= fill[0]
            and fill[2] <= right + TOUCH
            and top - TOUCH <= fill[1]
            and fill[3] <= bottom + TOUCH
        ):
            key = round(fill[1]), round(fill[3])
            widths[key] += round(fill[2] - fill[0])
            heights[key] = fill[1], fill[3]
    found = [
        (left, y, right, y)
        for key, width in widths.items()
        if width >= _BAND_MIN * (right - left)
        for y in heights[key]
        if top + TOUCH < y < bottom - TOUCH
    ]
    return Frame(frame.box, frame.level + found, frame.plumb) if found else frame


def _cells_of(sheet: Sheet) -> list[Rect]:
    low, high = _FILL_HEIGHT
    if len(sheet.fills) > _FILLS_MAX:
        return []
    return [
        box
        for box, colour in sheet.fills
        if colour != WHITE and low <= box[3] - box[1] <= high and box[2] - box[0] >= _FILL_WIDTH_MIN
    ]


def _sides(box: Rect) -> Iterator[Rect]:
    left, top, right, bottom = box
    yield left, top, right, top
    yield left, bottom, right, bottom
    yield left, top, left, bottom
    yield right, top, right, bottom


def _whole(pieces: Sequence[Rect], *, across: bool) -> list[Rect]:
    """Pieces of one line made one rule; double rules count once."""
    along, over = (0, 1) if across else (1, 0)
    chosen = [
        piece
        for piece in pieces
        if piece[along + 2] - piece[along] >= _PIECE_MIN
        and piece[along + 2] - piece[along] > piece[over + 2] - piece[over]
    ]
    whole: list[Rect] = []
    for strip in _strips(sorted(chosen, key=lambda piece: piece[over] + piece[over + 2]), over):
        last: Rect | None = None
        for piece in sorted(strip, key=lambda piece: piece[along]):
            if last is not None and piece[along] <= last[along + 2] + TOUCH:
                last = whole[-1] = union(last, piece)
            else:
                last = piece
                whole.append(piece)
    return [rule for rule in whole if rule[along + 2] - rule[along] >= _LENGTH_MIN]


def _strips(pieces: Sequence[Rect], over: int) -> list[list[Rect]]:
    """Pieces on nearly one line: no further than half a double rule from the first."""
    strips: list[list[Rect]] = []
    begun = float("-inf")
    for piece in pieces:
        at = (piece[over] + piece[over + 2]) / 2
        if at - begun > DOUBLE / 2:
            strips.append([])
            begun = at
        strips[-1].append(piece)
    return strips


def frames(level: Sequence[Rect], plumb: Sequence[Rect]) -> list[Frame]:
    """Groups of rules in which a level one meets a plumb one, directly or through others."""
    parent = list(range(len(level) + len(plumb)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    tops = [rule[1] for rule in level]
    for at, rule in enumerate(plumb):
        first = bisect_left(tops, rule[1] - 2 * TOUCH)
        for beside in range(first, len(level)):
            if level[beside][1] > rule[3] + 2 * TOUCH:
                break
            if meet(level[beside], rule, TOUCH):
                parent[root(len(level) + at)] = root(beside)
    found: dict[int, Frame] = {}
    for at, rule in enumerate([*level, *plumb]):
        frame = found.setdefault(root(at), Frame(rule))
        frame.box = union(frame.box, rule)
        (frame.level if at < len(level) else frame.plumb).append(rule)
    return list(found.values())


def stacks(level: Sequence[Rect]) -> list[Frame]:
    """Level rules that begin and end alike: a table may stand in one column of a page."""
    found: dict[tuple[int, int], Frame] = {}
    for rule in level:
        left, right = round(rule[0] / TOUCH), round(rule[2] / TOUCH)
        near = ((left + x, right + y) for x in (0, -1, 1) for y in (0, -1, 1))
        key = next((key for key in near if key in found), (left, right))
        frame = found.setdefault(key, Frame(rule))
        frame.level.append(rule)
        frame.box = union(frame.box, rule)
    return [frame for frame in found.values() if len(frame.level) > 1]


def edges(values: Sequence[float]) -> list[float]:
    """Values in order, those of a double rule as one."""
    found: list[float] = []
    for value in sorted(values):
        if not found or value - found[-1] > DOUBLE:
            found.append(value)
    return found
