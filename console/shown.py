"""What strangers wrote, as a terminal may have it: what would steer it, or hide in it, is written as its escape."""

import sys
import unicodedata
from typing import TextIO

STEERS = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Kinds of characters that move a cursor, set a colour, ring a bell or begin a line; and what is no UTF-8."""
OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They make a terminal show characters in another order than they stand in. Right-to-left scripts do without."""


def shown(text: str) -> str:
    """A name, a cause or a value, on one line: no character of it is invisible."""
    return "".join(one if one.isprintable() or unicodedata.category(one) == "Zs" else _escaped(one) for one in text)


def legible(text: str) -> str:
    """A text with its lines, as it was read: joiners, soft hyphens and ideographic blanks stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(one) if _steers(one) else one for one in text)


def tell(line: str = "", *, file: TextIO | None = None) -> None:
    """Print for people."""
    print(legible(line), file=file or sys.stdout, flush=True)


def _steers(one: str) -> bool:
    return one in OVERRIDES or (one not in "\n\t" and unicodedata.category(one) in STEERS)


def _escaped(one: str) -> str:
    return ascii(one)[1:-1]
