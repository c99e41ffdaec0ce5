"""Raised digits of units and of powers of ten as the signs that readers type: m², 10⁵. Marks of footnotes stay."""

import re
from collections.abc import Sequence
from dataclasses import replace

from ingest.sheet import Span, centre

_SMALL, _SHIFT, _NEAR_EMS = 0.85, 0.08, 0.15
_POWER = re.compile(r"[-\u2212+]?\d{1,2}")
_UNIT = re.compile(r"(?:^|[\s\d/(\u00b7])(?:[kcdmn\u00b5\u03bc]?m|ft|mi)$|/s$")
_OF_UNIT = re.compile(r"[23]|[-\u2212][1-4]")
_OF_TEN = re.compile(r"[\u00d7x\u00b7*]\s?10$")
_TEN = re.compile(r"(?:^|[\s(])10$")
_SQUARED = re.compile(r"(?:^|[\s(])[Rr\u03c7]$")
_VARIABLE = re.compile(r"(?:^|[^\w]|\d)[A-Za-z]$")
"""On a line with an equation; elsewhere the digit may be a mark."""
RAISED = str.maketrans(
    "0123456789+-\u2212", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b\u207b"
)


def with_powers(run: Sequence[Span]) -> list[Span]:
    """The same spans of one line."""
    found = list(run)
    for at in range(1, len(found)):
        text = found[at].text.strip()
        if not _POWER.fullmatch(text) or not _is_raised(found[at - 1], found[at]):
            continue
        said = found[at - 1].text.rstrip()
        if _is_power(text, said) or (_VARIABLE.search(said) and any("=" in span.text for span in run)):
            found[at] = replace(found[at], text=found[at].text.translate(RAISED))
    return found


def _is_raised(before: Span, span: Span) -> bool:
    """Smaller, higher and right behind."""
    height = before.box[3] - before.box[1]
    higher = centre(before.box)[1] - centre(span.box)[1] >= _SHIFT * height
    return higher and span.size <= _SMALL * before.size and span.box[0] - before.box[2] <= _NEAR_EMS * before.size


def _is_power(text: str, said: str) -> bool:
    """Behind a unit, a ten or a letter that is squared."""
    signed = not text[0].isdecimal()
    return bool(
        (_OF_UNIT.fullmatch(text) and _UNIT.search(said))
        or _OF_TEN.search(said)
        or (signed and _TEN.search(said))
        or (text == "2" and _SQUARED.search(said))
    )
