"""PDF engine 2, pypdfium2 (BSD / Apache-2.0): the same pages without PyMuPDF; runs in the sandbox child only."""

import ctypes
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pypdfium2
from pypdfium2 import raw

from folio.errors import Cause, Permanent
from ingest.ahead import BOOKMARKS_MAX, LINKS_MAX, Ahead
from ingest.images import to_jpeg
from ingest.render import Renderer, locked
from ingest.sheet import Picture, Rect, Sheet, Span, area, ordered

_OPAQUE_FROM = 32
_UPRIGHT_FROM = 0.95
_BOLD_FROM = 600
_MONO_FLAG, _FORCE_BOLD_FLAG = 1, 1 << 18
_SEGMENTS_MAX = 400
_SLANT_MAX, _SLANT_SHARE_MAX = 0.25, 0.02
_FRAME_EDGES = (4, 5)
_URI_BYTES_MAX = 4096
_FORM_DEPTH_MAX = 4
_DRAWN_UNTIL_REOPENED = 32
"""The engine keeps every image stream of an open file; opening it again is the only way to let them go."""
_RETURN, _NEWLINE, _HYPHEN = 0x0D, 0x0A, 0x02


class Pdfium:
    """An open PDF."""

    name = "pypdfium2"

    def __init__(self, path: Path, password: str = "") -> None:
        self._path = path
        self._password = password or None
        self._drawn = 0
        try:
            self._file = pypdfium2.PdfDocument(path, password=self._password)
        except pypdfium2.PdfiumError as error:
            if error.err_code in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
                raise locked(password) from None
            if error.err_code == raw.FPDF_ERR_SUCCESS:  # it loads, and has nothing to show
                raise Permanent(Cause.ZERO_PAGES) from None
            raise Permanent(Cause.CORRUPT, "The file says that it is a PDF but cannot be opened as one.") from None
        self.page_count: int = len(self._file)
        self._ahead = Ahead(self._read, self.page_count)
        self._outline: dict[int, list[tuple[int, str]]] | None = None

    def sheet(self, page: int) -> Sheet:
        """Text, lines and images of one page."""
        return self._ahead.sheet(page)

    def _read(self, page: int) -> Sheet:
        opened = self._file[page - 1]
        try:
            turn = _Turn.of(opened)
            sheet = Sheet(width=turn.width, height=turn.height)
            text = opened.get_textpage()
            try:
                sheet.lines, sheet.unmapped = _Characters(text, turn).lines()
            finally:
                text.close()
            _add_drawings(sheet, opened, turn)
            sheet.links += islice(_links(self._file, opened, turn), LINKS_MAX)
            sheet.outline = self._bookmarks().get(page, [])
            return sheet
        finally:
            opened.close()

    def _bookmarks(self) -> dict[int, list[tuple[int, str]]]:
        """Level and title of every bookmark, by page; a broken outline is none."""
        if self._outline is None:
            self._outline = {}
            with suppress(Exception):
                for mark in islice(self._file.get_toc(), BOOKMARKS_MAX):
                    place = mark.get_dest()
                    page = place.get_index() if place is not None else None
                    if page is not None:
                        self._outline.setdefault(page + 1, []).append((mark.level + 1, mark.get_title()))
        return self._outline

    def picture(self, page: int, *, edge: int, quality: int) -> tuple[bytes, int, int]:
        """One page as JPEG. The scale follows from the edge, so no page size makes it large."""
        self._drawn += 1
        if self._drawn % _DRAWN_UNTIL_REOPENED == 0:
            self._file.close()
            self._file = pypdfium2.PdfDocument(self._path, password=self._password)
        opened = self._file[page - 1]
        try:
            scale = edge / max(*opened.get_size(), 1.0)
            drawn = opened.render(scale=scale, rev_byteorder=True, may_draw_forms=False)
            try:
                return to_jpeg(drawn.to_pil(), edge=edge, quality=quality)
            finally:
                drawn.close()
        finally:
            opened.close()


