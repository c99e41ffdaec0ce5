"""Rows of text become rows of a table: which ones are its head, and which go on with the row above."""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ingest.layout import Line
from ingest.sheet import Rect
from ingest.table_cells import Cell, Table, compact
from ingest.table_columns import Band, Placed, bands_of, over, place
from ingest.table_tokens import CAPTION, box_of, interlocked, is_amount, is_number, middle, text_of

_TITLE_CHARS_MIN = 60
_HEADS_MAX = 6
_HEAD_SHARE_MIN = 0.3
_WIDE = 0.8
_TIGHT_EMS = 1.45
_TIGHTER = 0.85
_RULED_SHARE = 0.25
_YEAR = re.compile(r"(?:FY\s?)?(?:19|20)\d\d(?:[-/\u2013](?:19|20)?\d\d)?\*?")


@dataclass(slots=True)
class Block:
    """Rows of cells' texts, the level rules between them, and the columns when they are found."""

    rows: list[list[Line]]
    level: list[Rect]
    box: Rect
    heads: int = 0
    bands: list[Band] = field(default_factory=list)


def block_of(rows: Sequence[Sequence[Line]], level: Sequence[Rect]) -> Block:
    """Head and columns of these rows."""
    rows = _without_titles(rows)
    block = Block([list(row) for row in rows], list(level), box_of([line for row in rows for line in row]))
    top, bottom = block.box[1], block.box[3]
    em = max(line.size for line in block.rows[0])
    block.level = [rule for rule in level if top - em <= rule[1] <= bottom + em]
    block.heads = _heads(block)
    block.bands = bands_of(block.rows, block.heads)
    while len(block.rows) > block.heads + 1 and _is_note(block.rows[-1], block.bands):
        block.rows.pop()
        block.box = box_of([line for row in block.rows for line in row])
    return block


def _without_titles(rows: Sequence[Sequence[Line]]) -> Sequence[Sequence[Line]]:
    """Without a caption at the top, and its further lines."""
    first = 0
    left = min(row[0].box[0] for row in rows)
    while first + 1 < len(rows) and len(rows[first]) == 1 and rows[first][0].box[0] - left < rows[first][0].size:
        line = rows[first][0]
        if not (first or CAPTION.match(line.text) or len(line.text) > _TITLE_CHARS_MIN):
            break
        first += 1
    return rows[first:] if any(len(row) > 1 for row in rows[first:]) else rows


def _is_note(row: Sequence[Line], bands: Sequence[Band]) -> bool:
    """A sentence below the columns: it runs on over their gaps."""
    if any(is_amount(line.text) for line in row):
        return False
    crossing = [line for line in row if sum(begin < line.box[2] and line.box[0] < end for begin, end in bands) > 1]
    return bool(crossing) and (len(row) == 1 or 2 * len(crossing) > len(row))


def _heads(block: Block) -> int:
    """How many rows of text name the columns: those above the first rule, or above the first numbers."""
    rows = block.rows
    most = min(_HEADS_MAX, len(rows) - 1)
    figures = [_figures(row) for row in rows]
    told = [row for row in figures if row is not None]
    numeric = bool(told) and sum(told) >= len(told) / 2
    first = next((at for at, has in enumerate(figures) if has), 0)
    ruled = next((at for at in range(1, most + 1) if _rule_between(block, rows[at - 1], rows[at])), 0)
    named = first if numeric else 0
    while named > 1 and len(rows[named - 1]) == 1 and rows[named - 1][0].box[0] <= rows[first][0].box[2]:
        named -= 1  # the name of the first group of rows, and no column's
    if ruled and not 0 < named < ruled and (named or ruled < 3):
        more = named <= most and all(_is_head(row, rows[first:]) for row in rows[ruled:named])
        return named if ruled < named and more else ruled
    return min(named, most) if numeric else 1


def _is_head(row: Sequence[Line], below: Sequence[Sequence[Line]]) -> bool:
    """It leaves the column of labels free, or has many texts."""
    return row[0].box[0] > below[0][0].box[2] or len(row) >= max(2, _HEAD_SHARE_MIN * max(map(len, below)))


