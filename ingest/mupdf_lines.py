"""PyMuPDF's lines as spans: as they come, or letter by letter where their order or their spaces cannot be trusted."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from ingest.leftward import LEFTWARD, Letter, is_leftward, logical
from ingest.sheet import Rect, Span, ordered

_BOLD_FONT, _MONO_FONT, _RAISED = 16, 8, 1
_BOLD_CHARS, _FILLED, _STROKED = 8, 16, 32
OPAQUE_FROM = 32
_UPRIGHT_FROM = 0.95
_LONG_WORD = 25
_UNSPACED = re.compile(r"[A-Za-z]{25,}")
_GAP_EMS = 0.1
_TRACKED_SHARE = 0.4


class Turn:
    """From the engine's unrotated page to the page as displayed."""

    def __init__(self, matrix: Any) -> None:
        self._matrix = tuple(matrix) if matrix is not None else None

    def box(self, box: Rect) -> Rect:
        if self._matrix is None:
            return box
        a, b, c, d, e, f = self._matrix
        x0, y0, x1, y1 = box
        return ordered(a * x0 + c * y0 + e, b * x0 + d * y0 + f, a * x1 + c * y1 + e, b * x1 + d * y1 + f)

    def upright(self, direction: tuple[float, float]) -> bool:
        x, y = direction
        if self._matrix is not None:
            x = self._matrix[0] * x + self._matrix[2] * y
        return x > _UPRIGHT_FROM


@dataclass(frozen=True, slots=True)
class Doubts:
    """Why a page is read letter by letter: lines from right to left, and fonts whose words lack spaces."""

    leftward: bool
    unspaced: frozenset[str]

    def __bool__(self) -> bool:
        return self.leftward or bool(self.unspaced)


def doubts(blocks: Iterable[dict[str, Any]]) -> Doubts:
    """Hebrew and Arabic come in the order of drawing at times, and very long words may lack their spaces."""
    leftward, unspaced = False, set()
    for span in (span for block in blocks for line in block["lines"] for span in line["spans"]):
        text = span["text"]
        leftward = leftward or (not text.isascii() and bool(LEFTWARD.search(text)))
        if len(text) >= _LONG_WORD and _UNSPACED.search(text):
            unspaced.add(span["font"])
    return Doubts(leftward, frozenset(unspaced))


def spans_of(line: dict[str, Any], turn: Turn, found: Doubts) -> list[Span]:
    """A line of the engine's dictionary; with doubts, of its dictionary with letters."""
    spans = [_span(span, line, turn) for span in line["spans"]]
    if not found:
        return spans
    if spans and spans[0].upright and is_leftward("".join(span.text for span in spans)):
        return _sorted(line, spans, turn)
    return [
        replace(span, text=_spaced(raw["chars"], raw["size"])) if span.font in found.unspaced else span
        for span, raw in zip(spans, line["spans"], strict=True)
    ]


def _span(span: dict[str, Any], line: dict[str, Any], turn: Turn) -> Span:
    flags, drawn = span["flags"], span["char_flags"]
    return Span(
        text=span["text"] if "text" in span else "".join(letter["c"] for letter in span["chars"]),
        box=turn.box(span["bbox"]),
        size=span["size"],
        bold=bool(flags & _BOLD_FONT or drawn & _BOLD_CHARS),
        mono=bool(flags & _MONO_FONT),
        colour=span["color"],
        painted=bool(drawn & (_FILLED | _STROKED)) and span["alpha"] >= OPAQUE_FROM,
        upright=turn.upright(line["dir"]),
        vertical=line["wmode"] == 1,
        raised=bool(flags & _RAISED),
        font=span["font"],
    )


def _sorted(line: dict[str, Any], spans: Sequence[Span], turn: Turn) -> list[Span]:
    letters = [
        Letter(letter["c"], *turn.box(letter["bbox"])[::2], at)
        for at, span in enumerate(line["spans"])
        for letter in span["chars"]
    ]
    size = max(span.size for span in spans)
    found = []
    for at, text, left, right in logical(letters, size):
        span = spans[at]
        found.append(replace(span, text=text, box=(left, span.box[1], right, span.box[3])))
    return found


def _spaced(letters: Sequence[dict[str, Any]], size: float) -> str:
    """With a space in every gap; letters that all stand apart are one word, set wide."""
    gaps = [after["bbox"][0] - letter["bbox"][2] for letter, after in pairwise(letters)]
    wide = [gap > _GAP_EMS * size for gap in gaps]
    if sum(wide) > _TRACKED_SHARE * max(1, len(wide)):
        return "".join(letter["c"] for letter in letters)
    return "".join(
        letter["c"] + (" " if gap and letter["c"] != " " else "")
        for letter, gap in zip(letters, [*wide, False], strict=True)
    )
