"""What a page's picture shows beside its text: the rulings of tables, and the blanks between cells."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ocr_stage.lines import Rectangle

LENGTH_SHARE = 0.04
LENGTH_MIN = 24
"""Of the longer side of the table, and in pixels: strokes of letters are shorter."""
THICK_MAX = 7
SAME_LINE = 5
"""In pixels: pieces of one ruling lie this close."""
GAP_MAX = 9
SPECK = 4
MIDDLE_GREY = 127
RULED_SHARE = 0.8
"""A row of pixels so dark is a ruling and no part of a letter."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Stroke:
    """`place` is its y if it runs across, its x if it runs down."""

    place: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Rulings:
    across: tuple[Stroke, ...] = ()
    down: tuple[Stroke, ...] = ()


class Ink(Protocol):
    """The picture of a level page, asked about rectangles of it."""

    def rulings(self, box: Rectangle) -> Rulings: ...

    def blanks(self, box: Rectangle, width_min: float) -> list[tuple[float, float]]:
        """Where nothing stands between words of one line, from x to x."""
        ...


class NoInk:
    """A page whose picture is not at hand."""

    def rulings(self, box: Rectangle) -> Rulings:
        return Rulings()

    def blanks(self, box: Rectangle, width_min: float) -> list[tuple[float, float]]:
        return []


class Drawn:
    """A page in grey."""

    def __init__(self, grey: Pixels) -> None:
        self._grey = grey

    def rulings(self, box: Rectangle) -> Rulings:
        x0, y0, part = self._part(box, margin=4)
        if min(part.shape) < LENGTH_MIN:
            return Rulings()
        dark = _dark(part, size=15)
        across = _strokes(_opened(dark, across=True), place=y0, start=x0)
        down = _strokes(_opened(dark, across=False).T, place=x0, start=y0)
        return Rulings(tuple(joined(across)), tuple(joined(down)))

    def blanks(self, box: Rectangle, width_min: float) -> list[tuple[float, float]]:
        tall = 0.15 * (box[3] - box[1])
        x0, _, part = self._part((box[0], box[1] + tall, box[2], box[3] - tall), margin=0)
        if min(part.shape) < SPECK:
            return []
        dark = _dark(part if np.median(part) > MIDDLE_GREY else 255 - part, size=31) > 0
        letters = dark[dark.mean(axis=1) < RULED_SHARE]
        inked = np.flatnonzero(letters.any(axis=0))
        steps = np.diff(inked)
        return [
            (float(x0 + inked[at] + 1), float(x0 + inked[at + 1])) for at in np.flatnonzero(steps > max(width_min, 1))
        ]

    def _part(self, box: Rectangle, *, margin: int) -> tuple[int, int, Pixels]:
        x0, y0 = (max(0, int(value) - margin) for value in box[:2])
        return x0, y0, self._grey[y0 : max(0, int(box[3]) + margin), x0 : max(0, int(box[2]) + margin)]


def _dark(part: Pixels, *, size: int) -> Any:
    import cv2

    return cv2.adaptiveThreshold(part, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, size, 10)


def _opened(dark: Any, *, across: bool) -> Any:
    """Only what runs on for a while in one direction stays; a break of a pixel or two is closed."""
    import cv2

    length = max(LENGTH_MIN, int(LENGTH_SHARE * max(dark.shape)))
    size, bridge = ((length, 1), (5, 1)) if across else ((1, length), (1, 5))
    closed = cv2.morphologyEx(dark, cv2.MORPH_CLOSE, np.ones(bridge[::-1], np.uint8))
    return cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones(size[::-1], np.uint8))


def _strokes(mask: Any, *, place: int, start: int) -> Iterator[Stroke]:
    import cv2

    count, _, facts, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(mask))
    for left, top, width, height, _area in facts[1:count]:
        if height <= THICK_MAX:
            yield Stroke(float(place + top + height / 2), float(start + left), float(start + left + width))


def joined(strokes: Iterator[Stroke] | Sequence[Stroke]) -> list[Stroke]:
    """Pieces of one ruling, put together where they nearly touch."""
    whole: list[Stroke] = []
    for stroke in sorted(strokes, key=lambda stroke: (stroke.start, stroke.place)):
        near = [
            index
            for index, other in enumerate(whole)
            if abs(other.place - stroke.place) <= SAME_LINE and stroke.start - other.end <= GAP_MAX
        ]
        if not near:
            whole.append(stroke)
            continue
        other = whole[near[0]]
        whole[near[0]] = Stroke(other.place, other.start, max(other.end, stroke.end))
    return whole


def places(strokes: Sequence[Stroke], length_min: float) -> list[float]:
    """Where rulings run whose pieces are together at least that long; one place for each."""
    groups: list[list[Stroke]] = []
    for stroke in sorted(strokes, key=lambda stroke: stroke.place):
        if groups and stroke.place - groups[-1][-1].place <= 2 * SAME_LINE:
            groups[-1].append(stroke)
        else:
            groups.append([stroke])
    return [
        sum(stroke.place for stroke in group) / len(group)
        for group in groups
        if sum(stroke.end - stroke.start for stroke in group) >= length_min
    ]
