"""Marks on a page's picture: boxes with a colour and a short label, drawn in the sandbox child, and cutting out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the owner describes marks without Pillow, the child draws them without pydantic
    from PIL import Image

    from folio.records import Box

LABEL_CHARS_MAX = 60
_LINE_SHARE, _FONT_SHARE = 0.0018, 0.013
_LINE_MIN, _FONT_MIN = 2, 11
Corners = tuple[float, float, float, float]
"""Left, top, right, bottom in fractions of the page."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A box to outline. `colour` is a CSS name or `#rrggbb`; the label stands on the box's upper edge."""

    box: "Box"
    colour: str = "red"
    label: str = ""

    def packed(self) -> list[Any]:
        """As it travels to the child."""
        return [*corners(self.box), self.colour, self.label[:LABEL_CHARS_MAX]]


def corners(box: "Box") -> Corners:
    return box.x0, box.y0, box.x1, box.y1


def draw_marks(picture: "Image.Image", marks: Sequence[Sequence[Any]]) -> None:
    """Outline every packed mark's box; labels are drawn last, so that no outline crosses one."""
    from PIL import ImageDraw, ImageFont

    edge = max(picture.size)
    line = max(_LINE_MIN, round(edge * _LINE_SHARE))
    font = ImageFont.load_default(max(_FONT_MIN, round(edge * _FONT_SHARE)))
    drawing = ImageDraw.Draw(picture)
    for *box, colour, _ in marks:
        drawing.rectangle(_around(_pixels(box, picture.size), line, picture.size), outline=_colour(colour), width=line)
    for *box, colour, label in marks:
        if label:
            _write(drawing, _pixels(box, picture.size), str(label), _colour(colour), font=font, width_max=picture.width)


def _write(
    drawing: Any, box: tuple[int, int, int, int], label: str, colour: tuple[int, ...], *, font: Any, width_max: int
) -> None:
    """White on the mark's colour: above the box where there is room, else inside it."""
    left, top, _, _ = box
    label = label.encode("latin-1", "replace").decode("latin-1")  # the font that comes with Pillow has no more
    _, _, width, height = font.getbbox(label)
    left = max(0, min(left, width_max - int(width) - 6))
    top = top - int(height) - 4 if top > height + 4 else top
    drawing.rectangle((left, top, left + width + 6, top + height + 4), fill=colour)
    drawing.text((left + 3, top + 1), label, fill="white", font=font)


def cut(picture: "Image.Image", crop: Sequence[float]) -> "Image.Image":
    """The part of a picture in a box; never less than a pixel."""
    left, top, right, bottom = _pixels(crop, picture.size)
    return picture.crop((left, top, right + 1, bottom + 1))


def _pixels(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    width, height = size
    x0, y0, x1, y1 = box
    left, top = min(round(x0 * width), width - 1), min(round(y0 * height), height - 1)
    return left, top, max(left, min(round(x1 * width), width) - 1), max(top, min(round(y1 * height), height) - 1)


def _around(box: tuple[int, int, int, int], line: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A line beside the box covers none of its letters; at the page's edge it lies inside."""
    left, top, right, bottom = box
    return max(0, left - line), max(0, top - line), min(size[0] - 1, right + line), min(size[1] - 1, bottom + line)


def _colour(name: str) -> tuple[int, ...]:
    """An unknown colour is red: a mark in the wrong colour is better than no picture."""
    from PIL import ImageColor

    try:
        return ImageColor.getrgb(name)[:3]
    except ValueError:
        return 255, 0, 0
