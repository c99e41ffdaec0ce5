"""Letters as a person reads them: ligatures spelled out, accents on their letters, no signs without ink."""

import re
import unicodedata
from dataclasses import replace

from ingest.links import MARKS
from ingest.sheet import Span

_SIGNS: dict[int, str | None] = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
_SIGNS |= {0xFB05: "st"}
_SIGNS |= {
    code: spelled
    for first, last in ((0xFB1D, 0xFB4F), (0xFB50, 0xFDCF), (0xFDF0, 0xFDFF), (0xFE70, 0xFEFC))
    for code in range(first, last + 1)
    if (spelled := unicodedata.normalize("NFKC", chr(code))) != chr(code)
}
"""Hebrew and Arabic letters as they look in a word become the letters that a reader types."""
_SIGNS |= {0x00A0: " ", 0x00AD: "-", 0x2011: "-", 0x0640: None}
_SIGNS |= dict.fromkeys([0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0xFEFF, 0x2060])
_SIGNS |= dict.fromkeys([*range(32), *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xE0000, 0xE0080)])
_SIGNS |= dict.fromkeys(range(0x80, 0xA0), "\ufffd")
"""Bullets of fonts that name their signs by bytes: no letter of any text."""
_SIGNS |= {0x85: " ", 9: " ", 10: " ", 13: " "} | dict.fromkeys(MARKS)
_QUOTES = re.compile("\u2018\u2018|\u2019\u2019")
_ACCENTS = {"\u00b4": "\u0301", "\u00a8": "\u0308", "\u02c6": "\u0302", "\u02dc": "\u0303", "\u02c7": "\u030c"}
_ACCENTS |= {"\u00af": "\u0304", "\u02d8": "\u0306", "\u02da": "\u030a", "\u02d9": "\u0307", "\u02dd": "\u030b"}
_DOTLESS = "\u0131"
_ACCENTED = re.compile(rf"([{''.join(_ACCENTS)}]) ?([A-Za-z{_DOTLESS}])")


def cleaned(span: Span) -> Span:
    """The span with its text as it is read."""
    text = span.text
    if text.isascii() and text.isprintable():
        return span
    text = text.translate(_SIGNS)
    if not text.isascii():
        text = _ACCENTED.sub(_composed, _QUOTES.sub(_double, text))
    return replace(span, text=text)


def _double(found: re.Match[str]) -> str:
    return "\u201c" if found[0][0] == "\u2018" else "\u201d"


def _composed(found: re.Match[str]) -> str:
    """TeX sets an accent before its letter; what does not combine stays."""
    letter = "i" if found[2] == _DOTLESS else found[2]
    whole = unicodedata.normalize("NFC", letter + _ACCENTS[found[1]])
    return whole if len(whole) == 1 else found[0]
