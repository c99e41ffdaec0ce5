"""Tables on a page: grids of ruling lines first, then text that stands in aligned columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

from ingest.figures import Figure, find_figures
from ingest.layout import SPACE_EMS, Line, pieces_of, same_row
from ingest.sheet import Rect, Sheet, area, centre, holds, meet, union

_TOUCH = 3.0
_RULE_LENGTH_MIN = 12.0
_RULES_MAX = 400
_FILLED_MIN = 0.4
_ALIGNED_CELLS_MIN = 3
_ALIGNED_ROWS_MIN = 3
_ALIGNED_CHARS_MAX = 25
_PITCH_EMS_MAX = 3.0
_CELLS_APART_EMS = 0.75
_EXTENTS_MAX = 40
_CURVES_MIN = 3


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cell texts; every row has the same number of cells."""

    rows: tuple[tuple[str, ...], ...]
    box: Rect


def find_tables(lines: Sequence[Line], sheet: Sheet) -> tuple[list[Table | Figure], list[Line]]:
    """The tables and figures of a page, and the lines that are in none of them."""
    found: list[Table | Figure] = []
    rest = list(lines)
    level, plumb = _merged(sheet.rules, across=True), _merged(sheet.rules, across=False)
    if len(level) >= 2 and len(plumb) >= 1 and len(level) + len(plumb) <= _RULES_MAX:
        for grid in _grids(level, plumb):
            table, rest = (None, rest) if _is_drawn(grid, sheet.curves) else _fill(grid, rest)
            found += [table] if table else []
    figures, rest = find_figures(rest, sheet)
    found += figures
    for extent in [*_extents(level), None]:
        for run in _aligned(_within(extent, rest) if extent else rest, level):
            found.append(_aligned_table(_cells(run, level)))
            taken = {id(line) for row in run for line in row}
            rest = [line for line in rest if id(line) not in taken]
    return found, rest


def _is_drawn(grid: tuple[list[float], list[float]], curves: Sequence[Rect]) -> bool:
    """Curves cover it: a drawing, and no table with a rounded frame or with signs in its cells."""
    columns, edges = grid
    box = (columns[0], edges[0], columns[-1], edges[-1])
    inside = [curve for curve in curves if holds(box, *centre(curve))]
    return len(inside) >= _CURVES_MIN and area(reduce(union, inside)) >= area(box) / 2


def _merged(rules: Sequence[Rect], *, across: bool) -> list[Rect]:
    """Rules of one direction, pieces of one line made whole. Too many are a drawing, not a table."""
    along, over = (0, 1) if across else (1, 0)
    chosen = [rule for rule in rules if rule[along + 2] - rule[along] >= _RULE_LENGTH_MIN / 4]
    chosen = [rule for rule in chosen if rule[along + 2] - rule[along] > rule[over + 2] - rule[over]]
    if len(chosen) > 10 * _RULES_MAX:
        return []
    whole: list[Rect] = []
    for rule in sorted(chosen, key=lambda rule: (round((rule[over] + rule[over + 2]) / 4), rule[along])):
        last = whole[-1] if whole else None
        if last and abs(last[over] - rule[over]) <= 2.0 and rule[along] <= last[along + 2] + _TOUCH:
            whole[-1] = union(last, rule)
        else:
            whole.append(rule)
    return [rule for rule in whole if rule[along + 2] - rule[along] >= _RULE_LENGTH_MIN]


def _grids(level: Sequence[Rect], plumb: Sequence[Rect]) -> list[tuple[list[float], list[float]]]:
    """Column edges and row edges of every group of rules that touch each other."""
    groups: list[tuple[list[Rect], list[Rect], Rect]] = []
    for rule, across in [(rule, True) for rule in level] + [(rule, False) for rule in plumb]:
        mine: tuple[list[Rect], list[Rect], Rect] = ([rule], [], rule) if across else ([], [rule], rule)
        others = []
        for group in groups:
            if _touches(mine, group):
                mine = (mine[0] + group[0], mine[1] + group[1], union(mine[2], group[2]))
            else:
                others.append(group)
        groups = [*others, mine]
    found = []
    for across_rules, down_rules, box in groups:
        if across_rules and down_rules:
            columns = _edges([centre(rule)[0] for rule in down_rules] + [box[0], box[2]])
            lines = _edges([centre(rule)[1] for rule in across_rules] + [box[1], box[3]])
            if len(columns) > 2 and len(lines) > 2:
                found.append((columns, lines))
    return found


