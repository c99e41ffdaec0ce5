"""From spans to lines, and the order in which a person reads them: columns before rows, by cutting at gutters."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from ingest.leftward import is_leftward
from ingest.sheet import Rect, Span, union

APART_EMS = 1.3
"""A gap this wide on one line separates columns or cells."""
MARKER_APART_EMS = 5.0
MARKER = re.compile(r"^\s*(?:[•‣◦▪●○■□➢➤✓·*\u2013\u2014\ue000-\uf8ff\ufffd-]|\d{1,3}[.)])\s*$")
LEADER = "…"
"""Stands for the row of dots in a table of contents."""
_LEADERS = re.compile(r"(?:\s*[.·…]){5,}\s*")
SPACE_EMS = 0.15
_SAME_LINE = 0.5
_NOTE_SIZE = 0.85
_END_SLACK = 0.15
_ECHO_SLACK = 0.1
_DROP_CAP, _DROP_CAPS_MAX = 1.6, 20
_GUTTER_EMS = 0.7
_GUTTER_CROSSED_AT_ONCE = 0.06
_GUTTER_CROSSED_MAX = 0.2
_COLUMN_LINES_MIN = 3
_COLUMN_WIDTH_MIN = 0.2
_DEPTH_MAX = 12
_BAND_EMS = 0.9


@dataclass(frozen=True, slots=True)
class Line:
    """A run of text on one baseline, without a wide gap in it.

    `pieces`: what it was joined of, when of several. `noted`: it begins with a raised or small mark, as a footnote.
    `label`: it stands in a box of a diagram.
    """

    text: str
    box: Rect
    size: float
    bold: bool = False
    mono: bool = False
    font: str = ""
    noted: bool = False
    label: bool = False
    pieces: tuple[tuple[str, Rect], ...] = ()


class Placed(Protocol):
    @property
    def box(self) -> Rect: ...


P = TypeVar("P", bound=Placed)


def lines_of(runs: Sequence[Sequence[Span]]) -> list[Line]:
    """Lines in the engine's order; text drawn twice for boldness counts once."""
    lines: list[Line] = []
    seen: set[tuple[str, int, int]] = set()
    for run in runs:
        for spans in _parts(run):
            line = _line(spans)
            at = (line.text, round(line.box[0] / 2), round(line.box[1] / 2))
            if line.text.strip(LEADER) and at not in seen:
                seen.add(at)
                _append(lines, line)
    return _with_drop_caps(_without_echoes(lines))


def _without_echoes(lines: list[Line]) -> list[Line]:
    """Some letters of a line drawn twice, at their places in it, are no line of their own."""
    rows: dict[int, list[Line]] = {}
    for line in lines:
        rows.setdefault(round(line.box[1]), []).append(line)
    echoes = {
        id(line)
        for row in rows.values()
        if len(row) > 1
        for line in row
        if any(_is_echo(line, other) for other in row if other is not line)
    }
    return [line for line in lines if id(line) not in echoes] if echoes else lines


def _is_echo(line: Line, whole: Line) -> bool:
    if (
        not whole.box[0] - 1 <= line.box[0] < line.box[2] <= whole.box[2] + 1
        or abs(line.size - whole.size) > _ECHO_SLACK
    ):
        return False
    letters = iter(whole.text)
    inked = line.text.replace(" ", "")
    return len(inked) < len(whole.text.replace(" ", "")) and all(letter in letters for letter in inked)


def _with_drop_caps(lines: list[Line]) -> list[Line]:
    """A large first letter goes before the word that it begins."""
    for cap in [line for line in lines if len(line.text) == 1 and line.text.isupper()][:_DROP_CAPS_MAX]:
        beside = [
            line
            for line in lines
            if cap.size >= _DROP_CAP * line.size
            and -line.size / 4 <= line.box[0] - cap.box[2] <= line.size
            and cap.box[1] - line.size / 2 <= line.box[1] < cap.box[3]
        ]
        if beside:
            first = min(beside, key=lambda line: line.box[1])
            space = "" if first.text[:1].islower() or first.text[:1] in "'\u2019" else " "
            whole = replace(first, text=cap.text + space + first.text, pieces=())
            lines = [whole if line is first else line for line in lines if line is not cap]
    return lines


def _parts(run: Sequence[Span]) -> list[list[Span]]:
    parts: list[list[Span]] = []
    for span in run:
        if not span.text.strip():
            continue
        if parts and _joined("".join(each.text for each in parts[-1]), parts[-1][-1], span):
            parts[-1].append(span)
        else:
            parts.append([span])
    return parts


