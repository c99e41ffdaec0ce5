"""Boxed text: what stands in a frame or on a ground of its own is read as one piece, in the place of its box."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ingest.layout import Placed, reading_order
from ingest.sheet import WHITE, Rect, Sheet, area, centre, clipped, holds

_GROUNDS_MAX = 200
_BOXES_MAX = 60
"""More are a drawing."""
_LINES_MIN = 2
_HEIGHT_EMS_MIN = 2.5
_PAGE_SHARE_MAX = 0.45
_ITEMS_SHARE_MAX = 0.8
_SLACK = 2.0
_ALIKE = 4.0
_COUNTED_MIN = 3
_NUMBERED = re.compile(r"(\d{1,3})[.):]?\s")

P = TypeVar("P", bound=Placed)


@dataclass(frozen=True, slots=True)
class _Boxed(Generic[P]):
    """The items within one box, smaller boxes among them."""

    items: "tuple[P | _Boxed[P], ...]"
    box: Rect


def in_order(items: Sequence[P], sheet: Sheet, em: float) -> list[list[P]]:
    """Columns of items in the order of reading; a box's items come together."""
    return _flows(_parted(items, sheet, em), em)


def _flows(items: "Sequence[P | _Boxed[P]]", em: float) -> list[list[P]]:
    flows: list[list[P]] = []
    for flow in _counted(reading_order(items, em)):
        flows += _opened(flow, em)
    return flows


def _counted(flows: Sequence[Sequence[P | _Boxed[P]]]) -> Sequence[Sequence[P | _Boxed[P]]]:
    """Boxes that are numbered on end are read as they count, row by row or column by column."""
    boxed = [item for flow in flows for item in flow if isinstance(item, _Boxed)]
    numbers = {number: item for item in boxed if (number := _number(item)) is not None}
    first = min(numbers, default=0)
    if len(numbers) < _COUNTED_MIN or sorted(numbers) != list(range(first, first + len(numbers))):
        return flows
    places = iter(sorted(numbers))
    own = {id(item) for item in numbers.values()}
    return [[numbers[next(places)] if id(item) in own else item for item in flow] for flow in flows]


def _number(boxed: _Boxed[P]) -> int | None:
    top = min(boxed.items, key=lambda item: item.box[1])
    found = _NUMBERED.match(getattr(top, "text", ""))
    return int(found[1]) if found else None


def _opened(flow: Sequence[P | _Boxed[P]], em: float) -> list[list[P]]:
    flows: list[list[P]] = []
    run: list[P] = []
    for item in flow:
        if isinstance(item, _Boxed):
            flows += [run] if run else []
            flows += _flows(item.items, em)
            run = []
        else:
            run.append(item)
    return [*flows, run] if run else flows


def _parted(items: Sequence[P], sheet: Sheet, em: float) -> "list[P | _Boxed[P]]":
    """Boxes with their items, the smaller inside of the larger, and the items that are in none."""
    rest: list[P | _Boxed[P]] = list(items)
    for ground in _grounds(sheet, em):
        inside = [item for item in rest if _is_within(item.box, ground)]
        if len(inside) < _LINES_MIN or len(inside) > _ITEMS_SHARE_MAX * len(rest):
            continue
        if any(_crosses(item.box, ground) for item in rest):
            continue
        gone = {id(item) for item in inside}
        rest = [item for item in rest if id(item) not in gone]
        rest.append(_Boxed(tuple(inside), ground))
    return rest


def _grounds(sheet: Sheet, em: float) -> list[Rect]:
    coloured = [box for box, colour in sheet.fills[:_GROUNDS_MAX] if colour != WHITE]
    white = [box for box, colour in sheet.fills[:_GROUNDS_MAX] if colour == WHITE]
    fills = [*coloured, *(box for box in white if any(_is_within(box, other) for other in coloured))]
    pictures = [picture.box for picture in sheet.pictures[:_GROUNDS_MAX]]
    page = sheet.width * sheet.height
    found: list[Rect] = []
    for box in (clipped(each, sheet) for each in [*fills, *sheet.frames[:_GROUNDS_MAX], *pictures]):
        fits = box[3] - box[1] >= _HEIGHT_EMS_MIN * em and area(box) <= _PAGE_SHARE_MAX * page
        if fits and len(found) <= _BOXES_MAX and not any(_is_alike(box, other) for other in found):
            found.append(box)
    return sorted(found, key=area) if len(found) <= _BOXES_MAX else []


def _is_alike(one: Rect, other: Rect) -> bool:
    return all(abs(mine - theirs) <= _ALIKE for mine, theirs in zip(one, other, strict=True))


def _is_within(box: Rect, ground: Rect) -> bool:
    left, top, right, bottom = ground
    return box[0] >= left - _SLACK and box[2] <= right + _SLACK and box[1] >= top - _SLACK and box[3] <= bottom + _SLACK


def _crosses(box: Rect, ground: Rect) -> bool:
    """Neither inside nor outside."""
    return not _is_within(box, ground) and holds(ground, *centre(box))
