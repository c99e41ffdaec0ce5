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
_RETURN, _NEWLINE, _HYPHEN, _SPACE = 0x0D, 0x0A, 0x02, 0x20
_MAY_BE_GENERATED = frozenset({0, _HYPHEN, _SPACE})
_LETTER_EMS_MAX, _LEAP_EMS, _SPACES_MAX = 1.2, 0.7, 200
_DIFFERENT_MIN, _WIDTHS_SLACK = 4, 0.03
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
            for begin, end, part, box in self._parts((first, last), letters, style):
                lines[-1].append(self._span(part, box, style))
                ends.append((begin, end))
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

    def _parts(self, run: tuple[int, int], letters: str, style: _Style) -> Iterator[tuple[int, int, str, Rect]]:
        """The run, cut where it leaps: one text object may hold the cells of a whole row.

        The engine puts a space into some leaps and none into others, so wide runs are looked at letter by letter.
        """
        first, last = run
        box = self._run_box(first, last)
        wide = box[2] - box[0] > _LETTER_EMS_MAX * style.size * len(letters)
        if not style.upright or last == first or not (wide or self._leaps(first, last, style.size)):
            yield first, last, letters, box
            return
        if style.mono or self._is_typed(first, last):
            yield first, last, self._padded(first, last), box
            return
        begin = end = first
        for at in range(first + 1, last + 2):
            if at <= last and (_is_generated(self._text, at) or not self._is_apart(end, at, style.size)):
                end = at if not _is_generated(self._text, at) else end
                continue
            yield begin, end, self._said(begin, end), self._run_box(begin, end)
            begin = end = at

    def _leaps(self, first: int, last: int, size: float) -> bool:
        """There is a wide gap at a space: at one that the engine made up, or where it tells several as one."""
        return any(
            _unicode(self._handle, at) in _MAY_BE_GENERATED
            and self._is_apart(at - _is_generated(self._text, at), at + 1, size)
            for at in range(first + 1, last)
        )

    def _is_apart(self, before: int, after: int, size: float) -> bool:
        return self._loose(after)[0] - self._loose(before)[2] > _LEAP_EMS * size

    def _is_typed(self, first: int, last: int) -> bool:
        """Its letters, several different ones, are all as wide as each other."""
        letters = [at for at in range(first, last + 1) if _is_latin(_unicode(self._handle, at))]
        if len({_unicode(self._handle, at) for at in letters}) < _DIFFERENT_MIN:
            return False
        widths = [box[2] - box[0] for box in map(self._loose, letters)]
        return max(widths) - min(widths) <= _WIDTHS_SLACK * max(widths)

    def _padded(self, first: int, last: int) -> str:
        """Letters of one width with as many spaces between them as fit in."""
        text, end, width = "", self._loose(first)[0], 0.0
        for at in range(first, last + 1):
            if _is_generated(self._text, at) or _unicode(self._handle, at) == _SPACE:
                continue
            box = self._loose(at)
            width = box[2] - box[0] or width
            text += " " * min(_SPACES_MAX, round((box[0] - end) / max(width, 0.1))) + self._said(at, at)
            end = box[2]
        return text

    def _said(self, first: int, last: int) -> str:
        codes = ((_unicode(self._handle, at), _is_generated(self._text, at)) for at in range(first, last + 1))
        return joined_units([_letter(code, generated=generated) for code, generated in codes])

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
                letters.append(_letter(code, generated=True))
                continue
            now = _text_object(self._handle, at)
            if letters and now != owner:
                yield first, last, joined_units(letters), self._style(first, owner)
                letters = []
            if not letters:
                first = at
            owner, last = now, at
            letters.append(_letter(code, generated=False))
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


def _letter(code: int, *, generated: bool) -> str:
    if code == _HYPHEN:
        return "-"
    if generated:
        return " " if code == _SPACE else ""
    return chr(code) if 0 < code < 0x110000 else "\ufffd"


def _is_latin(code: int) -> bool:
    return code < 0x80 and chr(code).isalpha()


def _is_generated(text: Any, at: int) -> bool:
    return bool(raw.FPDFText_IsGenerated(text, at) == 1)


def joined_units(letters: list[str]) -> str:
    """The engine gives UTF-16 code units: pairs become characters, a half alone becomes U+FFFD."""
    return "".join(letters).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _runs_down(letters: str, box: Rect, size: float) -> bool:
    """Upright letters, one below the other."""
    count, height = len(letters.strip()), box[3] - box[1]
    return count >= _DOWN_LETTERS_MIN and height > _DOWN_EMS * count * size and height > 1.5 * (box[2] - box[0])
