"""Tables of HTML files: a plain grid becomes a pipe table, one with spans stays HTML, mere layout is undone."""

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

SPAN_MAX = 100
_STRUCTURED = re.compile(r"#{1,6} |```|- |\d{1,9}\. |> |<table|\|")
_MARKS = re.compile(r"\\([\\`*_\[\]<])|\*\*|(?<!\w)\*|\*(?!\w)|`")
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()\s]*\)")


@dataclass(slots=True)
class Cell:
    """One cell; its spans are bounded, for they multiply what a reader has to hold."""

    head: bool
    columns: int = 1
    rows: int = 1
    blocks: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, tag: str, attributes: Mapping[str, str | None]) -> Self:
        return cls(tag == "th", _span(attributes.get("colspan")), _span(attributes.get("rowspan")))

    @property
    def text(self) -> str:
        return " ".join(self.blocks).replace("\n", " ").strip()


class Grid:
    """The rows of a table as they come."""

    def __init__(self) -> None:
        self._rows: list[list[Cell]] = []

    def new_row(self) -> None:
        self._rows.append([])

    def add(self, cell: Cell, blocks: list[str]) -> None:
        cell.blocks = blocks
        if not self._rows:
            self._rows.append([])
        self._rows[-1].append(cell)

    def written(self) -> Iterator[str]:
        """The blocks that the table becomes."""
        rows = [row for row in self._rows if any(cell.text for cell in row)]
        cells = [cell for row in rows for cell in row]
        if not rows:
            return
        if _lays_out(rows, cells):
            for cell in cells:
                yield from cell.blocks
        elif any(cell.columns > 1 or cell.rows > 1 for cell in cells):
            yield "\n".join(["<table>", *map(_html_row, rows), "</table>"])
        else:
            yield "\n".join(_pipes(rows))


def _lays_out(rows: list[list[Cell]], cells: list[Cell]) -> bool:
    """One column, one row without a heading, or cells with tables, headings, lists or long texts in them: no table."""
    if max(len(row) for row in rows) == 1 or (len(rows) == 1 and not any(cell.head for cell in cells)):
        return True
    return any(_STRUCTURED.match(block) for cell in cells for block in cell.blocks)


def _pipes(rows: list[list[Cell]]) -> Iterator[str]:
    """The first row is the header, as Markdown wants one; shorter rows are filled up."""
    width = max(len(row) for row in rows)
    for at, row in enumerate(rows):
        texts = [cell.text.replace("|", "\\|") for cell in row] + [""] * (width - len(row))
        yield f"| {' | '.join(texts)} |"
        if at == 0:
            yield "|" + " --- |" * width


def _html_row(row: list[Cell]) -> str:
    return f"<tr>{''.join(map(_html_cell, row))}</tr>"


def _html_cell(cell: Cell) -> str:
    tag = "th" if cell.head else "td"
    spans = f' colspan="{cell.columns}"' if cell.columns > 1 else ""
    spans += f' rowspan="{cell.rows}"' if cell.rows > 1 else ""
    plain = _MARKS.sub(lambda found: found[1] or "", _LINK.sub(r"\1", cell.text))
    return f"<{tag}{spans}>{html.escape(plain, quote=False)}</{tag}>"


def _span(value: str | None) -> int:
    value = (value or "").strip()
    return max(1, min(SPAN_MAX, int(value))) if value.isdecimal() and len(value) < 9 else 1
