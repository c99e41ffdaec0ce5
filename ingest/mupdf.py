"""PDF engine 1, PyMuPDF (AGPL or commercial): the only module that imports it; runs in the sandbox child only."""

import base64
import sys
import tempfile
import zlib
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image

from folio.errors import Cause, Permanent
from ingest.ahead import BOOKMARKS_MAX, LINKS_MAX, Ahead
from ingest.images import MADE_UP, is_made_up, is_progressive, to_jpeg
from ingest.mupdf_lines import OPAQUE_FROM, Turn, doubts, spans_of
from ingest.render import Renderer, locked
from ingest.sheet import Picture, Rect, Sheet, area
from ingest.textlayer import TextLayer

# Its layout model would load onnxruntime and numpy: 0.5 s and threads that a forking process must not have.
for _unused in ("pymupdf.layout", "pymupdf4llm"):
    sys.modules[_unused] = None  # type: ignore[assignment]  # the documented way to make an import fail
import pymupdf  # noqa: E402  # after the line above

pymupdf.TOOLS.mupdf_display_errors(False)
pymupdf.TOOLS.mupdf_display_warnings(False)

_FLAGS = (
    pymupdf.TEXT_PRESERVE_LIGATURES
    | pymupdf.TEXT_PRESERVE_WHITESPACE
    | pymupdf.TEXT_MEDIABOX_CLIP
    | pymupdf.TEXT_COLLECT_VECTORS
)
_TEXT, _VECTOR = 0, 3
_UNREADABLE = ("zlib error", "read error", "syntax error")
_BROKEN_OFF, _LOST, _CHECKSUM = "premature end of data", "read error", "incorrect data check"
"""Of a packed stream: it ends before its last block (or without a checksum); nothing behind some point unpacks; it
unpacks to other bytes than its checksum says."""
_NO_PICTURE = "jpeg error"
"""A JPEG that is not painted at all."""
_PICTURE_ENDS_EARLY = "premature end of file in jpeg"
"""Data are missing, or nothing but the end mark, which some writers leave out."""
_ZLIB_HEADER_BYTES = 2
_UNPACKED_AT_ONCE = 1 << 20
_PACKED_BLANK_MAX = 24
"""What the packing of no bytes may come to."""
_DRAWN_UNTIL_SHRUNK = 16
"""The engine keeps decoded images, up to 256 MB of them; a scan's are never asked for again."""


class MuPdf:
    """An open PDF."""

    name = "pymupdf"

    def __init__(self, path: Path, password: str = "") -> None:
        self._file = pymupdf.open(str(path), filetype="pdf")
        if self._file.needs_pass and not self._file.authenticate(password):
            raise locked(password)
        if self._file.is_closed or not self._file.is_pdf:
            raise Permanent(Cause.CORRUPT, "The file says that it is a PDF but cannot be opened as one.")
        self.page_count: int = self._file.page_count
        self._drawn = 0
        self.lost_picture = False
        self._ahead = Ahead(self._read, self.page_count)
        self._outline: dict[int, list[tuple[int, str]]] | None = None

    def sheet(self, page: int, last: int | None = None) -> Sheet:
        """Text, lines and images of one page; pages after `last` are not looked at."""
        return self._ahead.sheet(page, last)

    def _read(self, page: int) -> Sheet:
        """One pass for text and drawings: get_drawings would be a second."""
        opened = self._file[page - 1]
        _listen()
        size = opened.rect
        sheet = Sheet(width=size.width, height=size.height)
        turn = _turn(opened)
        blocks = opened.get_text("dict", flags=_FLAGS)["blocks"]
        texts = [block for block in blocks if block["type"] == _TEXT]
        if found := doubts(texts):
            texts = opened.get_text("rawdict", flags=_FLAGS & ~pymupdf.TEXT_COLLECT_VECTORS)["blocks"]
        sheet.lines += [spans_of(line, turn, found) for block in texts for line in block["lines"]]
        for block in blocks:
            if block["type"] == _VECTOR and block["alpha"] >= OPAQUE_FROM:
                box = turn.box(_trimmed(block))
                if block["stroked"] and not block["isrect"]:
                    sheet.curves.append(box)
                else:
                    sheet.draw(box, block["color"], stroked=block["stroked"], bent=not block["isrect"])
        _add_pictures(sheet, opened.get_bboxlog(), turn)
        complaint = pymupdf.TOOLS.mupdf_warnings()
        if not sheet.inked or any(word in complaint for word in (*_UNREADABLE, _BROKEN_OFF)):
            sheet.damaged = self._is_damaged(opened, complaint)
        if not sheet.inked and not sheet.damaged:
            self._refuse_unreadable(opened, complaint)
        link = opened.load_links()
        while link is not None and len(sheet.links) < LINKS_MAX:
            if link.uri:
                sheet.links.append((turn.box(tuple(link.rect)), link.uri))
            link = link.next
        sheet.outline = self._bookmarks().get(page, [])
        return sheet

    def _is_damaged(self, opened: Any, complaint: str) -> bool:
        """Whether bytes of its content are gone, or others than were written. Some writers get the checksum wrong."""
        for at in opened.get_contents():
            _listen()
            found, packed = self._file.xref_stream(at), self._file.xref_stream_raw(at) or b""
            said = pymupdf.TOOLS.mupdf_warnings()
            if (not found and len(packed) > _PACKED_BLANK_MAX) or _LOST in said:
                return True
            if _CHECKSUM in said and "syntax error" in complaint:
                return True
            if _BROKEN_OFF in said and not _is_whole(packed, self._file.xref_get_key(at, "Filter")[1]):
                return True
        return False

    def _refuse_unreadable(self, opened: Any, complaint: str) -> None:
        """The engine gives a page that it cannot read as one on which nothing is painted."""
        if not self._file.xref_object(opened.xref).lstrip().startswith("<<"):
            raise Permanent(Cause.CORRUPT, "The page cannot be read: its object is no page.")
        if any(word in complaint for word in _UNREADABLE):
            raise Permanent(Cause.CORRUPT, "The page cannot be read: its content is damaged.")

    def _bookmarks(self) -> dict[int, list[tuple[int, str]]]:
        """Level and title of every bookmark, by page; a broken outline is none."""
        if self._outline is None:
            self._outline = {}
            with suppress(Exception):
                for level, title, page in self._file.get_toc(simple=True)[:BOOKMARKS_MAX]:
                    self._outline.setdefault(page, []).append((level, title))
        return self._outline

    def picture(self, page: int, *, edge: int, quality: int) -> tuple[bytes, int, int]:
        """One page as JPEG. The scale follows from the edge, so no page size makes it large."""
        opened = self._file[page - 1]
        _listen()
        size = opened.rect
        scale = edge / max(size.width, size.height, 1.0)
        drawn = opened.get_pixmap(matrix=pymupdf.Matrix(scale, scale), colorspace=pymupdf.csRGB, alpha=False)
        picture = Image.frombuffer("RGB", (drawn.width, drawn.height), drawn.samples_mv)
        said = pymupdf.TOOLS.mupdf_warnings()
        self.lost_picture = _NO_PICTURE in said or (_PICTURE_ENDS_EARLY in said and self._has_lost_end(opened, picture))
        self._drawn += 1
        if self._drawn % _DRAWN_UNTIL_SHRUNK == 0:
            pymupdf.TOOLS.store_shrink(100)
        return to_jpeg(picture, edge=edge, quality=quality)

    def _has_lost_end(self, opened: Any, drawn: Image.Image) -> bool:
        """Whether a JPEG lacks more than its end mark: its last pixels, in any corner if turned, or a last pass."""
        kept = (self._file.xref_stream_raw(image[0]) for image in opened.get_images() if "DCTDecode" in image[8])
        if any(is_progressive(raw or b"") for raw in kept):
            return True
        turn = _turn(opened)
        scale = drawn.width / max(opened.rect.width, 1.0)
        for box in (turn.box(box) for kind, box in opened.get_bboxlog() if kind == "fill-image"):
            left, right = (round(min(max(x * scale, 0), drawn.width)) for x in box[::2])
            top, bottom = (round(min(max(y * scale, 0), drawn.height)) for y in box[1::2])
            if any(is_made_up(drawn, x, y) for x, y in product((left, right - MADE_UP), (top, bottom - MADE_UP))):
                return True
        return False


