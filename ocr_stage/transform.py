"""The way from the picture that an engine saw back to the page as it came: each turn, cut and stretch, as one value."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from folio.records import Box

Matrix = tuple[float, float, float, float, float, float, float, float, float]
"""Row by row: takes (x, y, 1) to (x', y', w')."""
Point = tuple[float, float]
Corners = tuple[float, float, float, float]
SAME: Matrix = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
FLAT = 1e-12
"""A determinant below this has no way back; a point with a smaller w lies at infinity."""


@dataclass(frozen=True, slots=True)
class Transform:
    """`page` is the size of the page as it came, `seen` that of the picture now; `back` leads from it to the page.

    A chain is built forwards, in pixels: ``Transform.whole(w, h).cropped(...).levelled(...).padded(...)``.
    """

    page: Point
    seen: Point
    back: Matrix = SAME

    @classmethod
    def whole(cls, width: float = 1.0, height: float = 1.0) -> Self:
        """Nothing done yet. Without a size, the unit square: fractions stay what they are."""
        return cls((width, height), (width, height))

    def resized(self, width: float, height: float) -> Self:
        """Stretched to this size, the shape kept or not."""
        across, down = self.seen[0] / width, self.seen[1] / height
        return self._stepped((across, 0, 0, 0, down, 0, 0, 0, 1), width, height)

    def cropped(self, corners: Corners) -> Self:
        """Cut out, in pixels of the picture before."""
        x0, y0, x1, y1 = corners
        return self._stepped((1, 0, x0, 0, 1, y0, 0, 0, 1), x1 - x0, y1 - y0)

    def padded(self, *, left: float = 0, top: float = 0, right: float = 0, bottom: float = 0) -> Self:
        """A border added."""
        x1, y1 = self.seen[0] + right, self.seen[1] + bottom
        return self.cropped((-left, -top, x1, y1))

    def turned(self, quarters: int) -> Self:
        """Quarter turns against the clock, as numpy.rot90 makes them."""
        width, height = self.seen
        backs: tuple[Matrix, ...] = (
            SAME,
            (0, -1, width, 1, 0, 0, 0, 0, 1),
            (-1, 0, width, 0, -1, height, 0, 0, 1),
            (0, 1, 0, -1, 0, height, 0, 0, 1),
        )
        size = (height, width) if quarters % 2 else (width, height)
        return self._stepped(backs[quarters % 4], *size)

    def levelled(self, radians: float) -> Self:
        """Turned back by an angle, on a picture large enough for all corners."""
        cos, sin = math.cos(radians), math.sin(radians)
        width, height = self.seen
        forth: Matrix = (cos, sin, 0, -sin, cos, 0, 0, 0, 1)
        there = [moved(forth, corner) for corner in ((0, 0), (width, 0), (width, height), (0, height))]
        x0, y0, x1, y1 = around(there)
        return self.warped((cos, sin, -x0, -sin, cos, -y0, 0, 0, 1), x1 - x0, y1 - y0)

    def warped(self, forth: Matrix | Sequence[Sequence[float]], width: float, height: float) -> Self:
        """Through any matrix of 9 numbers, or 2 or 3 rows of 3, as OpenCV's take it. Raises ValueError if flat."""
        return self._stepped(inverse(as_matrix(forth)), width, height)

    def then(self, inner: "Transform") -> Self:
        """`inner` begins where this one ends: at the same picture, whatever size it was counted in there."""
        across, down = self.seen[0] / inner.page[0], self.seen[1] / inner.page[1]
        scaled = times((across, 0, 0, 0, down, 0, 0, 0, 1), inner.back)
        return replace(self, seen=inner.seen, back=times(self.back, scaled))

    def box(self, corners: Corners) -> Box | None:
        """From fractions of the picture to the box on the page around it; None where it has no place there."""
        width, height = self.seen
        x0, y0, x1, y1 = corners[0] * width, corners[1] * height, corners[2] * width, corners[3] * height
        there = (x0, y0, x1, y1)
        if self.back != SAME:
            try:
                there = around([moved(self.back, corner) for corner in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))])
            except ValueError:
                return None
        box = Box.within(there, width=self.page[0], height=self.page[1])
        return box if box.x0 < box.x1 and box.y0 < box.y1 else None

    def place(self, x: float, y: float) -> Point:
        """Where a pixel of the picture lies on the page, in its pixels. Raises ValueError at infinity."""
        return moved(self.back, (x, y))

    def _stepped(self, step: Matrix, width: float, height: float) -> Self:
        if not (width > 0 and height > 0):
            raise ValueError(f"a picture of {width} x {height} pixels")
        return replace(self, seen=(width, height), back=times(self.back, step))


def as_matrix(rows: Matrix | Sequence[Sequence[float]]) -> Matrix:
    """9 numbers, or rows of 3; two rows are an affine map."""
    flat = [float(number) for row in rows for number in (row if isinstance(row, Iterable) else (row,))]
    flat += [0.0, 0.0, 1.0] if len(flat) == 6 else []
    a, b, c, d, e, f, g, h, i = flat
    return (a, b, c, d, e, f, g, h, i)


def times(left: Matrix, right: Matrix) -> Matrix:
    """First `right`, then `left`."""
    a, b, c, d, e, f, g, h, i = left
    p, q, r, s, t, u, v, w, x = right
    return (
        a * p + b * s + c * v, a * q + b * t + c * w, a * r + b * u + c * x,
        d * p + e * s + f * v, d * q + e * t + f * w, d * r + e * u + f * x,
        g * p + h * s + i * v, g * q + h * t + i * w, g * r + h * u + i * x,
    )  # fmt: skip


def inverse(matrix: Matrix) -> Matrix:
    """Raises ValueError where there is no way back."""
    a, b, c, d, e, f, g, h, i = matrix
    first, second, third = e * i - f * h, f * g - d * i, d * h - e * g
    whole = a * first + b * second + c * third
    if not (abs(whole) > FLAT and math.isfinite(whole)):
        raise ValueError("a transform that flattens the page has no way back")
    return (
        first / whole, (c * h - b * i) / whole, (b * f - c * e) / whole,
        second / whole, (a * i - c * g) / whole, (c * d - a * f) / whole,
        third / whole, (b * g - a * h) / whole, (a * e - b * d) / whole,
    )  # fmt: skip


def moved(matrix: Matrix, point: Point) -> Point:
    """Where the matrix takes it. Raises ValueError at or beyond the horizon of a perspective."""
    a, b, c, d, e, f, g, h, i = matrix
    x, y = point
    w = g * x + h * y + i
    if not w > FLAT:
        raise ValueError("beyond the horizon")
    return (a * x + b * y + c) / w, (d * x + e * y + f) / w


def around(points: Iterable[Point]) -> Corners:
    """The rectangle around them."""
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
