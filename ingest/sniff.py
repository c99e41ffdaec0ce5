"""What a file is, decided once and from its content; its name and the sender's word do not count."""

import re
from pathlib import Path

from folio.errors import Cause, Permanent

PDF = "application/pdf"
JPEG = "image/jpeg"
PNG = "image/png"
WEBP = "image/webp"
TIFF = "image/tiff"
TEXTS: frozenset[str] = frozenset()

HEAD_BYTES = 4096
PDF_HEADER_WITHIN = 1024  # readers accept this much in front of the header, and real files have it

_READ: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", PDF),
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),
    (b"MM\0+", TIFF),
)

_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (doc, xls, ppt)"),
    (b"{\\rtf", "a rich text document (rtf)"),
    (b"%!PS", "a PostScript file"),
    (b"AT&TFORM", "a DjVu document"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"SQLite format 3\0", "a SQLite file"),
)

_ZIPPED: tuple[tuple[bytes, str], ...] = (
    (b"word/", "a Word document (docx)"),
    (b"xl/", "an Excel workbook (xlsx)"),
    (b"ppt/", "a PowerPoint presentation (pptx)"),
    (b"mimetypeapplication/epub+zip", "an e-book (epub)"),
    (b"mimetypeapplication/vnd.oasis", "an OpenDocument file"),
)

_MARKUP = re.compile(rb"^\s*<(?:\?xml|!doctype|html|svg)", re.IGNORECASE)


def media_type(path: Path, name: str = "") -> str:
    """The media type that decides which decoder opens the file. Raises Permanent(unsupported_type)."""
    with path.open("rb") as file:
        return media_type_of(file.read(HEAD_BYTES))


def media_type_of(head: bytes) -> str:
    """The same from the file's first bytes."""
    for magic, kind in _READ:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    what = _known(head)
    if what is None and b"%PDF-" in head[:PDF_HEADER_WITHIN]:
        return PDF
    seems = what or _guessed(head)
    raise Permanent(
        Cause.UNSUPPORTED_TYPE,
        f"It seems to be {seems}. folio reads PDF, JPEG, PNG, WebP and TIFF: convert it to one of these first.",
    )


def _known(head: bytes) -> str | None:
    """A type that we recognise and do not read."""
    for magic, what in _REFUSED:
        if head.startswith(magic):
            return what
    if head.startswith(b"PK\x03\x04"):
        return next((what for mark, what in _ZIPPED if mark in head), "a zip archive")
    if head[4:8] == b"ftyp":
        return "a HEIC or AVIF image" if head[8:12] in (b"heic", b"heix", b"mif1", b"avif") else "a video"
    if _MARKUP.match(head):
        return "an SVG image" if b"<svg" in head.lower() else "an HTML or XML page"
    return None


def _guessed(head: bytes) -> str:
    if not head:
        return "an empty file"
    if b"\0" in head:
        return "binary content of no known type"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # not just a character cut at the end of what we read
            return "binary content of no known type"
    return "plain text"
