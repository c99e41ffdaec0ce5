"""What a file is, decided once and from its content; its name only tells kinds of text apart."""

import re
from pathlib import Path, PurePath
from typing import NoReturn

from folio.errors import Cause, Permanent

PDF = "application/pdf"
JPEG = "image/jpeg"
PNG = "image/png"
WEBP = "image/webp"
TIFF = "image/tiff"
BMP = "image/bmp"
GIF = "image/gif"
JPEG2000 = "image/jp2"
HEIC = "image/heic"
AVIF = "image/avif"
TEXT = "text/plain"
MARKDOWN = "text/markdown"
HTML = "text/html"
CSV = "text/csv"
TEXTS = frozenset({TEXT, MARKDOWN, HTML, CSV})

HEAD_BYTES = 4096
PDF_HEADER_WITHIN = 1024  # readers accept this much in front of the header, and real files have it
READS = "PDF, images (JPEG, PNG, WebP, TIFF, GIF, BMP, JPEG 2000, HEIC, AVIF), HTML, Markdown, CSV and plain text"

_READ: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", PDF),
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),
    (b"MM\0+", TIFF),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"\0\0\0\x0cjP  ", JPEG2000),
    (b"\xff\x4f\xff\x51", JPEG2000),
)

_TO_PDF = "save or print it as PDF, and add that"
_UNPACK = "unpack it, and add the files in it"
_NOTHING = "there is nothing in it to read"
_CONVERT = "convert it to one of these first"

_REFUSED: tuple[tuple[bytes, str, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document or message (doc, xls, ppt, msg)", _TO_PDF),
    (b"{\\rtf", "a rich text document (rtf)", _TO_PDF),
    (b"%!PS", "a PostScript file", "convert it to PDF (ps2pdf)"),
    (b"AT&TFORM", "a DjVu document", "convert it to PDF (ddjvu -format=pdf)"),
    (b"PK\x05\x06", "an empty zip archive", _NOTHING),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ\0", "an xz archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image", _CONVERT),
    (b"\xff\x0a", "a JPEG XL image", _CONVERT),
    (b"8BPS", "a Photoshop image", _CONVERT),
    (b"\x7fELF", "a program", _NOTHING),
    (b"SQLite format 3\0", "a SQLite file", _CONVERT),
)

_ZIPPED: tuple[tuple[bytes, str, str], ...] = (
    (b"word/", "a Word document (docx)", _TO_PDF),
    (b"xl/", "an Excel workbook (xlsx)", _TO_PDF),
    (b"ppt/", "a PowerPoint presentation (pptx)", _TO_PDF),
    (b"mimetypeapplication/epub+zip", "an e-book (epub)", "convert it to PDF or HTML (Calibre, pandoc)"),
    (b"mimetypeapplication/vnd.oasis", "an OpenDocument file", _TO_PDF),
)

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})

