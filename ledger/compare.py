"""Are two readings of a page the same, and if not, how much of them agrees."""

import hashlib
import re
import unicodedata
from collections import Counter

from folio.errors import Cause
from folio.records import PageText

AGREEMENT_MIN = 0.8
"""Below this a page's text layer says something else than its picture: OCR noise costs about 0.05 to 0.15."""

_SHOWN = {"source", "markdown", "blocks", "flags"}
_NOT_TEXT = re.compile(r"[\W_]+")


def digest(text: PageText) -> bytes:
    """Names what a reader sees of a page: engine, seconds or the time of reading change nothing."""
    if text.cause is not None and text.status == "failed":
        return failure_digest(text.cause)
    seen = text.model_dump_json(include=_SHOWN, exclude_defaults=True)
    return hashlib.blake2b(seen.encode(), digest_size=16).digest()


def failure_digest(cause: Cause) -> bytes:
    """All that is shown of a failed page is its cause."""
    return hashlib.blake2b(f"failed {cause}".encode(), digest_size=16).digest()


def agreement(one: str, other: str) -> float:
    """0 to 1: the share of three-letter pieces in both. Blind to layout, spaces and the order of columns."""
    mine, theirs = _pieces(one), _pieces(other)
    total = mine.total() + theirs.total()
    return 1.0 if total == 0 else 2 * (mine & theirs).total() / total


def _pieces(markdown: str) -> Counter[str]:
    letters = _NOT_TEXT.sub("", unicodedata.normalize("NFKC", markdown).lower())
    return Counter(letters[at : at + 3] for at in range(max(1, len(letters) - 2)) if letters)
