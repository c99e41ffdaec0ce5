"""Lines in a page's margins: which ones stand there, and which look like heads, feet and numbers by themselves."""

import re
from collections.abc import Sequence
from itertools import pairwise

from ingest.layout import Line, same_row
from ingest.links import bare
from ingest.sheet import Rect, Sheet

BAND = 0.14
"""Where repetition counts, as a share of the page's height."""
_EDGE = 0.09
"""Where a line's own looks count."""
_ROWS_MAX = 3
_LARGER = 1.15
_SMALLER = 0.94
APART_EMS = 0.5
_FAR_EMS = 1.2
_LONE_EMS, _LONE_ASIDE = 2.0, 0.1
_PARTS_APART_EMS = 3.0
_CHARS_MAX = 120
_PROSE_CHARS = 60
_OUTER, _SIZE_SLACK = 0.08, 0.04
_CELLS_MIN, _CELLS_FAR_EMS, _CELL_SLACK_EMS = 3, 4.0, 0.3
_FOOT_PARTS, _FOOT_CHARS_MAX, _FOOT_WIDTH = 3, 40, 0.6
_NUMBER = re.compile(
    r"^(?:page|seite|p\.|第)?[-\u2013\u2014|\s]*(?:\d{1,2}-(?=\d))?(\d{1,5}|[ivxlc]{1,7})\s*页?(?:\s*(?:/|of|von)\s*\d{1,5})?[-\u2013\u2014|\s]*$",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+")
_SPACES = re.compile(r"\s+")
_STAMP = re.compile(
    r"(?:^|\s)(?:©|\(c\)\s|copyright\b|downloaded\b|download date|all rights reserved|https?://|www\.|doi[:.]|issn\b|"
    r"page\s+\d|\d+\s*\|\s*page|vol(?:ume|\.)\s*\d|rev(?:ision|\.)[:\s]*\d)",
    re.IGNORECASE,
)
_ENDS_IN_NUMBER = re.compile(r"[^\W\d_][^\d.,;]*\s[|\u2022]?\s?\d{1,4}$")
_BEGINS_WITH_NUMBER = re.compile(r"^\d{1,4}\s[|\u2022]?\s?[^\W\d_]")
_NOTE = re.compile(r"^(?:\d{1,2}(?=[\s)\]A-Z])|\[\d|[*†‡§¶])")
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}


def edge_rows(lines: Sequence[Line], height: float, *, top: bool, body: float) -> list[list[Line]]:
    """The outermost rows within the band, the inmost first; only what lies outside of any large line."""
    inside = [line for line in lines if (line.box[3] <= BAND * height if top else line.box[1] >= (1 - BAND) * height)]
    inside.sort(key=lambda line: line.box[1] if top else -line.box[3])
    rows: list[list[Line]] = []
    for line in inside:
        if rows and same_row(rows[-1][0].box, line.box):
            rows[-1].append(line)
        else:
            rows.append([line])
    large = (at for at, row in enumerate(rows) if max(line.size for line in row) > _LARGER * body)
    return rows[: min(_ROWS_MAX, next(large, _ROWS_MAX))][::-1]


def is_odd_number(row: Sequence[Line], lines: Sequence[Line], height: float) -> bool:
    """A number close to the text, yet below or above all of it and in another size."""
    number = row[0]
    if (
        len(row) > 1
        or number_of(number) is None
        or (_OUTER * height < number.box[3] and number.box[1] < (1 - _OUTER) * height)
    ):
        return False
    outside = any(line.box[1] < number.box[1] for line in lines) and any(line.box[3] > number.box[3] for line in lines)
    near = min(
        (line for line in lines if line is not number),
        key=lambda line: abs(line.box[1] - number.box[1]),
        default=number,
    )
    return not outside and abs(near.size - number.size) > _SIZE_SLACK * number.size


def is_prose(row: Sequence[Line], lines: Sequence[Line]) -> bool:
    """A long line with another close above it or below it."""
    line = row[0]
    return (
        len(row) == 1
        and len(line.text) > _PROSE_CHARS
        and any(
            len(other.text) > _PROSE_CHARS / 2
            and min(abs(other.box[1] - line.box[3]), abs(line.box[1] - other.box[3])) <= APART_EMS * line.size
            and abs(other.size - line.size) < 1
            for other in lines
        )
    )


