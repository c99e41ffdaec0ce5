"""The type is decided from content, a name tells kinds of text apart, and what is refused is named."""

from pathlib import Path

import pytest

from folio.errors import Cause, Permanent
from ingest import sniff
from ingest.sniff import HTML, MARKDOWN, PDF, TEXT, media_type, media_type_of
from tests import hostile_files as make

PAGE = b"<!DOCTYPE html><html><body><p>Harbour dues rose.</body></html>"


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        ("jpg", sniff.JPEG),
        ("png", sniff.PNG),
        ("webp", sniff.WEBP),
        ("tiff", sniff.TIFF),
        ("bmp", sniff.BMP),
        ("gif", sniff.GIF),
        ("jp2", sniff.JPEG2000),
        ("j2k", sniff.JPEG2000),
        ("avif", sniff.AVIF),
        ("heic", sniff.HEIC),
    ],
    ids=str,
)
def test_images_are_known_by_their_first_bytes(tmp_path: Path, suffix: str, expected: str) -> None:
    file = make.image(tmp_path / f"a.{suffix}")
    assert media_type(file.rename(tmp_path / "renamed.pdf")) == expected


def test_a_pdf_may_have_a_little_in_front_of_its_header(tmp_path: Path) -> None:
    file = make.pdf(tmp_path / "a.pdf", make.prose)
    file.write_bytes(b"\xef\xbb\xbf\n" + file.read_bytes())
    assert media_type(file) == PDF


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (b"# A heading\n", "notes.md", MARKDOWN),
        (b"# A heading\n", "notes.txt", TEXT),
        (b"# A heading\n", "README", TEXT),
        (b"# A heading\n", "", TEXT),
        (b"no markup", "page.htm", HTML),
        (b"a,b\n1,2", "a.CSV", sniff.CSV),
        (PAGE, "page.html", HTML),
        (PAGE, "stdin", HTML),
        (b"\xef\xbb\xbf<!-- saved -->\n<html lang=de>", "page", HTML),
        (b"<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC 'x'><html>", "page", HTML),
        (PAGE, "how-html-works.md", MARKDOWN),
        (b"BMW and BM are not pictures; MZ is no program; %PDF-1.7 is how a PDF begins.", "a.txt", TEXT),
        (b"MZ is no program", "", TEXT),
        ("Grüße".encode("utf-16"), "a.txt", TEXT),
        ("Größe und Maß\r\n".encode("cp1252"), "a.txt", TEXT),
        ("港务费再次上涨。".encode("gb18030") * 9, "a.txt", TEXT),
        (b'{"a": 1}', "a.json", TEXT),
        (b"Note: this is no mail\nFrom: here on\n\nReceived: nothing", "a.log", TEXT),
        (b"Note: this is no mail\n\nReceived: nothing", "a", TEXT),
    ],
)
def test_text_is_told_apart_by_its_name(content: bytes, name: str, expected: str) -> None:
    assert media_type_of(content, name) == expected


@pytest.mark.parametrize(
    ("content", "seems", "advice"),
    [
        (b"", "an empty file", "0 bytes"),
        (b"Dear reader,\nthis is a letter.", "plain text", "name ends in .pdf"),
        ("Grüße".encode() * 2000, "plain text", "name it .html, .md or .txt"),
        (PAGE, "an HTML page", "failed download"),
        (b"PK\x03\x04\x14\0\0\0\x08\0aaaa" + b"word/document.xml", "a Word document", "as PDF"),
        (b"PK\x03\x04\x14\0\0\0\x08\0notes.txt %PDF-1.7", "a zip archive", "unpack it"),
        (b"\0\0\0\x18ftypisom" + b"\0" * 20, "a video", "nothing in it to read"),
        (b"<!DOCTYPE html><html>%PDF-1.4", "an HTML page", "failed download"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG image", "convert it"),
        (b"<?xml version='1.0'?><invoice/>", "an XML file", "convert it"),
        (b"\x7fELF\x02\x01\x01", "a program", "nothing in it to read"),
        (b"\x01\x02\x03\0\xff\xfe", "binary content of no known type", "convert it"),
        (bytes(range(1, 256)) * 4, "binary content of no known type", "convert it"),
        (b"A\0B\0C\0", "binary content of no known type", "convert it"),
    ],
)
def test_everything_else_is_refused_by_name(tmp_path: Path, content: bytes, seems: str, advice: str) -> None:
    file = tmp_path / "claims-to-be.pdf"
    file.write_bytes(content)
    with pytest.raises(Permanent) as refused:
        media_type(file)
    assert refused.value.cause == Cause.UNSUPPORTED_TYPE
    assert f"It seems to be {seems}" in refused.value.detail
    assert advice in refused.value.detail


@pytest.mark.parametrize(
    ("content", "name", "advice"),
    [
        (b"Subject: dues\nMIME-Version: 1.0\n\nDear reader", "a.eml", "print it as PDF"),
        (b"Received: from here\r\n by there\r\nFrom: a@example.com\r\n\r\nDear", "stdin", "print it as PDF"),
        (b"PK\x03\x04" + b"\x14" * 60, "report.docx", "save or print it as PDF"),
        (b"{\\rtf1 text}", "a.txt", "save or print it as PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.doc", "save or print it as PDF"),
    ],
)
def test_what_is_refused_says_what_to_convert_to(content: bytes, name: str, advice: str) -> None:
    with pytest.raises(Permanent, match=advice) as refused:
        media_type_of(content, name)
    assert refused.value.cause == Cause.UNSUPPORTED_TYPE
