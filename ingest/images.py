"""Image files as pages: Pillow with a short list of formats, upright, flattened on white, within the pixel limit."""

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
    features,
)

from folio.errors import Cause, Permanent
from ingest import sniff

_FORMATS = {
    sniff.JPEG: JpegImagePlugin.JpegImageFile.format,
    sniff.PNG: PngImagePlugin.PngImageFile.format,
    sniff.TIFF: TiffImagePlugin.TiffImageFile.format,
    sniff.WEBP: WebPImagePlugin.WebPImageFile.format,
    sniff.BMP: BmpImagePlugin.BmpImageFile.format,
    sniff.GIF: GifImagePlugin.GifImageFile.format,
    sniff.JPEG2000: Jpeg2KImagePlugin.Jpeg2KImageFile.format,
    sniff.AVIF: AvifImagePlugin.AvifImageFile.format,
    sniff.HEIC: "HEIF",
}
_BUILT_WITH = {sniff.JPEG2000: "jpg_2000", sniff.AVIF: "avif", sniff.WEBP: "webp"}
_HALVINGS_MAX = 5
_MADE_UP_GREY = (64, 136)
"""128 of grey and RGB; 72 to 82 of CMYK, as MuPDF shows it."""
_JPEG_END = b"\xff\xd9"
MADE_UP = 4
"""How many pixels of a corner, each way, must be made up: where one is, all of its block are."""
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, IndexError, KeyError, TypeError)
"""What decoders raise at bytes that they cannot make sense of, by their own tests and by what was met."""

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the sandbox starts no thread


class ImageFile:
    """An open image file: one page, or as many as a TIFF has frames. Of an animation the first frame is the page."""

    name = "pillow"

    def __init__(self, path: Path, media_type: str, *, pixels_max: int) -> None:
        Image.MAX_IMAGE_PIXELS = None  # our own limit, checked below before anything is decoded
        self._path = path
        self._media_type = media_type
        self._pixels_max = pixels_max
        self._file = self._opened()
        self.page_count = self._frames() if media_type == sniff.TIFF else 1
        self._check_pixels()

    def picture(self, page: int, *, edge: int, quality: int) -> tuple[bytes, int, int]:
        """One page as JPEG, turned as its EXIF says, so that a box on it is a box on what people see."""
        try:
            if self.page_count > 1 or page > 1:
                self._file.seek(page - 1)
                self._check_pixels()
            self._load(edge)
            return to_jpeg(ImageOps.exif_transpose(self._file), edge=edge, quality=quality)
        except _UNREADABLE as error:
            raise Permanent(Cause.CORRUPT, f"The image cannot be decoded: {error_text(error)}") from None

    def _opened(self) -> Image.Image:
        if not _is_built_with(self._media_type):
            raise Permanent(
                Cause.UNSUPPORTED_TYPE,
                f"This installation's Pillow was built without {self._media_type}: use its wheel.",
            )
        try:
            return Image.open(self._path, formats=[str(_FORMATS[self._media_type])])
        except (UnidentifiedImageError, *_UNREADABLE) as error:
            words = error_text(error).replace(f" {str(self._path)!r}", "")
            raise Permanent(Cause.CORRUPT, f"The image's header cannot be read: {words}") from None

    def _frames(self) -> int:
        try:
            return int(getattr(self._file, "n_frames", 1))
        except _UNREADABLE as error:
            raise Permanent(Cause.CORRUPT, f"The image's frames cannot be counted: {error_text(error)}") from None

    def _load(self, edge: int) -> None:
        """Decode; formats that can be decoded smaller at once are, down to twice what is wanted."""
        if self._media_type == sniff.JPEG2000:
            self._load_wavelets(edge)
            return
        self._file.draft("RGB", (edge, edge))
        try:
            self._file.load()
        except OSError:
            if self._media_type != sniff.JPEG or self._file.info.get("progressive"):
                raise
            self._load_unended(edge)

    def _load_unended(self, edge: int) -> None:
        """Some writers leave out the end mark of a JPEG. Raises OSError when pixels are missing too."""
        self._file = Image.open(io.BytesIO(self._path.read_bytes() + _JPEG_END), formats=["JPEG"])
        self._file.draft("RGB", (edge, edge))
        self._file.load()
        if is_made_up(self._file.convert("RGB"), self._file.width - MADE_UP, self._file.height - MADE_UP):
            raise OSError("the file breaks off")

    def _load_wavelets(self, edge: int) -> None:
        """JPEG 2000 keeps halved pictures inside: a page needs a sixteenth of the time that the whole would take."""
        halvings = 0
        while halvings < _HALVINGS_MAX and max(self._file.size) >> (halvings + 1) >= edge:
            halvings += 1
        if halvings and isinstance(self._file, Jpeg2KImagePlugin.Jpeg2KImageFile):
            try:
                self._file.reduce = halvings
                self._file.load()
                return
            except _UNREADABLE:  # the file keeps fewer: decode it whole
                self._file = self._opened()
        self._file.load()

    def _check_pixels(self) -> None:
        width, height = self._file.size
        if width * height > self._pixels_max:
            raise Permanent(
                Cause.PIXEL_LIMIT, f"{width:,} x {height:,} pixels; ingest.pixels_max is {self._pixels_max:,}."
            )


def _is_built_with(media_type: str) -> bool:
    """HEIC has a library of its own, loaded only when such a file comes; Pillow may be built without some formats."""
    if media_type == sniff.HEIC:
        import pillow_heif

        pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
        return True
    return media_type not in _BUILT_WITH or bool(features.check(_BUILT_WITH[media_type]))


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


def is_progressive(jpeg: bytes) -> bool:
    """Whether a JPEG comes blurred first and whole, so that no corner of it tells whether all of it is there."""
    with suppress(*_UNREADABLE), Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
        return bool(picture.info.get("progressive"))
    return False


def is_made_up(picture: Image.Image, x: int, y: int) -> bool:
    """Whether what lies there in an RGB picture is the flat grey that decoders put where a JPEG's data are missing."""
    corner: Any = picture.crop((x, y, x + MADE_UP, y + MADE_UP)).getextrema()  # a pair a channel
    return all(low == high and _MADE_UP_GREY[0] <= low <= _MADE_UP_GREY[1] for low, high in corner)


def error_text(error: BaseException) -> str:
    """An error's own words, short and printable; they may quote the file."""
    words = "".join(letter if letter.isprintable() else " " for letter in str(error))
    return words[:200] or type(error).__name__