def _turn(opened: Any) -> Turn:
    return Turn(opened.rotation_matrix if opened.rotation else None)


def _listen() -> None:
    """From here on the engine's warnings are ours. One that repeats the last would only be counted."""
    pymupdf.mupdf.fz_warn("folio listens")
    pymupdf.TOOLS.reset_mupdf_warnings()


def _is_whole(packed: bytes, filters: str) -> bool:
    """Whether the last block of a packed stream ends; the checksum after it may be missing. Of other filters: True."""
    filters = filters.strip("[] ")
    try:
        if filters == "/ASCII85Decode/FlateDecode":
            packed = base64.a85decode(packed.removesuffix(b"~>"), ignorechars=b" \t\n\r\v\0")
        elif filters != "/FlateDecode":
            return True
        inflating = zlib.decompressobj(-zlib.MAX_WBITS)
        rest = packed[_ZLIB_HEADER_BYTES:]
        while rest and not inflating.eof:
            inflating.decompress(rest, _UNPACKED_AT_ONCE)
            rest = inflating.unconsumed_tail
    except (ValueError, zlib.error):
        return False
    return inflating.eof


class MuPdfRenderer(Renderer):
    """The child's object that opens PDFs with PyMuPDF."""

    open_pdf = MuPdf

    @staticmethod
    def warm() -> None:
        """Read and draw a page of ours before the first fork, so that every child has fonts and code paths loaded."""
        with tempfile.TemporaryDirectory() as scratch, pymupdf.open() as made:
            page = made.new_page()
            for at, font in enumerate(("helv", "hebo", "tiro", "cour")):
                page.insert_text((72, 72 + 20 * at), "Some words to begin with.", fontname=font)
            made.save(f"{scratch}/warm.pdf")
            pdf = MuPdf(Path(scratch) / "warm.pdf")
            TextLayer().read(pdf.sheet(1))
            pdf.picture(1, edge=64, quality=50)


def _trimmed(block: dict[str, Any]) -> Rect:
    """The engine widens a stroke's box by a point on every side or so; bring thin ones back to their middle."""
    x0, y0, x1, y1 = block["bbox"]
    return (x0, y0, x1, y1) if not block["stroked"] else (x0 + 0.5, y0 + 0.5, x1 - 0.5, y1 - 0.5)


def _add_pictures(sheet: Sheet, painted: list[tuple[str, Rect]], turn: Turn) -> None:
    """Texts count by their area: one run of them may be nearly all of a page."""
    texts = sum(area(box) for kind, box in painted if kind in ("fill-text", "stroke-text"))
    before = 0.0
    sheet.inked = bool(painted)
    for kind, box in painted:
        before += area(box) if kind in ("fill-text", "stroke-text") else 0.0
        if kind in ("fill-image", "fill-imgmask") and area(box) > 0:
            sheet.pictures.append(Picture(turn.box(box), covers_text=before * 2 > texts))
