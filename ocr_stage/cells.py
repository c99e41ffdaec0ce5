"""A table's lines in the cells of its grid, drawn or only aligned, merged ones included; and how a table is written."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from ocr_stage.ink import Ink, Rulings, Stroke, places
from ocr_stage.layout import rows_of
from ocr_stage.lines import Line, Row, around, is_cjk
from ocr_stage.tables import Cell, grid
from ocr_stage.wording import together

DOWN_SHARE = 0.4
ACROSS_SHARE = 0.4
"""A ruling counts for the grid when its pieces are this long, as a share of the table."""
WALL_SHARE = 0.5
"""Two cells are apart when so much of the border between them is drawn."""
NEAR = 6
BLANK = 0.42
"""In line heights: between words of one cell there is a third of it."""
STACKED_SHARE = 0.34
STACKED_MAX = 2


def table_text(rows: Sequence[Row], ink: Ink) -> str:
    """A pipe table, or an HTML table where cells are merged."""
    apart = [[part for cell in row for part in parts_of(cell, ink)] for row in rows]
    cells = [cell for row in apart for cell in row]
    box = around([cell.rectangle for cell in cells])
    return written(ruled(cells, ink.rulings(box)) or list(grid(apart)))


def parts_of(line: Line, ink: Ink) -> Iterator[Line]:
    """What the detector took for one line, cut where the picture shows a blank as wide as between columns."""
    return _apart(line, ink.blanks(line.rectangle, BLANK * line.height))


def _apart(line: Line, blanks: Sequence[tuple[float, float]]) -> Iterator[Line]:
    """Each word goes to the piece that holds its middle, if letters were all of one width."""
    starts = [line.x0, *(end for _, end in blanks)]
    ends = [*(start for start, _ in blanks), line.x1]
    inked = sum(end - start for start, end in zip(starts, ends, strict=True))
    words = line.text.split()
    if not blanks or len(words) <= len(blanks):
        yield line
        return
    each = inked / max(1, len(line.text) - len(blanks))
    limits = list(accumulate((end - start) / each + 1 for start, end in zip(starts, ends, strict=True)))
    pieces: list[list[str]] = [[] for _ in starts]
    at = 0
    for word in words:
        piece = sum(limit <= at + len(word) / 2 for limit in limits[:-1])
        pieces[piece].append(word)
        at += len(word) + 1
    if not all(pieces):
        yield line
        return
    for start, end, said in zip(starts, ends, pieces, strict=True):
        yield replace(line, text=" ".join(said), x0=start, x1=end)


def written(cells: Sequence[Cell]) -> str:
    if any(cell.rows > 1 or cell.columns > 1 for cell in cells):
        return _html(cells)
    rows = max(cell.row for cell in cells) + 1
    columns = max(cell.column for cell in cells) + 1
    texts = {(cell.row, cell.column): together(cell.texts).replace("|", "\\|") for cell in cells}
    lines = ["| " + " | ".join(texts.get((row, column), "") for column in range(columns)) + " |" for row in range(rows)]
    return "\n".join([lines[0], "|" + " --- |" * columns, *lines[1:]])


def _html(cells: Sequence[Cell]) -> str:
    rows: dict[int, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: (cell.row, cell.column)):
        rows.setdefault(cell.row, []).append(cell)
    body = "\n".join(f"<tr>{''.join(map(_td, row))}</tr>" for row in rows.values())
    return f"<table>\n{body}\n</table>"


def _td(cell: Cell) -> str:
    spans = (f' rowspan="{cell.rows}"' if cell.rows > 1 else "") + (
        f' colspan="{cell.columns}"' if cell.columns > 1 else ""
    )
    return f"<td{spans}>{html.escape(together(cell.texts), quote=False)}</td>"


def ruled(lines: Sequence[Line], rulings: Rulings) -> list[Cell] | None:
    """Cells between rulings, if they make a grid that the lines agree with."""
    if not lines:
        return None
    left, right = min(line.x0 for line in lines), max(line.x1 for line in lines)
    top = min(line.rectangle[1] for line in lines)
    bottom = max(line.rectangle[3] for line in lines)
    tall = min(line.height for line in lines)
    across = _edges(places(rulings.across, ACROSS_SHARE * (right - left)), top, bottom, tall)
    down = _edges(places(rulings.down, DOWN_SHARE * (bottom - top)), left, right, tall)
    if len(across) < 3 or len(down) < 3 or _is_stacked(lines, across):
        return None
    drawn = _Grid(across, down, rulings)
    return list(drawn.cells(lines)) if drawn.agrees(lines) else None


def _edges(inner: list[float], first: float, last: float, tall: float) -> list[float]:
    """A table without a frame still ends where its text does."""
    before = [first - 1] if not inner or first < inner[0] - 0.5 * tall else []
    after = [last + 1] if not inner or last > inner[-1] + 0.5 * tall else []
    return [*before, *inner, *after]


def _is_stacked(lines: Sequence[Line], across: Sequence[float]) -> bool:
    """Several rows of cells between two rulings: they do not part rows, as in most printed books."""
    bands = [[line for line in lines if top <= line.middle < bottom] for top, bottom in pairwise(across)]
    rows = [rows_of(band) for band in bands if band]
    stacked = [sum(len(row) > 1 for row in band) for band in rows]
    return max(stacked) > STACKED_MAX or sum(count > 1 for count in stacked) > STACKED_SHARE * len(rows)


@dataclass(frozen=True, slots=True)
class _Grid:
    across: Sequence[float]
    down: Sequence[float]
    rulings: Rulings

    def cells(self, lines: Sequence[Line]) -> Iterator[Cell]:
        groups = self._groups()
        texts: dict[tuple[int, int, int, int], list[Line]] = {group: [] for group in groups.values()}
        for line in lines:
            for part in self._parts(line, groups):
                texts[groups[self._at(part)]].append(part)
        for (row, column, rows, columns), held in sorted(texts.items()):
            in_order = tuple(line.text for each in rows_of(held) for line in each)
            yield Cell(row, column, in_order, rows, columns)

    def agrees(self, lines: Sequence[Line]) -> bool:
        """Not if a row or column stays empty: noise looks like a ruling there; nor if texts stand side by side in a
        cell that looks merged: a border is there, only not drawn.
        """
        groups = self._groups()
        held: dict[tuple[int, int, int, int], list[Line]] = {}
        for line in lines:
            held.setdefault(groups[self._at(line)], []).append(line)
        if len({at for row, _, rows, _ in held for at in range(row, row + rows)}) < len(self.across) - 1:
            return False
        if len({at for _, column, _, columns in held for at in range(column, column + columns)}) < len(self.down) - 1:
            return False
        merged = [rows_of(inside) for (_, _, rows, columns), inside in held.items() if rows > 1 or columns > 1]
        return not any(len(row) > 1 for rows in merged for row in rows)

    def _at(self, line: Line) -> tuple[int, int]:
        return _index(self.across, line.middle), _index(self.down, (line.x0 + line.x1) / 2)

    def _parts(self, line: Line, groups: dict[tuple[int, int], tuple[int, int, int, int]]) -> Iterator[Line]:
        """A line that the detector drew over a border is cut at the word that lies nearest to it."""
        whole = groups[self._at(line)]
        inside = self.down[whole[1]] - line.height <= line.x0 and (
            line.x1 <= self.down[whole[1] + whole[3]] + line.height
        )
        words = line.text.split()
        if inside or len(words) < 2 or any(is_cjk(character) for character in line.text):
            yield line
            return
        each, at = line.width / len(line.text), 0
        run: list[Line] = []
        for word in words:
            piece = replace(line, text=word, x0=line.x0 + at * each, x1=line.x0 + (at + len(word)) * each)
            at += len(word) + 1
            if run and groups[self._at(piece)] == groups[self._at(run[-1])]:
                run[-1] = replace(run[-1], text=f"{run[-1].text} {word}", x1=piece.x1)
            else:
                run.append(piece)
        yield from run

    def _groups(self) -> dict[tuple[int, int], tuple[int, int, int, int]]:
        """Every place of the grid, and the cell (row, column, rows, columns) that it belongs to."""
        rows, columns = len(self.across) - 1, len(self.down) - 1
        groups: dict[tuple[int, int], tuple[int, int, int, int]] = {}
        for row in range(rows):
            for column in range(columns):
                if (row, column) not in groups:
                    cell = self._grown(row, column, groups)
                    groups |= dict.fromkeys(_places(cell), cell)
        return groups

    def _grown(
        self, row: int, column: int, taken: dict[tuple[int, int], tuple[int, int, int, int]]
    ) -> tuple[int, int, int, int]:
        """From its top left corner to the right, then down, as long as no border is drawn."""
        rows = columns = 1
        while column + columns < len(self.down) - 1 and self._is_open(row, column + columns, taken):
            columns += 1
        while row + rows < len(self.across) - 1 and all(
            (row + rows, place) not in taken and not self._has_floor(row + rows, place)
            for place in range(column, column + columns)
        ):
            rows += 1
        return row, column, rows, columns

    def _is_open(self, row: int, column: int, taken: dict[tuple[int, int], tuple[int, int, int, int]]) -> bool:
        top, bottom = self.across[row], self.across[row + 1]
        return (row, column) not in taken and not _drawn(self.rulings.down, self.down[column], top, bottom)

    def _has_floor(self, row: int, column: int) -> bool:
        return _drawn(self.rulings.across, self.across[row], self.down[column], self.down[column + 1])


def _places(cell: tuple[int, int, int, int]) -> Iterator[tuple[int, int]]:
    row, column, rows, columns = cell
    return ((row + down, column + across) for down in range(rows) for across in range(columns))


def _drawn(strokes: Sequence[Stroke], place: float, start: float, end: float) -> bool:
    """Whether a border runs there for most of the way."""
    covered = sum(
        max(0.0, min(stroke.end, end) - max(stroke.start, start))
        for stroke in strokes
        if abs(stroke.place - place) <= 2 * NEAR
    )
    return covered >= WALL_SHARE * (end - start)


def _index(edges: Sequence[float], place: float) -> int:
    inner = sum(edge <= place for edge in edges[1:-1])
    return min(inner, len(edges) - 2)
