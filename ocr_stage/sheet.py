"""Where the sheet lies on a photograph, and how crooked a page lies: both from a small grey copy, in milliseconds."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Quad = NDArray[np.float32]
"""Four corners, clockwise from the top left."""

SMALL = 320
"""Longest edge of the copy on which the sheet is looked for."""
AREA_MIN, AREA_MAX = 0.2, 0.96
"""Of the picture. What is smaller is a picture on the page; what is larger is the page itself."""
FILLED_MIN = 0.92
"""Share of the four corners' area that is sheet."""
BRIGHTER_MIN = 25
"""Grey levels between the sheet and what it lies on."""
TILTED_MIN = 0.015
"""Slope of some side. A frame that stands exactly upright is drawn on the page; paper on a table never does."""
SQUARE_MAX = 0.5
"""Cosine of a corner: a sheet of paper is not seen under less than 60 degrees."""
BUSY_MAX = 0.5
"""Strong edges outside of the sheet, as a share of those on it: where there is text around it, it is no sheet."""
EDGE = 0.15
"""Of the light around it: an edge in a shadow is one too."""
BORDER = 2
"""Pixels of the small copy: a corner so near to the border is the picture's own."""
STROKE = 24
"""Grey levels between ink and the paper around it."""

SKEW_EDGE = 700
SKEW_MAX = 15.0
COARSE, FINE = 0.75, 0.1
"""Degrees from one try to the next."""
SHARPER_MIN = 1.1
"""How much more the level page's rows must stand out than the crooked one's."""


def sheet(grey: Pixels) -> Quad | None:
    """Corners in pixels of a sheet that is photographed at an angle; None where the picture is the page."""
    scale = max(1.0, max(grey.shape) / SMALL)
    small = _reduced(grey, scale)
    for outline in _outlines(small):
        corners = _corners(outline)
        if corners is not None and _is_sheet(small, corners):
            whole: Quad = (corners * scale).astype(np.float32)
            return whole
    return None


def skew(grey: Pixels) -> float:
    """Radians by which lines of text fall to the right; 0.0 where none is found, or it is not sure."""
    small = _reduced(grey, max(1.0, max(grey.shape) / SKEW_EDGE))
    ink = _ink(small)
    if not ink.any():
        return 0.0
    level = _rows(ink, 0.0)
    best = max(np.arange(-SKEW_MAX, SKEW_MAX + COARSE, COARSE), key=lambda angle: _rows(ink, angle))
    best = max(np.arange(best - COARSE, best + COARSE, FINE), key=lambda angle: _rows(ink, angle))
    return float(np.radians(best)) if _rows(ink, best) > SHARPER_MIN * level else 0.0


def _reduced(grey: Pixels, scale: float) -> Pixels:
    import cv2

    if scale <= 1:
        return grey
    size = (max(1, round(grey.shape[1] / scale)), max(1, round(grey.shape[0] / scale)))
    small: Pixels = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return small


def _outlines(small: Pixels) -> Iterator[Any]:
    """The largest bright patch at each of a few thresholds: a shadow lets the best one lie anywhere."""
    import cv2

    soft = cv2.medianBlur(cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8)), 5)
    otsu, _ = cv2.threshold(soft, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    for threshold in (otsu, 0.8 * otsu, 0.6 * otsu, 1.2 * otsu):
        _, bright = cv2.threshold(soft, threshold, 255, cv2.THRESH_BINARY)
        found, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if found:
            yield max(found, key=cv2.contourArea)


def _corners(outline: Any) -> Quad | None:
    """The outline's hull as four corners, clockwise from the top left; None when it has not four, or is not filled."""
    import cv2

    hull = cv2.convexHull(outline)
    around = cv2.arcLength(hull, closed=True)
    for slack in (0.02, 0.03, 0.05):
        corners = cv2.approxPolyDP(hull, slack * around, closed=True)
        if len(corners) == 4:
            break
    else:
        return None
    if cv2.contourArea(outline) < FILLED_MIN * cv2.contourArea(corners):
        return None
    return _from_top_left(corners.reshape(4, 2).astype(np.float32))


def _from_top_left(corners: Quad) -> Quad:
    centre = corners.mean(axis=0)
    turn = np.arctan2(*(corners - centre).T[::-1])
    clockwise = corners[np.argsort(turn)]  # y runs down: growing angles run clockwise
    first = int(np.argmin(clockwise.sum(axis=1)))
    return np.roll(clockwise, -first, axis=0)


def _is_sheet(small: Pixels, corners: Quad) -> bool:
    import cv2

    share = cv2.contourArea(corners) / small.size
    if not (AREA_MIN < share < AREA_MAX and _is_clear(corners, small.shape) and _is_paper(corners)):
        return False
    inside = np.zeros(small.shape, np.uint8)
    cv2.fillConvexPoly(inside, corners.round().astype(np.int32), 255)
    margin = np.ones((9, 9), np.uint8)
    on, off = cv2.erode(inside, margin) > 0, cv2.dilate(inside, margin) == 0
    if not on.any() or not off.any():
        return False
    light = cv2.blur(small, (15, 15)).astype(np.float32) + 8
    edges = np.abs(cv2.Laplacian(small, cv2.CV_16S)) > EDGE * light
    brighter = float(np.median(small[on])) - float(np.median(small[off]))
    return brighter > BRIGHTER_MIN and bool(edges[off].mean() <= BUSY_MAX * edges[on].mean())


def _is_clear(corners: Quad, shape: tuple[int, ...]) -> bool:
    """A sheet that is cut off at the border has corners that nobody sees: it is left alone."""
    height, width = shape[:2]
    return bool(corners.min() > BORDER and (corners < np.array([width, height]) - 1 - BORDER).all())


def _is_paper(corners: Quad) -> bool:
    """Not exactly upright, and no corner far from a right angle."""
    sides = np.roll(corners, -1, axis=0) - corners
    slopes = np.abs(sides).min(axis=1) / np.maximum(np.abs(sides).max(axis=1), 1)
    lengths = np.linalg.norm(sides, axis=1)
    cosines = np.abs((sides * np.roll(sides, -1, axis=0)).sum(axis=1)) / (lengths * np.roll(lengths, -1))
    return bool(slopes.max() > TILTED_MIN and cosines.max() < SQUARE_MAX)


def _ink(small: Pixels) -> Pixels:
    """1.0 where a stroke is: darker than what lies around it. Long rulings and dark edges are no strokes."""
    import cv2

    size = small.shape[1], small.shape[0]
    paper = cv2.resize(cv2.medianBlur(cv2.resize(small, (size[0] // 4 + 1, size[1] // 4 + 1)), 21), size)
    ink: Pixels = (np.abs(small.astype(np.int16) - paper) > STROKE).astype(np.uint8)
    rows, columns = (max(1, side // 20) for side in ink.shape)
    ink[:rows], ink[-rows:], ink[:, :columns], ink[:, -columns:] = 0, 0, 0, 0
    return ink


def _rows(ink: Pixels, degrees: float) -> float:
    """How clearly rows of ink and blank rows alternate once the page is turned back by that much."""
    import cv2

    height, width = ink.shape
    shear = np.array([[1, 0, 0], [-np.tan(np.radians(degrees)), 1, np.tan(np.radians(degrees)) * width / 2]])
    rows = cv2.warpAffine(ink * 255, shear, (width, height), flags=cv2.INTER_LINEAR).mean(axis=1)
    return float(np.square(np.diff(rows)).sum())
