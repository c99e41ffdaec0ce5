"""Recognised lines and the model's regions become a page's Markdown, and its blocks with exact offsets and boxes."""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from statistics import median

from folio.records import Block, BlockKind
from ocr_stage.cells import parts_of, table_text
from ocr_stage.layout import fills_a_column, levelled, reading_order, rows_of
from ocr_stage.lines import Line, Region, RegionKind, Row, around, joined, weight
from ocr_stage.paper import Paper
from ocr_stage.prose import BULLET_ALONE, SAME_SIZE, Piece, prose
from ocr_stage.roles import arranged
from ocr_stage.tables import in_columns, lies_over, table_end
from ocr_stage.wording import escaped, together

SAME_RANK = 1.2
"""Headings whose heights differ by less are of one level: boxes of lines are found a tenth too tall or too low."""
LEVEL_MAX = 6
UPPER = 0.33
LOWER = 0.6
SMALL = 0.9
FOOTNOTE = re.compile(r"(?:\d{1,2}[.)]?|[*\u2020\u2021\u00a7\u2460-\u2473])\s?(?=[^\W\d_])")
TITLE_RATIO = 1.35
"""Only what stands this far up and is this much taller than the text is taken for the title of the page."""


def page_markdown(lines: Sequence[Line], paper: Paper, regions: Sequence[Region] = ()) -> tuple[str, list[Block]]:
    """The page in reading order, and its blocks with boxes in fractions of the page as it came."""
    body = _body_height(lines)
    parts = arranged(levelled(lines), regions, paper, body=body)
    pieces: list[Piece] = []
    for rows in reading_order(parts.body):
        pieces += _with_footnotes(list(_pieces(rows, body, paper)), body=body, lower=LOWER * paper.height)
    _rank_headings(pieces, body=body, upper=UPPER * paper.height)
    markdown, blocks = "", []
    for piece in [*_furniture(parts.head), *pieces, *_furniture(parts.foot)]:
        text = f"{'#' * piece.level} {piece.text}" if piece.kind is BlockKind.HEADING else piece.text
        start = len(markdown) + 2 if markdown and text else len(markdown)
        markdown += ("\n\n" if markdown and text else "") + text
        box = paper.box(around([line.box for line in piece.lines]))
        end = start + len(text)
        blocks.append(
            Block(kind=piece.kind, start=start, end=end, box=box, level=piece.level, furniture=piece.furniture)
        )
    return markdown, blocks


def _body_height(lines: Sequence[Line]) -> float:
    """The height at which half of the page's characters are set."""
    total = sum(weight(line.text) for line in lines)
    seen = 0
    for line in sorted(lines, key=lambda line: line.height):
        seen += weight(line.text)
        if 2 * seen >= total:
            return line.height
    return 1.0


def _furniture(lines: Sequence[Line]) -> Iterator[Piece]:
    for row in rows_of(lines):
        text = escaped(together([line.text for line in row]))
        yield Piece(BlockKind.PARAGRAPH, row, text, furniture=True)


def _with_footnotes(column: list[Piece], *, body: float, lower: float) -> list[Piece]:
    """Small text with a mark in front of it, at the end of a column and low on the page."""
    for piece in reversed(column):
        is_text = piece.kind in {BlockKind.PARAGRAPH, BlockKind.LIST}
        if not is_text or _height(piece) > SMALL * body or _top(piece) < lower:
            break
        if not FOOTNOTE.match(piece.lines[0].text):
            break
        piece.kind = BlockKind.FOOTNOTE
    return column


def _rank_headings(pieces: Sequence[Piece], *, body: float, upper: float) -> None:
    """A heading that is clearly lower than another stands below it, whatever their heights are beside the text."""
    ranked = sorted(
        ((_height(piece), piece) for piece in pieces if piece.kind is BlockKind.HEADING and not piece.is_numbered),
        key=lambda each: -each[0],
    )
    above, level = float("inf"), 0
    for height, piece in ranked:
        if height * SAME_RANK < above:
            is_title = not level and _stands_alone(ranked) and height > TITLE_RATIO * body and _top(piece) < upper
            level = 1 if is_title else min(max(piece.level, level + 1), LEVEL_MAX)
            above = height
        piece.level = level


def _stands_alone(ranked: Sequence[tuple[float, Piece]]) -> bool:
    """No other heading comes near the tallest one: it is the page's title."""
    return len(ranked) < 2 or ranked[1][0] * SAME_RANK < ranked[0][0]


def _height(piece: Piece) -> float:
    return median(line.height for line in piece.lines)


def _top(piece: Piece) -> float:
    return min(line.at for line in piece.lines)


def _pieces(rows: Sequence[Row], body: float, paper: Paper) -> Iterator[Piece]:
    """Of one column: what stands for itself, tables that only their rows show, and the text between them."""
    flow: list[Line] = []
    at = 0
    while at < len(rows):
        whole, end = rows[at][0], table_end(rows, at)
        if end is None and not whole.is_whole:
            flow += _one_line(rows[at])
            at += 1
            continue
        yield from prose(flow, body)
        flow = []
        yield from _side_by_side(rows[at:end], body, paper) if end else _whole(whole, paper)
        at = end or at + 1
    yield from prose(flow, body)


def _one_line(row: Row) -> Row:
    """Cells side by side that are no table: one line of text, unless they are set in different sizes."""
    if BULLET_ALONE.fullmatch(row[0].text) and len(row) > 1:
        return [joined(row[:2], f"{row[0].text} {row[1].text}"), *row[2:]]
    heights = [cell.height for cell in row]
    if max(heights) > SAME_SIZE * min(heights):
        return row
    return [joined(row, " ".join(cell.text for cell in row))]


def _side_by_side(rows: Sequence[Row], body: float, paper: Paper) -> Iterator[Piece]:
    """A table, unless its cells are lines of running text: narrow columns that no gutter was found for."""
    columns = in_columns(rows)
    if sum(map(fills_a_column, columns)) > 1:
        yield from chain.from_iterable(prose(column, body) for column in columns)
        return
    cells = [cell for row in rows for cell in row]
    yield Piece(BlockKind.TABLE, cells, table_text(rows, paper.ink))


def _whole(whole: Line, paper: Paper) -> Iterator[Piece]:
    if whole.role is RegionKind.TABLE:
        yield from _table(whole, paper)
        return
    kind = BlockKind.FIGURE if whole.role is RegionKind.FIGURE else BlockKind.FORMULA
    texts = [cell.text for row in rows_of(whole.held) for cell in row]
    yield Piece(kind, [whole, *whole.held], escaped(together(texts)))


def _table(whole: Line, paper: Paper) -> Iterator[Piece]:
    """A line above all columns that no ruling frames is the table's title, not its header."""
    is_ruled = bool(paper.ink.rulings(whole.rectangle).down)
    rows, titles = rows_of(whole.held), list[Line]()
    while not is_ruled and len(rows) > 2 and _is_over(rows, paper):
        titles += rows.pop(0)
    if titles:
        yield Piece(BlockKind.CAPTION, titles, escaped(together([line.text for line in titles])))
    cells = [cell for row in rows for cell in row]
    yield Piece(BlockKind.TABLE, [whole, *cells], table_text(rows, paper.ink))


def _is_over(rows: Sequence[Row], paper: Paper) -> bool:
    first = rows[0]
    is_one = len(first) == 1 and len(list(parts_of(first[0], paper.ink))) == 1
    return is_one and lies_over(first[0], rows[1:])
