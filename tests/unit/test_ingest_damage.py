"""PDFs whose bytes are not those that were written: what is missing is said, what is merely sloppy is read."""

import base64
import io
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from folio.errors import Cause
from ingest.limits import Limits
from ingest.opened import ReadPage
from ingest.sandbox import Sandbox
from tests import hostile_files as make

LINES = [f"Sheet {number}: the harbour pump ran for {number * 37} hours." for number in range(40)]
CONTENT = "BT /F1 12 Tf 72 800 Td " + " ".join(f"0 -16 Td ({line}) Tj" for line in LINES) + " ET"
PACKED = zlib.compress(CONTENT.encode())
HALF = len(PACKED) // 2
DARK = (40, 40, 40)


def page(path: Path, packed: bytes, filters: bytes = b"/FlateDecode") -> Path:
    return make.raw_pdf(
        path,
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Filter%s/Length %d>>stream\n%s\nendstream" % (filters, len(packed), packed),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    )


async def read(path: Path) -> ReadPage:
    sandbox = Sandbox(Limits())
    try:
        (only,) = [one async for one in sandbox.pages(path)]
    finally:
        await sandbox.close()
    return only


@pytest.mark.parametrize(
    "sloppy",
    [PACKED, PACKED[:-4], PACKED[:-4] + b"\0\0\0\0", PACKED + b"\n\n"],
    ids=["whole", "no checksum", "a wrong checksum", "more than the stream"],
)
async def test_what_some_writers_do_is_read(tmp_path: Path, sloppy: bytes) -> None:
    found = await read(page(tmp_path / "a.pdf", sloppy))
    assert (found.trusted, found.cause) == (True, None)
    assert all(line in found.markdown for line in (LINES[0], LINES[-1]))


@pytest.mark.parametrize(
    ("packed", "filters"),
    [
        (PACKED[:HALF], b"/FlateDecode"),
        (PACKED[:HALF] + bytes(40) + PACKED[HALF + 40 :], b"/FlateDecode"),
        (bytes(len(PACKED)), b"/FlateDecode"),
        (base64.a85encode(PACKED[:HALF]) + b"~>", b"[/ASCII85Decode/FlateDecode]"),
    ],
    ids=["half of it", "zeros in the middle", "nothing but zeros", "half of it as text"],
)
async def test_content_that_is_gone_fails_the_page_and_what_is_left_is_kept(
    tmp_path: Path, packed: bytes, filters: bytes
) -> None:
    found = await read(page(tmp_path / "a.pdf", packed, filters))
    assert (found.trusted, found.cause) == (False, Cause.CORRUPT)
    assert LINES[-1] not in found.markdown
    assert "damaged" in found.detail
    assert found.markdown.startswith(LINES[0]) is any(packed), "what is left"


def scan(path: Path, jpeg: bytes, turned: int = 0) -> Path:
    return make.raw_pdf(
        path,
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/Rotate %d/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>"
        % turned,
        b"<</Length 27>>stream\nq 595 0 0 842 0 0 cm /I Do Q\nendstream",
        b"<</Type/XObject/Subtype/Image/Width 600/Height 800/ColorSpace/DeviceRGB/BitsPerComponent 8/Filter/DCTDecode"
        b"/Length %d>>stream\n%s\nendstream" % (len(jpeg), jpeg),
    )


def drawn(ground: object, **how: bool) -> bytes:
    kept = io.BytesIO()
    paper = Image.new("RGB", (600, 800), ground)
    paper.paste(Image.effect_noise((500, 700), 80).convert("RGB"), (50, 50))
    paper.save(kept, "JPEG", **how)
    return kept.getvalue()


@pytest.mark.parametrize("turned", [0, 90])
@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (lambda jpeg: jpeg, None),
        (lambda jpeg: jpeg[:-2], None),
        (lambda jpeg: bytes(700) + jpeg[700:], Cause.CORRUPT),
        (lambda jpeg: jpeg[: len(jpeg) // 2], Cause.CORRUPT),
        (lambda jpeg: jpeg[: len(jpeg) * 9 // 10], Cause.CORRUPT),
    ],
    ids=["whole", "without the end mark", "without a beginning", "half of it", "most of it"],
)
async def test_a_scan_that_cannot_be_decoded_is_a_failed_page_and_no_blank_one(
    tmp_path: Path, damage: Callable[[bytes], bytes], cause: Cause | None, turned: int
) -> None:
    found = await read(scan(tmp_path / "a.pdf", damage(drawn("white")), turned))
    assert (found.cause, found.image is None) == (cause, cause is not None)


@pytest.mark.parametrize("kind", ["a.pdf", "a.jpg"])
@pytest.mark.parametrize(
    ("jpeg", "cause"),
    [
        (drawn(DARK)[:-2], None),
        (drawn(DARK)[:-3000], Cause.CORRUPT),
        (drawn(DARK, progressive=True), None),
        (drawn(DARK, progressive=True)[:18_000], Cause.CORRUPT),
    ],
    ids=["without the end mark", "broken off", "progressive", "progressive and broken off"],
)
async def test_a_scan_on_a_dark_ground_is_judged_alike_as_a_file_and_in_a_pdf(
    tmp_path: Path, jpeg: bytes, cause: Cause | None, kind: str
) -> None:
    path = tmp_path / kind
    if path.suffix == ".pdf":
        scan(path, jpeg)
    else:
        path.write_bytes(jpeg)
    found = await read(path)
    assert (found.cause, found.image is None) == (cause, cause is not None)
