"""Image files as pages: Pillow with a short list of formats, upright, flattened on white, within the pixel limit."""

import io
from pathlib import Path

from PIL import (
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from folio.errors import Cause, Permanent
from ingest import sniff

_FORMATS = {
    sniff.JPEG: JpegImagePlugin.JpegImageFile.format,
    sniff.PNG: PngImagePlugin.PngImageFile.format,
    sniff.TIFF: TiffImagePlugin.TiffImageFile.format,
    sniff.WEBP: WebPImagePlugin.WebPImageFile.format,
}


class ImageFile:
    """An open image file: one page, or as many as a TIFF has frames."""

    name = "pillow"

    def __init__(self, path: Path, media_type: str, *, pixels_max: int) -> None:
        Image.MAX_IMAGE_PIXELS = None  # our own limit, checked below before anything is decoded
        self._pixels_max = pixels_max
        try:
            self._file = Image.open(path, formats=[str(_FORMATS[media_type])])
            frames = getattr(self._file, "n_frames", 1)
        except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
            raise Permanent(Cause.CORRUPT, f"The image's header cannot be read: {error_text(error)}") from None
        self.page_count: int = frames if media_type == sniff.TIFF else 1
        self._check_pixels()

    def picture(self, page: int, *, edge: int, quality: int) -> tuple[bytes, int, int]:
        """One page as JPEG, turned as its EXIF says, so that a box on it is a box on what people see."""
        try:
            if self.page_count > 1 or page > 1:
                self._file.seek(page - 1)
                self._check_pixels()
            self._file.draft("RGB", (edge, edge))
            self._file.load()
            return to_jpeg(ImageOps.exif_transpose(self._file), edge=edge, quality=quality)
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise Permanent(Cause.CORRUPT, f"The image cannot be decoded: {error_text(error)}") from None

    def _check_pixels(self) -> None:
        width, height = self._file.size
        if width * height > self._pixels_max:
            raise Permanent(
                Cause.PIXEL_LIMIT, f"{width:,} x {height:,} pixels; ingest.pixels_max is {self._pixels_max:,}."
            )


def to_jpeg(image: Image.Image, *, edge: int, quality: int) -> tuple[bytes, int, int]:
    """Encode, made smaller (never larger) so that the longest edge fits: bytes, width, height."""
    image = flattened(image)
    if max(image.size) > edge:
        image.thumbnail((edge, edge), Image.Resampling.BICUBIC, reducing_gap=2.0)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue(), image.width, image.height


def flattened(image: Image.Image) -> Image.Image:
    """RGB, whatever it was: transparency on white, 16 bit and float scaled to 8."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        image = _eight_bit(image)
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", colours.size, "white")
        return Image.alpha_composite(white, colours).convert("RGB")
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """16 bit keep their top byte; 32 bit and float have no fixed range, so theirs is stretched."""
    wide = image.convert("F")
    low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else _range(wide)
    scale = 255.0 / (high - low) if high > low else 0.0
    return wide.point(lambda value: value * scale + -low * scale).convert("L")


def _range(image: Image.Image) -> tuple[float, float]:
    low, high = image.getextrema()
    assert isinstance(low, float | int)
    assert isinstance(high, float | int)
    return (0.0, 65535.0) if low >= 0 and 256 <= high <= 65535 else (float(low), float(high))


def error_text(error: BaseException) -> str:
    """An error's own words, short and printable; they may quote the file."""
    words = "".join(letter if letter.isprintable() else " " for letter in str(error))
    return words[:200] or type(error).__name__
