"""The type is decided from content, and what is refused is named."""

from pathlib import Path

import pytest

from folio.errors import Cause, Permanent
from ingest.sniff import JPEG, PDF, PNG, TIFF, WEBP, media_type
from tests import hostile_files as make


@pytest.mark.parametrize(("suffix", "expected"), [("jpg", JPEG), ("png", PNG), ("webp", WEBP), ("tiff", TIFF)], ids=str)
def test_images_are_known_by_their_first_bytes(tmp_path: Path, suffix: str, expected: str) -> None:
    file = make.image(tmp_path / f"a.{suffix}")
    assert media_type(file.rename(tmp_path / "renamed.pdf")) == expected


def test_a_pdf_may_have_a_little_in_front_of_its_header(tmp_path: Path) -> None:
    file = make.pdf(tmp_path / "a.pdf", make.prose)
    file.write_bytes(b"\xef\xbb\xbf\n" + file.read_bytes())
    assert media_type(file) == PDF


@pytest.mark.parametrize(
    ("content", "seems"),
    [
        (b"", "an empty file"),
        (b"Dear reader,\nthis is a letter.", "plain text"),
        ("Grüße".encode() * 2000, "plain text"),
        (b"PK\x03\x04\x14\0\0\0\x08\0aaaa" + b"word/document.xml", "a Word document"),
        (b"PK\x03\x04\x14\0\0\0\x08\0notes.txt %PDF-1.7", "a zip archive"),
        (b"GIF89a" + b"\0" * 20, "a GIF image"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 20, "a HEIC or AVIF image"),
        (b"<!DOCTYPE html><html>%PDF-1.4", "an HTML or XML page"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG image"),
        (b"\x7fELF\x02\x01\x01", "a program"),
        (b"\x01\x02\x03\0\xff\xfe", "binary content of no known type"),
    ],
)
def test_everything_else_is_refused_by_name(tmp_path: Path, content: bytes, seems: str) -> None:
    file = tmp_path / "claims-to-be.pdf"
    file.write_bytes(content)
    with pytest.raises(Permanent) as refused:
        media_type(file)
    assert refused.value.cause == Cause.UNSUPPORTED_TYPE
    assert f"It seems to be {seems}" in refused.value.detail
