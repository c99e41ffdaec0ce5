"""Lines of one column become headings, paragraphs, captions and lists, by their height, spacing, marks and roles."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, quantiles

from folio.records import BlockKind
from ocr_stage.lines import CAPTIONS, Line, RegionKind, is_cjk, weight
from ocr_stage.roles import CAPTION
from ocr_stage.wording import escaped, together

HEADING_LEVELS = ((1.7, 1), (1.4, 2), (1.25, 3))
"""Line height over the body's, and the level that it means."""
HEADING_CHARS_MAX = 120
HEADING_WEIGHT_MIN = 4
HEADING_SAME_SIZE = 1.35
HEADING_PITCH_MAX = 1.6
"""A heading of several lines; short lines are found a little taller than long ones of the same type."""
SAME_SIZE = 1.2
PITCH_GROWTH = 1.3
INDENT = 0.8
ITEM_GAP = 2.5
"""In line heights: items of one list are set no further apart."""
BULLET = re.compile(r"[•·●▪◦‣∙○■◆*\u2013\u2014-]\s+(?=\S)|[•●▪◦‣∙■◆](?=\S)")
BULLET_ALONE = re.compile(r"[•·●▪◦‣∙○■◆]")
NUMBER = re.compile(r"(\d{1,2})[.)、](?=\s|[^\d\s.,])\s*")
MARK = re.compile(
    r"[(\uff08](?:\d{1,2}|[a-z]|[ivx]{1,4}|[一二三四五六七八九十]{1,3})[)\uff09]\s*(?=\S)"
    r"|[\u2460-\u2473]\s*(?=\S)|[一二三四五六七八九十]{1,3}、(?=\S)|[a-z][.)]\s+(?=\S)|\[\d{1,3}\]\s*(?=\S)"
)
"""Marks that Markdown has no list for: an item keeps them as its first word."""
RUNS_ON = ("\u3002", "\uff1b", "\uff0c", ";", ",")
"""No heading ends so; short lines of text are found taller than they are."""
SENTENCE_END = tuple(".!?:;\u3002\uff01\uff1f\uff1a\uff1b")
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
    furniture: bool = False
    is_numbered: bool = False
    """Its number says its level; any other heading's is its height among the page's."""


def prose(lines: Sequence[Line], body: float) -> Iterator[Piece]:
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

    def level(self, line: Line, height: float = 0.0) -> int:
        """Of the heading that this line is, by its height or that of all its lines; 0 for body text."""
        if not LETTERS.search(line.text) or is_caption(line):
            return 0
        if line.role is not RegionKind.TITLE and weight(line.text) < HEADING_WEIGHT_MIN:
            return 0
        tall = height or line.height
        by_height = next((level for ratio, level in HEADING_LEVELS if tall >= ratio * self.body), 0)
        if line.role is RegionKind.TITLE:
            return by_height or HEADING_LEVELS[-1][1]
        if len(line.text) > HEADING_CHARS_MAX or line.text.endswith(RUNS_ON):
            return 0
        return by_height

    def parts(self, piece: Sequence[Line], line: Line) -> bool:
        """Whether a new block starts at `line`."""
        last = piece[-1]
        tall = max(line.height, last.height)
        if self.level(last) or self.level(line):
            return not (self.level(last) and self.level(line) and _same_heading(last, line))
        if CAPTION.match(line.text) or (last.role in CAPTIONS) != (line.role in CAPTIONS):
            return not (last.role in CAPTIONS and _runs_on(last, line))
        gap = line.middle - last.middle
        if _mark(piece[0]) and _mark(line) == _mark(piece[0]) and gap < ITEM_GAP * tall:
            return False
        if gap > PITCH_GROWTH * max(self.pitch, 0.9 * tall):
            return True
        return self._breaks(piece, line)

    def _breaks(self, piece: Sequence[Line], line: Line) -> bool:
        last, first = piece[-1], piece[0]
        is_level = abs(line.x0 - first.x0) < INDENT * line.height
        if _mark(first) and _mark(line) and _mark(line) != _mark(first) and is_level:
            return True
        ended = last.text.endswith(SENTENCE_END)
        if BULLET.match(line.text):
            return not _marked(first)
        if (NUMBER.match(line.text) or MARK.match(line.text)) and (ended or self.is_short(last, line)):
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


