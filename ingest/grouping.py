"""Lines of one column become groups: what each line is, and which lines belong together."""

import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ingest.formulas import latex_of, whole
from ingest.layout import LEADER, Line, box_of, same_row
from ingest.links import bare
from ingest.lists import Item, Marker, goes_on, item_of, marker_of
from ingest.sheet import Rect
from ingest.styles import CAPTION, HEADING_CHARS_MAX, Standing, Styles

_HEADING_LINES_MAX = 4
_SENTENCE_CHARS = 80
_PITCH_SLACK = 1.25
_HEADING_PITCH_MAX, _TOUCHING_EMS = 1.7, 0.2
_PITCH_RANGE = (0.8, 2.6)
_PITCH_DEFAULT = 1.25
_INDENT_EMS = 0.9
_FIRST_LINE_EMS = 0.6
_SHORT_LINE = 0.85
_SIZE_SLACK = 0.06
_HEADING_SLACK = 0.12
_ALONE_EMS = 0.45
_LEADING_WIDTH = 0.85
_LEADING_SIZE = 1.05
_TEXT_WIDTH = 0.6
_UP_MAX = 0.5
_WOVEN, _WOVEN_CHARS_MAX, _WOVEN_LINES = 0.2, 40, 8
_FULL_LINE = 0.9
_SENTENCE_SLACK = 1.35
_BLANK_LINES = 2.0
_LETTER_ITEMS_MIN = 2
_FORMULA_SIZE = 0.9
_NUMBER = re.compile(r"\(\w{1,3}(?:\.\d{1,3})*\)$")


@dataclass(slots=True)
class Group:
    """Lines that belong together, and what they are: heading, paragraph, list, code, caption, formula or footnote."""

    kind: str
    lines: list[Line] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    level: int = 0

    @property
    def box(self) -> Rect:
        return box_of(self.lines)


@dataclass(slots=True)
class _Column:
    """What is usual in one column: pitch in ems, both edges, and whether letters count items."""

    pitch: float
    left: float
    right: float
    lettered: bool


def groups_of(lines: Sequence[Line], styles: Styles) -> list[Group]:
    """Lines from top to bottom."""
    if not lines:
        return []
    lines = whole(lines, _FORMULA_SIZE * styles.body)
    left, _, right, _ = box_of(lines)
    column = _Column(_pitch(lines), left, right, _counts_in_letters(lines))
    groups: list[Group] = []
    for at, line in enumerate(lines):
        last = groups[-1] if groups else None
        marker = _marker(line, lettered=column.lettered)
        standing = _standing(lines, at, column)
        apart = last is not None and standing.leads and line.font != last.lines[-1].font and last.kind != "list"
        woven = last is not None and last.kind == "paragraph" and _is_woven(last.lines[-_WOVEN_LINES:], line)
        if last is not None and last.kind == "formula" and _is_woven(last.lines, line):
            last.kind = "paragraph"  # pieces above and below: more than a simple one
        elif last is not None and woven and not styles.level(line, standing):
            pass  # goes on below
        elif line.size >= _FORMULA_SIZE * styles.body and _is_shown(lines, at, column) and latex_of(line):
            groups.append(Group("formula"))
        elif apart and styles.level(line, standing):
            groups.append(_started(line, marker, styles=styles, standing=standing))
        elif last is not None and _continues(last, line, marker, column):
            if last.kind == "list":
                last.items[-1].lines.append(line)
        elif last is not None and _is_next_item(last, line, marker, column.pitch):
            last.items.append(item_of(line, marker))  # type: ignore[arg-type]  # a next item has a marker
        else:
            groups.append(_started(line, marker, styles=styles, standing=standing))
        groups[-1].lines.append(line)
    return list(_settled(groups, column))


def _is_shown(lines: Sequence[Line], at: int, column: _Column) -> bool:
    """Set in from the column's edge or apart from the line above; beside it only the number of a formula."""
    line = lines[at]
    close = at > 0 and line.box[1] - lines[at - 1].box[3] < _ALONE_EMS * line.size
    if close and line.box[0] < column.left + line.size:
        return False
    return not any(
        same_row(other.box, lines[at].box) and not _NUMBER.match(other.text)
        for other in (*lines[max(0, at - 1) : at], *lines[at + 1 : at + 2])
    )


