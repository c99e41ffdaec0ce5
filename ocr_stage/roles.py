"""What each line is for: the layout model proposes regions, and where their lines say otherwise the lines win."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from statistics import median

from ocr_stage.layout import is_prose, rows_of, side_by_side
from ocr_stage.lines import (
    MARGINS,
    WHOLE,
    Line,
    Rectangle,
    Region,
    RegionKind,
    Row,
    area,
    shared,
    weight,
)
from ocr_stage.paper import Paper
from ocr_stage.tables import table_end

CAPTION = re.compile(
    r"(?:fig(?:ure|\.)?|table|tab\.|chart|scheme|listing)\s?(?:\d{1,3}|[IVX]{1,5})(?:[-.]\d+)*\s*(?:[.:\uff1a|]|\s(?=(?-i:[A-Z]))|$)"
    r"|[图表圖]\s?\d{1,3}(?:[-.]\d+)*(?![-.\d中内里和与给显示列所的是为可])",
    re.IGNORECASE,
)
PAGE_NUMBER = re.compile(
    r"(?:page|seite|p\.)?\s*[-\u2013\u2014\u00b7]?\s*(?:\d{1,4}|[ivxl]{1,6})\s*(?:(?:/|of|von)\s*\d{1,4})?\s*[-\u2013\u2014\u00b7]?"
    r"|第?\s*\d{1,4}\s*[页頁](?:\s*[/\uff0c,]?\s*共\s*\d{1,4}\s*[页頁])?",
    re.IGNORECASE,
)
INSIDE = 0.5
AROUND = 0.7
TITLE_SCORE_MIN = 0.5
TITLE_SURE = 0.7
TITLE_LINES_MAX = 4
TITLE_WEIGHT_MAX = 240
EQUATION_LINES_MAX = 6
FIGURE_AREA_MIN = 0.002
LABELS_WEIGHT_MAX = 400
LABELS_SHARE_MAX = 0.4
LABELS_WEIGHT_SMALL = 150
"""A picture holds less text than this, or not most of the page's."""
LABELS_AREA_MAX = 0.35
TABLE_ROWS_MIN = 3
TABLE_ROWS_SHARE = 0.6
MARGIN_SHARE = 0.16
EDGE_SHARE = 0.1
"""A running head of the model's lies this near the edge; a page number that only looks like one, this near."""
MARGIN_GAP = 1.0
MARGIN_HEIGHT_MAX = 1.35
"""In line heights: the least distance to the page's text; in body heights: what is taller is a title."""


@dataclass(frozen=True, slots=True)
class Arranged:
    """A page's lines: its running head, its body with tables and figures in the place of their lines, its foot."""

    head: list[Line]
    body: list[Line]
    foot: list[Line]


def arranged(lines: Sequence[Line], regions: Sequence[Region], paper: Paper, *, body: float) -> Arranged:
    """Every line is in exactly one of the three, or held by exactly one table, figure or equation."""
    wholes = list(_wholes(lines, regions, paper))
    held = {id(line) for whole in wholes for line in whole.held}
    free = [line for line in lines if id(line) not in held]
    placed = [_with_role(line, regions) for line in free]
    placed = [line for each in _titles(placed, regions, body) for line in each]
    return _margins([*placed, *wholes], paper, body=body)


def _inside(line: Line, box: Rectangle) -> bool:
    return shared(line.rectangle, box) >= INSIDE * area(line.rectangle)


def _belongs(line: Line, region: Region) -> bool:
    """A formula's line is often found taller than the formula."""
    is_around = region.kind is RegionKind.EQUATION and shared(line.rectangle, region.box) > AROUND * area(region.box)
    return is_around or _inside(line, region.box)


def _wholes(lines: Sequence[Line], regions: Sequence[Region], paper: Paper) -> Iterator[Line]:
    """Tables, equations and figures that hold their ground, the small before the large that they lie in."""
    left, kept = list(lines), list[Region]()
    page = sum(weight(line.text) for line in lines)
    order = [RegionKind.TABLE, RegionKind.EQUATION, RegionKind.FIGURE]
    for region in sorted(
        regions, key=lambda region: (region.kind in order and order.index(region.kind), area(region.box))
    ):
        if region.kind not in WHOLE or any(shared(region.box, other.box) > INSIDE * area(region.box) for other in kept):
            continue
        held = [line for line in left if _belongs(line, region) and not CAPTION.match(line.text)]
        kind = _kind(region, held, paper, page)
        if kind is None:
            continue
        kept.append(region)
        gone = {id(line) for line in held}
        left = [line for line in left if id(line) not in gone]
        box = _without(region.box, [line for line in lines if _inside(line, region.box) and CAPTION.match(line.text)])
        yield Line.whole(Region(kind, box), held, box=paper.rectangle(box))


def _without(box: Rectangle, captions: Sequence[Line]) -> Rectangle:
    """A caption that the model put inside stands above or below."""
    x0, y0, x1, y1 = box
    for caption in captions:
        _, top, _, bottom = caption.rectangle
        if caption.middle < (y0 + y1) / 2:
            y0 = max(y0, bottom)
        else:
            y1 = min(y1, top)
    return (x0, min(y0, y1), x1, max(y0, y1))


