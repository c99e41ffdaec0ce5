"""Whether rows with columns are a table, and not prose in columns, a list, contents, equations or an address."""

import re
from collections.abc import Sequence
from itertools import pairwise

from ingest.layout import LEADER, MARKER, Line
from ingest.sheet import Rect
from ingest.table_columns import place
from ingest.table_rows import Block
from ingest.table_tokens import CURRENCY, is_number

_FILLED_MIN = 0.45
_CHARS_MAX = 25
_RULED_CHARS_MAX = 80
_ALIGNED_MIN = 0.7
_ALIGNED_EMS = 0.6
_NUMBERS_MIN = 0.8
_ROWS_OF_TWO_MIN = 4
_ROWS_MIN = 3
_MATHS_MAX = 0.25
_TICKS_MIN = 4
_MATHS = re.compile(r"[=∑∫√∂∇≤≥≈≡∈∞∏⊂⊆\u222a∩→⇒±\u00d7÷∝]")
_WHOLE = re.compile(r"[-\u2212]?\d{1,9}(?:\.\d{1,4})?")
_EQUATION = re.compile(r"\(\d{1,3}(?:\.\d{1,3})?[a-z]?\)")


def is_ruled(block: Block) -> bool:
    """Two rules close to the rows or between them, about as wide as they are."""
    left, top, right, bottom = block.box
    em = block.rows[0][0].size
    wide = [rule for rule in block.level if rule[0] <= left + 2 * em and rule[2] >= right - 2 * em]
    heights = {round((rule[1] + rule[3]) / 8) for rule in wide if top - 2 * em <= rule[1] <= bottom + 2 * em}
    return len(heights) >= 2


def is_table(block: Block) -> bool:
    """Enough cells, short ones, in columns that are aligned; numbers where there are but two."""
    rows = [row for row in block.rows if len(row) > 1]
    if len(block.bands) < 2 or len(rows) < 2:
        return False
    cells = [line for row in rows for line in row]
    if len(cells) < _FILLED_MIN * len(block.bands) * len(rows):
        return False
    chars = sum(len(line.text) for line in cells) / len(cells)
    if is_ruled(block):
        return chars <= _RULED_CHARS_MAX and not _is_contents(block, rows)
    if len(rows) < _ROWS_MIN or chars > _CHARS_MAX or _is_maths(cells) or _is_contents(block, rows):
        return False
    columns = _columns(block, [row for row in block.rows[block.heads :] if len(row) > 1] or rows)
    if 2 * sum(map(_is_axis, columns)) >= len(columns):
        return False
    if len(block.bands) == 2:
        return _is_key_and_number(columns, rows)
    aligned = [_is_aligned(column) for column in columns if len(column) > 1]
    return sum(aligned) >= _ALIGNED_MIN * len(columns) and not _is_list(columns)


def _columns(block: Block, rows: Sequence[Sequence[Line]]) -> list[list[Line]]:
    columns: list[list[Line]] = [[] for _ in block.bands]
    for row in rows:
        for each in place(row, block.bands):
            if each.first == each.last and each.line.text not in CURRENCY:
                columns[each.first].append(each.line)
    return columns


def _is_key_and_number(columns: Sequence[Sequence[Line]], rows: Sequence[Sequence[Line]]) -> bool:
    keys, values = columns
    numbers = [line for line in values if is_number(line.text) and any(letter.isdigit() for letter in line.text)]
    return (
        len(rows) >= _ROWS_OF_TWO_MIN
        and len(numbers) >= _NUMBERS_MIN * max(1, len(values))
        and not any(_EQUATION.fullmatch(line.text) for line in values)
        and _is_aligned(values)
        and _is_aligned(keys)
        and not _is_list(columns)
    )


def _is_axis(column: Sequence[Line]) -> bool:
    """Numbers at one distance from each other, and not counted one by one: the scale of a chart."""
    digits = [line.text.replace(",", "").rstrip("% ") for line in column]
    if len(digits) < _TICKS_MIN or not all(_WHOLE.fullmatch(text) for text in digits):
        return False
    values = [float(text.replace("\u2212", "-")) for text in digits]
    steps = {round(after - before, 6) for before, after in pairwise(values)}
    return len(steps) == 1 and not steps & {0.0, 1.0, -1.0}


def _is_aligned(column: Sequence[Line]) -> bool:
    """Most of its texts begin, end or have their middle at one x."""
    if not column:
        return False
    slack = _ALIGNED_EMS * column[0].size
    for ends in (
        [line.box[0] for line in column],
        [line.box[2] for line in column],
        [_middle(line.box) for line in column],
    ):
        usual = sorted(ends)[len(ends) // 2]
        if sum(abs(end - usual) <= slack for end in ends) >= _ALIGNED_MIN * len(ends):
            return True
    return False


def _middle(box: Rect) -> float:
    return (box[0] + box[2]) / 2


def _is_list(columns: Sequence[Sequence[Line]]) -> bool:
    """The first column has nothing but bullets or numbers with a dot, and one column of text follows."""
    marked = [bool(MARKER.match(line.text)) and not line.text.strip().isdigit() for line in columns[0]]
    return len(columns) == 2 and sum(marked) >= _NUMBERS_MIN * max(1, len(marked))


def _is_contents(block: Block, rows: Sequence[Sequence[Line]]) -> bool:
    """Rows of a title and a page, with leaders between, or with pages that only rise."""
    led = sum(any(LEADER in line.text for line in row) for row in rows)
    short = sum(len(row) <= 3 for row in rows)  # a number, a title, a page
    if led >= len(rows) / 3 and short >= 0.8 * len(rows):
        return True
    ends = [row[-1].text for row in rows]
    if not all(re.fullmatch(r"\d{1,4}|[ivxlc]{1,7}", end) for end in ends) or len(block.bands) > 3:
        return False
    pages = [int(end) for end in ends if end.isdigit()]
    words = sum(not is_number(line.text) for row in rows for line in row[:-1])
    rising = all(one <= other for one, other in pairwise(pages))
    return rising and len(pages) >= _ROWS_MIN and words >= len(rows) / 2 and not _are_years(pages)


def _are_years(numbers: Sequence[int]) -> bool:
    return all(1900 <= number < 2100 for number in numbers)


def _is_maths(cells: Sequence[Line]) -> bool:
    signs = sum(bool(_MATHS.search(line.text)) or bool(_EQUATION.fullmatch(line.text)) for line in cells)
    return signs > _MATHS_MAX * len(cells)
