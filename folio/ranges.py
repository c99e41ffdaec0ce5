"""Page ranges as people write them (`1-3,7,10-`): checked before anything is sent, clipped once the file is open."""

import re
from dataclasses import dataclass
from typing import NoReturn

from folio.errors import Cause, FolioError, Permanent

_PART = re.compile(r"(\d{1,7})(?:\s*[-\u2013]\s*(\d{1,7})?)?", re.ASCII)
_HINT = "write pages like 1-3,7,10- (10- means from page 10 to the end)"


@dataclass(frozen=True, slots=True)
class PageRanges:
    """First and last page of every range; a last page of None is the document's. No range at all: every page."""

    ranges: tuple[tuple[int, int | None], ...] = ()

    def within(self, page_count: int) -> list[int]:
        """The pages asked for that exist, in order, each once. Raises Permanent(page_missing) when there is none."""
        if not self.ranges:
            return list(range(1, page_count + 1))
        chosen: set[int] = set()
        for first, last in self.ranges:
            chosen.update(range(first, min(last or page_count, page_count) + 1))
        if not chosen:
            raise Permanent(
                Cause.PAGE_MISSING,
                f"Pages {self} were asked for, but the document has {page_count:,}: add it again with other --pages.",
            )
        return sorted(chosen)

    def __str__(self) -> str:
        return ",".join(
            f"{first}-" if last is None else str(first) if first == last else f"{first}-{last}"
            for first, last in self.ranges
        )


def parse_pages(text: str) -> PageRanges:
    """Read `1-3,7,10-`; nothing means every page. Raises FolioError saying what is wrong and how it is written."""
    parts = [part.strip() for part in text.split(",")]
    if parts == [""]:
        return PageRanges()
    return PageRanges(tuple(_range(part, text) for part in parts if part or _refuse(text, "a range is empty")))


def _range(part: str, text: str) -> tuple[int, int | None]:
    match = _PART.fullmatch(part)
    if match is None:
        _refuse(text, f"{part[:40]!r} is no page and no range")
    first = int(match[1])
    last = first if match[0].isdecimal() else int(match[2]) if match[2] else None
    if first < 1:
        _refuse(text, "pages count from 1")
    if last is not None and last < first:
        _refuse(text, f"{part} runs backwards")
    return first, last


def _refuse(text: str, why: str) -> NoReturn:
    raise FolioError(f"pages {text[:80]!r}: {why}; {_HINT}")
