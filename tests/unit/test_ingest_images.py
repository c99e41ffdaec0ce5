"""Image files: upright, flattened, one page a frame, and never more pixels than allowed."""

import io
from pathlib import Path

import pytest
from PIL import Image

from folio.errors import Cause, Permanent
from ingest.images import ImageFile, flattened
from ingest.sniff import media_type
from tests import hostile_files as make

MANY = 64_000_000


def opened(path: Path, pixels_max: int = MANY) -> ImageFile:
    return ImageFile(path, media_type(path), pixels_max=pixels_max)


def drawn(path: Path, page: int = 1, edge: int = 1920) -> Image.Image:
    jpeg, width, height = opened(path).picture(page, edge=edge, quality=90)
    picture = Image.open(io.BytesIO(jpeg), formats=["JPEG"])
    assert picture.size == (width, height)
    return picture.convert("L")


def test_exif_orientation_is_applied_so_boxes_lie_on_what_people_see(tmp_path: Path) -> None:
    picture = drawn(make.turned_jpeg(tmp_path / "a.jpg"))
    assert picture.size == (200, 300)
    assert picture.getpixel((190, 10)) < 60, "the square is top right once the picture is upright"
    assert picture.getpixel((10, 10)) > 200


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *[("CMYK", "jpg"), ("CMYK", "tiff"), ("P", "png"), ("1", "tiff"), ("L", "png"), ("I;16", "png")],
        *[("I;16", "tiff"), ("RGBA", "webp"), ("F", "tiff"), ("LA", "png")],
    ],
)
def test_every_colour_mode_becomes_plain_colour(tmp_path: Path, mode: str, suffix: str) -> None:
    file = tmp_path / f"a.{suffix}"
    if mode == "I;16":
        grey = make.image(tmp_path / "grey.png", mode="L")
        wide = Image.open(grey).convert("I").point(lambda value: value * 257)
        wide.convert("I;16").save(file)
    else:
        make.image(file, mode=mode)
    picture = drawn(file)
    assert picture.getpixel((10, 10)) < 60
    assert picture.getpixel((250, 150)) > 200


def test_transparency_lies_on_white() -> None:
    assert flattened(Image.new("RGBA", (4, 4), (0, 0, 0, 0))).getpixel((1, 1)) == (255, 255, 255)
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0] * 256)
    palette.info["transparency"] = 0
    assert flattened(palette).getpixel((1, 1)) == (255, 255, 255)


def test_each_frame_of_a_tiff_is_a_page(tmp_path: Path) -> None:
    file = opened(make.frames_tiff(tmp_path / "a.tiff", 3))
    assert file.page_count == 3
    assert [file.picture(page, edge=1920, quality=85)[1] for page in (1, 2, 3)] == [120, 130, 140]


def test_a_large_image_is_made_smaller_and_a_small_one_is_left(tmp_path: Path) -> None:
    large = make.image(tmp_path / "large.png", size=(900, 300))
    assert drawn(large, edge=600).size == (600, 200)
    assert drawn(make.image(tmp_path / "small.png"), edge=600).size == (300, 200)


def test_too_many_pixels_are_refused_from_the_header(tmp_path: Path) -> None:
    with pytest.raises(Permanent) as refused:
        opened(make.huge_png(tmp_path / "a.png"))
    assert refused.value.cause == Cause.PIXEL_LIMIT
    assert "60,000 x 60,000" in refused.value.detail


def test_a_later_frame_with_too_many_pixels_is_refused_as_well(tmp_path: Path) -> None:
    file = opened(make.frames_tiff(tmp_path / "a.tiff", 3), pixels_max=130 * 90)
    file.picture(2, edge=100, quality=85)
    with pytest.raises(Permanent) as refused:
        file.picture(3, edge=100, quality=85)
    assert refused.value.cause == Cause.PIXEL_LIMIT


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_a_cut_off_image_is_corrupt(tmp_path: Path, suffix: str) -> None:
    file = make.image(tmp_path / f"a.{suffix}", size=(1000, 800))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(Permanent) as refused:
        opened(file).picture(1, edge=500, quality=85)
    assert refused.value.cause == Cause.CORRUPT