def _append(lines: list[Line], line: Line) -> None:
    """An engine may end a line where only a bullet or a font ends: mend that."""
    if lines and _joined(lines[-1].text, lines[-1], line):
        first, second = lines[-1], line
        if (second.box[0] < first.box[0]) is not is_leftward(first.text + second.text):
            first, second = second, first
        longer = first if len(first.text) >= len(second.text) else second
        space = "" if is_wide(first.text[-1]) and is_wide(second.text[0]) else " "
        lines[-1] = Line(
            text=f"{first.text}{space}{second.text}",
            box=union(first.box, second.box),
            size=longer.size,
            bold=first.bold and second.bold,
            mono=first.mono and second.mono,
            font=longer.font,
            label=first.label and second.label,
            noted=first.noted or first.size < _NOTE_SIZE * second.size,
            pieces=pieces_of(first) + pieces_of(second),
        )
    else:
        lines.append(line)


def _joined(before: str, last: Span | Line, new: Span | Line) -> bool:
    if _is_drop_cap(before, last, new):
        return False
    ems = MARKER_APART_EMS if MARKER.match(before) else APART_EMS
    em = max(last.size, new.size)
    beside = _gap(last.box, new.box) <= ems * em and _overlap(last.box, new.box) <= em / 2
    return beside and same_row(last.box, new.box)


def _is_drop_cap(before: str, last: Span | Line, new: Span | Line) -> bool:
    """One large letter, with the lines of its paragraph beside it."""
    return last.size >= _DROP_CAP * new.size and len(before.strip()) == 1 and before.strip().isupper()


def same_row(one: Rect, other: Rect) -> bool:
    """They overlap by half of the lower one's height."""
    common = min(one[3], other[3]) - max(one[1], other[1])
    return common > _SAME_LINE * max(0.1, min(one[3] - one[1], other[3] - other[1]))


def box_of(items: Sequence[P]) -> Rect:
    """The box around all of them."""
    box = items[0].box
    for item in items[1:]:
        box = union(box, item.box)
    return box


def pieces_of(line: Line) -> tuple[tuple[str, Rect], ...]:
    return line.pieces or ((line.text, line.box),)


def _gap(one: Rect, other: Rect) -> float:
    """White between two boxes on one line, in either writing direction."""
    return max(0.0, other[0] - one[2], one[0] - other[2])


def is_wide(letter: str) -> bool:
    """Written without spaces: Chinese, Japanese, full-width signs."""
    return "\u2e80" <= letter <= "\u9fff" or "\uf900" <= letter <= "\ufaff" or "\uff00" <= letter <= "\uffef"


def _overlap(one: Rect, other: Rect) -> float:
    return min(one[2], other[2]) - max(one[0], other[0])


def _line(spans: Sequence[Span]) -> Line:
    if not is_leftward("".join(span.text for span in spans)):
        spans = sorted(spans, key=lambda span: span.box[0])
    text, box = "", spans[0].box
    before: Span | None = None
    for span in spans:
        if before is not None and _gap(before.box, span.box) > SPACE_EMS * span.size:
            text += " "
        text += span.text
        box = union(box, span.box)
        before = span
    longest = max(spans, key=lambda span: len(span.text))
    inked = [span for span in spans if any(letter.isalnum() for letter in span.text)] or list(spans)
    return Line(
        text=_LEADERS.sub(f" {LEADER} ", " ".join(text.split())).strip(),
        box=box,
        size=longest.size,
        bold=all(span.bold for span in inked),
        mono=all(span.mono for span in inked),
        font=longest.font,
        label=all(span.label for span in inked),
        noted=len(spans) > 1 and (spans[0].raised or spans[0].size < _NOTE_SIZE * longest.size),
        pieces=tuple((span.text, span.box) for span in spans) if len(spans) > 1 else (),
    )


def reading_order(items: Sequence[P], em: float) -> list[list[P]]:
    """Columns of items, top to bottom, in the order of reading. What spans a gutter stands between columns."""
    return [flow for _, flow in _ordered(items, em, 0)]


def _ordered(items: Sequence[P], em: float, depth: int) -> list[tuple[bool, list[P]]]:
    """Flows, and whether each is a column beside another; what follows each other on the whole width is one flow."""
    if not items:
        return []
    if depth >= _DEPTH_MAX:
        return [(False, rows(items))]
    gutter = _gutter(items, em, _GUTTER_CROSSED_AT_ONCE)
    if gutter is None:
        above, below = _cut_across(items, em)
        if below:
            return _merged([*_ordered(above, em, depth + 1), *_ordered(below, em, depth + 1)])
        gutter = _gutter(items, em, _GUTTER_CROSSED_MAX)
    return [(False, rows(items))] if gutter is None else _merged(_between(items, gutter, em, depth))


def _merged(flows: Sequence[tuple[bool, list[P]]]) -> list[tuple[bool, list[P]]]:
    merged: list[tuple[bool, list[P]]] = []
    for column, flow in flows:
        if merged and not column and not merged[-1][0]:
            merged[-1] = (False, merged[-1][1] + flow)
        else:
            merged.append((column, flow))
    return merged