def _kind(region: Region, held: Sequence[Line], paper: Paper, page: int) -> RegionKind | None:
    """What this region is when its lines are looked at; None: nothing but those lines."""
    if not held:
        is_large = area(region.box) >= FIGURE_AREA_MIN * paper.width * paper.height
        return RegionKind.FIGURE if is_large else None
    if region.kind is RegionKind.EQUATION:
        return None if len(held) > EQUATION_LINES_MAX or is_prose(held) else region.kind
    if _is_table(region, held, paper):
        return RegionKind.TABLE
    if region.kind is RegionKind.TABLE or _is_text(region, held, page):
        return None
    return RegionKind.FIGURE


def _is_table(region: Region, held: Sequence[Line], paper: Paper) -> bool:
    """Rows of several cells; a figure must look more like a table than a table must."""
    rows = rows_of(held)
    wide = [row for row in rows if len(row) > 1]
    if region.kind is RegionKind.TABLE:
        rulings = paper.ink.rulings(region.box)
        return len(wide) >= 2 or (len(rulings.across) >= 3 and len(rulings.down) >= 3)
    if len(wide) < max(TABLE_ROWS_MIN, TABLE_ROWS_SHARE * len(rows)):
        return False
    end = table_end(rows, rows.index(wide[0]))
    return end is not None and end - rows.index(wide[0]) >= TABLE_ROWS_SHARE * len(rows)


def _is_text(region: Region, held: Sequence[Line], page: int) -> bool:
    """Whether a figure holds so much text that it is none."""
    text = sum(weight(line.text) for line in held)
    covered = sum(area(line.rectangle) for line in held) / max(1.0, area(region.box))
    is_most = text > LABELS_WEIGHT_SMALL and text > LABELS_SHARE_MAX * page
    return is_most or text > LABELS_WEIGHT_MAX or covered > LABELS_AREA_MAX or is_prose(held)


def _with_role(line: Line, regions: Sequence[Region]) -> Line:
    """The smallest region that it lies in names it; a caption is known by its words as well."""
    around = [region for region in regions if region.kind not in WHOLE and _inside(line, region.box)]
    if CAPTION.match(line.text):
        return replace(line, role=RegionKind.FIGURE_CAPTION)
    if not around:
        return line
    region = min(around, key=lambda region: area(region.box))
    return replace(line, role=region.kind, within=region.box)


def _titles(lines: Sequence[Line], regions: Sequence[Region], body: float) -> Iterator[list[Line]]:
    """Titles lose their role when they are too long for one, or unsure and no taller than the text."""
    others = [line for line in lines if line.role is not RegionKind.TITLE]
    yield others
    titles = [region for region in regions if region.kind is RegionKind.TITLE]
    mine: dict[int, list[Line]] = {}
    for line in lines:
        if line.role is RegionKind.TITLE:
            box = min((index for index, title in enumerate(titles) if _inside(line, title.box)), default=-1)
            mine.setdefault(box, []).append(line)
    for index, held in mine.items():
        yield held if _is_title(held, titles[index], body) else [replace(line, role=None) for line in held]


def _is_title(held: Sequence[Line], title: Region, body: float) -> bool:
    if len(held) > TITLE_LINES_MAX or sum(weight(line.text) for line in held) > TITLE_WEIGHT_MAX:
        return False
    tall = median(line.height for line in held)
    return title.score >= TITLE_SURE or (title.score >= TITLE_SCORE_MIN and tall > 1.1 * body)


def _margins(lines: Sequence[Line], paper: Paper, *, body: float) -> Arranged:
    rows = side_by_side(lines)
    head = _margin(rows, paper.height, body)
    foot = _margin([*reversed(rows)], paper.height, body, is_foot=True)
    if len(head) + len(foot) >= len(rows):
        return Arranged([], list(lines), [])
    marked = {id(line) for row in (*head, *foot) for line in row}
    return Arranged(
        head=[line for row in head for line in row],
        body=[line for line in lines if id(line) not in marked],
        foot=[line for row in reversed(foot) for line in row],
    )


def _margin(rows: Sequence[Row], height: float, body: float, *, is_foot: bool = False) -> list[Row]:
    """The outermost rows that are a running head or foot, if there is a gap between them and the text."""

    def depth(row: Row) -> float:
        middle = sum(line.middle for line in row) / len(row)
        return (height - middle if is_foot else middle) / height

    def belongs(row: Row) -> bool:
        if any(line.is_whole or line.height > MARGIN_HEIGHT_MAX * body for line in row):
            return False
        named = all(line.role in MARGINS or PAGE_NUMBER.fullmatch(line.text) for line in row)
        is_number = all(PAGE_NUMBER.fullmatch(line.text) for line in row)
        return named and depth(row) < (EDGE_SHARE if is_number else MARGIN_SHARE)

    found = list(takewhile(belongs, rows))
    while found and len(found) < len(rows) and _gap(found[-1], rows[len(found)]) < MARGIN_GAP * found[-1][0].height:
        found.pop()
    return found


def _gap(row: Row, other: Row) -> float:
    above, below = sorted((row, other), key=lambda row: row[0].at)
    return min(line.rectangle[1] for line in below) - max(line.rectangle[3] for line in above)
