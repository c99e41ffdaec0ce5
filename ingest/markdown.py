"""From ordered lines and tables to Markdown blocks: headings, paragraphs, lists, code, captions, tables."""

import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ingest.figures import Figure
from ingest.layout import LEADER, Line, is_wide, without_marker
from ingest.sheet import Rect, union
from ingest.tables import Table

_BULLET = re.compile(r"^(?:[•‣◦▪●○■□➢➤✓·\ue000-\uf8ff\ufffd]\s*|[*\u2013\u2014-]\s+)(?=\S)")
_NUMBER = re.compile(r"^(\d{1,3})[.)]\s+(?=\S)")
_CAPTION = re.compile(r"^(?:Figure|Fig\.|Table|Chart|Exhibit|图|表)\s*\d", re.IGNORECASE)
_STRUCTURE = re.compile(r"^(?:#{1,6}(?=\s|$)|[-+*](?=\s|$)|>|\||<|```|~~~|(?:[-*_=]\s*){3,}$|=+$)")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_HYPHENS = "-\u00ad\u2010"
_HEADINGS = ((1.6, 1), (1.3, 2), (1.12, 3))
_BOLD_LEVEL = 4
_HEADING_CHARS_MAX = 200
_BOLD_CHARS_MAX = 100
_HEADING_LINES_MAX = 3
_PITCH_SLACK = 1.25
_HEADING_PITCH_MAX = 1.7
_PITCH_RANGE = (1.0, 2.6)
_INDENT_EMS = 0.9
_SHORT_LINE = 0.85
_SIZE_SLACK = 0.06


@dataclass(frozen=True, slots=True)
class Written:
    """One block: its kind, its Markdown and where it stands on the page."""

    kind: str
    markdown: str
    box: Rect
    level: int = 0


@dataclass(slots=True)
class _Group:
    """Lines that belong together, and what they are."""

    kind: str
    lines: list[Line] = field(default_factory=list)
    items: list[tuple[str, list[Line]]] = field(default_factory=list)
    level: int = 0


def write_blocks(flows: Sequence[Sequence[Line | Table | Figure]], body: float) -> list[Written]:
    """`flows` are columns in reading order; `body` is the size of the document's running text."""
    return [block for flow in flows for block in _flow(flow, body)]


def _flow(flow: Sequence[Line | Table | Figure], body: float) -> Iterator[Written]:
    lines: list[Line] = []
    for item in flow:
        if isinstance(item, Line):
            lines.append(item)
            continue
        yield from _written(lines, body)
        lines = []
        if isinstance(item, Table):
            yield Written("table", _table(item), item.box)
        else:
            yield Written("paragraph", escaped(item.text), item.box)
    yield from _written(lines, body)


def _written(lines: Sequence[Line], body: float) -> Iterator[Written]:
    if not lines:
        return
    pitch = _pitch(lines)
    right = max(line.box[2] for line in lines)
    group: _Group | None = None
    last: Line | None = None
    for line in lines:
        if group is None or last is None or not _continues(group, last, line, (pitch, right)):
            if group is not None and not _next_item(group, line):
                yield _block(group)
                group = None
            group = _started(group, line, body)
        elif group.kind == "list":
            group.items[-1][1].append(line)
        group.lines.append(line)
        last = line
    if group is not None:
        yield _block(group)


def _pitch(lines: Sequence[Line]) -> float:
    """From baseline to baseline in ems: what is usual in this column."""
    found = [
        (line.box[3] - before.box[3]) / line.size
        for before, line in pairwise(lines)
        if line.size > 0 and abs(line.size - before.size) <= _SIZE_SLACK * line.size
    ]
    usual = [pitch for pitch in found if _PITCH_RANGE[0] * 0.8 <= pitch <= _PITCH_RANGE[1]]
    return statistics.median_low(usual) if usual else 1.25


