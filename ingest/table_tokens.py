"""Lines cut into the texts of single cells, and these put into rows."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ingest.layout import APART_EMS, LEADER, SPACE_EMS, Line, pieces_of, same_row
from ingest.sheet import WHITE, Rect, Sheet, Span, centre, holds, meet, union

CELLS_APART_EMS = 0.75
"""Between columns that stand close, narrower gaps than in running text part two cells."""
_NUMBERS_APART_EMS = 0.4
_TURNED_MAX = 200
_FILLS_MAX = 1000
_ONE_ROW_EMS = 0.75
_NUMBER = re.compile(
    r"[-+\u2212\u2013±~<>≤≥(\[]{0,2}\s?(?:[$€£¥₹]|USD|EUR|GBP|CHF)?\s?[-\u2212(]?(?:\d[\d.,:/'\u00a0\u2009 ]*|[.,]\d+)"
    r"(?:\s?(?:%|‰|[a-zA-Zµ°]{1,3}|[-\u2013]\s?\d[\d.,]*\s?%?))?[)\]]{0,2}[*†‡§¹²³]{0,3}"
)
_SIGN = re.compile(r"[-\u2013\u2014\u2212.*†✓✗✔✘\u00d7●○•■□xX]{1,3}|[nN]\.?/?[aA]\.?|[$€£¥%)]+|\.{2,}")
_WORDS = re.compile(r"\s+|\S+")
_APART = re.compile(r"\s{3,}|\s+$|\S+(?:\s{1,2}\S+)*")
_APART_MONO = re.compile(r"\s{2,}|\s+$|\S+(?:\s\S+)*")
_DOTS = " .\u00b7\u2026"
_LEADER_MIN = 5
_NUMBER_CHARS_MAX = 40
_HYPHENS = frozenset("-\u00ad\u2010")
CAPTION = re.compile(r"(?:Figure|Fig\.|Table|Tab\.|Chart|Exhibit|图|表)\s*\d", re.IGNORECASE)
CURRENCY = frozenset("$€£¥₹")
_NARROW, _BROAD = frozenset("iIjl.,:;'|!()[] ftr-"), frozenset("mwMW%@")


def is_number(text: str) -> bool:
    """A figure with its units and brackets, or a sign that stands for one."""
    return len(text) <= _NUMBER_CHARS_MAX and bool(_NUMBER.fullmatch(text) or _SIGN.fullmatch(text))


@dataclass(frozen=True, slots=True)
class Part(Line):
    """A cell's text, and the line of the page that it was cut from."""

    source: Line | None = None


def source_of(line: Line) -> Line:
    """The line of the page."""
    return line.source if isinstance(line, Part) and line.source is not None else line


def tokens(line: Line, walls: Sequence[float] = (), apart: float = CELLS_APART_EMS) -> list[Line]:
    """The line cut at gaps of `apart` ems, between numbers, and at the ruling lines `walls` that it crosses."""
    left, _, right, _ = line.box
    crossed = [x for x in walls if left + 1 < x < right - 1] if walls else []
    figures = _all_figures(line.text)
    if not line.pieces and not crossed and not figures:
        return [line]
    cells: list[tuple[list[str], Rect]] = []
    for text, box in _words(line, finely=bool(crossed) or figures):
        gap = box[0] - cells[-1][1][2] if cells else 0.0
        if cells and not _parted(cells[-1], (text, box), line.size, crossed, apart=apart, figures=figures):
            space = [" "] if gap > SPACE_EMS * line.size else []
            cells[-1] = ([*cells[-1][0], *space, text], union(cells[-1][1], box))
        else:
            cells.append(([text], box))
    if len(cells) == 1:
        return [line]
    return [
        Part(" ".join("".join(text).split()), box, line.size, line.bold, line.mono, source=source_of(line))
        for text, box in cells
    ]


def coarse(line: Line) -> list[Line]:
    """Cut where running text is, too."""
    return tokens(line, apart=APART_EMS)


def _all_figures(text: str) -> bool:
    """Several numbers and nothing else, in which no space groups thousands."""
    words = text.split()
    return 1 < len(words) <= 40 and all(map(is_number, words)) and not re.search(r"\d \d{3}(?!\d)", text)


def _parted(
    cell: tuple[list[str], Rect],
    piece: tuple[str, Rect],
    size: float,
    walls: Sequence[float],
    *,
    apart: float,
    figures: bool,
) -> bool:
    (said, before), (text, box) = cell, piece
    gap = box[0] - before[2]
    if gap >= apart * size or any(before[2] - 1.5 <= x <= box[0] + 1.5 for x in walls):
        return True
    if gap <= SPACE_EMS * size or not is_amount(said[-1]):
        return False
    return ((figures or gap > _NUMBERS_APART_EMS * size) and is_amount(text)) or text.strip() in CURRENCY


