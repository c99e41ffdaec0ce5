"""The child's side of the remote engine: looks at one picture, and makes it one that any server takes."""

import io
from typing import Any

from PIL import Image

from ocr_stage.picture import has_ink, upright

GLANCE_PIXELS = 1024
QUALITY = 92
SENT_AS_THEY_ARE = {"JPEG": "jpeg", "PNG": "png"}
"""What every server reads; other formats, and pictures that lie on their side, are written anew."""
ORIENTATION = 0x0112
"""Of EXIF: 1 is upright."""


class PageLook:
    """One a process. `edge_pixels` bounds what is sent: no mode looks at more."""

    def __init__(self, edge_pixels: int, pixels_max: int) -> None:
        self._edge_pixels = edge_pixels
        self._pixels_max = pixels_max

    def look(self, image: bytes) -> dict[str, Any]:
        """`blank` when there is nothing on it; `kind` and `size` of the picture; `picture` where it was written anew.

        Raises Permanent(corrupt | pixel_limit).
        """
        picture = upright(image, edge_pixels=self._edge_pixels, pixels_max=self._pixels_max)
        glance = picture.reduce(max(1, max(picture.size) // GLANCE_PIXELS))
        if not has_ink(glance):
            return {"blank": True, "kind": "", "picture": b"", "size": picture.size}
        kind = _kind(image, self._edge_pixels)
        if kind:
            return {"blank": False, "kind": kind, "picture": b"", "size": picture.size}
        kept = io.BytesIO()
        picture.save(kept, "JPEG", quality=QUALITY)
        return {"blank": False, "kind": "jpeg", "picture": kept.getvalue(), "size": picture.size}


def _kind(image: bytes, edge_pixels: int) -> str:
    """Of bytes that can be sent as they are; it was decoded before, so it opens."""
    with Image.open(io.BytesIO(image)) as picture:
        if picture.format not in SENT_AS_THEY_ARE:
            return ""
        small = max(picture.size) <= edge_pixels
        plain = picture.mode in {"L", "RGB"} and picture.getexif().get(ORIENTATION, 1) == 1
        return SENT_AS_THEY_ARE[picture.format] if small and plain else ""