def _continues(group: _Group, last: Line, line: Line, usual: tuple[float, float]) -> bool:
    """The line goes on with the block that the last line is in."""
    pitch, right = usual
    down = (line.box[3] - last.box[3]) / max(line.size, 0.1)
    if abs(line.size - last.size) > _SIZE_SLACK * max(line.size, last.size) or line.mono != last.mono:
        return False
    most = _HEADING_PITCH_MAX if group.kind == "heading" else max(pitch, 1.1) * _PITCH_SLACK
    if down < -0.5 or down > most or LEADER in last.text:
        return False
    if group.kind == "code":
        return True
    if _marker(line) is not None or (group.kind != "list" and line.bold != last.bold):
        return False
    if group.kind == "heading":
        return True
    if group.kind == "list":
        return True
    shift = (line.box[0] - last.box[0]) / max(line.size, 0.1)
    if len(group.lines) == 1:  # a first line may stand out to either side, if it is a full one
        full = last.box[2] - last.box[0] >= _SHORT_LINE * (right - last.box[0])
        return shift <= _INDENT_EMS or (full and down <= pitch * 1.1)
    return abs(shift) <= _INDENT_EMS


def _started(group: _Group | None, line: Line, body: float) -> _Group:
    level = _heading_level(line, body)
    marker = _marker(line)
    if level:
        return _Group("heading", level=level)
    if line.mono and marker is None:
        return _Group("code")
    if marker is None:
        return _Group("caption" if _CAPTION.match(line.text) else "paragraph")
    group = group if group is not None and group.kind == "list" else _Group("list")
    sign, length = marker
    group.items.append((sign, [without_marker(line, length)]))
    return group


def _next_item(group: _Group, line: Line) -> bool:
    """Another item of the same list: bullets do not go on as numbers."""
    marker = _marker(line)
    return bool(group.items) and marker is not None and (marker[0] == "-") == (group.items[-1][0] == "-")


def _heading_level(line: Line, body: float) -> int:
    """By size against the running text; bold lines of its own size are the lowest level. 0: no heading."""
    letters = sum(letter.isalpha() for letter in line.text)
    if letters < 2 or len(line.text) > _HEADING_CHARS_MAX or line.mono:
        return 0
    for ratio, level in _HEADINGS:
        if line.size >= ratio * body:
            return level
    bold = line.bold and line.size >= 0.95 * body and len(line.text) <= _BOLD_CHARS_MAX
    return _BOLD_LEVEL if bold and not line.text.endswith((".", ",", ":", ";")) and not _BULLET.match(line.text) else 0


def _marker(line: Line) -> tuple[str, int] | None:
    """A list item's sign in Markdown and how many characters it takes on the page."""
    if bullet := _BULLET.match(line.text):
        return "-", bullet.end()
    if number := _NUMBER.match(line.text):
        return f"{number[1]}.", number.end()
    return None


def _block(group: _Group) -> Written:
    box = group.lines[0].box
    for line in group.lines[1:]:
        box = union(box, line.box)
    if group.kind == "code":
        if len(group.lines) == 1:  # a word or a path in a fixed font
            return Written("paragraph", escaped(group.lines[0].text), box)
        return Written("code", _code(group.lines), box)
    if group.kind == "list":
        return Written("list", "\n".join(f"{sign} {escaped(joined(lines))}" for sign, lines in group.items), box)
    text = joined(group.lines)
    if group.kind == "heading" and len(text) <= _HEADING_CHARS_MAX and len(group.lines) <= _HEADING_LINES_MAX:
        return Written("heading", f"{'#' * group.level} {text.rstrip('#').rstrip()}", box, group.level)
    return Written("paragraph" if group.kind == "heading" else group.kind, escaped(text), box)


def joined(lines: Sequence[Line]) -> str:
    """Lines as running text: a hyphen at a line's end is mended where a small letter follows."""
    text = lines[0].text
    for line in lines[1:]:
        text = _mended(text, line.text)
    return text


def _mended(text: str, more: str) -> str:
    if len(text) > 1 and text[-1] in _HYPHENS and text[-2].isalpha() and more[:1].islower():
        return text[:-1] + more
    if text and more and is_wide(text[-1]) and is_wide(more[0]):
        return text + more
    return f"{text} {more}"


def escaped(text: str) -> str:
    """Literal text that Markdown would take for structure gets a backslash; nothing else is touched."""
    if _STRUCTURE.match(text):
        return "\\" + text
    return _NUMBERED.sub(r"\1\\\2", text)


def _code(lines: Sequence[Line]) -> str:
    left = min(line.box[0] for line in lines)
    rows = [" " * round((line.box[0] - left) / (0.6 * line.size)) + line.text for line in lines]
    body = "\n".join(rows)
    longest = max((len(ticks) for ticks in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{body}\n{fence}"


def _table(table: Table) -> str:
    head, *rows = table.rows
    lines = [_row(head), "|" + " --- |" * len(head), *map(_row, rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells) + " |"