class PdfiumRenderer(Renderer):
    """The child's object that opens PDFs with pypdfium2."""

    open_pdf = Pdfium


@dataclass(frozen=True, slots=True)
class _Turn:
    """From PDF units (origin bottom left, before /Rotate) to the page as displayed."""

    crop: Rect
    quarters: int

    @classmethod
    def of(cls, page: Any) -> "_Turn":
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


class _Characters:
    """Walks the characters of a page; runs of one text object on one line become spans."""

    def __init__(self, text: Any, turn: _Turn) -> None:
        self._text = text.raw
        self._count = text.count_chars()
        self._turn = turn
        self._styles: dict[int | None, _Style] = {}
        self._box = raw.FS_RECTF()

    def lines(self) -> tuple[list[list[Span]], int]:
        lines: list[list[Span]] = [[]]
        unmapped = 0
        for first, last, letters, style in self._runs():
            if letters == "\n":
                lines.append([])
                continue
            unmapped += sum(raw.FPDFText_HasUnicodeMapError(self._text, at) == 1 for at in (first, last))
            box = self._run_box(first, last)
            lines[-1].append(
                Span(
                    text=letters,
                    box=box,
                    size=style.size,
                    bold=style.bold,
                    mono=style.mono,
                    colour=style.colour,
                    painted=style.painted,
                    upright=style.upright,
                    font=style.font,
                )
            )
        return [line for line in lines if line], unmapped

    def _runs(self) -> "Iterator[tuple[int, int, str, _Style]]":
        """First and last index, text and style; a line's end is a run of its own. Generated spaces join a run."""
        letters: list[str] = []
        first = last = 0
        owner: int | None = None
        for at in range(self._count):
            code = raw.FPDFText_GetUnicode(self._text, at)
            if code in (_RETURN, _NEWLINE):
                if letters:
                    yield first, last, _joined(letters), self._style(first, owner)
                    letters = []
                if code == _NEWLINE:
                    yield at, at, "\n", self._style(at, None)
                continue
            if raw.FPDFText_IsGenerated(self._text, at) == 1:
                letters.append(" " if code == 0x20 else "-" if code == _HYPHEN else "")
                continue
            now = ctypes.cast(raw.FPDFText_GetTextObject(self._text, at), ctypes.c_void_p).value
            if letters and now != owner:
                yield first, last, _joined(letters), self._style(first, owner)
                letters = []
            if not letters:
                first = at
            owner, last = now, at
            letters.append("-" if code == _HYPHEN else chr(code) if 0 < code < 0x110000 else "\ufffd")
        if letters:
            yield first, last, _joined(letters), self._style(first, owner)

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
            and (
                alpha >= _OPAQUE_FROM or mode in (raw.FPDF_TEXTRENDERMODE_STROKE, raw.FPDF_TEXTRENDERMODE_STROKE_CLIP)
            ),
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


def _links(file: Any, page: Any, turn: _Turn) -> Iterator[tuple[Rect, str]]:
    """Where a web address is followed from."""
    at, link, box = ctypes.c_int(0), raw.FPDF_LINK(), raw.FS_RECTF()
    while raw.FPDFLink_Enumerate(page.raw, at, link):
        action = raw.FPDFLink_GetAction(link)
        if not action or raw.FPDFAction_GetType(action) != raw.PDFACTION_URI:
            continue
        size = raw.FPDFAction_GetURIPath(file.raw, action, None, 0)
        if 0 < size <= _URI_BYTES_MAX and raw.FPDFLink_GetAnnotRect(link, box):
            uri = ctypes.create_string_buffer(size)
            raw.FPDFAction_GetURIPath(file.raw, action, uri, size)
            yield turn.box(box.left, box.bottom, box.right, box.top), uri.value.decode("utf-8", "replace")