def _figures(row: Sequence[Line]) -> bool | None:
    """Most texts after the first are numbers; years alone are a head. None: the row is one text."""
    if len(row) < 2:
        return None
    texts = [line.text for line in row[1:]]
    numbers = sum(is_number(text) for text in texts)
    if numbers and all(_YEAR.fullmatch(text) for text in texts if is_number(text)):
        return False
    return 2 * numbers >= len(texts)


def _rule_between(block: Block, above: Sequence[Line], row: Sequence[Line]) -> bool:
    """Rules at one height between the two rows that cover most of the table's width."""
    left, _, right, _ = block.box
    low, high = middle(above), middle(row)
    between = [rule for rule in block.level if low < rule[1] < high]
    if not between:
        return False
    return any(
        sum(min(right, other[2]) - max(left, other[0]) for other in between if abs(other[1] - rule[1]) < 2)
        >= _WIDE * (right - left)
        for rule in between
    )


def table_of(block: Block) -> Table:
    """The cells of a block."""
    heads, levels = _head_cells(block)
    body = _body(block)
    cells = list(heads)
    for at, group in enumerate(body):
        texts: dict[tuple[int, int], list[Line]] = {}
        for each in group:
            texts.setdefault((each.first, each.last), []).append(each.line)
        cells += [
            Cell(text_of(lines), levels + at, first, 1, last - first + 1)
            for (first, last), lines in _disjoint(texts).items()
        ]
    return Table(tuple(compact(cells)), block.box, max(1, levels))


def _disjoint(texts: dict[tuple[int, int], list[Line]]) -> dict[tuple[int, int], list[Line]]:
    """A text over several columns joins the cell of the first one that has a text of its own."""
    found: dict[tuple[int, int], list[Line]] = {}
    for (first, last), lines in sorted(texts.items(), key=lambda item: item[0][1] - item[0][0]):
        met = next((span for span in found if span[0] <= last and first <= span[1]), (first, last))
        found.setdefault(met, []).extend(lines)
    return found


def _head_cells(block: Block) -> tuple[list[Cell], int]:
    """The head as cells, and of how many rows it consists once lines of one name are joined."""
    if not block.heads:
        return [], 0
    texts = _unlocked(block.rows[: block.heads])
    rows = [over(row, block.bands, block.level, more=at + 1 < len(texts)) for at, row in enumerate(texts)]
    starts = [0]
    for at in range(1, len(rows)):
        above = [each for row in rows[starts[-1] : at] for each in row]
        if _divides(above, rows[at]) or _divides(rows[at], above):
            starts.append(at)
    levels = [
        [each for row in rows[first:last] for each in row]
        for first, last in zip(starts, [*starts[1:], len(rows)], strict=True)
    ]
    cells: list[Cell] = []
    for at, level in enumerate(levels):
        cells += _level_cells(level, at)
    return _reaching_down(cells, len(levels)), len(levels)


def _unlocked(rows: Sequence[list[Line]]) -> list[list[Line]]:
    """Rows that stand in each other are one."""
    found: list[list[Line]] = []
    for row in rows:
        if found and interlocked(found[-1], row):
            found[-1] = sorted([*found[-1], *row], key=lambda line: line.box[0])
        else:
            found.append(list(row))
    return found


def _divides(spans: Sequence[Placed], row: Sequence[Placed]) -> bool:
    """Several texts of the row share the columns of one span."""
    return any(
        sum(span.first <= each.first and each.last <= span.last for each in row) > 1
        for span in spans
        if span.first < span.last
    )


def _level_cells(level: Sequence[Placed], at: int) -> list[Cell]:
    """Texts over the same columns are one name."""
    groups: list[tuple[int, int, list[Line]]] = []
    for each in sorted(level, key=lambda each: (each.first, -each.last)):
        if groups and each.first <= groups[-1][1]:
            first, last, lines = groups[-1]
            groups[-1] = (first, max(last, each.last), [*lines, each.line])
        else:
            groups.append((each.first, each.last, [each.line]))
    return [Cell(text_of(lines), at, first, 1, last - first + 1) for first, last, lines in groups]


