"""The child's side of what is seen of a page before a model is asked: features, a better picture, and its halves."""

import io
from dataclasses import asdict
from typing import Any

import numpy as np
from PIL import Image

from ocr_stage.features import features
from ocr_stage.picture import decoded, has_ink
from ocr_stage.plans import Plan
from ocr_stage.preprocess import Pixels, grey, prepared

EDGE_PIXELS = 4096
"""Longest edge that is looked at: the largest mosaic of tiles has 3,840."""
QUALITY = 92
SEAM_SHARE = 0.2
"""Of the height, around the middle: there the seam between two halves is looked for."""
HALF_PIXELS_MIN = 32


class PageSight:
    """One a process, one thread; opens foreign bytes and answers numbers and pictures."""

    def __init__(self, preprocess: str, pixels_max: int) -> None:
        import cv2

        cv2.setNumThreads(1)
        self._plan = Plan.of(preprocess)
        self._pixels_max = pixels_max

    def see(self, image: bytes, measure: bool) -> dict[str, Any]:
        """`image` is empty where the picture stays as it came. Raises Permanent(corrupt | pixel_limit)."""
        pixels = self._pixels(image)
        page = prepared(pixels, self._plan)
        return {
            "image": _encoded(page.pixels) if page.steps else b"",
            "page": page.transform.page,
            "seen": page.transform.seen,
            "back": page.transform.back,
            "steps": list(page.steps),
            "features": _plain(page.pixels) if measure else {},
        }

    def has_ink(self, image: bytes) -> bool:
        return has_ink(Image.fromarray(self._pixels(image)))

    def halves(self, image: bytes) -> list[dict[str, Any]]:
        """Top and bottom, cut between two lines near the middle, with their corners in pixels; one alone where there
        is nothing to cut.
        """
        pixels = self._pixels(image)
        height, width = pixels.shape[:2]
        if height < 2 * HALF_PIXELS_MIN:
            return [{"image": image, "corners": (0, 0, width, height), "size": (width, height)}]
        at = seam(grey(pixels))
        return [
            {"image": _encoded(pixels[top:bottom]), "corners": (0, top, width, bottom), "size": (width, height)}
            for top, bottom in ((0, at), (at, height))
        ]

    def _pixels(self, image: bytes) -> Pixels:
        return np.asarray(decoded(image, edge_pixels=EDGE_PIXELS, pixels_max=self._pixels_max))


def seam(one: Pixels) -> int:
    """The row near the middle where the least is cut through; of equal ones the nearest to the middle."""
    height = len(one)
    first, last = int(height * (0.5 - SEAM_SHARE / 2)), max(int(height * (0.5 + SEAM_SHARE / 2)), 1)
    rows = one[first : last + 1].astype(np.int16)
    busy = np.abs(np.diff(rows, axis=1)).mean(axis=1) if rows.shape[1] > 1 else np.zeros(len(rows))
    away = np.abs(np.arange(first, first + len(rows)) - height / 2) / height
    return first + int(np.argmin(busy + away))


def _plain(pixels: Pixels) -> dict[str, Any]:
    return asdict(features(grey(pixels)))


def _encoded(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
