"""What a page looks like to whoever chooses how to read it: its size, its ink, how tall its lines are, how full it is.

Runs in a child process, on a copy of at most 1,024 pixels, in a few milliseconds.
"""

import numpy as np
from numpy.typing import NDArray

from ocr_stage.router import Features

Pixels = NDArray[np.uint8]

EDGE = 1024
BLOCK = 9
DARKER_SHARE = 0.25
"""Of the paper around it: so much darker a pixel is ink."""
MIDDLE_GREY = 127
MARGIN_SHARE = 0.02
GAP_SHARE = 0.012
"""Of the longest edge: letters and words of one line lie no further apart."""
SPECK_PIXELS = 3
TALL_SHARE = 0.12
"""Of the longest edge: what is taller is no line of text."""
LONG_MIN = 1.5
"""Width of a line over its height: less is a speck, a bullet, a letter on its own."""
LETTER_WIDTH = 0.55
"""Of a line's height. Ideographs are twice as wide and say twice as much."""


def features(grey: Pixels) -> Features:
    """Of a page in grey, as large as it came."""
    height, width = grey.shape
    small = _reduced(grey)
    ink = _ink(small)
    lines = _lines(ink, gap=max(2, round(GAP_SHARE * max(small.shape))))
    tall = _median(lines[:, 1], weights=lines[:, 0])
    letters = float((lines[:, 0] / np.maximum(LETTER_WIDTH * lines[:, 1], 1)).sum())
    return Features(
        width=width,
        height=height,
        ink=round(float(ink.mean()), 5),
        line_height=round(tall / max(small.shape), 5),
        lines=len(lines),
        letters=round(letters),
    )


def _reduced(grey: Pixels) -> Pixels:
    """By a whole number first, which is quick, then by what is left."""
    import cv2

    whole = max(1, max(grey.shape) // EDGE)
    small: Pixels = cv2.resize(grey, _size(grey, 1 / whole), interpolation=cv2.INTER_AREA) if whole > 1 else grey
    if max(small.shape) > EDGE:
        small = cv2.resize(small, _size(small, EDGE / max(small.shape)), interpolation=cv2.INTER_LINEAR)
    return small


def _size(grey: Pixels, scale: float) -> tuple[int, int]:
    return max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))


def _ink(small: Pixels) -> Pixels:
    """1 where a stroke is, dark on light, or light on a dark page; scanners' dark edges are not."""
    import cv2

    light = small if np.median(small[::8, ::8]) > MIDDLE_GREY else 255 - small
    coarse = np.ascontiguousarray(light[::2, ::2])
    paper = cv2.blur(cv2.dilate(coarse, np.ones((BLOCK, BLOCK), np.uint8)), (BLOCK, BLOCK))
    paper = cv2.resize(paper, (light.shape[1], light.shape[0]), interpolation=cv2.INTER_NEAREST)
    ink: Pixels = cv2.compare(light, cv2.convertScaleAbs(paper, alpha=1 - DARKER_SHARE), cv2.CMP_LT) & 1
    rows, columns = (int(side * MARGIN_SHARE) for side in ink.shape)
    ink[:rows], ink[len(ink) - rows :], ink[:, :columns], ink[:, ink.shape[1] - columns :] = 0, 0, 0, 0
    return ink


def _lines(ink: Pixels, *, gap: int) -> NDArray[np.float64]:
    """Width and height of every run of ink that looks like a line of text, in pixels of the copy."""
    import cv2

    joined = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((1, gap), np.uint8))
    outlines, nested = cv2.findContours(joined, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outer = [outline for at, outline in enumerate(outlines) if nested[0][at][3] < 0]  # the others surround holes
    sizes = np.array([cv2.boundingRect(outline)[2:] for outline in outer], dtype=np.float64).reshape(-1, 2)
    wide, tall = sizes[:, 0], sizes[:, 1]
    found: NDArray[np.float64] = sizes[
        (tall >= SPECK_PIXELS) & (tall < TALL_SHARE * max(ink.shape)) & (wide > LONG_MIN * tall)
    ]
    return found


def _median(values: NDArray[np.float64], *, weights: NDArray[np.float64]) -> float:
    """0 for none."""
    if not len(values):
        return 0.0
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
