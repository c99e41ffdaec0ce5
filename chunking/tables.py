"""Pipe tables and HTML tables become one model of rows, so that both are split, repeated and compared the same way."""

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

SPAN_MAX = 64
REPEAT_SHARE = 4
"""A cell that spans is repeated until the repeats outweigh the source by this: no small page grows to gigabytes."""
_SIDES = len(" | ")
_TAG = re.compile(
    r"<(/?)(table|thead|tbody|tfoot|tr|td|th|caption|colgroup|col|br|p|div|span|center|b|i|u|strong|em|font|a|ul|ol|li)"
    r"\b([^<>]*)>",
    re.IGNORECASE,
)
_GLUED = frozenset({"span", "b", "i", "u", "strong", "em", "font", "a"})
_SPAN = re.compile(r"\b(col|row)span\s*=\s*[\"']?(\d{1,5})", re.IGNORECASE)
_PIPE = re.compile(r"(?<!\\)\|")
_FIGURE = re.compile(r"[-+(]?[$€£¥]?\s?\d[\d,.\s]*[%)]?")
_YEAR = re.compile(r"(?:19|20)\d\d")


class Row(NamedTuple):
    """One row: its cells, its line in a pipe table, and where on which page it stands."""

    cells: tuple[str, ...]
    text: str
    page: int
    start: int
    end: int


@dataclass(frozen=True)
class Table:
    """`named` says that the source marked the header; otherwise the first row is taken for it."""

    head: tuple[Row, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    named: bool = True

    @cached_property
    def columns(self) -> int:
        return max(len(row.cells) for row in self.head + self.rows)

    @property
    def text(self) -> str:
        return "\n".join([*self.opening, *(row.text for row in self.rows)])

    @property
    def opening(self) -> list[str]:
        """Caption and header: what every continuation repeats."""
        return ([self.caption] if self.caption else []) + self.header

    @cached_property
    def header(self) -> list[str]:
        first, *more = [row.text for row in self.head if any(row.cells)] or ["|" + " |" * self.columns]
        return [first, "|" + "-|" * self.columns, *more]

    def name_of(self, column: int) -> str:
        """A column's header, from all header rows, each word once."""
        names = [row.cells[column] for row in self.head if column < len(row.cells) and row.cells[column]]
        return " ".join(dict.fromkeys(names))


def pipe_table(page: int, lines: Sequence[tuple[str, int]]) -> Table:
    """From the lines of a pipe table with their offsets; the second is the delimiter row."""
    rows = [
        Row(_pipe_cells(line.strip()), line.strip(), page, start, start + len(line))
        for index, (line, start) in enumerate(lines)
        if index != 1
    ]
    return Table(head=(rows[0],), rows=tuple(rows[1:]))


def _pipe_cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in _PIPE.split(line.removeprefix("|").removesuffix("|")))


def continues(table: Table, following: Table) -> bool:
    """Whether a table at the top of a page goes on with the one that ended the page before."""
    if following.caption or table.columns != following.columns:
        return False
    return (
        same_header(table, following)
        or not any(row.cells and any(row.cells) for row in following.head)
        or (not following.named and _is_figures(following.head[0]))
    )


def same_header(table: Table, following: Table) -> bool:
    return _words(table.head) == _words(following.head)


def joined(table: Table, following: Iterable[Table]) -> Table:
    """One table; a header that a page repeats is left out, a first row that was only taken for one is kept."""
    rows = list(table.rows)
    for more in following:
        if not same_header(table, more):
            rows += [row for row in more.head if any(row.cells)]
        rows += more.rows
    return Table(head=table.head, rows=tuple(rows), caption=table.caption, named=table.named)


def _words(rows: Sequence[Row]) -> list[str]:
    return [" ".join(" ".join(row.cells).lower().split()) for row in rows]


def _is_figures(row: Row) -> bool:
    """A row with a number that is not a year is no header."""
    return any(_FIGURE.fullmatch(cell) and not _YEAR.fullmatch(cell) for cell in row.cells[1:])


@dataclass(slots=True)
class _Cell:
    text: str
    columns: int = 1
    rows: int = 1
    is_header: bool = False


@dataclass(slots=True)
class _Line:
    """A row as the source has it, before spans are laid out."""

    start: int
    end: int
    cells: list[_Cell]
    in_head: bool = False