def _pitch(lines: Sequence[Line]) -> float:
    """From baseline to baseline in ems: what is usual in this column."""
    found = [
        (line.box[3] - before.box[3]) / line.size
        for before, line in pairwise(lines)
        if line.size > 0 and abs(line.size - before.size) <= _SIZE_SLACK * line.size
    ]
    usual = [pitch for pitch in found if _PITCH_RANGE[0] <= pitch <= _PITCH_RANGE[1]]
    return statistics.median_low(usual) if usual else _PITCH_DEFAULT


def _counts_in_letters(lines: Sequence[Line]) -> bool:
    """Letters begin items only where several do: a) and b), (i) and (ii)."""
    found = [marker.kept for line in lines if (marker := marker_of(line)) is not None and marker.kept]
    return len({sign.strip("().") for sign in found}) >= _LETTER_ITEMS_MIN


def _marker(line: Line, *, lettered: bool) -> Marker | None:
    marker = marker_of(line)
    return marker if marker is None or not marker.kept or lettered else None


def _standing(lines: Sequence[Line], at: int, column: _Column) -> Standing:
    line = lines[at]
    before = next((each for each in reversed(lines[max(0, at - 2) : at]) if len(each.text) > 1), None)
    above = line.box[1] - before.box[3] if before is not None else line.size
    below = lines[at + 1].box[1] - line.box[3] if at + 1 < len(lines) else line.size
    apart = above >= _ALONE_EMS * line.size
    short = line.box[2] <= column.left + _LEADING_WIDTH * (column.right - column.left)
    larger = at + 1 < len(lines) and line.size >= _LEADING_SIZE * lines[at + 1].size
    leads = apart and (short or larger) and at + 1 < len(lines) and below < max(above, _ALONE_EMS * line.size)
    alone = apart and below >= _ALONE_EMS * line.size / 2
    return Standing(apart, alone, leads and _is_text(lines[at + 1], line, column))


def _is_text(following: Line, line: Line, column: _Column) -> bool:
    wide = following.box[2] - following.box[0] >= _TEXT_WIDTH * (column.right - column.left)
    return following.font != line.font and (wide or len(following.text) > len(line.text))


def _continues(group: Group, line: Line, marker: Marker | None, column: _Column) -> bool:
    """The line goes on with the block that the last line is in."""
    last = group.lines[-1]
    down = (line.box[3] - last.box[3]) / max(line.size, 0.1)
    slack = _HEADING_SLACK if group.kind == "heading" else _SIZE_SLACK
    if group.kind == "formula":
        return False
    if abs(line.size - last.size) > slack * max(line.size, last.size) or line.mono != last.mono:
        return False
    most = _HEADING_PITCH_MAX if group.kind == "heading" else max(column.pitch, 1.1) * _PITCH_SLACK
    if line.text[:1].islower() and last.box[2] >= column.left + _FULL_LINE * (column.right - column.left):
        most *= _SENTENCE_SLACK  # raised and sunk letters push the lines of one sentence apart
    if group.kind == "code":
        most *= _BLANK_LINES
    touching = group.kind == "heading" and line.box[1] - last.box[3] <= _TOUCHING_EMS * line.size
    if down < -_UP_MAX or (down > most and not touching) or LEADER in last.text:
        return False
    if group.kind == "code":
        return True
    if marker is not None or CAPTION.match(line.text) or (group.kind != "list" and line.bold != last.bold):
        return False
    if group.kind == "heading":
        return line.font == last.font and not _is_numbered_alike(group.lines[0], line)
    if group.kind == "list":
        return _is_of_item(group.items[-1], line, column)
    return _is_of_paragraph(group, line, down, column)


def _is_woven(lines: Sequence[Line], line: Line) -> bool:
    """Pieces of a formula: short, and above or below each other by less than a line."""
    if max(len(each.text) for each in (*lines, line)) > _WOVEN_CHARS_MAX:
        return False
    return any(
        min(last.box[3], line.box[3]) - max(last.box[1], line.box[1])
        > _WOVEN * min(last.box[3] - last.box[1], line.box[3] - line.box[1])
        for last in lines
    )


