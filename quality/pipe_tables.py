"""Pipe tables of Markdown written as HTML tables, so that every system's tables are compared in one form.

The rules are those of opendataloader-bench (`src/converter_markdown_table.py`, MIT), whose published scores
`benchmarks/metrics_proof.py` reproduces: two lines make a table, the second of them dashes; a table ends at the first
line without a pipe; rows are padded or cut to the width of the head; an empty head gives way to the first row.
"""

import re
from collections.abc import Sequence
from html import escape

_TABLE = re.compile(r"<table[^>]*?>.*?</table>", re.IGNORECASE | re.DOTALL)


def with_html_tables(markdown: str) -> str:
    """The same Markdown, each pipe table replaced by one line of HTML."""
    lines = markdown.splitlines(keepends=True)
    written: list[str] = []
    at = 0
    while at < len(lines):
        end = _table_end(lines, at)
        if end == at:
            written.append(lines[at])
            at += 1
            continue
        ending = lines[at][len(lines[at].rstrip("\r\n")) :]
        written.append(_html(lines[at:end]) + ending)
        at = end
    return "".join(written)


def without_tables(markdown: str) -> str:
    """What stands outside of tables."""
    return _TABLE.sub(" ", with_html_tables(markdown))


def cells_of(line: str) -> list[str]:
    """The cells of a line with a pipe in it; none when it has none."""
    trimmed = line.strip()
    if "|" not in trimmed:
        return []
    cells = trimmed.split("|")[trimmed.startswith("|") :]
    if cells and trimmed.endswith("|"):
        cells.pop()
    return [cell.strip() for cell in cells]


def _table_end(lines: Sequence[str], start: int) -> int:
    """The line after the table that begins at `start`; `start` itself when none does."""
    if start + 1 >= len(lines) or not cells_of(lines[start]) or not _is_rule(cells_of(lines[start + 1])):
        return start
    end = start + 2
    while end < len(lines) and cells_of(lines[end]):
        end += 1
    return end


def _is_rule(cells: Sequence[str]) -> bool:
    bare = [cell.replace(" ", "") for cell in cells]
    return bool(bare) and all(cell and set(cell) <= {"-", ":"} for cell in bare)


def _html(lines: Sequence[str]) -> str:
    head, rule, *rows = map(cells_of, lines)
    width = max(len(head), len(rule))
    head, *rows = [_fitted(cells, width) for cells in (head, *rows)]
    if rows and not any(head):
        head, *rows = rows
    written = [_row(head, "th"), *(_row(cells, "td") for cells in rows)]
    return f"<table>{''.join(written)}</table>"


def _fitted(cells: list[str], width: int) -> list[str]:
    """A row of three in a wider table is read as a spanning middle cell; that is the publisher's rule."""
    if len(cells) == 3 < width:
        return [cells[0], *[cells[1]] * (width - 2), cells[2]]
    return (cells + [""] * (width - len(cells)))[:width]


def _row(cells: Sequence[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
