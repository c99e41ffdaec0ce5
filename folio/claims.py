"""What a producer may claim of a page or a document: bounds, and numbers and metadata read strictly."""

import json
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

DOCUMENT_PAGES_MAX = 100_000
"""A page number is somebody's claim, and every page below it that never comes is named: so it has a bound."""
VERSION_MAX = 2**63 - 1
"""What the ledger's tables hold."""
NUMBER_MAX = 2**63 - 1
"""In metadata: filters and Qdrant hold 64 bits."""
DIGITS_MAX = 19
SHA256 = re.compile("[0-9a-f]{64}")
METADATA_BYTES_MAX = 16 * 1024
"""Of a document's metadata as JSON: they are copied into every one of its chunks."""


def whole_number(name: str, said: str) -> int:
    """A header's number; 0 where nothing is said. Raises ValueError in words for its producer."""
    if said and not (said.isascii() and said.isdecimal() and len(said) <= DIGITS_MAX):
        raise ValueError(f"{name}: {said[:DIGITS_MAX]!r} is no whole number of at most {DIGITS_MAX} digits")
    return int(said or 0)


def plain_metadata(said: Mapping[str, Any]) -> dict[str, Any]:
    """Names with texts, finite numbers, true or false: what a filter can ask for. Raises ValueError."""
    for name, value in said.items():
        number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
        if not isinstance(name, str) or not name or not (isinstance(value, str) or number):
            raise ValueError(f"{str(name)[:80]!r} has no text, number, true or false")
        if isinstance(value, int) and abs(value) > NUMBER_MAX:
            raise ValueError(f"{str(name)[:80]!r} is a whole number of more than 64 bits")
    try:
        size = len(json.dumps(dict(said), ensure_ascii=False).encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"UTF-8 is wanted, {error.object[error.start]!a} is none") from None
    if size > METADATA_BYTES_MAX:
        raise ValueError(f"{size:,} bytes as JSON, at most {METADATA_BYTES_MAX:,}")
    return dict(said)


Metadata = Annotated[dict[str, Any], AfterValidator(plain_metadata)]
