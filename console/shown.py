"""What strangers wrote, as a terminal may have it."""

import sys
import unicodedata
from typing import TextIO

from folio.legible import escaped, legible


def shown(text: str) -> str:
    """A name, a cause or a value, on one line: no character of it is invisible."""
    return "".join(one if one.isprintable() or unicodedata.category(one) == "Zs" else escaped(one) for one in text)


def tell(line: str = "", *, file: TextIO | None = None) -> None:
    """Print for people."""
    print(legible(line), file=file or sys.stdout, flush=True)
