"""HTML tables in what a model said: found wherever they stand, closed where they were not, their columns counted."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ocr_stage.grammar import Flag

SPAN_MAX = 1000
ANY = re.compile(r"</?(?:table|t[rdh])\b", re.IGNORECASE)
_TABLE = re.compile(r"<(/?)(table)\b[^<>]*>", re.IGNORECASE)
_PART = re.compile(r"<(/?)(table|thead|tbody|tfoot|tr|td|th)\b([^<>]*)>", re.IGNORECASE)
_SPAN = re.compile(r"\b(row|col)span\s*=\s*[\"']?(\d{1,9})", re.IGNORECASE)


def left_open(text: str, *, before: bool) -> bool:
    """Whether a table is open at its end; `before`: at its start."""
    last = None
    for last in _TABLE.finditer(text):  # noqa: B007  # the last one is wanted
        pass
    return before if last is None else not last[1]


def closes_first(text: str) -> bool:
    """Whether the first tag of a table in it ends something that began before."""
    first = ANY.search(text)
    return first is not None and first[0].startswith("</")


class Segment(NamedTuple):
    """A run of text, or one table."""

    text: str
    is_table: bool
    flags: tuple[Flag, ...] = ()


def segments(text: str) -> Iterator[Segment]:
    """Text and tables in order. Cells that no table is around get one, an open one ends at its last."""
    if not ANY.search(text):
        yield Segment(text, is_table=False)
        return
    at = 0
    for start, end in _tables(text):
        yield from _loose(text[at:start])
        yield _checked(text[start:end])
        at = end
    yield from _loose(text[at:])


def _tables(text: str) -> Iterator[tuple[int, int]]:
    """The outermost ones."""
    depth = start = 0
    for tag in _TABLE.finditer(text):
        if not tag[1]:
            start = start if depth else tag.start()
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                yield start, tag.end()
    if depth:
        yield start, _last_tag(text, start)


def _last_tag(text: str, start: int) -> int:
    """Where the table ends that is never closed: with its last cell, whose text may have been cut off."""
    end, is_open = start, False
    for tag in _PART.finditer(text, start):
        end, is_open = tag.end(), not tag[1] and tag[2].lower() in {"td", "th"}
    if is_open:
        blank = text.find("\n\n", end)
        end = len(text) if blank < 0 else blank
    return end


def _loose(text: str) -> Iterator[Segment]:
    """Rows and cells outside any table."""
    first = _PART.search(text)
    if not first:
        yield Segment(text, is_table=False)
        return
    end = _last_tag(text, first.start())
    yield Segment(text[: first.start()], is_table=False)
    yield _checked(text[first.start() : end])
    yield Segment(text[end:], is_table=False)


def _checked(source: str) -> Segment:
    """Closed, without blank lines, which would end it in Markdown; a table without a cell is the text in it."""
    closed = _closed(source)
    flags = (Flag.TABLE_UNCLOSED,) if closed != source else ()
    widths = list(columns(closed))
    if not widths:
        return Segment(_PART.sub(" ", closed), is_table=False, flags=(*flags, Flag.TABLE_EMPTY))
    if len(set(widths)) > 1:
        flags = (*flags, Flag.TABLE_RAGGED)
    return Segment("\n".join(line for line in closed.strip().split("\n") if line.strip()), is_table=True, flags=flags)


def _closed(source: str) -> str:
    """With every tag closed that the model left open at the end, and a table around it."""
    before = "" if source[:6].lower() == "<table" else "<table>"
    if not before and source.endswith("</table>") and source.count("<table") == source.count("</table>"):
        return source
    depth, row, cell = 0, False, ""
    for tag in _PART.finditer(before + source):
        opens, name = not tag[1], tag[2].lower()
        if name == "table":
            depth += 1 if opens else -1
        elif name in {"td", "th"}:
            cell = name if opens else ""
        elif name == "tr":
            row, cell = opens, ""
    if depth <= 0:
        return before + source
    return f"{before}{source}{f'</{cell}>' if cell else ''}{'</tr>' if row else ''}{'</table>' * depth}"


def columns(source: str) -> Iterator[int]:
    """How many columns each row fills, what spans down into it counted."""
    reaching: list[tuple[int, int]] = []
    for cells in _rows(source):
        yield sum(across for across, _ in cells) + sum(across for across, _ in reaching)
        reaching = [(across, down - 1) for across, down in [*reaching, *cells] if down > 1]


def _rows(source: str) -> list[list[tuple[int, int]]]:
    """Columns and rows that each cell spans; a table within a table counts for nothing."""
    rows: list[list[tuple[int, int]]] = []
    depth = 0
    for tag in _PART.finditer(source):
        opens, name = not tag[1], tag[2].lower()
        if name == "table":
            depth += 1 if opens else -1
        elif depth == 1 and opens and name == "tr":
            rows.append([])
        elif depth == 1 and opens and name in {"td", "th"}:
            rows = rows or [[]]
            rows[-1].append(_spans(tag[3]))
    return [row for row in rows if row]


def _spans(attributes: str) -> tuple[int, int]:
    if not attributes:
        return 1, 1
    found = {side.lower(): min(SPAN_MAX, int(count)) for side, count in _SPAN.findall(attributes)}
    return max(1, found.get("col", 1)), max(1, found.get("row", 1))