def _touches(one: tuple[list[Rect], list[Rect], Rect], other: tuple[list[Rect], list[Rect], Rect]) -> bool:
    """A level rule of one meets a plumb rule of the other."""
    if not meet(one[2], other[2], _TOUCH):
        return False
    crossing = [(one[0], other[1]), (other[0], one[1])]
    return any(meet(level, plumb, _TOUCH) for levels, plumbs in crossing for level in levels for plumb in plumbs)


def _edges(values: Sequence[float]) -> list[float]:
    edges: list[float] = []
    for value in sorted(values):
        if not edges or value - edges[-1] > _TOUCH:
            edges.append(value)
    return edges


def _fill(grid: tuple[list[float], list[float]], lines: Sequence[Line]) -> tuple[Table | None, list[Line]]:
    """Put the words into the cells; None when the grid holds too little text to be a table."""
    columns, edges = grid
    box = (columns[0], edges[0], columns[-1], edges[-1])
    inside = [line for line in lines if holds(box, *centre(line.box))]
    cells = [["" for _ in columns[1:]] for _ in edges[1:]]
    for line in sorted(inside, key=lambda line: (round(line.box[1]), line.box[0])):
        row = cells[_slot(edges, centre(line.box)[1])]
        for text, x in _pieces(line, columns):
            at = _slot(columns, x)
            row[at] = f"{row[at]} {text}".strip()
    width = [any(row[at] for row in cells) for at in range(len(columns) - 1)]
    kept = [tuple(text for text, used in zip(row, width, strict=True) if used) for row in cells if any(row)]
    filled = sum(bool(text) for row in kept for text in row)
    if len(kept) < 2 or sum(width) < 2 or filled < _FILLED_MIN * len(kept) * sum(width):
        return None, list(lines)
    gone = {id(line) for line in inside}
    return Table(tuple(kept), box), [line for line in lines if id(line) not in gone]


def _slot(edges: Sequence[float], at: float) -> int:
    return max(0, min(len(edges) - 2, sum(edge <= at for edge in edges) - 1))


def _pieces(line: Line, columns: Sequence[float]) -> list[tuple[str, float]]:
    """The whole line when it lies in one cell, else its words, each where its share of the width puts it."""
    left, _, right, _ = line.box
    if _slot(columns, left + 2) == _slot(columns, right - 2):
        return [(line.text, (left + right) / 2)]
    pieces, at = [], 0
    width = (right - left) / max(1, len(line.text))
    for word in line.text.split(" "):
        pieces.append((word, left + (at + len(word) / 2) * width))
        at += len(word) + 1
    return pieces


def _extents(level: Sequence[Rect]) -> list[Rect]:
    """The boxes between rules that begin and end alike: a table may stand in one column of a page."""
    stacks: list[list[Rect]] = []
    for rule in sorted(level, key=lambda rule: rule[1]):
        mine = (s for s in stacks if abs(s[0][0] - rule[0]) <= _TOUCH and abs(s[0][2] - rule[2]) <= _TOUCH)
        if (stack := next(mine, None)) is not None:
            stack.append(rule)
        else:
            stacks.append([rule])
    boxes = [union(stack[0], stack[-1]) for stack in stacks if len(stack) > 1]
    return boxes if len(boxes) <= _EXTENTS_MAX else []


def _within(extent: Rect, lines: Sequence[Line]) -> list[Line]:
    """Lines no wider than the rules, and not far above or below them: a head may stand on the first one."""
    left, top, right, bottom = extent
    return [
        line
        for line in lines
        if left - line.size / 2 <= line.box[0]
        and line.box[2] <= right + line.size / 2
        and top - 2 * line.size <= centre(line.box)[1] <= bottom + 2 * line.size
    ]