def lone_number(lines: Sequence[Line], sheet: Sheet, body: float) -> list[list[Line]]:
    """On a page that ends early: a number in the middle below all text."""
    if not lines:
        return []
    last = max(lines, key=lambda line: line.box[3])
    middle = abs(last.box[0] + last.box[2] - sheet.width) <= _LONE_ASIDE * sheet.width
    apart = gap_inwards([last], lines, 0.0) >= _LONE_EMS * body
    return [[last]] if number_of(last) is not None and middle and apart else []


def gap_inwards(row: Sequence[Line], lines: Sequence[Line], height: float) -> float:
    """White between a row in the margin and the nearest line towards the middle of the page."""
    own = {id(line) for line in row}
    top, bottom = min(line.box[1] for line in row), max(line.box[3] for line in row)
    if bottom < height / 2:
        gaps = [line.box[1] - bottom for line in lines if id(line) not in own and line.box[3] > bottom]
    else:
        gaps = [top - line.box[3] for line in lines if id(line) not in own and line.box[1] < top]
    return min(gaps, default=height)


def stands_alone(row: Sequence[Line], lines: Sequence[Line], body: float) -> bool:
    """No line close above or below: an address of several lines in the margin is none of a page's furniture."""
    own = {id(line) for line in row}
    top, bottom = min(line.box[1] for line in row), max(line.box[3] for line in row)
    reach = _FAR_EMS * body
    return not any(id(line) not in own and line.box[1] < bottom + reach and line.box[3] > top - reach for line in lines)


def is_typed_as_furniture(row: Sequence[Line], lines: Sequence[Line], free: Sequence[Line]) -> bool:
    """In the type of furniture that was found at the other edge, and of nothing else on the page."""
    if row[0].noted or _NOTE.match(row[0].text):
        return False
    types = {_type(line) for line in row}
    rest = {_type(line) for line in free if line not in row}
    gone = {_type(line) for line in lines if line not in free and number_of(line) is None}
    return bool(types) and types <= gone and not types & rest


def is_at_the_edge(row: Sequence[Line], height: float) -> bool:
    return (
        max(line.box[3] for line in row) <= _EDGE * height or min(line.box[1] for line in row) >= (1 - _EDGE) * height
    )


def _type(line: Line) -> tuple[str, float]:
    return line.font, round(line.size, 1)


def looks_like_furniture(row: Sequence[Line], lines: Sequence[Line], sheet: Sheet, body: float) -> bool:
    """Without other pages to compare: at the very edge, apart from the text, short, and set as such lines are."""
    top, bottom = min(line.box[1] for line in row), max(line.box[3] for line in row)
    inner = gap_inwards(row, lines, sheet.height)
    chars = sum(len(line.text) for line in row)
    size = max(line.size for line in row)
    if len(row) > 1 and _is_footer_row(row, sheet):
        return inner >= APART_EMS * body
    numbered = is_numbered(row, lines, body)
    edge = BAND if numbered else _EDGE
    inside = edge * sheet.height < bottom and top < (1 - edge) * sheet.height
    if (
        inside
        or inner < _FAR_EMS * body
        or chars > _CHARS_MAX
        or size > _LARGER * body
        or (_NOTE.match(row[0].text) and not numbered)
    ):
        return False
    if numbered or (len(row) > 1 and _in_parts(row)):
        return True
    return size <= 1.02 * body and (is_stamp(row) or _is_ruled(row, sheet))


def _is_footer_row(row: Sequence[Line], sheet: Sheet) -> bool:
    """Short texts at the left, in the middle and at the right, where no table stands above them."""
    if len(row) < _FOOT_PARTS or not _in_parts(row) or max(len(line.text) for line in row) > _FOOT_CHARS_MAX:
        return False
    left, right = min(line.box[0] for line in row), max(line.box[2] for line in row)
    return right - left >= _FOOT_WIDTH * sheet.width


