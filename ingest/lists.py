"""Lists: what begins an item, which items belong together, and how deep each of them is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ingest.layout import Line, without_marker
from ingest.links import bare

BULLET = re.compile(
    r"^(?:[•‣◦▪▫●○■□➢➤➔►▶❖◆◇✓✔☐☑☒·∙\u2043]\s*|(?:[\ue000-\uf8ff\ufffd]\s*){1,2}|[*\u2013\u2014\u2212-]\s+|o\s+(?=[A-Z]))(?=\S)"
)
_NUMBER = re.compile(r"^(\d{1,3})([.)])\s+(?=\S)")
_LETTER = re.compile(r"^(\(?(?:[a-z]|[ivx]{1,4}|\d{1,2})\)|(?:[a-z]|[ivx]{1,4})\.|[A-Z][.)])\s+(?=\S)")
_STEP_EMS = 0.6
_DEPTH_MAX = 8


@dataclass(frozen=True, slots=True)
class Marker:
    """What begins an item. `sign`: what Markdown writes; `kept`: a sign that Markdown lacks stays in the text."""

    sign: str
    kind: str
    length: int
    left: float
    kept: str = ""


@dataclass(slots=True)
class Item:
    marker: Marker
    lines: list[Line] = field(default_factory=list)


def marker_of(line: Line) -> Marker | None:
    """An item's beginning, if the line looks like one."""
    left = line.box[0]
    text = bare(line.text[:12]) if line.text[:1] > "\uf8ff" else line.text
    if bullet := BULLET.match(text):
        return Marker("-", f"bullet {text[0]}", bullet.end(), left)
    if number := _NUMBER.match(text):
        return Marker(f"{number[1]}{number[2]}", f"number {number[2]}", number.end(), left)
    if letter := _LETTER.match(text):
        shape = "(" if letter[1][0] == "(" else letter[1][-1]
        case = (
            "number" if letter[1].strip("().").isdecimal() else "upper" if letter[1].strip("().").isupper() else "lower"
        )
        return Marker("-", f"{case} {shape}", letter.end(), left, kept=letter[1])
    return None


def item_of(line: Line, marker: Marker) -> Item:
    return Item(marker, [without_marker(line, marker.length)])


def goes_on(items: Sequence[Item], marker: Marker, em: float) -> bool:
    """The item belongs to the same list: its sign was there already at this indent, or it stands deeper."""
    last = items[-1].marker
    if any(_is_beside(item.marker, marker, em) for item in items):
        return True
    if marker.left > last.left + _STEP_EMS * em:
        return True
    return abs(marker.left - last.left) <= _STEP_EMS * em and _is_inner(last, marker)


def depths(items: Sequence[Item], em: float) -> list[int]:
    """How deep every item is: by its indent, and where that is alike, by letters inside of numbers."""
    levels: list[Marker] = []
    found = []
    for item in items:
        marker = item.marker
        known = next((at for at, level in enumerate(levels) if _is_beside(level, marker, em)), None)
        if known is not None:
            del levels[known + 1 :]
        else:
            while levels and not _is_under(levels[-1], marker, em):
                levels.pop()
            levels.append(marker)
        found.append(min(len(levels) - 1, _DEPTH_MAX))
    return found


def _is_under(level: Marker, marker: Marker, em: float) -> bool:
    aside = marker.left - level.left
    return aside > _STEP_EMS * em or (abs(aside) <= _STEP_EMS * em and _is_inner(level, marker))


def _is_inner(outer: Marker, marker: Marker) -> bool:
    """Letters, brackets and bullets count inside of numbers; never the other way round."""
    return outer.kind.startswith("number") and outer.kind != marker.kind and not marker.kind.startswith("upper")


def _is_beside(level: Marker, marker: Marker, em: float) -> bool:
    return level.kind == marker.kind and abs(level.left - marker.left) <= _STEP_EMS * em
