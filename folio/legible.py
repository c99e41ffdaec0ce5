"""Text of strangers, for people: what would steer a terminal, or hide in it, is written as its escape."""

import unicodedata

STEERS = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Kinds of characters that move a cursor, set a colour, ring a bell or begin a line; and what is no UTF-8."""
OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They make a terminal show characters in another order than they stand in. Right-to-left scripts do without."""


def legible(text: str) -> str:
    """A text with its lines, as it was read: joiners, soft hyphens and ideographic blanks stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(escaped(one) if _steers(one) else one for one in text)


def escaped(one: str) -> str:
    """A character as Python writes it."""
    return ascii(one)[1:-1]


def _steers(one: str) -> bool:
    return one in OVERRIDES or (one not in "\n\t" and unicodedata.category(one) in STEERS)
