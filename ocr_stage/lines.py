"""A line of text as it was found on a page, the regions that a layout model sees there, and their plain geometry."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

Quad = Sequence[Sequence[float]]
Rectangle = tuple[float, float, float, float]


class RegionKind(StrEnum):
    """What the layout model tells apart, in the order of its outputs."""

    TEXT = "text"
    TITLE = "title"
    FIGURE = "figure"
    FIGURE_CAPTION = "figure_caption"
    TABLE = "table"
    TABLE_CAPTION = "table_caption"
    HEADER = "header"
    FOOTER = "footer"
    REFERENCE = "reference"
    EQUATION = "equation"


WHOLE = frozenset({RegionKind.TABLE, RegionKind.FIGURE, RegionKind.EQUATION})
CAPTIONS = frozenset({RegionKind.FIGURE_CAPTION, RegionKind.TABLE_CAPTION})
MARGINS = frozenset({RegionKind.HEADER, RegionKind.FOOTER})


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the level page and what the model takes it for."""

    kind: RegionKind
    box: Rectangle
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of text as it was found. `box` is where it lies in the image, the rest after levelling the page.

    `role` is what the layout says it is, `within` the region that says so. A table, figure or equation stands for
    all its lines, which it holds.
    """

    text: str
    box: Rectangle
    x0: float
    x1: float
    middle: float
    height: float
    slope: float = 0.0
    role: RegionKind | None = None
    held: tuple["Line", ...] = ()
    within: Rectangle | None = None

    @classmethod
    def of(cls, quad: Quad, text: str, *, box: Rectangle | None = None) -> "Line":
        """From the four corners, clockwise from the top left; `box` is where it lies in the image if not there."""
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = quad
        width = (math.dist((ax, ay), (bx, by)) + math.dist((dx, dy), (cx, cy))) / 2
        height = (math.dist((ax, ay), (dx, dy)) + math.dist((bx, by), (cx, cy))) / 2
        across, down = (ax + bx + cx + dx) / 4, (ay + by + cy + dy) / 4
        return cls(
            text=" ".join(text.split()),
            box=box or (min(ax, dx), min(ay, by), max(bx, cx), max(cy, dy)),
            x0=across - width / 2,
            x1=across + width / 2,
            middle=down,
            height=height,
            slope=math.atan2(by - ay + cy - dy, bx - ax + cx - dx),
        )

    @classmethod
    def whole(cls, region: Region, held: Sequence["Line"], *, box: Rectangle) -> "Line":
        """A table, figure or equation in the place of its lines."""
        x0, y0, x1, y1 = region.box
        return cls("", box, x0, x1, (y0 + y1) / 2, y1 - y0, role=region.kind, held=tuple(held))

    @property
    def is_whole(self) -> bool:
        return self.role in WHOLE

    @property
    def rectangle(self) -> Rectangle:
        """Where it lies on the level page."""
        return (self.x0, self.middle - self.height / 2, self.x1, self.middle + self.height / 2)

    @property
    def at(self) -> float:
        """How far down it is read: what stands beside a table or figure comes after it."""
        return self.middle - self.height / 2 if self.is_whole else self.middle

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    def turned(self, angle: float) -> "Line":
        """Where it would lie if the page were turned back by `angle` around its corner."""
        across, down = (self.x0 + self.x1) / 2, self.middle
        level = across * math.cos(angle) + down * math.sin(angle)
        return replace(
            self,
            x0=level - self.width / 2,
            x1=level + self.width / 2,
            middle=down * math.cos(angle) - across * math.sin(angle),
        )


Row = list[Line]
"""Cells side by side; running text has one."""


def joined(lines: Sequence[Line], text: str) -> Line:
    """One line in the place of several that lie side by side."""
    return replace(
        lines[0],
        text=text,
        box=around([line.box for line in lines]),
        x0=min(line.x0 for line in lines),
        x1=max(line.x1 for line in lines),
        height=max(line.height for line in lines),
    )


def around(boxes: Sequence[Rectangle]) -> Rectangle:
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )


def area(box: Rectangle) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def shared(one: Rectangle, other: Rectangle) -> float:
    """The area that two boxes have in common."""
    return area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))


def is_cjk(character: str) -> bool:
    """Written without spaces between words: Han, kana and their punctuation."""
    return "\u2e80" <= character <= "\u9fff" or "\uf900" <= character <= "\ufaff" or "\uff00" <= character <= "\uffef"


def weight(text: str) -> int:
    """Characters, a Han character counting as two: what a line holds."""
    return sum(2 if is_cjk(character) else 1 for character in text)
