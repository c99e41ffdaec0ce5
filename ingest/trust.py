"""Whether a page's text layer is what a person sees on the page, or must be read from its picture."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ingest.meaning import is_meaningless
from ingest.sheet import WHITE, Sheet, Span, area, centre, clipped, holds

_HIDDEN_CHARS_MAX = 20
_SIDEWAYS_SHARE_MAX = 0.3
_FULL_PAGE = 0.8
_OVER_PICTURE_CHARS_MIN = 300
_LARGE_PICTURE = 0.3
_INK_CHARS_MIN = 10
_CONTRAST_MIN = 24
_FILLS_MAX = 300
_PICTURE_FONTS = ("wingdings", "webdings", "dingbats")
_PICTURE_FONTS_SHARE_MAX = 0.3


@dataclass(frozen=True, slots=True)
class Verdict:
    """`why` is a sentence for people when the layer is not trusted. `lines` hold what is visible."""

    lines: list[list[Span]]
    trusted: bool
    why: str = ""
    hidden: bool = False


def judge(sheet: Sheet) -> Verdict:
    """Look at the page's spans, images and fills."""
    hidden = 0
    lines: list[list[Span]] = []
    for run in sheet.lines:
        shown = []
        for span in run:
            if _visible(span, sheet):
                shown.append(_as_label(span, sheet))
            else:
                hidden += _inked(span.text)
        lines.append(shown)
    why = _why_not([span for run in lines for span in run], hidden, sheet)
    return Verdict(lines, trusted=not why, why=why, hidden=hidden > _HIDDEN_CHARS_MAX)


def _why_not(spans: list[Span], hidden: int, sheet: Sheet) -> str:
    chars = sum(_inked(span.text) for span in spans)
    covered, covers_text = _pictures(sheet)
    if not sheet.inked and chars == 0:
        return ""  # an empty page
    if chars == 0 or (
        chars < _INK_CHARS_MIN and (hidden or sheet.pictures or sheet.rules or sheet.fills or sheet.curves)
    ):
        return "no text that a reader could see"
    if hidden > chars:
        return "most of the text is invisible, as in a scan with a search layer"
    if covered >= _FULL_PAGE and (covers_text or hidden or chars < _OVER_PICTURE_CHARS_MIN):
        return "a picture fills the page"
    if covered >= _LARGE_PICTURE and chars < _OVER_PICTURE_CHARS_MIN:
        return "mostly pictures"
    if sum(_inked(span.text) for span in spans if not (span.upright or span.vertical)) > _SIDEWAYS_SHARE_MAX * chars:
        return "the text runs sideways"
    if _is_symbols(spans, chars) or is_meaningless(" ".join(span.text for span in spans), sheet.unmapped):
        return "the letters have no meaning: the fonts lack their encoding"
    return ""


def _visible(span: Span, sheet: Sheet) -> bool:
    """It leaves ink, on the page, in a colour that differs from what lies beneath."""
    x, y = centre(span.box)
    if not span.painted or not (0 <= x <= sheet.width and 0 <= y <= sheet.height):
        return False
    if any(_distance(span.colour, colour) >= _CONTRAST_MIN for colour in _beneath(sheet, x, y)):
        return True
    return any(holds(picture.box, x, y) for picture in sheet.pictures)


def _as_label(span: Span, sheet: Sheet) -> Span:
    """Words in a drawn outline of their own colour, as the boxes of a diagram have."""
    if not sheet.bent:
        return span
    nearest = next(_beneath(sheet, *centre(span.box)))
    return replace(span, label=True) if _distance(span.colour, nearest) < _CONTRAST_MIN else span


def _beneath(sheet: Sheet, x: float, y: float) -> Iterator[int]:
    """What the text may lie on: the last rectangle there, and any shape after it, which may leave the place bare."""
    for at in range(len(sheet.fills) - 1, max(-1, len(sheet.fills) - 1 - _FILLS_MAX), -1):
        box, colour = sheet.fills[at]
        if holds(box, x, y):
            yield colour
            if at not in sheet.bent:
                return
    yield WHITE


def _distance(one: int, other: int) -> int:
    return max(abs((one >> shift & 255) - (other >> shift & 255)) for shift in (0, 8, 16))


def _pictures(sheet: Sheet) -> tuple[float, bool]:
    """The share of the page under images, and whether a large one lies on top of text."""
    page = max(1.0, sheet.width * sheet.height)
    shares = [(area(clipped(picture.box, sheet)) / page, picture.covers_text) for picture in sheet.pictures]
    return min(1.0, sum(share for share, _ in shares)), any(over for share, over in shares if share >= _LARGE_PICTURE)


def _inked(text: str) -> int:
    return len("".join(text.split()))


def _is_symbols(spans: list[Span], chars: int) -> bool:
    """Set in fonts of pictures, whose letters stand for something else."""
    drawn = sum(_inked(span.text) for span in spans if any(name in span.font.lower() for name in _PICTURE_FONTS))
    return drawn > _PICTURE_FONTS_SHARE_MAX * chars
