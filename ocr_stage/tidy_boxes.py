"""A model's boxes, counted in thousandths of what it saw, become boxes on the page as it came."""

from collections.abc import Iterable, Iterator

from folio.records import Box
from ocr_stage.grammar import Flag
from ocr_stage.transform import Corners, Transform, around

LAST = 999
"""The model counts from 0 to this."""
NARROW = 2
"""A box narrower than this, as the model counts, holds nothing."""


def placed(boxes: Iterable[tuple[float, ...]], transform: Transform, flags: dict[str, None]) -> list[Box]:
    """In order; what is reversed is turned round, what juts out is cut off, what is left empty is left out."""
    return list(_placed(boxes, transform, flags))


def _placed(boxes: Iterable[tuple[float, ...]], transform: Transform, flags: dict[str, None]) -> Iterator[Box]:
    for x0, y0, x1, y1 in boxes:
        if 0 <= x0 <= x1 - NARROW <= LAST - NARROW and 0 <= y0 <= y1 - NARROW <= LAST - NARROW:
            box = transform.box((x0 / LAST, y0 / LAST, x1 / LAST, y1 / LAST))
            if box is not None:
                yield box
                continue
        if x1 < x0 or y1 < y0:
            flags[Flag.BOX_REVERSED] = None
        inside = _within(sorted((x0, x1)), sorted((y0, y1)), flags)
        if inside is None:
            flags[Flag.BOX_EMPTY] = None
            continue
        box = transform.box(inside)
        if box is None:
            flags[Flag.BOX_OUTSIDE] = None
        else:
            yield box


def _within(across: list[float], down: list[float], flags: dict[str, None]) -> Corners | None:
    """As fractions. One more than the last is no error worth a word: some count to a thousand."""
    if min(across[0], down[0]) < 0 or max(across[1], down[1]) > LAST + 1:
        flags[Flag.BOX_OUTSIDE] = None
    x0, x1 = (min(LAST, max(0.0, value)) / LAST for value in across)
    y0, y1 = (min(LAST, max(0.0, value)) / LAST for value in down)
    if min(x1 - x0, y1 - y0) * LAST < NARROW:
        return None
    return x0, y0, x1, y1


def united(boxes: list[Box]) -> Box | None:
    """Around all of them: a piece of text that runs over two columns has two."""
    if len(boxes) < 2:
        return boxes[0] if boxes else None
    x0, y0, x1, y1 = around(point for box in boxes for point in ((box.x0, box.y0), (box.x1, box.y1)))
    return Box(x0=x0, y0=y0, x1=x1, y1=y1)
