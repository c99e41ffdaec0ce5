"""Running heads, feet and page numbers, found on evidence: their place, and what other pages have in that place."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from ingest.layout import Line, lines_of
from ingest.links import bare
from ingest.margin_looks import (
    APART_EMS,
    BAND,
    edge_rows,
    gap_inwards,
    is_at_the_edge,
    is_numbered,
    is_odd_number,
    is_outermost,
    is_prose,
    is_roman,
    is_stamp,
    is_table_row,
    is_typed_as_furniture,
    key_of,
    lone_number,
    looks_like_furniture,
    middle_of,
    number_of,
    stands_alone,
)
from ingest.sheet import Sheet

_SAME_PLACE = 0.02
_AHEAD = 2
_KEYS_MAX = 400
_NUMBERS_KEPT = 40


@dataclass(frozen=True, slots=True)
class _Seen:
    """A line in some page's margin: at which height, and on which page; letters count pages of their own.

    `beside`: that page had running text too. What is all the text of a page is no evidence of furniture.
    """

    middle: float
    page: int
    roman: bool = False
    text: str = ""
    beside: bool = True


class Margins:
    """Learns from the pages read so far, and looks ahead in the open file where those say nothing yet."""

    def __init__(self) -> None:
        self._page = 0
        self._texts: dict[str, list[_Seen]] = {}
        self._numbers: list[tuple[int, _Seen]] = []

    def part(self, lines: Sequence[Line], sheet: Sheet, body: float) -> tuple[list[Line], list[Line]]:
        """The page's furniture, and all the rest. What is larger than running text is a heading and stays."""
        self._page += 1
        body = max(body, median(line.size for line in lines)) if lines else body
        feet = edge_rows(lines, sheet.height, top=False, body=body) or lone_number(lines, sheet, body)
        rows = [*edge_rows(lines, sheet.height, top=True, body=body), *feet]
        ahead = _Ahead(sheet, self._page)
        taken: set[int] = set()
        for row in rows:
            free = [line for line in lines if id(line) not in taken]
            close = gap_inwards(row, free, sheet.height) < APART_EMS * body
            if (close and not is_odd_number(row, lines, sheet.height)) or is_prose(row, lines):
                continue  # a paragraph, however often it comes
            if is_table_row(row, lines) and not any(self._repeated(line, sheet.height) for line in row):
                continue
            for line in row:
                if self._is_furniture(line, sheet.height, ahead, free):
                    taken.add(id(line))
            telling = is_stamp(row) or is_numbered(row, lines, body)
            if (telling or (self._page == 1 and stands_alone(row, lines, body))) and looks_like_furniture(
                row, free, sheet, body
            ):
                taken |= {id(line) for line in row}
        for row in rows:
            free = [line for line in lines if id(line) not in taken]
            alone = self._page == 1 and stands_alone(row, lines, body) and is_at_the_edge(row, sheet.height)
            if alone and is_typed_as_furniture(row, lines, free):
                taken |= {id(line) for line in row}
        if len(taken) == len(lines):
            taken -= {id(line) for line in lines if self._is_all_that_is_said(line, sheet.height)}
        self._learn([line for row in rows for line in row], sheet.height, beside=_has_text_beside(lines, sheet.height))
        return [line for line in lines if id(line) in taken], [line for line in lines if id(line) not in taken]

    def _is_all_that_is_said(self, line: Line, height: float) -> bool:
        """On a page without other text: a line that no page before had, letter by letter, above or below its text."""
        if number_of(line) is not None:
            return False
        text = bare(line.text)
        return not any(seen.text == text and seen.beside for seen in self._near(line, height))

    def _is_furniture(self, line: Line, height: float, ahead: "_Ahead", lines: Sequence[Line]) -> bool:
        if number_of(line) is not None:
            return self._is_number(line, height, ahead, lines)
        return self._repeated(line, height) or ahead.has(line)

    def _repeated(self, line: Line, height: float) -> bool:
        return any(seen.beside for seen in self._near(line, height))

    def _near(self, line: Line, height: float) -> list[_Seen]:
        middle = middle_of(line, height)
        return [seen for seen in self._texts.get(key_of(line), ()) if abs(seen.middle - middle) <= _SAME_PLACE]

    def _is_number(self, line: Line, height: float, ahead: "_Ahead", lines: Sequence[Line]) -> bool:
        """A number that grows with the pages; where no other page has one, a number that stands apart."""
        value = number_of(line) or 0
        middle = middle_of(line, height)
        others = [*self._numbers, *ahead.numbers()]
        roman = is_roman(line)
        near = [
            (other, seen.page)
            for other, seen in others
            if seen.roman is roman and abs(seen.middle - middle) <= _SAME_PLACE
        ]
        if not near and not (is_at_the_edge([line], height) or is_outermost(line, lines)):
            return False
        return all((other - value) * (page - self._page) >= (page - self._page) ** 2 for other, page in near)

    def _learn(self, lines: Sequence[Line], height: float, *, beside: bool) -> None:
        for line in lines:
            seen = _Seen(middle_of(line, height), self._page, is_roman(line), bare(line.text), beside)
            value = number_of(line)
            if value is not None:
                self._numbers = [*self._numbers[-_NUMBERS_KEPT:], (value, seen)]
            places = self._texts.get(key_of(line))
            if places is not None:
                places[:] = [*places[-3:], seen]
            elif len(self._texts) < _KEYS_MAX:
                self._texts[key_of(line)] = [seen]


class _Ahead:
    """The margins of the next pages, read only when asked for."""

    def __init__(self, sheet: Sheet, page: int) -> None:
        self._sheet = sheet
        self._page = page
        self._found: list[tuple[Line, _Seen]] | None = None

    def has(self, line: Line) -> bool:
        middle, key = middle_of(line, self._sheet.height), key_of(line)
        return any(
            seen.beside and abs(seen.middle - middle) <= _SAME_PLACE and key_of(other) == key
            for other, seen in self._lines()
        )

    def numbers(self) -> list[tuple[int, _Seen]]:
        return [(value, seen) for line, seen in self._lines() if (value := number_of(line)) is not None]

    def _lines(self) -> list[tuple[Line, _Seen]]:
        if self._found is None:
            self._found = []
            sheet: Sheet | None = self._sheet
            for step in range(1, _AHEAD + 1):
                sheet = sheet.following() if sheet is not None else None
                if sheet is not None:
                    self._found += self._margins_of(sheet, self._page + step)
        return self._found

    @staticmethod
    def _margins_of(sheet: Sheet, page: int) -> list[tuple[Line, _Seen]]:
        low, high = BAND * sheet.height, (1 - BAND) * sheet.height
        beside = any(
            span.text.strip() and span.box[3] > low and span.box[1] < high for run in sheet.lines for span in run
        )
        return [
            (line, _Seen(middle_of(line, sheet.height), page, is_roman(line), beside=beside))
            for line in margin_lines(sheet)
        ]


def margin_lines(sheet: Sheet) -> list[Line]:
    """The lines in the top and bottom margin of a page that is not read yet."""
    low, high = BAND * sheet.height, (1 - BAND) * sheet.height
    runs = [
        [span for span in run if span.upright and (span.box[3] <= low or span.box[1] >= high)] for run in sheet.lines
    ]
    return lines_of([run for run in runs if run])


def _has_text_beside(lines: Sequence[Line], height: float) -> bool:
    """The page has text outside of its margins."""
    return any(line.box[3] > BAND * height and line.box[1] < (1 - BAND) * height for line in lines)
