"""Image files: upright, flattened, one page a frame, and never more pixels than allowed."""

import io
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from PIL import Image

from folio.errors import Cause, Permanent
from ingest.images import ImageFile, flattened
from ingest.sniff import media_type
from tests import hostile_files as make

MANY = 64_000_000
SUFFIXES = ["jpg", "png", "webp", "tiff", "bmp", "gif", "jp2", "j2k", "avif", "heic"]


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


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_shows_what_was_saved(tmp_path: Path, suffix: str) -> None:
    picture = drawn(make.image(tmp_path / f"a.{suffix}"))
    assert picture.size == (300, 200)
    assert picture.getpixel((20, 20)) < 70
    assert picture.getpixel((250, 150)) > 200


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_an_animation_is_one_page_with_its_first_frame(tmp_path: Path, suffix: str) -> None:
    file = opened(make.animation(tmp_path / f"a.{suffix}"))
    assert file.page_count == 1
    jpeg, _, _ = file.picture(1, edge=100, quality=95)
    assert Image.open(io.BytesIO(jpeg)).getpixel((20, 20)) == (0, 0, 0)


def test_a_photo_turned_by_a_phone_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = drawn(make.image(tmp_path / "a.heic", exif=exif.tobytes(), quality=90))
    assert picture.size == (200, 300)
    assert picture.getpixel((190, 10)) < 70


@pytest.mark.parametrize("resolutions", [1, 6])
def test_a_large_jpeg_2000_is_decoded_smaller_where_it_can_be(tmp_path: Path, resolutions: int) -> None:
    file = make.image(tmp_path / "a.jp2", size=(3000, 2000), num_resolutions=resolutions)
    assert drawn(file, edge=600).size == (600, 400)


@pytest.mark.parametrize(
    "save",
    [{"compression": "group4"}, {"compression": "tiff_lzw"}, {"big_tiff": True}, {"compression": "jpeg"}],
    ids=str,
)
def test_kinds_of_tiff(tmp_path: Path, save: dict[str, object]) -> None:
    mode = "1" if save.get("compression") == "group4" else "RGB"
    picture = drawn(make.image(tmp_path / "a.tiff", mode=mode, **save))
    assert picture.getpixel((20, 20)) < 60
    assert picture.getpixel((250, 150)) > 200


def test_a_tiff_in_tiles(tmp_path: Path) -> None:
    file = make.tiled_tiff(tmp_path / "a.tiff")
    assert drawn(file).size == (128, 64)
    assert drawn(file).getpixel((10, 10)) < 60
    assert drawn(file).getpixel((100, 10)) > 200


@pytest.mark.parametrize("suffix", ["gif", "bmp", "tiff", "jp2", "heic"])
def test_a_header_that_promises_too_much_is_refused_unread(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(Permanent, match="60,000 x 60,000") as refused:
        opened(make.grown(tmp_path / f"a.{suffix}", 60_000))
    assert refused.value.cause == Cause.PIXEL_LIMIT


def test_any_number_of_frames_is_counted_and_each_is_read(tmp_path: Path) -> None:
    file = opened(make.many_frames_tiff(tmp_path / "a.tiff", 300))
    assert file.page_count == 300
    assert file.picture(300, edge=100, quality=85)[1:] == (8, 8)


def test_frames_that_go_in_a_circle_end(tmp_path: Path) -> None:
    assert opened(make.looping_tiff(tmp_path / "a.tiff")).page_count <= 2


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != "j2k"])
def test_a_cut_off_image_is_corrupt(tmp_path: Path, suffix: str) -> None:
    file = make.image(tmp_path / f"a.{suffix}", size=(1000, 800))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(Permanent) as refused:
        opened(file).picture(1, edge=500, quality=85)
    assert refused.value.cause == Cause.CORRUPT


AS_NOBODY = """
import ctypes, os, resource, sys
import markdown_it, pillow_heif, selectolax.lexbor, charset_normalizer
from PIL import Image
import ingest.textfile, ingest.webpage
from ingest.render import Renderer
from ingest.sniff import HEIC, media_type
from pathlib import Path
Image.init()
if os.geteuid() == 0:
    os.setuid(65534)  # no limit on processes holds for root
for name in sys.argv[1:]:
    path = Path(name)
    kind = media_type(path)
    if os.fork() == 0:
        renderer = Renderer(threads=kind == HEIC)
        renderer.open(name, kind, "")
        (frame,) = renderer.pages([1], [], ahead=False)
        os._exit(0 if frame.get("image") or frame.get("markdown") else 1)
    if os.wait()[1]:
        sys.exit(f"{name} was not read")
"""


def test_every_format_is_read_by_somebody_who_may_start_no_process() -> None:
    """Containers run us as nobody in particular; decoders that start threads fail there, and only there."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        files = [make.image(Path(folder) / f"a.{suffix}", size=(600, 400)) for suffix in SUFFIXES]
        page = Path(folder) / "a.html"
        page.write_text("<html><p>Harbour dues", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, *map(str, [*files, page])], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