def _is_numbered_alike(first: Line, line: Line) -> bool:
    """Two numbered headings in a row are two."""
    return first.text[:1].isdecimal() and line.text[:1].isdecimal()


def _is_of_paragraph(group: Group, line: Line, down: float, column: _Column) -> bool:
    last = group.lines[-1]
    shift = (line.box[0] - last.box[0]) / max(line.size, 0.1)
    if len(group.lines) == 1:  # a first line may stand out to either side, if it is a full one
        full = last.box[2] - last.box[0] >= _SHORT_LINE * (column.right - last.box[0])
        return shift <= _INDENT_EMS or (full and down <= column.pitch * 1.1)
    return -_INDENT_EMS <= shift <= _FIRST_LINE_EMS or _is_leftward_end(last, line)


def _is_leftward_end(last: Line, line: Line) -> bool:
    """Text from right to left keeps its right edge."""
    return abs(last.box[2] - line.box[2]) <= line.size / 4 and line.text[:1] >= "\u0590"


def _is_of_item(item: Item, line: Line, column: _Column) -> bool:
    """Below the item's words; or back at the margin, where the line before was a full one."""
    if line.box[0] > item.marker.left + _INDENT_EMS * line.size / 2:
        return True
    hangs = any(other.box[0] > item.marker.left + _INDENT_EMS * line.size / 2 for other in item.lines[1:])
    last = item.lines[-1].box
    return not hangs and last[2] - last[0] >= _SHORT_LINE * (column.right - last[0])


def _is_next_item(group: Group, line: Line, marker: Marker | None, pitch: float) -> bool:
    if group.kind != "list" or marker is None or abs(line.size - group.lines[-1].size) > 0.2 * line.size:
        return False
    down = (line.box[3] - group.lines[-1].box[3]) / max(line.size, 0.1)
    near = -_UP_MAX <= down <= 2.2 * max(pitch, 1.1)
    return near and goes_on(group.items, marker, line.size)


def _started(line: Line, marker: Marker | None, *, styles: Styles, standing: Standing) -> Group:
    level = styles.level(line, standing)
    if level:
        return Group("heading", level=level)
    if marker is not None:
        return Group("list", items=[item_of(line, marker)])
    if styles.is_code(line):
        return Group("code")
    return Group("caption" if CAPTION.match(bare(line.text)) else "paragraph")


def _settled(groups: Sequence[Group], column: _Column) -> Iterator[Group]:
    """A heading that is too long, or that the next line goes on with, was none."""
    last: Group | None = None
    for group in groups:
        if last is None:
            last = group
        elif last.kind == "heading" and (_is_too_long(last) or _runs_on(last, group, column)):
            last.kind, last.level = "paragraph", 0
            if _runs_on(last, group, column):
                last.lines += group.lines
            else:
                yield last
                last = group
        else:
            yield last
            last = group
    if last is not None:
        if last.kind == "heading" and _is_too_long(last):
            last.kind, last.level = "paragraph", 0
        yield last


def _is_too_long(group: Group) -> bool:
    chars = sum(len(line.text) for line in group.lines)
    sentence = chars > _SENTENCE_CHARS and bare(group.lines[-1].text).endswith((".", "\u3002"))
    return sentence or len(group.lines) > _HEADING_LINES_MAX or chars > HEADING_CHARS_MAX


def _runs_on(group: Group, following: Group, column: _Column) -> bool:
    """A sentence that begins in bold: a full line, and the next one goes on in small letters close below."""
    last, line = group.lines[-1], following.lines[0]
    down = (line.box[3] - last.box[3]) / max(line.size, 0.1)
    close = 0 < down <= max(column.pitch, 1.1) * 1.1 and abs(line.size - last.size) <= _SIZE_SLACK * line.size
    full = last.box[2] - last.box[0] >= _SHORT_LINE * (column.right - last.box[0])
    return close and full and following.kind == "paragraph" and line.text[:1].islower()
