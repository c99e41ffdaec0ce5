"""The level page that lines are arranged on, and its way back to the picture as it came."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from folio.records import Box
from ocr_stage.ink import Ink, NoInk
from ocr_stage.lines import Line, Quad, Rectangle
from ocr_stage.transform import Transform

Matrix = NDArray[np.float64]
Pixels = NDArray[np.uint8]
SKEW_MIN = math.radians(0.2)
SKEW_MAX = math.radians(15)
"""A page lies no more crooked in a scanner; what slopes more is no line of running text."""


@dataclass(frozen=True, slots=True)
class Paper:
    """Size of the level page and of the picture as it came, in pixels; `back` leads from the one to the other."""

    width: float
    height: float
    picture: tuple[float, float] = (0, 0)
    back: Matrix = field(default_factory=lambda: np.eye(3))
    ink: Ink = field(default_factory=NoInk)

    @classmethod
    def turned(cls, width: float, height: float, quarters: int) -> Self:
        """A picture of this size after so many quarter turns against the clock, as numpy.rot90 makes them."""
        forths: list[list[list[float]]] = [
            [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            [[0, 1, 0], [-1, 0, width], [0, 0, 1]],
            [[-1, 0, width], [0, -1, height], [0, 0, 1]],
            [[0, -1, height], [1, 0, 0], [0, 0, 1]],
        ]
        back: Matrix = np.linalg.inv(np.array(forths[quarters % 4]))
        size = (height, width) if quarters % 2 else (width, height)
        return cls(*size, picture=(width, height), back=back)

    def after(self, before: Transform) -> Self:
        """The same page of a picture that was itself made from another one: `before` leads back to that."""
        whence = np.array(before.back).reshape(3, 3)
        return replace(self, picture=before.page, back=whence @ self.back)

    def levelled(self, angle: float) -> Self:
        """The page after it was turned back by `angle`, large enough for all its corners."""
        turn = np.array([[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
        corners = points(turn, [(0, 0), (self.width, 0), (self.width, self.height), (0, self.height)])
        turn[:2, 2] = -corners.min(axis=0)
        width, height = corners.max(axis=0) - corners.min(axis=0)
        return type(self)(float(width), float(height), self.picture, self.back @ np.linalg.inv(turn), self.ink)

    def line(self, quad: Quad, text: str) -> Line:
        """From corners on the level page."""
        return Line.of(quad, text, box=self.original(quad))

    def original(self, corners: Sequence[Sequence[float]]) -> Rectangle:
        """The rectangle around these corners in the picture as it came."""
        there = points(self.back, corners)
        (x0, y0), (x1, y1) = there.min(axis=0), there.max(axis=0)
        return (float(x0), float(y0), float(x1), float(y1))

    def rectangle(self, box: Rectangle) -> Rectangle:
        x0, y0, x1, y1 = box
        return self.original([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])

    def box(self, corners: Rectangle) -> Box:
        """Pixels of the picture as it came, as fractions of it."""
        width, height = self.picture if all(self.picture) else (self.width, self.height)
        return Box.within(corners, width=width, height=height)


def points(matrix: Matrix, places: Any) -> Matrix:
    """Where the matrix takes them."""
    there: Matrix = np.asarray(places, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return there[..., :2] / there[..., 2:]


def skew(quads: Sequence[Quad]) -> float:
    """The angle at which most of the text runs, long lines counting more; 0 where it is too small to matter."""
    slopes = sorted(
        (math.atan2(by - ay + cy - dy, bx - ax + cx - dx), math.dist((ax, ay), (bx, by)))
        for (ax, ay), (bx, by), (cx, cy), (dx, dy) in quads
        if math.dist((ax, ay), (bx, by)) > 4 * math.dist((ax, ay), (dx, dy))
    )
    total, seen = sum(width for _, width in slopes), 0.0
    for slope, width in slopes:
        seen += width
        if 2 * seen >= total:
            return slope if SKEW_MIN <= abs(slope) <= SKEW_MAX else 0.0
    return 0.0