def _aligned(lines: Sequence[Line], level: Sequence[Rect]) -> list[list[list[Line]]]:
    """Runs of rows whose short texts stand under each other; two columns only between ruling lines."""
    runs: list[list[list[Line]]] = []
    run: list[list[Line]] = []
    for row in [*_rows(lines), []]:
        near = not run or (bool(row) and _pitch(run[-1], row) <= _PITCH_EMS_MAX)
        if len(row) >= 2 and near:
            run.append(row)
            continue
        runs += _checked(run, level)
        run = [row] if len(row) >= 2 else []
    return runs


def _rows(lines: Sequence[Line]) -> list[list[Line]]:
    found: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: centre(line.box)[1]):
        if found and same_row(found[-1][0].box, line.box):
            found[-1].append(line)
        else:
            found.append([line])
    return [sorted(row, key=lambda line: line.box[0]) for row in found]


def _pitch(before: Sequence[Line], row: Sequence[Line]) -> float:
    return (row[0].box[3] - before[0].box[3]) / max(1.0, row[0].size)


def _checked(run: list[list[Line]], level: Sequence[Rect]) -> list[list[list[Line]]]:
    if len(run) < _ALIGNED_ROWS_MIN:
        return []
    cut = _cells(run, level)
    cells = [line for row in cut for line in row]
    bands = _bands(cut)
    if sum(len(cell.text) for cell in cells) > _ALIGNED_CHARS_MAX * len(cells):
        return []
    if len(cells) < 0.6 * len(bands) * len(run):
        return []
    enough = _ALIGNED_CELLS_MIN if not _ruled(run, level) else 2
    return [run] if len(bands) >= enough else []


def _cells(run: Sequence[Sequence[Line]], level: Sequence[Rect]) -> list[list[Line]]:
    """Between rules, narrower gaps than elsewhere part two cells: the heads of columns stand close."""
    if not _ruled(run, level):
        return [list(row) for row in run]
    return [[cell for line in row for cell in _cut(line)] for row in run]


def _cut(line: Line) -> list[Line]:
    cells: list[Line] = []
    for text, box in pieces_of(line):
        gap = box[0] - cells[-1].box[2] if cells else 0.0
        if cells and gap < _CELLS_APART_EMS * line.size:
            space = " " if gap > SPACE_EMS * line.size else ""
            cells[-1] = Line(f"{cells[-1].text}{space}{text}", union(cells[-1].box, box), line.size)
        else:
            cells.append(Line(text, box, line.size))
    return [line] if len(cells) == 1 else [replace(cell, text=" ".join(cell.text.split())) for cell in cells]


def _bands(run: Sequence[Sequence[Line]]) -> list[tuple[float, float]]:
    """The columns: what is left when all cells are projected on the x axis."""
    bands: list[tuple[float, float]] = []
    for left, right in sorted((line.box[0], line.box[2]) for row in run for line in row):
        if bands and left <= bands[-1][1]:
            bands[-1] = (bands[-1][0], max(bands[-1][1], right))
        else:
            bands.append((left, right))
    return bands


def _ruled(run: Sequence[Sequence[Line]], level: Sequence[Rect]) -> bool:
    """A rule close above or below the rows, as wide as they are."""
    box = _box(run)
    em = run[0][0].size
    near = [
        rule
        for rule in level
        if box[1] - 2 * em <= rule[1] <= box[3] + 2 * em and rule[0] <= box[0] + em and rule[2] >= box[2] - em
    ]
    return len(near) >= 2


def _aligned_table(run: Sequence[Sequence[Line]]) -> Table:
    bands = _bands(run)
    cells = []
    for row in run:
        texts = ["" for _ in bands]
        for line in row:
            at = next(index for index, band in enumerate(bands) if band[0] <= centre(line.box)[0] <= band[1])
            texts[at] = f"{texts[at]} {line.text}".strip()
        cells.append(tuple(texts))
    return Table(tuple(cells), _box(run))


def _box(run: Sequence[Sequence[Line]]) -> Rect:
    box = run[0][0].box
    for row in run:
        for line in row:
            box = union(box, line.box)
    return box