def html_table(page: int, source: str, start: int) -> Table | None:
    """From one <table>, `start` being its offset on the page. No text is dropped: what is in no cell is caption."""
    lines, caption = _read(source)
    lines = [line for line in lines if any(cell.text for cell in line.cells)]
    if not lines:
        return None
    heads = _head_count(lines)
    rows = [
        Row(tuple(cells), _pipe_line(cells), page, start + line.start, start + line.end)
        for line, cells in zip(lines, _laid_out(lines, heads, REPEAT_SHARE * len(source)), strict=True)
    ]
    named = lines[0].in_head or all(cell.is_header for cell in lines[0].cells)
    return Table(head=tuple(rows[:heads]), rows=tuple(rows[heads:]), caption=caption, named=named)


def outside_cells(source: str) -> str:
    """The text of a <table> that has no cell with text."""
    return _read(source)[1]


def _read(source: str) -> tuple[list[_Line], str]:
    lines: list[_Line] = []
    outside: list[str] = []
    here, at, depth, in_head = outside, 0, 0, False
    for tag in _TAG.finditer(source):
        here.append(source[at : tag.start()])
        closes, name, at = bool(tag[1]), tag[2].lower(), tag.end()
        if lines:
            lines[-1].end = at
        if name == "table":
            depth += -1 if closes else 1
        if depth > 1 or name not in {"thead", "tr", "td", "th", "caption", "tbody", "tfoot"}:
            here.append("" if name in _GLUED else " ")
            continue
        _settle(lines, here, outside)
        here = outside
        here.append(" ")
        if name in {"thead", "tbody", "tfoot"}:
            in_head = name == "thead" and not closes
        elif name in {"td", "th"} and not closes:
            if not lines:
                lines.append(_Line(tag.start(), at, [], in_head))
            here = []
            lines[-1].cells.append(_cell(name, tag[3]))
        elif name == "tr" and not closes:
            lines.append(_Line(tag.start(), at, [], in_head))
    here.append(source[at:])
    _settle(lines, here, outside)
    return lines, _plain(outside)


def _settle(lines: list[_Line], here: list[str], outside: list[str]) -> None:
    """The text gathered since the last cell began belongs to that cell."""
    if here is not outside:
        lines[-1].cells[-1].text = _plain(here)


def _plain(parts: list[str]) -> str:
    return " ".join(html.unescape("".join(parts)).split())


def _cell(name: str, attributes: str) -> _Cell:
    spans = {side.lower(): int(count) for side, count in _SPAN.findall(attributes)}
    return _Cell(
        text="",
        columns=max(1, min(SPAN_MAX, spans.get("col", 1))),
        rows=max(1, spans.get("row", 1)),
        is_header=name.lower() == "th",
    )


def _head_count(lines: Sequence[_Line]) -> int:
    """How many rows are header: those marked so, else the first and what its cells reach down to."""
    marked = 0
    for line in lines:
        if not line.in_head and not all(cell.is_header for cell in line.cells):
            break
        marked += 1
    reach = max(cell.rows for cell in lines[0].cells)
    count = marked or (reach if reach <= 3 else 1)
    return count if count < len(lines) else 1


def _laid_out(lines: Sequence[_Line], heads: int, repeats_max: int) -> Iterator[list[str]]:
    """Cells in their columns. A spanning cell is repeated: a header over its columns, any other down its rows."""
    open_spans: dict[int, tuple[int, str]] = {}
    for index, line in enumerate(lines):
        cells: list[str] = []
        below = {column: (rows - 1, text) for column, (rows, text) in open_spans.items() if rows > 1}
        for cell in line.cells:
            _fill(cells, open_spans)
            more = cell.columns - 1 if repeats_max > 0 else 0
            texts = [cell.text] + [cell.text if index < heads else ""] * more
            repeats_max -= sum(len(text) + _SIDES for text in texts[1:])
            if cell.rows > 1:
                below |= {
                    len(cells) + beside: (cell.rows - 1, "" if index < heads else text)
                    for beside, text in enumerate(texts)
                }
            cells += texts
        _fill(cells, open_spans)
        repeats_max -= sum(len(text) + _SIDES for _, text in open_spans.values())
        open_spans = below if repeats_max > 0 else {}
        yield cells


def _fill(cells: list[str], spans: dict[int, tuple[int, str]]) -> None:
    while len(cells) in spans:
        cells.append(spans[len(cells)][1])


def _pipe_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_PIPE.sub(r"\\|", cell) for cell in cells) + " |"
