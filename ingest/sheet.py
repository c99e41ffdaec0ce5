"""One PDF page as both engines tell it: spans of text, fills, ruling lines and images, as the page is displayed."""

from collections.abc import Callable
from dataclasses import dataclass, field

Rect = tuple[float, float, float, float]
"""Left, top, right, bottom in points of the page as displayed, origin top left."""

WHITE = 0xFFFFFF
RULE_POINTS_MAX = 3.0
"""A drawn thing thinner than this is a ruling line."""


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of one font in one colour on one line. `painted` is False for text that leaves no ink.

    `vertical`: its letters stand upright, one below the other. `raised`: set above the line, as a footnote's mark.
    `label`: in a box of a diagram.
    """

    text: str
    box: Rect
    size: float
    bold: bool = False
    mono: bool = False
    colour: int = 0
    painted: bool = True
    upright: bool = True
    vertical: bool = False
    raised: bool = False
    label: bool = False
    font: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image on the page. `covers_text` when most text was painted before it, so it lies on top."""

    box: Rect
    covers_text: bool


@dataclass(slots=True)
class Sheet:
    """What the reader needs to know of a page. `lines` are in the engine's order; `inked`: something is painted.

    `bent`: which fills are of no rectangle, so that their box may hold bare paper.
    `curves` are stroked paths that bend or slant: parts of a drawing, never of a table; `frames` drawn rectangles.
    `damaged`: part of the page's content cannot be unpacked, so that what is here may break off anywhere.
    `links` are boxes with their addresses, `outline` the bookmarks that point here: level and title. `following`
    reads the next page, if any.
    """

    width: float
    height: float
    lines: list[list[Span]] = field(default_factory=list)
    rules: list[Rect] = field(default_factory=list)
    fills: list[tuple[Rect, int]] = field(default_factory=list)
    bent: set[int] = field(default_factory=set)
    curves: list[Rect] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    frames: list[Rect] = field(default_factory=list)
    unmapped: int = 0
    inked: bool = False
    damaged: bool = False
    links: list[tuple[Rect, str]] = field(default_factory=list)
    outline: list[tuple[int, str]] = field(default_factory=list)
    following: Callable[[], "Sheet | None"] = field(default=lambda: None, repr=False)

    def draw(self, box: Rect, colour: int, *, stroked: bool, bent: bool = False) -> None:
        """Note a drawn line or rectangle: thin ones rule, stroked ones rule with their four edges."""
        left, top, right, bottom = box
        if min(right - left, bottom - top) <= RULE_POINTS_MAX:
            self.rules.append(box)
        elif stroked:
            self.frames.append(box)
            self.rules += [
                (left, top, right, top),
                (left, bottom, right, bottom),
                (left, top, left, bottom),
                (right, top, right, bottom),
            ]
        else:
            if bent or self._is_inlaid(box, colour):
                self.bent.add(len(self.fills))
            self.fills.append((box, colour))

    def _is_inlaid(self, box: Rect, colour: int) -> bool:
        """An outline may be told as two rectangles of one colour, one in the other: then the outer is none either."""
        outer, before = self.fills[-1] if self.fills else (box, None)
        inside = outer[0] < box[0] and outer[1] < box[1] and box[2] < outer[2] and box[3] < outer[3]
        if before == colour and inside:
            self.bent.add(len(self.fills) - 1)
            return True
        return False


def union(one: Rect, other: Rect) -> Rect:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def meet(one: Rect, other: Rect, slack: float) -> bool:
    across = one[0] <= other[2] + slack and other[0] <= one[2] + slack
    return across and one[1] <= other[3] + slack and other[1] <= one[3] + slack


def holds(outer: Rect, x: float, y: float) -> bool:
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]


def centre(box: Rect) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def area(box: Rect) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def clipped(box: Rect, sheet: Sheet) -> Rect:
    """What of the box lies on the page."""
    left, top, right, bottom = box
    return max(0.0, left), max(0.0, top), min(sheet.width, right), min(sheet.height, bottom)


def ordered(x0: float, y0: float, x1: float, y1: float) -> Rect:
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