def _add_drawings(sheet: Sheet, page: Any, turn: _Turn) -> None:
    texts = 0
    pictures: list[tuple[Rect, int]] = []
    for found in page.get_objects(max_depth=_FORM_DEPTH_MAX):
        sheet.inked = True
        if found.type == raw.FPDF_PAGEOBJ_TEXT:
            texts += 1
        elif found.type == raw.FPDF_PAGEOBJ_PATH and found.container is None:
            _add_path(sheet, found, turn)
        elif found.type == raw.FPDF_PAGEOBJ_IMAGE:
            pictures.append((turn.box(*_on_page(found)), texts))
    sheet.pictures += [Picture(box, covers_text=before * 2 > texts) for box, before in pictures if area(box) > 0]


def _on_page(found: Any) -> Rect:
    """Bounds of an object, out of the forms that it lies in."""
    left, bottom, right, top = found.get_bounds()
    form = found.container
    while form is not None:
        matrix = form.get_matrix()
        corners = [matrix.on_point(x, y) for x in (left, right) for y in (bottom, top)]
        left, right = min(x for x, _ in corners), max(x for x, _ in corners)
        bottom, top = min(y for _, y in corners), max(y for _, y in corners)
        form = form.container
    return left, bottom, right, top


def _add_path(sheet: Sheet, path: Any, turn: _Turn) -> None:
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    raw.FPDFPath_GetDrawMode(path, fill, stroke)
    if not fill.value and not stroke.value:
        return
    colours = [ctypes.c_uint() for _ in range(4)]
    read = raw.FPDFPageObj_GetFillColor if fill.value else raw.FPDFPageObj_GetStrokeColor
    read(path, *colours)
    red, green, blue, alpha = (colour.value & 0xFF for colour in colours)
    if alpha < _OPAQUE_FROM:
        return
    segments = raw.FPDFPath_CountSegments(path)
    box = turn.box(*path.get_bounds())
    if fill.value:
        sheet.draw(box, red << 16 | green << 8 | blue, stroked=False)
    if stroke.value:
        _add_stroke(sheet, list(_edges(path, segments, turn)) if segments <= _SEGMENTS_MAX else [], box)


def _add_stroke(sheet: Sheet, edges: list[Rect], box: Rect) -> None:
    """A path of level and plumb pieces rules; any other, and one of too many pieces, is a curve."""
    if not edges or not all(map(_is_straight, edges)):
        sheet.curves.append(box)
    elif len(edges) == 1:
        sheet.draw(box, 0, stroked=True)
    else:
        for edge in edges:
            sheet.draw(edge, 0, stroked=False)
        if len(edges) in _FRAME_EDGES:
            sheet.frames.append(box)


def _edges(path: Any, segments: int, turn: _Turn) -> "Iterator[Rect]":
    """The box of every piece of a stroked path."""
    matrix = path.get_matrix()
    start = here = (0.0, 0.0)
    x, y = ctypes.c_float(), ctypes.c_float()
    for index in range(segments):
        segment = raw.FPDFPath_GetPathSegment(path, index)
        raw.FPDFPathSegment_GetPoint(segment, x, y)
        there = turn.point(*matrix.on_point(x.value, y.value))
        kind = raw.FPDFPathSegment_GetType(segment)
        if kind == raw.FPDF_SEGMENT_MOVETO:
            start = there
        else:
            yield ordered(*here, *there)
        if raw.FPDFPathSegment_GetClose(segment):
            yield ordered(*there, *start)
        here = there


def _is_straight(piece: Rect) -> bool:
    short, long = sorted((piece[2] - piece[0], piece[3] - piece[1]))
    return short <= max(_SLANT_MAX, _SLANT_SHARE_MAX * long)


def _joined(letters: list[str]) -> str:
    """The engine gives UTF-16 code units: pairs become characters, a half alone becomes U+FFFD."""
    return "".join(letters).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
