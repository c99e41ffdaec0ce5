"""A page's picture made easier to read before an engine sees it, with the way back of every box: off, auto, by name.

`auto` measures first and changes only what is measurably bad: a clean page is returned as it came, in a few
milliseconds. Runs in the engine's own processes, one thread.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocr_stage.plans import Plan, Step
from ocr_stage.sheet import Quad, sheet, skew
from ocr_stage.transform import Transform

Pixels = NDArray[np.uint8]
"""Rows of BGR or RGB: the steps treat colours alike."""

BAND = 32
SAMPLE_STEP = 4
"""Every so many rows and columns say what there is to know of light and dark."""
CONTRAST_MIN = 110
CONTRAST_NONE = 12
"""Grey levels between paper and ink: below the first the page is pale, below the second it is blank."""
CONTRAST_OF_ROWS = 150
"""A row with more has ink enough, however few such rows there are: a title on a dark page is not pale."""
SPECKS_MIN = 0.004
SPECK = 60
"""Share of pixels that stand out alone from all eight around them, and by how many grey levels."""
NOISE_MIN = 36.0
"""Standard deviation in grey levels. Less is read as well without help; more makes specks that are none."""
SOFT_MAX = 0.47
"""Of the contrast, the steepest step from one pixel to the next but one; print in focus has more."""
SHARPEN = 0.8
SHARPEN_MAX = 4.0
SHARPEN_SIGMA = 2.0
"""The softer, the stronger: so much over the softness, of the difference to a copy blurred by so many pixels."""
NOISE_SHARPENED_MAX = 5.0
"""Sharpening makes grain worse."""
SKEW_MIN = 1.5
"""Degrees. A page that lies better needs no help."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """`transform` leads from `pixels` back to the picture as it came."""

    pixels: Pixels
    transform: Transform
    steps: tuple[Step, ...] = ()


def prepared(pixels: Pixels, plan: Plan) -> Prepared:
    """Shapes first, on the picture as large as it came; then what changes pixels only, by `cleaned`."""
    shape = shaped(pixels, plan)
    clean = cleaned(shape.pixels, plan)
    return Prepared(clean.pixels, shape.transform, (*shape.steps, *clean.steps))


def shaped(pixels: Pixels, plan: Plan) -> Prepared:
    """The sheet of a photograph cut out and squared, a crooked page turned level."""
    height, width = pixels.shape[:2]
    page = Prepared(pixels, Transform.whole(width, height))
    if plan.auto or Step.PERSPECTIVE in plan.steps:
        corners = sheet(grey(pixels))
        page = page if corners is None else _squared(page, corners)
    if Step.DESKEW in plan.steps or (plan.auto and not plan.levelled):
        angle = skew(grey(page.pixels))
        least = SKEW_MIN if plan.auto else 0.0
        page = _level(page, angle) if abs(angle) > np.radians(least) else page
    return page


def cleaned(pixels: Pixels, plan: Plan) -> Prepared:
    """What changes pixels and moves none."""
    height, width = pixels.shape[:2]
    steps: list[Step] = []
    bands = banded(grey(pixels))
    for step, (needed, done) in _CLEANING.items():
        if step in plan.steps or (plan.auto and needed(bands)):
            pixels = done(np.ascontiguousarray(pixels))
            bands = banded(grey(pixels))
            steps.append(step)
    return Prepared(pixels, Transform.whole(width, height), tuple(steps))


def banded(grey: Pixels) -> Pixels:
    """A third of the rows, in bands: enough to measure on."""
    height, width = grey.shape
    whole = height - height % (3 * BAND)
    return grey if whole == 0 else grey[:whole].reshape(-1, 3, BAND, width)[:, 1].reshape(-1, width)


def grey(pixels: Pixels) -> Pixels:
    if pixels.ndim == 2:
        return pixels
    import cv2

    one: Pixels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BGR2GRAY)
    return one


def range_of(grey: Pixels) -> tuple[float, float]:
    """Grey levels of the darkest ink and the lightest paper, but for a speck here and there."""
    dark, light = np.percentile(grey[::SAMPLE_STEP, ::SAMPLE_STEP], (0.5, 99.5))
    return float(dark), float(light)


def specks(grey: Pixels) -> float:
    """Share of pixels that are salt or pepper."""
    import cv2

    ring = np.ones((3, 3), np.uint8)
    ring[1, 1] = 0
    above = cv2.subtract(grey, cv2.dilate(grey, ring))
    below = cv2.subtract(cv2.erode(grey, ring), grey)
    return float((cv2.max(above, below) > SPECK).mean())


def noise(grey: Pixels) -> float:
    """Standard deviation of grain in grey levels. Paper and ink are smooth and outweigh the edges of letters."""
    import cv2

    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    rough = np.abs(cv2.filter2D(grey, cv2.CV_16S, kernel))
    return float(np.median(rough[:, ::2])) / 0.6745 / 6


def contrasts(grey: Pixels) -> NDArray[np.int16]:
    """Between the lightest and the darkest pixel of each row."""
    across: NDArray[np.int16] = grey.max(axis=1).astype(np.int16) - grey.min(axis=1)
    return across


def softness(grey: Pixels) -> float:
    """Steepest step over two pixels as a share of the contrast: near 1 for crisp print, small for a blurred page.

    Of rows with ink only, so that a page with three lines is no softer than a full one; without any, it is crisp.
    """
    import cv2

    across = contrasts(grey)
    rows = grey[across > max(CONTRAST_NONE, across.max() / 2)]
    if grey.shape[1] < 3 or not len(rows):
        return 1.0
    steps = cv2.absdiff(rows[:, 2:], rows[:, :-2])
    return float(np.percentile(steps, 99.8)) / max(float(across.max()), 1.0)


def _squared(page: Prepared, corners: Quad) -> Prepared:
    """The sheet alone, as large as its longest sides."""
    import cv2

    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    width, height = round(max(sides[0], sides[2])), round(max(sides[1], sides[3]))
    flat = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float32)
    forth = cv2.getPerspectiveTransform(corners, flat)
    return _warped(page, Step.PERSPECTIVE, forth, (width, height))


def _level(page: Prepared, radians: float) -> Prepared:
    height, width = page.pixels.shape[:2]
    turned = Transform.whole(width, height).levelled(radians)
    forth = np.linalg.inv(np.array(turned.back).reshape(3, 3))
    return _warped(page, Step.DESKEW, forth, (round(turned.seen[0]), round(turned.seen[1])))


def _warped(page: Prepared, step: Step, forth: NDArray[np.float64], size: tuple[int, int]) -> Prepared:
    import cv2

    pixels: Pixels = cv2.warpPerspective(page.pixels, forth, size, borderMode=cv2.BORDER_REPLICATE)
    return Prepared(pixels, page.transform.warped(forth.tolist(), *size), (*page.steps, step))


def _denoised(pixels: Pixels) -> Pixels:
    """Grain is smoothed where no edge is; salt and pepper go by a median, which would eat thin strokes of grain."""
    import cv2

    grain = noise(banded(grey(pixels)))
    is_grainy = grain >= NOISE_MIN
    smooth: Pixels = cv2.bilateralFilter(pixels, 7, 1.5 * grain, 2) if is_grainy else cv2.medianBlur(pixels, 3)
    return smooth


def _stretched(pixels: Pixels) -> Pixels:
    dark, light = range_of(grey(pixels))
    if light - dark < 1:
        return pixels
    levels = (np.arange(256) - dark) * (255 / (light - dark))
    table: Pixels = np.clip(levels, 0, 255).astype(np.uint8)
    return table[pixels]


def _evened(pixels: Pixels) -> Pixels:
    """Contrast as strong in the shadow as in the light."""
    import cv2

    lab = cv2.cvtColor(pixels, cv2.COLOR_BGR2LAB)
    lab[:, :, 0] = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(lab[:, :, 0])
    even: Pixels = cv2.cvtColor(lab, cv2.COLOR_LAB2BGR)
    return even


def _sharpened(pixels: Pixels) -> Pixels:
    import cv2

    blurred = cv2.GaussianBlur(pixels, (0, 0), SHARPEN_SIGMA)
    amount = min(SHARPEN_MAX, SHARPEN / max(softness(banded(grey(pixels))), 0.1))
    sharp: Pixels = cv2.addWeighted(pixels, 1 + amount, blurred, -amount, 0)
    return sharp


def _black_and_white(pixels: Pixels) -> Pixels:
    import cv2

    one = cv2.adaptiveThreshold(grey(pixels), 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY, 31, 12)
    colours: Pixels = cv2.cvtColor(one, cv2.COLOR_GRAY2BGR)
    return colours


def _is_noisy(bands: Pixels) -> bool:
    return specks(bands) > SPECKS_MIN or noise(bands) > NOISE_MIN


def _is_pale(bands: Pixels) -> bool:
    dark, light = range_of(bands)
    is_pale = CONTRAST_NONE <= light - dark < CONTRAST_MIN
    return is_pale and float(np.percentile(contrasts(bands), 95)) < CONTRAST_OF_ROWS


def _is_soft(bands: Pixels) -> bool:
    return softness(bands) < SOFT_MAX and noise(bands) < NOISE_SHARPENED_MAX


def _never(bands: Pixels) -> bool:
    """Only where somebody asks for it: shaded pages are read as well without, grainy ones worse with it."""
    return False


_CLEANING: dict[Step, tuple[Callable[[Pixels], bool], Callable[[Pixels], Pixels]]] = {
    Step.DENOISE: (_is_noisy, _denoised),
    Step.STRETCH: (_is_pale, _stretched),
    Step.CLAHE: (_never, _evened),
    Step.SHARPEN: (_is_soft, _sharpened),
    Step.BINARISE: (_never, _black_and_white),
}
