"""CSV and TSV files as Markdown tables: the first row is the header, and every page begins with it."""

import csv
import io
from collections.abc import Iterator

from ingest.cut import PAGE_CHARS

_SEPARATORS = ",;\t|"
_LOOKED_AT_LINES = 20
_COLUMNS_MAX = 1000
_HEADER_CHARS_MAX = PAGE_CHARS // 4


def table_pages(text: str, *, chars: int = PAGE_CHARS) -> list[str] | None:
    """The pages, or None for a text whose lines do not come in columns: it is read as plain text then."""
    separator = _separator(text)
    if separator is None:
        return None
    try:
        return list(_pages(_rows(text, separator), chars))
    except csv.Error:  # a field without end, or no columns that anybody reads
        return None


def _rows(text: str, separator: str) -> Iterator[list[str]]:
    for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
        if len(row) > _COLUMNS_MAX:
            raise csv.Error(f"{len(row)} columns")
        if any(map(str.strip, row)):
            yield row


def _pages(rows: Iterator[list[str]], chars: int) -> Iterator[str]:
    """A header that would fill a good part of each page stands on the first one only."""
    named = next(rows)
    header = f"{_written(named)}\n|{' --- |' * len(named)}"
    page, size = [header], len(header)
    for row in map(_written, rows):
        if size + len(row) > chars and len(page) > 1:
            yield "\n".join(page)
            page = [header] if len(header) <= _HEADER_CHARS_MAX else []
            size = sum(map(len, page))
        page.append(row)
        size += len(row) + 1
    yield "\n".join(page)


def _separator(text: str) -> str | None:
    """The sign that splits the first lines into most columns, the same number in nearly all of them."""
    lines = [line for line in text[:PAGE_CHARS].split("\n") if line.strip()][:_LOOKED_AT_LINES]
    if len(lines) < 2:
        return None
    best, most = None, 1
    for sign in _SEPARATORS:
        try:
            widths = [len(row) for row in csv.reader(lines, delimiter=sign) if row]
        except csv.Error:
            continue
        usual = max(widths, key=widths.count, default=0)
        if usual > most and widths.count(usual) * 4 >= len(widths) * 3:
            best, most = sign, usual
    return best


def _written(row: list[str]) -> str:
    """Short rows stay short: a reader fills them up, and a hostile file cannot make us do it."""
    cells = [" ".join(cell.split()).replace("|", "\\|") for cell in row]
    return f"| {' | '.join(cells)} |"
