"""A long text becomes pages: at form feeds, else at headings and blank lines, never inside of a fence or a table."""

import re
from collections.abc import Iterator

PAGE_CHARS = 20_000
"""About this long is a page of a text that has none: long enough for a section, short enough to be cited."""
_LATEST = 1.0
_EARLIEST = {"heading": 0.4, "blank": 0.25, "line": 0.0}
"""What share of a page must be full before it may end there; headings are looked for first."""
_INSIDE_MAX = 2
"""A fence or a table may make a page this many times as long before it is cut after all."""
_HEADING = re.compile(r"#{1,6}\s")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_TABLE = re.compile(r"<(/?)table\b", re.IGNORECASE)
Cut = tuple[int, str]


def cut_pages(text: str, *, form_feeds: bool, chars: int = PAGE_CHARS) -> list[str]:
    """The pages in order; joined they are the text, but for blank lines at their edges."""
    parts = text.split("\f") if form_feeds else [text]
    while parts and not parts[-1].strip():
        parts.pop()
    pages: list[str] = []
    for part in parts:
        pages += list(_cut(part, chars)) or [""]
    return pages


def _cut(text: str, chars: int) -> Iterator[str]:
    start = 0
    best: dict[str, int] = {}
    for at, kind in _places(text, chars):
        while at - start > chars * (_LATEST if kind != "inside" else _INSIDE_MAX):
            end = _best(best, start, chars) or at
            yield from _page(text[start:end])
            start = end
            best = {known: place for known, place in best.items() if place > start}
        if kind != "inside" and at > start:
            best[kind] = at
    yield from _page(text[start:])


def _best(best: dict[str, int], start: int, chars: int) -> int | None:
    for kind, share in _EARLIEST.items():
        if best.get(kind, start) - start > share * chars:
            return best[kind]
    return None


def _page(text: str) -> Iterator[str]:
    """Without blank lines around it; the first line keeps its indentation."""
    page = re.sub(r"\A(?:[ \t]*\n)+", "", text).rstrip()
    if page:
        yield page


def _places(text: str, chars: int) -> Iterator[Cut]:
    """Where the text may be cut, in order, and what stands there: a heading, a blank line, a line, inside of a block.

    Also its end, so that the last page is measured too.
    """
    fence, depth = "", 0
    for start, end in _lines(text, chars):
        line = text[start:end]
        opened = _FENCE.match(line)
        inside = bool(fence) or depth > 0
        if not inside:
            yield start, "heading" if _HEADING.match(line) else "line" if line.strip() else "blank"
        else:
            yield start, "inside"
        if fence:
            closes = opened and opened[1].startswith(fence) and not line.strip().strip(fence[0])
            fence = "" if closes else fence
        elif opened:
            fence = opened[1]
        else:
            depth = max(0, depth + sum(-1 if tag[1] else 1 for tag in _TABLE.finditer(line)))
    yield len(text), "line"


def _lines(text: str, chars: int) -> Iterator[tuple[int, int]]:
    """Lines as start and end; one that is longer than a page comes in pieces that end at a sentence or a word."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        while end - start > chars:
            piece = text[start : start + chars]
            words = max(piece.rfind(". "), piece.rfind("\u3002")) + 1
            words = words if words > chars // 2 else max(piece.rfind(" "), 0) + 1 if " " in piece else chars
            yield start, start + words
            start += words
        yield start, end
        start = end