def is_numbered(row: Sequence[Line], lines: Sequence[Line], body: float) -> bool:
    """A title and a page number, in one line or apart. Footnotes begin with numbers too, so a foot needs a bar."""
    if len(row) > 1:
        return any(number_of(line) is not None for line in row) and _in_parts(row)
    text, head = bare(row[0].text), all(other.box[1] >= row[0].box[1] for other in lines)
    note = row[0].noted or bool(_NOTE.match(text))
    if _ENDS_IN_NUMBER.search(text) and (head or not note):
        return True
    found = _BEGINS_WITH_NUMBER.match(text) if row[0].size <= _SMALLER * body and not row[0].noted else None
    return found is not None and (head or not found[0][:-1].strip().isdecimal())


def is_outermost(line: Line, lines: Sequence[Line]) -> bool:
    return all(other.box[1] >= line.box[1] for other in lines) or all(other.box[3] <= line.box[3] for other in lines)


def is_table_row(row: Sequence[Line], lines: Sequence[Line]) -> bool:
    """Several numbers, one below another, or texts straight below or above those of another row."""
    values = [value for line in row if (value := number_of(line)) is not None]
    spread = len(row) > len(values) == 2 and abs(values[0] - values[1]) == 1
    if len(values) > 1 and not spread:
        return True
    top, bottom = min(line.box[1] for line in row), max(line.box[3] for line in row)
    reach = _CELLS_FAR_EMS * row[0].size
    for others in (
        [line for line in lines if top - reach <= line.box[1] and line.box[3] <= top + 1],
        [line for line in lines if bottom - 1 <= line.box[1] and line.box[3] <= bottom + reach],
    ):
        if sum(any(_is_aligned(line, other) for other in others) for line in row) >= _CELLS_MIN:
            return True
        numbers = [other for other in others if values and number_of(other) is not None]
        if any(number_of(line) is not None and any(_is_aligned(line, other) for other in numbers) for line in row):
            return True
    return False


def _is_aligned(line: Line, other: Line) -> bool:
    slack = _CELL_SLACK_EMS * line.size
    sides = ((line.box[0], other.box[0]), (line.box[2], other.box[2]))
    middles = (line.box[0] + line.box[2]) / 2 - (other.box[0] + other.box[2]) / 2
    return any(abs(one - two) <= slack for one, two in sides) or abs(middles) <= slack


def is_stamp(row: Sequence[Line]) -> bool:
    return any(_STAMP.search(bare(line.text)) for line in row)


def _in_parts(row: Sequence[Line]) -> bool:
    """Texts at the left and at the right of the page, far from each other."""
    across = sorted(row, key=lambda line: line.box[0])
    return all(right.box[0] - left.box[2] >= _PARTS_APART_EMS * left.size for left, right in pairwise(across))


def _is_ruled(row: Sequence[Line], sheet: Sheet) -> bool:
    """A rule as wide as half the page parts it from the text."""
    top, bottom = min(line.box[1] for line in row), max(line.box[3] for line in row)
    near: tuple[float, float] = (bottom - 1, bottom + 14) if bottom < sheet.height / 2 else (top - 14, top + 1)
    return any(_is_level(rule, sheet.width) and near[0] <= rule[1] <= near[1] for rule in sheet.rules[:400])


def _is_level(rule: Rect, width: float) -> bool:
    return rule[2] - rule[0] >= width / 2 and rule[3] - rule[1] <= 3


def middle_of(line: Line, height: float) -> float:
    return (line.box[1] + line.box[3]) / 2 / max(1.0, height)


def key_of(line: Line) -> str:
    """Alike on pages that count; footnotes are alike only where all their words and numbers are."""
    text = bare(line.text)
    return _SPACES.sub("", text if line.noted else _DIGITS.sub("0", text)).casefold()


def number_of(line: Line) -> int | None:
    found = _NUMBER.match(bare(line.text))
    if not found:
        return None
    text = found[1].lower()
    return int(text) if text.isdecimal() else _roman(text)


def is_roman(line: Line) -> bool:
    return not any(letter.isdecimal() for letter in line.text)


def _roman(text: str) -> int:
    values = [_ROMAN[letter] for letter in text]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return sum(-value if value < following else value for value, following in pairs)