def is_amount(text: str) -> bool:
    """A number with digits."""
    return any(letter.isdigit() for letter in text) and is_number(text.strip())


def spaced(lines: Sequence[Line], runs: Sequence[Sequence[Span]]) -> list[Line]:
    """Lines in which columns are made with spaces get those back: a line's own text has single ones."""
    raw = {span.box: span.text for run in runs for span in run if "  " in span.text.strip()}
    if not raw:
        return list(lines)
    return [
        replace(line, pieces=((raw[line.box], line.box),)) if not line.pieces and line.box in raw else line
        for line in lines
    ]


def turned(sheet: Sheet) -> list[Line]:
    """Names of columns that run upwards or aslant, each as if it stood at its lower end."""
    found = []
    for spans in _slanting(sheet):
        text = " ".join("".join(span.text for span in spans).split())
        if not text or not all(_is_seen(span, sheet) for span in spans):
            continue
        left, _, right, bottom = box_around([span.box for span in spans])
        size = min(spans[0].size, right - left)
        found.append(Line(text, (left, bottom - size, left + size, bottom), size))
    return found if len(found) <= _TURNED_MAX else []


def _slanting(sheet: Sheet) -> Iterator[list[Span]]:
    """Spans that are not level, those of one text together: an engine may have several texts in one line."""
    for run in sheet.lines:
        spans: list[Span] = []
        for span in run:
            if span.upright or span.vertical:
                continue
            if spans and not meet(spans[-1].box, span.box, span.size / 2):
                yield spans
                spans = []
            spans.append(span)
        if spans:
            yield spans


def _is_seen(span: Span, sheet: Sheet) -> bool:
    """Painted, in a colour that is not that of its ground."""
    if not span.painted or span.colour == WHITE or len(sheet.fills) > _FILLS_MAX:
        return False
    return not any(colour == span.colour and holds(box, *centre(span.box)) for box, colour in sheet.fills)


def _without_leader(text: str) -> str:
    bare = text.rstrip(_DOTS)
    return bare if len(text) - len(bare) >= _LEADER_MIN else text


def is_spaced(line: Line) -> bool:
    """Its columns are made with spaces."""
    return any("  " in text.strip() for text, _ in line.pieces) and len(coarse(line)) > 1


def _words(line: Line, *, finely: bool) -> Iterator[tuple[str, Rect]]:
    """Pieces as they are; or word by word, each where its letters' widths put it."""
    for text, box in pieces_of(line):
        wide = "  " in text.strip()
        if not (wide or finely) or " " not in text.strip():
            if text.strip():
                yield text.strip(), box
            continue
        left, top, right, bottom = box
        measured = (lambda part: float(len(part))) if line.mono else _wide
        unit = (right - left) / max(0.1, measured(text))
        at = left
        for part in (_WORDS if finely else _APART_MONO if line.mono else _APART).findall(text):
            width = unit * measured(part)
            if not part.isspace() and (said := _without_leader(part)):
                yield said, (at, top, at + width, bottom)
            at += width


def _wide(text: str) -> float:
    """Its width in ems, roughly, in a proportional font."""
    narrow = sum(letter in _NARROW for letter in text)
    broad = sum(letter in _BROAD for letter in text)
    return 0.55 * (len(text) - narrow - broad) + 0.29 * narrow + 0.85 * broad


def rows_of(lines: Sequence[Line]) -> list[list[Line]]:
    """Rows top to bottom, each left to right."""
    found: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: centre(line.box)[1]):
        if found and same_row(found[-1][0].box, line.box):
            found[-1].append(line)
        else:
            found.append([line])
    return [sorted(row, key=lambda line: line.box[0]) for row in found]


def interlocked(above: Sequence[Line], row: Sequence[Line]) -> bool:
    """They stand closer than two lines of text can: a cell of two lines with its neighbours between them."""
    near = middle(row) - middle(above)
    return near < _ONE_ROW_EMS * min(max(line.size for line in above), max(line.size for line in row))


def middle(row: Sequence[Line]) -> float:
    return sum(centre(line.box)[1] for line in row) / len(row)


def box_of(lines: Sequence[Line]) -> Rect:
    return box_around([line.box for line in lines])


def box_around(boxes: Sequence[Rect]) -> Rect:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def slot(at: float, edges: Sequence[float]) -> int:
    """Between which two edges it lies; what lies outside belongs to the first or the last place."""
    return max(0, min(len(edges) - 2, bisect_left(edges, at) - 1))


def text_of(lines: Sequence[Line]) -> str:
    """The lines of one cell as running text."""
    text = ""
    for row in rows_of(lines):
        for line in row:
            mended = text[-1:] in _HYPHENS and text[-2:-1].isalpha() and line.text[:1].islower()
            if mended:
                text = text[:-1] + line.text
            else:
                text += line.text if not text or text[-1:] in CURRENCY else f" {line.text}"
    return text.rstrip(f" {LEADER}") if LEADER in text else text
