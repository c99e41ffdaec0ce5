"""Recognised lines become Markdown: headings by height, paragraphs by spacing, lists by marker, tables by columns."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, quantiles

from folio.records import Block, BlockKind, Box
from ocr_stage.layout import Line, Row, around, is_cjk, joined, regions, weight
from ocr_stage.tables import grid, table_end

HEADING_LEVELS = ((1.7, 1), (1.4, 2), (1.25, 3))
"""Line height over the body's, and the level that it means."""
HEADING_CHARS_MAX = 120
HEADING_SAME_SIZE = 1.35
HEADING_PITCH_MAX = 1.6
"""A heading of several lines; short lines are found a little taller than long ones of the same type."""
SAME_SIZE = 1.2
PITCH_GROWTH = 1.3
INDENT = 0.8
BULLET = re.compile(r"[•·●▪◦‣∙○■◆*\u2013\u2014-]\s+(?=\S)|[•●▪◦‣∙■◆](?=\S)")
NUMBER = re.compile(r"(\d{1,2})[.)、](?=\s|[^\d\s.,])\s*")
SENTENCE_END = tuple(".!?:;\u3002\uff01\uff1f\uff1a\uff1b")
STRUCTURE = re.compile(
    r"""(?P<before>\d{1,9})[.)](?=\s|$)             # an ordered list
      | (?P<sign>\#{1,6}(?=\s|$) | [-+*](?=\s|$)    # a heading, a list
      | > | [-=_*]{3} | ```|~~~ | \| | <(?=[A-Za-z/!?]))  # quote, rule, fence, table, HTML""",
    re.VERBOSE,
)
NUMBERED = re.compile(r"\d{1,2}(?:\.\d{1,2}){1,3}\.?\s+[^\W\d_]")
"""``5.1 Results`` alone between paragraphs is a heading, whatever its height."""
LETTERS = re.compile(r"[^\W\d_]{2}|[\u4e00-\u9fff]")


@dataclass(slots=True)
class Piece:
    """A block in the making."""

    kind: BlockKind
    lines: list[Line]
    text: str
    level: int = 0


def page_markdown(lines: Sequence[Line], *, width: float, height: float) -> tuple[str, list[Block]]:
    """The page as Markdown, and its blocks with exact offsets and boxes in fractions of the page."""
    body = _body_height(lines)
    markdown, blocks = "", []
    for region in regions(lines):
        for piece in _pieces(region, body):
            start = len(markdown) + 2 if markdown else 0
            markdown += ("\n\n" if markdown else "") + piece.text
            corners = around([line.box for line in piece.lines])
            box = Box.within(corners, width=width, height=height)
            blocks.append(Block(kind=piece.kind, start=start, end=len(markdown), box=box, level=piece.level))
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


def _pieces(region: Sequence[Row], body: float) -> Iterator[Piece]:
    flow: list[Line] = []
    at = 0
    while at < len(region):
        end = table_end(region, at)
        if end is None:
            flow += _one_line(region[at])
            at += 1
            continue
        yield from _prose(flow, body)
        flow = []
        cells = [cell for row in region[at:end] for cell in row]
        yield Piece(BlockKind.TABLE, cells, _pipe_table(grid(region[at:end])))
        at = end
    yield from _prose(flow, body)


def _one_line(row: Row) -> Row:
    """Cells side by side that are no table: one line of text, unless they are set in different sizes."""
    heights = [cell.height for cell in row]
    if max(heights) > SAME_SIZE * min(heights):
        return row
    return [joined(row, " ".join(cell.text for cell in row))]


