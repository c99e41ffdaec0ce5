"""PDF engine 2, pypdfium2 (BSD / Apache-2.0): the same pages without PyMuPDF; runs in the sandbox child only."""

import ctypes
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pypdfium2
from pypdfium2 import raw

from folio.errors import Cause, Permanent
from ingest.ahead import BOOKMARKS_MAX, LINKS_MAX, Ahead
from ingest.images import to_jpeg
from ingest.pdfium_lines import OPAQUE_FROM, Characters, Turn
from ingest.render import Renderer, locked
from ingest.sheet import Picture, Rect, Sheet, area, ordered

_SEGMENTS_MAX = 400
_SLANT_MAX, _SLANT_SHARE_MAX = 0.25, 0.02
_FRAME_EDGES = (4, 5)
_URI_BYTES_MAX = 4096
_FORM_DEPTH_MAX = 4
_DRAWN_UNTIL_REOPENED = 32
"""The engine keeps every image stream of an open file; opening it again is the only way to let them go."""


class Pdfium:
    """An open PDF."""

    name = "pypdfium2"
    lost_picture = False
    """It does not say."""

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

    def sheet(self, page: int, last: int | None = None) -> Sheet:
        """Text, lines and images of one page; pages after `last` are not looked at."""
        return self._ahead.sheet(page, last)

    def _read(self, page: int) -> Sheet:
        opened = self._file[page - 1]
        try:
            turn = Turn.of(opened)
            sheet = Sheet(width=turn.width, height=turn.height)
            text = opened.get_textpage()
            try:
                sheet.lines, sheet.unmapped = Characters(text, turn).lines()
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


def _links(file: Any, page: Any, turn: Turn) -> Iterator[tuple[Rect, str]]:
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


def _add_drawings(sheet: Sheet, page: Any, turn: Turn) -> None:
    texts = 0
    pictures: list[tuple[Rect, int]] = []
    for found in page.get_objects(max_depth=_FORM_DEPTH_MAX):
        sheet.inked = True
        if found.type == raw.FPDF_PAGEOBJ_TEXT:
            texts += 1
        elif found.type == raw.FPDF_PAGEOBJ_PATH:
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


def _add_path(sheet: Sheet, path: Any, turn: Turn) -> None:
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    raw.FPDFPath_GetDrawMode(path, fill, stroke)
    if not fill.value and not stroke.value:
        return
    colours = [ctypes.c_uint() for _ in range(4)]
    read = raw.FPDFPageObj_GetFillColor if fill.value else raw.FPDFPageObj_GetStrokeColor
    read(path, *colours)
    red, green, blue, alpha = (colour.value & 0xFF for colour in colours)
    if alpha < OPAQUE_FROM:
        return
    segments = raw.FPDFPath_CountSegments(path)
    box = turn.box(*_on_page(path))
    if fill.value:
        whole = segments in _FRAME_EDGES and all(map(_is_straight, _edges(path, segments, turn)))
        sheet.draw(box, red << 16 | green << 8 | blue, stroked=False, bent=not whole)
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


def _edges(path: Any, segments: int, turn: Turn) -> "Iterator[Rect]":
    """The box of every piece of a stroked path."""
    matrix, form = path.get_matrix(), path.container
    while form is not None:
        matrix, form = matrix.multiply(form.get_matrix()), form.container
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