def _between(items: Sequence[P], gutter: float, em: float, depth: int) -> list[tuple[bool, list[P]]]:
    """Left before right, in bands that end where something spans the gutter."""
    flows: list[tuple[bool, list[P]]] = []
    band: list[P] = []
    spanning: list[P] = []
    for item in sorted(items, key=lambda item: item.box[1]):
        if item.box[0] < gutter < item.box[2] or _ends(spanning, item, items):
            flows += _columns(band, gutter, em, depth)
            band = []
            spanning.append(item)
        else:
            if spanning:
                flows.append((False, rows(spanning)))
                spanning = []
            band.append(item)
    flows += _columns(band, gutter, em, depth)
    return [*flows, (False, rows(spanning))] if spanning else flows


def _ends(spanning: Sequence[P], item: P, items: Sequence[P]) -> bool:
    """The short last line of what spans the columns: close below, at its left edge or middle, alone in its row."""
    if not spanning:
        return False
    above, below = spanning[-1].box, item.box
    height = below[3] - below[1]
    if abs(above[3] - above[1] - height) > _END_SLACK * height or not -height / 2 < below[1] - above[3] < height / 2:
        return False
    centred = abs(above[0] + above[2] - below[0] - below[2]) <= height
    if abs(above[0] - below[0]) > height / 2 and not centred:
        return False
    return not any(other is not item and same_row(other.box, below) for other in items)


def _cut_across(items: Sequence[P], em: float) -> tuple[Sequence[P], Sequence[P]]:
    """Above and below the tallest strip of white: a page may have other columns further down."""
    down = sorted(items, key=lambda item: item.box[1])
    bottom, tallest, cut = down[0].box[3], _BAND_EMS * em, 0
    for at, item in enumerate(down):
        if item.box[1] - bottom > tallest:
            tallest, cut = item.box[1] - bottom, at
        bottom = max(bottom, item.box[3])
    return (down[:cut], down[cut:]) if cut else (down, [])


def _columns(band: Sequence[P], gutter: float, em: float, depth: int) -> list[tuple[bool, list[P]]]:
    left = [item for item in band if item.box[2] <= gutter]
    right = [item for item in band if item.box[2] > gutter]
    flows = [*_ordered(left, em, depth + 1), *_ordered(right, em, depth + 1)]
    return [(True, flow) for _, flow in flows] if left and right else flows


def rows(items: Sequence[P]) -> list[P]:
    """Top to bottom; what shares a row, left to right."""
    found: list[list[P]] = []
    for item in sorted(items, key=lambda item: (item.box[1] + item.box[3]) / 2):
        if found and same_row(found[-1][0].box, item.box):
            found[-1].append(item)
        else:
            found.append([item])
    return [item for row in found for item in sorted(row, key=lambda item: item.box[0])]


def gutter_of(items: Sequence[P], em: float) -> float | None:
    """Where the page's first gutter is, if it has one from top to bottom."""
    return _gutter(items, em, _GUTTER_CROSSED_AT_ONCE)


def _gutter(items: Sequence[P], em: float, crossed_max: float) -> float | None:
    """The x of the widest strip of white that few items cross and that has a column on both sides."""
    if len(items) < 2 * _COLUMN_LINES_MIN:
        return None
    left = min(item.box[0] for item in items)
    right = max(item.box[2] for item in items)
    most = int(crossed_max * len(items))
    runs: list[tuple[int, float]] = []
    run = 0
    for at, count in enumerate([*_crossed(items, left, right), most + 1]):
        if count > most:
            if run >= max(3.0, _GUTTER_EMS * em):
                runs.append((run, left + at - run / 2))
            run = 0
        else:
            run += 1
    widest = sorted(runs, key=lambda found: -found[0])
    return next((x for _, x in widest if _parted(items, x, (left, right))), None)


def _crossed(items: Sequence[P], left: float, right: float) -> list[int]:
    """How many items lie over each point of the page's width."""
    steps = [0] * (int(right - left) + 2)
    for item in items:
        steps[int(item.box[0] - left)] += 1
        steps[min(len(steps) - 1, int(item.box[2] - left) + 1)] -= 1
    total = 0
    for at, step in enumerate(steps):
        total += step
        steps[at] = total
    return steps[:-1]


def _parted(items: Sequence[P], x: float, extent: tuple[float, float]) -> bool:
    """There is a column on both sides: several lines, wide enough, beside each other."""
    left = [item.box for item in items if item.box[2] <= x]
    right = [item.box for item in items if item.box[0] >= x]
    if min(len(left), len(right)) < _COLUMN_LINES_MIN:
        return False
    width = extent[1] - extent[0]
    for boxes in (left, right):
        if max(box[2] for box in boxes) - min(box[0] for box in boxes) < _COLUMN_WIDTH_MIN * width:
            return False
    top = max(min(box[1] for box in left), min(box[1] for box in right))
    bottom = min(max(box[3] for box in left), max(box[3] for box in right))
    shorter = min(_height(left), _height(right))
    return bottom - top > shorter / 2


def _height(boxes: Sequence[Rect]) -> float:
    return max(box[3] for box in boxes) - min(box[1] for box in boxes)


def without_marker(line: Line, length: int) -> Line:
    return replace(line, text=line.text[length:].strip())
