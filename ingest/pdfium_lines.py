"""PDFium's characters as spans, in the order of reading."""

import ctypes
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pypdfium2 import raw

from ingest.leftward import Letter, is_leftward, logical
from ingest.sheet import Rect, Span, ordered

OPAQUE_FROM = 32
_UPRIGHT_FROM = 0.95
_BOLD_FROM = 600
_MONO_FLAG, _FORCE_BOLD_FLAG = 1, 1 << 18
_RETURN, _NEWLINE, _HYPHEN = 0x0D, 0x0A, 0x02
_MAY_BE_GENERATED = frozenset({0, _HYPHEN, 0x20})
_DOWN_LETTERS_MIN, _DOWN_EMS = 2, 0.75


@dataclass(frozen=True, slots=True)
class Turn:
    """From PDF units (origin bottom left, before /Rotate) to the page as displayed."""

    crop: Rect
    quarters: int

    @classmethod
    def of(cls, page: Any) -> "Turn":
        return cls(ordered(*page.get_bbox()), page.get_rotation() // 90)

    @property
    def width(self) -> float:
        return self._sides[self.quarters % 2]

    @property
    def height(self) -> float:
        return self._sides[1 - self.quarters % 2]

    @property
    def _sides(self) -> tuple[float, float]:
        return self.crop[2] - self.crop[0], self.crop[3] - self.crop[1]

    def point(self, x: float, y: float) -> tuple[float, float]:
        left, bottom, right, top = self.crop
        turned = ((x - left, top - y), (y - bottom, x - left), (right - x, y - bottom), (top - y, right - x))
        return turned[self.quarters]

    def box(self, left: float, bottom: float, right: float, top: float) -> Rect:
        return ordered(*self.point(left, bottom), *self.point(right, top))

    def upright(self, a: float, b: float) -> bool:
        along = (a, b, -a, -b)[self.quarters]
        return along > _UPRIGHT_FROM * math.hypot(a, b)


@dataclass(slots=True)
class _Style:
    """What one text object's characters share."""

    size: float
    bold: bool
    mono: bool
    colour: int
    painted: bool
    upright: bool
    font: str


def _plain(function: Any, result: Any) -> Any:
    """The same function with numbers for pointers: these two are called for every character of a page."""
    address = ctypes.cast(function, ctypes.c_void_p).value
    return ctypes.CFUNCTYPE(result, ctypes.c_void_p, ctypes.c_int)(address or 0)


_unicode = _plain(raw.FPDFText_GetUnicode, ctypes.c_uint)
_text_object = _plain(raw.FPDFText_GetTextObject, ctypes.c_void_p)


class Characters:
    """Walks the characters of a page; runs of one text object on one line become spans."""

    def __init__(self, text: Any, turn: Turn) -> None:
        self._text = text.raw
        self._handle = ctypes.cast(text.raw, ctypes.c_void_p).value
        self._count = text.count_chars()
        self._turn = turn
        self._styles: dict[int | None, _Style] = {}
        self._box = raw.FS_RECTF()

    def lines(self) -> tuple[list[list[Span]], int]:
        lines: list[list[Span]] = [[]]
        ends: list[tuple[int, int]] = []
        unmapped = 0
        for first, last, letters, style in self._runs():
            if letters == "\n":
                self._put_in_order(lines[-1], ends)
                lines.append([])
                ends = []
                continue
            unmapped += sum(raw.FPDFText_HasUnicodeMapError(self._text, at) == 1 for at in (first, last))
            lines[-1].append(self._span(letters, self._run_box(first, last), style))
            ends.append((first, last))
        self._put_in_order(lines[-1], ends)
        return [line for line in lines if line], unmapped

    def _span(self, letters: str, box: Rect, style: _Style) -> Span:
        return Span(
            text=letters,
            box=box,
            size=style.size,
            bold=style.bold,
            mono=style.mono,
            colour=style.colour,
            painted=style.painted,
            upright=style.upright and not _runs_down(letters, box, style.size),
            vertical=style.upright and _runs_down(letters, box, style.size),
            font=style.font,
        )

    def _put_in_order(self, line: list[Span], ends: Sequence[tuple[int, int]]) -> None:
        """A line from right to left, letter by letter as they stand on the page."""
        if not line or not line[0].upright or not is_leftward("".join(span.text for span in line)):
            return
        letters = [
            Letter(chr(code), *self._loose(at)[::2], number)
            for number, (first, last) in enumerate(ends)
            for at in range(first, last + 1)
            if 0x20 <= (code := raw.FPDFText_GetUnicode(self._text, at)) < 0xD800
            and raw.FPDFText_IsGenerated(self._text, at) != 1
        ]
        found = logical(letters, max(span.size for span in line))
        line[:] = [
            replace(line[at], text=text, box=(left, line[at].box[1], right, line[at].box[3]))
            for at, text, left, right in found
        ]

    def _runs(self) -> "Iterator[tuple[int, int, str, _Style]]":
        """First and last index, text and style; a line's end is a run of its own. Generated spaces join a run."""
        letters: list[str] = []
        first = last = 0
        owner: int | None = None
        for at in range(self._count):
            code = _unicode(self._handle, at)
            if code in (_RETURN, _NEWLINE):
                if letters:
                    yield first, last, joined_units(letters), self._style(first, owner)
                    letters = []
                if code == _NEWLINE:
                    yield at, at, "\n", self._style(at, None)
                continue
            if code in _MAY_BE_GENERATED and raw.FPDFText_IsGenerated(self._text, at) == 1:
                letters.append(" " if code == 0x20 else "-" if code == _HYPHEN else "")
                continue
            now = _text_object(self._handle, at)
            if letters and now != owner:
                yield first, last, joined_units(letters), self._style(first, owner)
                letters = []
            if not letters:
                first = at
            owner, last = now, at
            letters.append("-" if code == _HYPHEN else chr(code) if 0 < code < 0x110000 else "\ufffd")
        if letters:
            yield first, last, joined_units(letters), self._style(first, owner)

    def _run_box(self, first: int, last: int) -> Rect:
        one, other = self._loose(first), self._loose(last)
        return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])

    def _loose(self, at: int) -> Rect:
        raw.FPDFText_GetLooseCharBox(self._text, at, self._box)
        return self._turn.box(self._box.left, self._box.bottom, self._box.right, self._box.top)

    def _style(self, at: int, owner: int | None) -> _Style:
        style = self._styles.get(owner)
        if style is None:
            style = self._styles[owner] = self._read_style(at, owner)
        return style

    def _read_style(self, at: int, owner: int | None) -> _Style:
        matrix = raw.FS_MATRIX()
        raw.FPDFText_GetMatrix(self._text, at, matrix)
        colours = [ctypes.c_uint() for _ in range(4)]
        raw.FPDFText_GetFillColor(self._text, at, *colours)
        red, green, blue, alpha = (colour.value & 0xFF for colour in colours)
        name, flags = self._font(at)
        mode = raw.FPDFTextObj_GetTextRenderMode(raw.FPDFText_GetTextObject(self._text, at)) if owner else 0
        return _Style(
            size=raw.FPDFText_GetFontSize(self._text, at) * (math.hypot(matrix.c, matrix.d) or 1.0),
            bold=raw.FPDFText_GetFontWeight(self._text, at) >= _BOLD_FROM
            or bool(flags & _FORCE_BOLD_FLAG)
            or any(word in name for word in ("bold", "black", "heavy")),
            mono=bool(flags & _MONO_FLAG) or any(word in name for word in ("mono", "courier", "consol")),
            colour=red << 16 | green << 8 | blue,
            painted=mode not in (raw.FPDF_TEXTRENDERMODE_INVISIBLE, raw.FPDF_TEXTRENDERMODE_CLIP)
            and (alpha >= OPAQUE_FROM or mode in (raw.FPDF_TEXTRENDERMODE_STROKE, raw.FPDF_TEXTRENDERMODE_STROKE_CLIP)),
            upright=self._turn.upright(matrix.a, matrix.b),
            font=name,
        )

    def _font(self, at: int) -> tuple[str, int]:
        flags = ctypes.c_int()
        size = raw.FPDFText_GetFontInfo(self._text, at, None, 0, flags)
        name = ctypes.create_string_buffer(max(1, min(size, 256)))
        if 0 < size <= 256:
            raw.FPDFText_GetFontInfo(self._text, at, name, size, flags)
        return name.value.decode("utf-8", "replace").lower(), flags.value


def joined_units(letters: list[str]) -> str:
    """The engine gives UTF-16 code units: pairs become characters, a half alone becomes U+FFFD."""
    return "".join(letters).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _runs_down(letters: str, box: Rect, size: float) -> bool:
    """Upright letters, one below the other."""
    count, height = len(letters.strip()), box[3] - box[1]
    return count >= _DOWN_LETTERS_MIN and height > _DOWN_EMS * count * size and height > 1.5 * (box[2] - box[0])
