"""From ordered lines, tables and figures to Markdown blocks with their boxes."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ingest.figures import Figure
from ingest.formulas import written as written_formula
from ingest.fractions import Shown
from ingest.grouping import Group, groups_of
from ingest.layout import Line, is_wide
from ingest.links import Links, bare
from ingest.lists import depths
from ingest.sheet import Rect
from ingest.styles import Styles
from ingest.table_cells import Table
from ingest.table_cells import written as written_table

_STRUCTURE = re.compile(r"^(?:#{1,6}(?=\s|$)|[-+*](?=\s|$)|>|\||<|```|~~~|(?:[-*_=]\s*){3,}$|=+$)")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_TAG_LIKE = re.compile(r"(?<!\\)<(?=[A-Za-z/!?])")
_LINK_LIKE = re.compile(r"\](?=\()")
_BLANK_LINE_EMS = 1.9
_HYPHENED = re.compile(r"(?<=[^\W\d_])[-\u00ad\u2010](?=\W?$)")


@dataclass(frozen=True, slots=True)
class Written:
    """One block: its kind, its Markdown and where it stands on the page."""

    kind: str
    markdown: str
    box: Rect
    level: int = 0


class Writer:
    """Writes one page's blocks. `styles` are the document's, `links` the page's."""

    def __init__(self, styles: Styles, links: Links) -> None:
        self._styles = styles
        self._links = links

    def blocks(self, flows: Sequence[Sequence[Line | Table | Figure | Shown]]) -> list[Written]:
        """`flows` are columns in reading order."""
        return [block for flow in flows for block in self._flow(flow)]

    def plain(self, lines: Sequence[Line], kind: str = "paragraph") -> list[Written]:
        """Every line as a block of its own."""
        return [Written(kind, self._text([line]), line.box) for line in lines]

    def notes(self, notes: Sequence[Sequence[Line]]) -> list[Written]:
        """Footnotes, each of one or more lines."""
        return [Written("footnote", self._text(lines), Group("footnote", list(lines)).box) for lines in notes]

    def _flow(self, flow: Sequence[Line | Table | Figure | Shown]) -> Iterator[Written]:
        lines: list[Line] = []
        beside: list[Figure] = []
        for at, item in enumerate(flow):
            if isinstance(item, Line):
                lines.append(item)
            elif isinstance(item, Figure) and lines and _stands_beside(item, [lines[-1], *flow[at + 1 : at + 2]]):
                beside.append(item)
            else:
                yield from self._grouped(lines, beside)
                lines, beside = [], []
                yield self._apart(item)
        yield from self._grouped(lines, beside)

    def _grouped(self, lines: Sequence[Line], beside: Sequence[Figure]) -> Iterator[Written]:
        """The lines' blocks; a figure beside them goes before the first that it stands beside, and parts none."""
        waiting = list(beside)
        for group in groups_of(lines, self._styles):
            while waiting and waiting[0].box[1] <= group.box[3]:
                yield self._figure(waiting.pop(0))
            yield self._block(group)
        yield from map(self._figure, waiting)

    def _table(self, table: Table) -> Written:
        return Written("table", self._links.written(written_table(table)), table.box)

    def _apart(self, item: Table | Figure | Shown) -> Written:
        if isinstance(item, Shown):
            return Written("formula", self._links.written(escaped(item.text)), item.box)
        return self._table(item) if isinstance(item, Table) else self._figure(item)

    def _figure(self, figure: Figure) -> Written:
        return Written("figure", self._links.written(escaped(figure.text)), figure.box)

    def _block(self, group: Group) -> Written:
        if group.kind == "code":
            if len(group.lines) == 1:  # a word or a path in a fixed font
                return Written("paragraph", self._text(group.lines), group.box)
            return Written("code", _code(group.lines), group.box)
        if group.kind == "list":
            return Written("list", self._list(group), group.box)
        if group.kind == "heading":
            words = self._links.written(joined(group.lines)).rstrip("#").rstrip()
            return Written("heading", f"{'#' * group.level} {words}", group.box, group.level)
        if group.kind == "formula":
            return Written("formula", written_formula(group.lines[0]), group.box)
        return Written(group.kind, self._text(group.lines), group.box)

    def _text(self, lines: Sequence[Line]) -> str:
        text = joined(lines)
        written = self._links.written(escaped(text))
        # half a link at the beginning is dropped, and what stood behind it may look like structure
        return escaped(written) if text[:1] != bare(text)[:1] and not written.startswith("[") else written

    def _list(self, group: Group) -> str:
        """Items inside of others are indented by the width of the signs above them, as Markdown wants it."""
        em = group.lines[0].size
        indents: list[int] = []
        written = []
        for item, depth in zip(group.items, depths(group.items, em), strict=True):
            del indents[depth:]
            left = " " * sum(indents)
            text = self._text(item.lines)
            kept = f"{item.marker.kept} " if item.marker.kept else ""
            written.append(f"{left}{item.marker.sign} {kept}{text}")
            indents.append(len(item.marker.sign) + 1)
        return "\n".join(written)


def _stands_beside(figure: Figure, others: Sequence[Line | Table | Figure | Shown]) -> bool:
    """Left or right of the lines before it and after it."""
    left, top, right, bottom = figure.box
    return len(others) > 1 and all(
        isinstance(other, Line)
        and (other.box[2] <= left + 1 or other.box[0] >= right - 1)
        and other.box[1] < bottom
        and other.box[3] > top
        for other in others
    )


def joined(lines: Sequence[Line]) -> str:
    """Lines as running text: a hyphen at a line's end is mended where a small letter follows."""
    text = lines[0].text
    for line in lines[1:]:
        text = _mended(text, line.text)
    return text


def _mended(text: str, more: str) -> str:
    begins = bare(more[:2])[:1]
    if begins.islower() and (hyphen := _HYPHENED.search(text, max(0, len(text) - 3))):
        return text[: hyphen.start()] + text[hyphen.end() :] + more
    if text and more and is_wide(bare(text[-2:])[-1:]) and is_wide(begins):
        return text + more
    return f"{text} {more}"


def escaped(text: str) -> str:
    """Literal text that Markdown would take for structure gets a backslash; nothing else is touched."""
    if "](" in text:
        text = _LINK_LIKE.sub("\\]", text)
    if "<" in text:
        text = _TAG_LIKE.sub(r"\\<", text)
    if _STRUCTURE.match(text):
        return "\\" + text
    return _NUMBERED.sub(r"\1\\\2", text)


def _code(lines: Sequence[Line]) -> str:
    left = min(line.box[0] for line in lines)
    rows = []
    for at, line in enumerate(lines):
        if at and line.box[3] - lines[at - 1].box[3] > _BLANK_LINE_EMS * line.size:
            rows.append("")
        rows.append(" " * round((line.box[0] - left) / (0.6 * line.size)) + bare(line.text))
    body = "\n".join(rows)
    longest = max((len(ticks) for ticks in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{body}\n{fence}"