def _pipe_table(rows: Sequence[Sequence[Sequence[str]]]) -> str:
    written = ["| " + " | ".join(_together(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([written[0], "|" + " --- |" * len(rows[0]), *written[1:]])


def _prose(lines: Sequence[Line], body: float) -> Iterator[Piece]:
    """Headings, paragraphs and lists of one column."""
    if not lines:
        return
    page = _Measure.of(lines, body)
    piece: list[Line] = []
    for line in lines:
        if piece and page.parts(piece, line):
            yield from _written(piece, page)
            piece = []
        piece.append(line)
    yield from _written(piece, page)


@dataclass(frozen=True, slots=True)
class _Measure:
    """What is usual in a column: its edges, its line pitch, and the page's body height."""

    left: float
    right: float
    pitch: float
    body: float

    @classmethod
    def of(cls, lines: Sequence[Line], body: float) -> "_Measure":
        pitches = [below.middle - above.middle for above, below in pairwise(lines)]
        usual = quantiles(pitches, n=4)[0] if len(pitches) > 1 else 2.0 * body
        return cls(
            left=median(line.x0 for line in lines),
            right=max(line.x1 for line in lines),
            pitch=min(max(usual, body), 2.0 * body),
            body=body,
        )

    def level(self, line: Line) -> int:
        """Of the heading that this line is; 0 for body text."""
        if len(line.text) > HEADING_CHARS_MAX or not LETTERS.search(line.text):
            return 0
        return next((level for ratio, level in HEADING_LEVELS if line.height >= ratio * self.body), 0)

    def parts(self, piece: Sequence[Line], line: Line) -> bool:
        """Whether a new block starts at `line`."""
        last = piece[-1]
        tall = max(line.height, last.height)
        if self.level(last) or self.level(line):
            return not (self.level(last) and self.level(line) and _same_heading(last, line))
        if line.middle - last.middle > PITCH_GROWTH * max(self.pitch, 0.9 * tall):
            return True
        return self._breaks(piece, line)

    def _breaks(self, piece: Sequence[Line], line: Line) -> bool:
        last, first = piece[-1], piece[0]
        ended = last.text.endswith(SENTENCE_END)
        if BULLET.match(line.text):
            return not _marked(first)
        if NUMBER.match(line.text) and (ended or self.is_short(last, line)):
            return not _marked(first)
        if _marked(first):
            return line.x0 < first.x0 + 0.3 * line.height and self.is_short(last, line)
        if len(piece) == 1 and _is_numbered(last) and self.is_short(last, line):
            return True
        indented = line.x0 - last.x0 > INDENT * line.height and abs(last.x0 - self.left) < INDENT * line.height
        return (indented and ended) or (ended and self.is_short(last, line))

    def is_short(self, last: Line, line: Line) -> bool:
        """Whether the first word of `line` would have fitted behind `last`: then somebody broke the line on purpose."""
        word = 1 if is_cjk(line.text[0]) else len(line.text.split(maxsplit=1)[0])
        return self.right - last.x1 > line.width * word / len(line.text) + 1.5 * line.height


def _marked(line: Line) -> bool:
    return bool(BULLET.match(line.text) or NUMBER.match(line.text))


def _same_heading(last: Line, line: Line) -> bool:
    tall, low = max(line.height, last.height), min(line.height, last.height)
    return tall < HEADING_SAME_SIZE * low and line.middle - last.middle < HEADING_PITCH_MAX * tall


def _is_numbered(line: Line) -> bool:
    return bool(NUMBERED.match(line.text)) and not line.text.endswith(SENTENCE_END)


def _written(lines: list[Line], page: _Measure) -> Iterator[Piece]:
    level = page.level(max(lines, key=lambda line: len(line.text)))
    if level:
        text = _together([line.text for line in lines])
        yield Piece(BlockKind.HEADING, lines, f"{'#' * level} {text}", level)
    elif len(lines) == 1 and _is_numbered(lines[0]):
        level = 2 + lines[0].text.split()[0].strip(".").count(".")
        yield Piece(BlockKind.HEADING, lines, f"{'#' * level} {lines[0].text}", level)
    elif _marked(lines[0]) and (BULLET.match(lines[0].text) or len(lines) > 1):
        yield Piece(BlockKind.LIST, lines, "\n".join(_items(lines)))
    else:
        yield Piece(BlockKind.PARAGRAPH, lines, "\n".join(_paragraph(lines, page)))


def _items(lines: Sequence[Line]) -> Iterator[str]:
    items: list[list[str]] = []
    for line in lines:
        if _marked(line) or not items:
            items.append([line.text])
        else:
            items[-1].append(line.text)
    return (_item(_together(item)) for item in items)


def _item(text: str) -> str:
    number = NUMBER.match(text)
    if number:
        return f"{number[1]}. {escaped(text[number.end() :])}"
    return f"- {escaped(BULLET.sub('', text, count=1))}"


def _paragraph(lines: Sequence[Line], page: _Measure) -> Iterator[str]:
    """Lines run on, except where somebody broke them on purpose (an address, a verse)."""
    run = [lines[0].text]
    for last, line in pairwise(lines):
        if page.is_short(last, line):
            yield escaped(_together(run))
            run = []
        run.append(line.text)
    yield escaped(_together(run))


def _together(texts: Sequence[str]) -> str:
    text = ""
    for more in texts:
        if not text:
            text = more
        elif is_cjk(text[-1]) or is_cjk(more[0]):
            text += more
        elif re.search(r"[a-z]-$", text) and more[0].islower():
            text = text[:-1] + more
        else:
            text += f" {more}"
    return text


def escaped(text: str) -> str:
    """Text that would be taken for structure at the start of a line gets a backslash before its sign."""
    found = STRUCTURE.match(text)
    if not found:
        return text
    if found["sign"]:
        return f"\\{text}"
    return f"{found['before']}\\{text[found.end('before') :]}"
