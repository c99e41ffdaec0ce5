"""A page as its script is read: mirrored for Hebrew and Arabic, on its side for vertical Chinese and Japanese.

Seen so, every page has lines from left to right and columns from left to right, and one set of rules lays it out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ingest.layout import Line
from ingest.leftward import is_leftward
from ingest.sheet import Picture, Rect, Sheet, Span

_MOST = 0.5


@dataclass(frozen=True, slots=True)
class View:
    """The sheet as seen, and the way back for a box on it."""

    sheet: Sheet
    back: Callable[[Rect], Rect]


def upright(sheet: Sheet) -> View:
    return View(sheet, lambda box: box)


def mirrored(sheet: Sheet) -> View:
    """Left is right: mirroring twice is the way back."""

    def mirror(box: Rect) -> Rect:
        return sheet.width - box[2], box[1], sheet.width - box[0], box[3]

    return View(_seen(sheet, mirror, sheet.width, sheet.height), mirror)


def on_its_side(sheet: Sheet) -> View:
    """What runs down runs to the right; the column at the right is the line at the top."""

    def turned(box: Rect) -> Rect:
        return box[1], sheet.width - box[2], box[3], sheet.width - box[0]

    def back(box: Rect) -> Rect:
        return sheet.width - box[3], box[0], sheet.width - box[1], box[2]

    return View(_seen(sheet, turned, sheet.height, sheet.width), back)


def _seen(sheet: Sheet, see: Callable[[Rect], Rect], width: float, height: float) -> Sheet:
    return replace(
        sheet,
        width=width,
        height=height,
        lines=[[replace(span, box=see(span.box), upright=True) for span in run] for run in sheet.lines],
        rules=[see(rule) for rule in sheet.rules],
        fills=[(see(box), colour) for box, colour in sheet.fills],
        curves=[see(curve) for curve in sheet.curves],
        frames=[see(frame) for frame in sheet.frames],
        pictures=[Picture(see(picture.box), picture.covers_text) for picture in sheet.pictures],
    )


def mirrored_lines(lines: Sequence[Line], view: View) -> list[Line]:
    """Lines that were put together on the page as it is: their letters are in order already."""
    return [
        replace(line, box=view.back(line.box), pieces=tuple((text, view.back(box)) for text, box in line.pieces))
        for line in lines
    ]


def reads_leftward(lines: Sequence[Line]) -> bool:
    """Most of the text is Hebrew or Arabic."""
    total = sum(len(line.text) for line in lines)
    return sum(len(line.text) for line in lines if is_leftward(line.text)) > _MOST * total > 0


def reads_down(runs: Sequence[Sequence[Span]]) -> bool:
    """Most of the text is set in vertical lines."""
    total = down = 0
    for run in runs:
        for span in run:
            total += len(span.text)
            down += len(span.text) * span.vertical
    return down > _MOST * total > 0
