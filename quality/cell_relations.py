"""Tables of a Markdown as cells with neighbours and headings, so that a test can ask what stands left of what."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from lxml import html

_SPAN_MAX = 200
_MARKS = frozenset("- :")
_SPANNING = re.compile(r"<table\b(?:(?!</table>).)*?\b(?:row|col)span.*?</table>", re.IGNORECASE | re.DOTALL)
DIRECTIONS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}


@dataclass(eq=False, slots=True)
class Cell:
    """One cell; `next_to` holds the nearest cells in each direction, of which spans make several."""

    text: str
    rows: int = 1
    columns: int = 1
    heading: bool = False
    next_to: dict[str, set["Cell"]] = field(default_factory=lambda: defaultdict(set))

    def headings(self, direction: str) -> set["Cell"]:
        """The heading cells on the way up or left; where none is marked as one, the last cells of the way."""
        marked: set[Cell] = set()
        last: set[Cell] = set()
        seen: set[Cell] = set()
        waiting = [self]
        while waiting:
            cell = waiting.pop()
            seen.add(cell)
            onward = cell.next_to[direction]
            if cell.heading:
                marked.add(cell)
            if not onward:
                last.add(cell)
            waiting += onward - seen
        return (marked - {self}) or (last - {self})


def tables_of(markdown: str) -> list[list[Cell]]:
    """Every table's cells, pipe tables first."""
    tables = [*_pipe_tables(markdown), *_html_tables(markdown)]
    return [_linked(rows) for rows in tables if any(rows)]


def without_spans(markdown: str) -> str:
    """HTML tables with merged cells as grids, the text of a merged cell in each place that it covers.

    Pipe tables cannot merge cells: a truth written in them repeats the text or leaves places empty.
    """
    return _SPANNING.sub(lambda found: _grid_html(found.group()), markdown)


def _grid_html(table: str) -> str:
    grid = _placed(next(iter(_html_tables(table)), []))
    height, width = (max((at[axis] for at in grid), default=-1) + 1 for axis in (0, 1))
    texts = [
        [grid[row, column].text if (row, column) in grid else "" for column in range(width)] for row in range(height)
    ]
    rows = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in texts)
    return f"<table>{rows}</table>"


def _pipe_tables(markdown: str) -> Iterator[list[list[Cell]]]:
    """Two or more lines with pipes in a row; the first row and the first column are headings."""
    lines: list[str] = []
    for line in [*markdown.strip().split("\n"), ""]:
        if "|" in line:
            lines.append(line)
            continue
        if len(lines) >= 2:
            yield _pipe_rows(lines)
        lines = []


def _pipe_rows(lines: Sequence[str]) -> list[list[Cell]]:
    texts = [_pipe_cells(line) for line in lines if not set(line.replace("|", "").strip()) <= _MARKS]
    return [
        [Cell(text, heading=at == 0 or column == 0) for column, text in enumerate(row)]
        for at, row in enumerate(row for row in texts if row)
    ]


def _pipe_cells(line: str) -> list[str]:
    cells = [cell.strip() for cell in line.split("|")]
    cells = cells[1:] if cells and not cells[0] else cells
    return cells[:-1] if cells and not cells[-1] else cells


def _html_tables(markdown: str) -> Iterator[list[list[Cell]]]:
    if "<table" not in markdown.lower():
        return
    for table in html.fromstring(f"<div>{markdown}</div>").iter("table"):
        rows = list(table.iter("tr"))
        yield [_html_row(row, below=len(rows) - at) for at, row in enumerate(rows)]


def _html_row(row: Any, *, below: int) -> list[Cell]:
    in_head = next(row.iterancestors("thead"), None) is not None
    return [
        Cell(
            _html_text(cell),
            rows=below if (cell.get("rowspan") or "").strip() == "0" else _span(cell.get("rowspan")),
            columns=_span(cell.get("colspan")),
            heading=in_head or cell.tag == "th",
        )
        for cell in row.iterchildren("td", "th")
    ]


def _html_text(cell: Any) -> str:
    for line_break in cell.iter("br"):
        line_break.text = "\n"
    return "".join(cell.itertext()).strip()


def _span(value: str | None) -> int:
    return min(_SPAN_MAX, max(1, int(value))) if value and value.strip().isdecimal() else 1


def _linked(rows: Sequence[Sequence[Cell]]) -> list[Cell]:
    grid = _placed(rows)
    height, width = max(row for row, _ in grid) + 1, max(column for _, column in grid) + 1
    for (row, column), cell in grid.items():
        for direction, (down, right) in DIRECTIONS.items():
            at = (row + down, column + right)
            while 0 <= at[0] < height and 0 <= at[1] < width and grid.get(at, cell) is cell:
                at = (at[0] + down, at[1] + right)
            if at in grid:
                cell.next_to[direction].add(grid[at])
    return list(dict.fromkeys(grid.values()))


def _placed(rows: Sequence[Sequence[Cell]]) -> dict[tuple[int, int], Cell]:
    """Every place of the grid that a cell covers; a cell goes to the first free place of its row."""
    grid: dict[tuple[int, int], Cell] = {}
    for row, cells in enumerate(rows):
        column = 0
        for cell in cells:
            while (row, column) in grid:
                column += 1
            grid |= {(row + down, column + right): cell for down in range(cell.rows) for right in range(cell.columns)}
            column += cell.columns
    return grid
