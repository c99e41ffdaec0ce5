"""The child's side of the feed: one picture in, the pixels that its mode asks for written into a slot of the arena."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ocr_stage.deepseek.arena import Arena
from ocr_stage.modes import ALONE, PADDING, TILE, TILES_MAX, Mode, View, view
from ocr_stage.picture import has_ink, upright

EDGE_PIXELS = 4096
"""Longest edge that is looked at: a mosaic has at most 3840."""
GLANCE_PIXELS = 600
"""Ink is looked for in a smaller picture."""
SLOT_BYTES = 3 * max(max(mode.canvas for mode in Mode) ** 2, Mode.GUNDAM.canvas**2 + TILES_MAX * TILE**2)


class PageRenderer:
    """One a process, one thread."""

    def __init__(self, arena: str, slots: int, pixels_max: int) -> None:
        self._arena = Arena(Path(arena), slots, SLOT_BYTES)
        self._pixels_max = pixels_max

    def render(self, image: bytes, slot: int, mode: str) -> dict[str, Any]:
        """What was written: `grid`; nothing was when `blank`. Raises Permanent(corrupt | pixel_limit)."""
        began = time.thread_time()
        picture = upright(image, edge_pixels=EDGE_PIXELS, pixels_max=self._pixels_max)
        decoded = time.thread_time()
        seen = view(Mode(mode), picture.width, picture.height)
        blank = not has_ink(_glance(picture))
        if not blank:
            draw(picture, seen, self._arena.slot(slot))
        drawn = time.thread_time()
        return {"grid": list(seen.grid), "blank": blank, "decode_s": decoded - began, "draw_s": drawn - decoded}


def draw(picture: Image.Image, seen: View, into: Any) -> None:
    """The canvas [side, side, 3], then the tiles [tiles, 640, 640, 3], as the model's own processor makes them."""
    canvas = seen.canvas
    x0, y0, x1, y1 = seen.placed
    whole = into[: 3 * canvas**2].reshape(canvas, canvas, 3)
    if (x0, y0, x1, y1) != (0, 0, canvas, canvas):
        whole[:] = PADDING
    whole[y0:y1, x0:x1] = np.asarray(picture.resize((x1 - x0, y1 - y0), Image.Resampling.BICUBIC))
    if seen.grid == ALONE:
        return
    mosaic = np.asarray(picture.resize(seen.mosaic, Image.Resampling.BICUBIC))
    at = 3 * canvas**2
    for left, top, right, bottom in seen.tiles:
        tile = into[at : at + 3 * TILE**2].reshape(TILE, TILE, 3)
        tile[:] = mosaic[top:bottom, left:right]
        at += 3 * TILE**2


def _glance(picture: Image.Image) -> Image.Image:
    """A quick look at a smaller picture: ink is as dark there, and lines as wide a share."""
    factor = max(1, max(picture.size) // GLANCE_PIXELS)
    return picture.reduce(factor) if factor > 1 else picture