_TEXT_OF_SUFFIX = {
    **dict.fromkeys((".md", ".markdown", ".mdown", ".mkd"), MARKDOWN),
    **dict.fromkeys((".html", ".htm", ".xhtml"), HTML),
    **dict.fromkeys((".txt", ".text", ".log", ".rst", ".adoc", ".org", ".tex"), TEXT),
    **dict.fromkeys((".csv", ".tsv"), CSV),
}
_NO_TEXT_SUFFIXES = frozenset(
    {
        *(".pdf", ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".dib"),
        *(".jp2", ".j2k", ".j2c", ".jpx", ".jpf", ".heic", ".heif", ".hif", ".avif", ".djvu"),
        *(".docx", ".doc", ".xlsx", ".xls", ".pptx", ".ppt", ".odt", ".ods", ".odp", ".epub"),
        *(".zip", ".gz", ".7z", ".rar", ".exe"),
    }
)
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_WHITE = frozenset(b"\t\n\v\f\r\b\x1b")
_CONTROL_SHARE_MAX = 0.01
_PAGE = re.compile(
    rb"^\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_XML = re.compile(rb"^\s*<(?:\?xml|!doctype|svg)", re.IGNORECASE)
_MAIL_HEADERS = (b"received:", b"message-id:", b"mime-version:", b"return-path:", b"delivered-to:")
_MAIL_SUFFIXES = frozenset({".eml", ".mbox", ".mht", ".mhtml"})


def media_type(path: Path, name: str = "") -> str:
    """The media type that decides which decoder opens the file. `name` is the producer's, else the path's.

    Raises Permanent(unsupported_type) saying what it seems to be and what to do.
    """
    with path.open("rb") as file:
        return media_type_of(file.read(HEAD_BYTES), name or path.name)


def media_type_of(head: bytes, name: str = "") -> str:
    """The same from the file's first bytes."""
    suffix = PurePath(name).suffix.lower()
    head = head.removeprefix(b"\xef\xbb\xbf") or head
    known = _picture_or_pdf(head)
    if known is not None:
        return known
    if not head:
        refuse("an empty file", "it has 0 bytes, so look at where it came from")
    _refuse_known(head, suffix)
    is_text = looks_like_text(head)
    if not (is_text and suffix in _TEXT_OF_SUFFIX) and not _PAGE.match(head) and b"%PDF-" in head[:PDF_HEADER_WITHIN]:
        return PDF
    if not is_text:
        refuse("binary content of no known type", _CONVERT)
    return _kind_of_text(head, suffix)


def _picture_or_pdf(head: bytes) -> str | None:
    """A type that has a signature of its own."""
    for magic, kind in _READ:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return BMP
    if head[4:8] == b"ftyp":
        box = head[8 : max(12, int.from_bytes(head[:4]))]
        brands = {box[:4], *(box[at : at + 4] for at in range(8, len(box), 4))}
        if brands & _AVIF_BRANDS:
            return AVIF
        return HEIC if brands & _HEIC_BRANDS else None
    return None


def _refuse_known(head: bytes, suffix: str) -> None:
    """Refuse a type that we recognise and do not read."""
    for magic, what, advice in _REFUSED:
        if head.startswith(magic):
            refuse(what, advice)
    if head.startswith(b"PK\x03\x04"):
        by_name = {".docx": b"word/", ".xlsx": b"xl/", ".pptx": b"ppt/"}.get(suffix)
        for mark, what, advice in _ZIPPED:
            if mark in head or mark == by_name:
                refuse(what, advice)
        refuse("a zip archive", _UNPACK)
    if head[4:8] == b"ftyp":
        refuse("a video" if len(head) > 16 else "the first bytes of an image or a video", _NOTHING)
    if head.startswith(b"MZ") and b"\0" in head:
        refuse("a Windows program", _NOTHING)


def looks_like_text(head: bytes) -> bool:
    """Whether bytes can be text in some encoding: a byte order mark, or next to no control characters."""
    if head.startswith(_BOMS):
        return True
    controls = sum(byte < 32 and byte not in _WHITE for byte in head)
    return b"\0" not in head and controls <= _CONTROL_SHARE_MAX * len(head)


def _kind_of_text(head: bytes, suffix: str) -> str:
    """Text has no signature: here the name decides, and contradicts what is plainly something else."""
    if suffix in _TEXT_OF_SUFFIX:
        return _TEXT_OF_SUFFIX[suffix]
    page = _PAGE.match(head) is not None
    if not page and _XML.match(head):
        is_svg = b"<svg" in head.lower()
        refuse("an SVG image" if is_svg else "an XML file", "convert it to PDF, HTML or plain text")
    if suffix in _NO_TEXT_SUFFIXES:
        refuse(
            "an HTML page" if page else "plain text",
            f"its name ends in {suffix}, so look at where it came from (a failed download often looks like this);"
            " if it is what you want, name it .html, .md or .txt",
        )
    if suffix in _MAIL_SUFFIXES or _is_mail(head):
        refuse("an e-mail (eml)", "print it as PDF or save it as HTML, and add its attachments as files")
    return HTML if page else TEXT


def _is_mail(head: bytes) -> bool:
    """Headers up to the first empty line, one of them a mail's own."""
    lines = head.replace(b"\r\n", b"\n").split(b"\n\n")[0].lower().split(b"\n")
    headers = all(re.match(rb"[\w-]+:|[ \t]|from ", line) for line in lines[:-1])
    return headers and any(line.startswith(_MAIL_HEADERS) for line in lines)


def refuse(seems: str, advice: str) -> NoReturn:
    raise Permanent(Cause.UNSUPPORTED_TYPE, f"It seems to be {seems}: {advice}. folio reads {READS}.")
