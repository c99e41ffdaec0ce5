"""From untrusted image bytes to pixels of a known size, upright; runs in the engine's child process."""

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from folio.errors import Cause, Permanent

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
INK_SHARE_MIN = 0.0005
"""A line of twenty letters on an A4 page covers about a thousandth of it."""
MARGIN_SHARE = 0.03
"""Scanners leave dark edges: they are not ink."""
INK_DARKNESS = 60
"""Grey levels below the paper."""


def upright(image: bytes, *, edge_pixels: int, pixels_max: int) -> Image.Image:
    """RGB, turned as its EXIF says, longest edge at most `edge_pixels`. Raises Permanent(corrupt | pixel_limit)."""
    picture = decoded(image, edge_pixels=edge_pixels, pixels_max=pixels_max)
    picture.thumbnail((edge_pixels, edge_pixels), Image.Resampling.LANCZOS)
    return picture


def decoded(image: bytes, *, edge_pixels: int, pixels_max: int) -> Image.Image:
    """The same as large as it came; only a JPEG over twice `edge_pixels` is decoded smaller, which costs less."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what we check ourselves
        try:
            with Image.open(io.BytesIO(image), formats=FORMATS) as picture:
                _check_size(picture, pixels_max)
                return _decoded(picture, edge_pixels)
        except Image.DecompressionBombError as error:
            raise Permanent(Cause.PIXEL_LIMIT, str(error)) from None
        except UnidentifiedImageError:
            raise Permanent(Cause.CORRUPT, "the image does not decode: no picture of a kind that is read") from None
        except (OSError, ValueError, SyntaxError) as error:
            raise Permanent(Cause.CORRUPT, f"the image does not decode: {error}") from None


def _check_size(picture: Image.Image, pixels_max: int) -> None:
    if picture.width * picture.height > pixels_max:
        raise Permanent(Cause.PIXEL_LIMIT, f"{picture.width} x {picture.height} pixels, at most {pixels_max}")


def _decoded(picture: Image.Image, edge_pixels: int) -> Image.Image:
    picture.draft("RGB", (edge_pixels, edge_pixels))  # a JPEG decodes at the smallest sufficient size
    turned = ImageOps.exif_transpose(picture)
    if turned.mode.startswith("I;16"):
        turned = Image.fromarray((np.asarray(turned) >> 8).astype(np.uint8))
    if turned.has_transparency_data:
        turned = _on_paper(turned.convert("RGBA"))
    return turned.convert("RGB")


def _on_paper(picture: Image.Image) -> Image.Image:
    paper = Image.new("RGBA", picture.size, "white")
    paper.alpha_composite(picture)
    return paper


def has_ink(picture: Image.Image) -> bool:
    """Whether anything clearly stands out from the paper (dark on light, or light on dark)."""
    grey: NDArray[Any] = np.asarray(picture.convert("L"), dtype=np.int16)
    rows, columns = (int(size * MARGIN_SHARE) for size in grey.shape)
    inside = grey[rows : grey.shape[0] - rows, columns : grey.shape[1] - columns]
    return bool((np.abs(inside - np.median(inside)) > INK_DARKNESS).mean() > INK_SHARE_MIN)