def is_caption(line: Line) -> bool:
    return line.role in CAPTIONS


def _runs_on(caption: Line, line: Line) -> bool:
    """The next line of a caption that the model's box left out."""
    close = line.middle - caption.middle < PITCH_GROWTH * line.height
    return close and line.role is None and not CAPTION.match(line.text) and line.height < SAME_SIZE * caption.height


def _mark(line: Line) -> str:
    """The kind of mark that makes this line an item of a list; bullets are read as many signs and are one kind."""
    if NUMBER.match(line.text):
        return "number"
    if MARK.match(line.text):
        return "mark"
    return "bullet" if BULLET.match(line.text) else ""


def _marked(line: Line) -> bool:
    return bool(BULLET.match(line.text) or NUMBER.match(line.text) or MARK.match(line.text))


def _same_heading(last: Line, line: Line) -> bool:
    tall, low = max(line.height, last.height), min(line.height, last.height)
    if (last.role is RegionKind.TITLE) != (line.role is RegionKind.TITLE) and tall > SAME_SIZE * low:
        return False
    return tall < HEADING_SAME_SIZE * low and line.middle - last.middle < HEADING_PITCH_MAX * tall


def _is_numbered(line: Line) -> bool:
    return bool(NUMBERED.match(line.text)) and not line.text.endswith(SENTENCE_END)


def _written(lines: list[Line], page: _Measure) -> Iterator[Piece]:
    tall = median(line.height for line in lines)
    level = page.level(max(lines, key=lambda line: len(line.text)), tall)
    text = together([line.text for line in lines])
    number = NUMBERED.match(text)
    if is_caption(lines[0]):
        yield Piece(BlockKind.CAPTION, lines, escaped(text))
    elif level:
        depth = 2 + text.split()[0].strip(".").count(".") if number else 0
        yield Piece(BlockKind.HEADING, lines, text, depth or level, is_numbered=bool(depth))
    elif len(lines) == 1 and _is_numbered(lines[0]):
        yield Piece(BlockKind.HEADING, lines, text, 2 + text.split()[0].strip(".").count("."), is_numbered=True)
    elif _is_list(lines):
        yield Piece(BlockKind.LIST, lines, "\n".join(_items(lines)))
    else:
        yield Piece(BlockKind.PARAGRAPH, lines, "\n".join(_paragraph(lines, page)))


def _is_list(lines: Sequence[Line]) -> bool:
    """One item with a bullet is a list; a number alone may be a date, so there must be two."""
    if MARK.match(lines[0].text):
        return sum(_marked(line) for line in lines) > 1
    return bool(BULLET.match(lines[0].text)) or (_marked(lines[0]) and len(lines) > 1)


def _items(lines: Sequence[Line]) -> Iterator[str]:
    """Items with their own lines run on; one that starts further right belongs to the one above it."""
    items: list[list[Line]] = []
    for line in lines:
        if _marked(line) or not items:
            items.append([line])
        else:
            items[-1].append(line)
    open_items: list[tuple[float, int]] = []
    for item in items:
        left, tall = item[0].x0, item[0].height
        while open_items and left < open_items[-1][0] + INDENT * tall:
            open_items.pop()
        sign, text = _item(together([line.text for line in item]))
        indent = open_items[-1][1] if open_items else 0
        open_items.append((left, indent + len(sign)))
        yield " " * indent + sign + text


def _item(text: str) -> tuple[str, str]:
    number = NUMBER.match(text)
    if number:
        return f"{number[1]}. ", escaped(text[number.end() :])
    return "- ", escaped(BULLET.sub("", text, count=1))


def _paragraph(lines: Sequence[Line], page: _Measure) -> Iterator[str]:
    """Lines run on, except where somebody broke them on purpose (an address, a verse)."""
    run = [lines[0].text]
    for last, line in pairwise(lines):
        if page.is_short(last, line):
            yield escaped(together(run))
            run = []
        run.append(line.text)
    yield escaped(together(run))