def _reaching_down(cells: Sequence[Cell], levels: int) -> list[Cell]:
    """A name with nothing above or below it in its columns takes all rows of the head."""
    found: list[Cell] = []
    for cell in cells:
        columns = range(cell.column, cell.column + cell.columns)
        others = [
            other
            for other in cells
            if other is not cell and any(other.column <= at < other.column + other.columns for at in columns)
        ]
        found.append(cell if others or levels == 1 else Cell(cell.text, 0, cell.column, levels, cell.columns))
    return found


def _body(block: Block) -> list[list[Placed]]:
    rows = _unlocked(block.rows[block.heads :])
    placed = [place(row, block.bands) for row in rows]
    ruled = [at for at in range(1, len(rows)) if _rule_between(block, rows[at - 1], rows[at])]
    if len(ruled) >= max(1, _RULED_SHARE * (len(rows) - 1)):
        starts = [0, *ruled]
        groups = [placed[first:last] for first, last in zip(starts, [*ruled, len(rows)], strict=True)]
        return [row for group in groups for row in _one_or_all(group, block)]
    return _wrapped(placed, block)


def _one_or_all(group: Sequence[list[Placed]], block: Block) -> list[list[Placed]]:
    """Rows between two rules are one, unless a number stands above or under something in them."""
    columns: dict[int, list[Line]] = {}
    for row in group:
        for each in row if len(group) > 1 else ():
            columns.setdefault(each.first, []).append(each.line)
    columns.pop(0, None)
    if not any(len(lines) > 1 and any(is_amount(line.text) for line in lines) for lines in columns.values()):
        return [[each for row in group for each in row]]
    return _wrapped(group, block)


def _wrapped(rows: Sequence[list[Placed]], block: Block) -> list[list[Placed]]:
    """Rows that only go on with the texts of the row above, or of the row below, join it."""
    pitches = [_pitch(above, row) for above, row in pairwise(rows)]
    usual = statistics.median(pitches) if pitches else 0.0
    found: list[list[Placed]] = []
    pending: list[Placed] = []
    for at, row in enumerate(rows):
        following = rows[at + 1] if at + 1 < len(rows) else None
        tight = at > 0 and pitches[at - 1] <= _TIGHT_EMS
        tighter = tight and pitches[at - 1] <= _TIGHTER * usual
        if pending:
            found.append([*pending, *row])
            pending = []
        elif found and tight and _goes_on(found[-1], row, block, tighter=tighter):
            found[-1] = [*found[-1], *row]
        elif following and pitches[at] <= _TIGHT_EMS and _goes_on_below(row, following, block):
            pending = list(row)
        else:
            found.append(list(row))
    return found


def _pitch(above: Sequence[Placed], row: Sequence[Placed]) -> float:
    lower = [each.line for each in row]
    return (middle(lower) - middle([each.line for each in above])) / max(0.1, *(line.size for line in lower))


def _goes_on(above: Sequence[Placed], row: Sequence[Placed], block: Block, *, tighter: bool) -> bool:
    """Only words, below words in the same columns, and these fill their column, or the rows stand close."""
    if any(is_number(each.line.text) for each in row) or len(row) >= len({each.first for each in above}):
        return False
    for each in row:
        upper = [other.line for other in above if other.first <= each.first <= other.last]
        if not upper or is_number(upper[-1].text):
            return False
        small = each.line.text[:1].islower()
        if not (tighter or small or _is_full(upper[-1], each.line, block.bands[each.first])):
            return False
    return True


def _goes_on_below(row: Sequence[Placed], below: Sequence[Placed], block: Block) -> bool:
    """A label alone whose end was broken off: the numbers stand in the line below, with the label's rest."""
    if len(row) != 1 or row[0].first or len(below) < 2 or below[0].first:
        return False
    label, rest = row[0].line, below[0].line
    if label.text.endswith((":", ".")) or label.bold != rest.bold:
        return False
    return rest.text[:1].islower() or (
        _is_full(label, rest, block.bands[0]) and rest.box[0] > label.box[0] + label.size / 3
    )


def _is_full(line: Line, rest: Line, band: Band) -> bool:
    """The first word of what follows had no room behind it."""
    word = rest.text.split(" ", 1)[0]
    width = (rest.box[2] - rest.box[0]) * len(word) / max(1, len(rest.text))
    return line.box[2] + width + 0.2 * line.size > band[1] and " " in line.text
