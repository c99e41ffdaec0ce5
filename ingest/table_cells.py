"""A table as cells with spans, and how it is written: a pipe table where no cell spans, else HTML."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ingest.sheet import Rect


@dataclass(frozen=True, slots=True)
class Cell:
    """Text at a row and a column, and over how many rows and columns it reaches."""

    text: str
    row: int
    column: int
    rows: int = 1
    columns: int = 1


@dataclass(frozen=True, slots=True)
class Table:
    """Cells in reading order that leave no place free; the first `heads` rows name the columns."""

    cells: tuple[Cell, ...]
    box: Rect
    heads: int = 1


def compact(cells: Sequence[Cell]) -> list[Cell]:
    """Without rows and columns that have no text of their own; every free place gets an empty cell."""
    rows = _kept([(cell.row, cell.rows) for cell in cells if cell.text])
    columns = _kept([(cell.column, cell.columns) for cell in cells if cell.text])
    taken: set[tuple[int, int]] = set()
    placed: list[Cell] = []
    for cell in cells:
        inside = [rows[at] for at in range(cell.row, cell.row + cell.rows) if at in rows]
        beside = [columns[at] for at in range(cell.column, cell.column + cell.columns) if at in columns]
        if not inside or not beside or not cell.text:
            continue
        placed.append(replace(cell, row=inside[0], column=beside[0], rows=len(inside), columns=len(beside)))
        taken |= {(row, column) for row in inside for column in beside}
    free = ((row, column) for row in range(len(rows)) for column in range(len(columns)) if (row, column) not in taken)
    placed += [Cell("", row, column) for row, column in free]
    return sorted(placed, key=lambda cell: (cell.row, cell.column))


def _kept(spans: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Places that a cell needs, numbered anew: one for every narrowest span."""
    kept: set[int] = set()
    for first, count in sorted(spans, key=lambda span: span[1]):
        if kept.isdisjoint(range(first, first + count)):
            kept.add(first)
    return {old: new for new, old in enumerate(sorted(kept))}


def size_of(cells: Sequence[Cell]) -> tuple[int, int]:
    """How many rows and columns they take."""
    if not cells:
        return 0, 0
    return max(cell.row + cell.rows for cell in cells), max(cell.column + cell.columns for cell in cells)


def written(table: Table) -> str:
    """The table in Markdown. Its text is data: what would be markup is escaped."""
    if any(cell.rows > 1 or cell.columns > 1 for cell in table.cells):
        return "\n".join(["<table>", *_html_rows(table), "</table>"])
    head, *rows = _lines(table.cells)
    return "\n".join([_pipe(head), "|" + " --- |" * len(head), *map(_pipe, rows)])


def _lines(cells: Sequence[Cell]) -> list[list[Cell]]:
    lines: list[list[Cell]] = [[] for _ in range(size_of(cells)[0])]
    for cell in cells:
        lines[cell.row].append(cell)
    return lines


def _html_rows(table: Table) -> Iterator[str]:
    for at, cells in enumerate(_lines(table.cells)):
        name = "th" if at < table.heads else "td"
        yield "<tr>" + "".join(_html_cell(cell, name) for cell in cells) + "</tr>"


def _html_cell(cell: Cell, name: str) -> str:
    down = f' rowspan="{cell.rows}"' if cell.rows > 1 else ""
    over = f' colspan="{cell.columns}"' if cell.columns > 1 else ""
    return f"<{name}{down}{over}>{html.escape(cell.text, quote=False)}</{name}>"


def _pipe(cells: Sequence[Cell]) -> str:
    return "| " + " | ".join(cell.text.replace("\\", "\\\\").replace("|", "\\|") for cell in cells) + " |"
