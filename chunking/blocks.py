"""A page's Markdown becomes blocks: what kind each is, its text word for word, and where on the page it stands."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import NamedTuple

from markdown_it.token import Token

from chunking.rules import HTML_TABLE, block_parser, table_end
from chunking.tables import Table, html_table, outside_cells, pipe_table
from folio.records import Block, BlockKind, PageText

HEADING_CHARS_MAX = 200
"""A "heading" longer than this is a paragraph above a line of dashes."""
RULE_CHARS_MAX = 200
"""A longer line of dashes or stars is kept as text: nobody draws such a rule."""
_NEWLINE = re.compile(r"\r\n|\r|\n")
_VISIBLE = re.compile(r"[^\r\n]")
_BLANK = re.compile(r"\s*")
_BLANK_LINES = re.compile(r"(?:[ \t]*[\r\n]+)*")
_ATX = re.compile(r"#{1,6}(?:[ \t]+|$)")
_ATX_END = re.compile(r"(?:^|[ \t]+)#+[ \t]*$")
_PARSER = block_parser()
_KINDS = {
    "fence": BlockKind.CODE,
    "code_block": BlockKind.CODE,
    "formula": BlockKind.FORMULA,
    "bullet_list_open": BlockKind.LIST,
    "ordered_list_open": BlockKind.LIST,
    "list_item_open": BlockKind.LIST,
}


class Span(NamedTuple):
    """`text[at : at + end - start]` of a block is `markdown[start:end]` of the page."""

    at: int
    page: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A block with its text. `parts` tile a list, an item or a quote; `fence` is the run of marks around code."""

    kind: BlockKind
    text: str
    spans: tuple[Span, ...]
    level: int = 0
    title: str = ""
    table: Table | None = None
    fence: str = ""
    parts: tuple["TextBlock", ...] = ()

    def spans_within(self, start: int, end: int) -> tuple[Span, ...]:
        """Where the slice `text[start:end]` stands."""
        cut = [
            Span(
                0,
                span.page,
                span.start + max(0, start - span.at),
                span.start + min(span.end - span.start, end - span.at),
            )
            for span in self.spans[self._span_at(start) : self._span_at(end) + 1]
        ]
        return tuple(span for span in cut if span.start < span.end)

    def _span_at(self, at: int) -> int:
        return max(0, bisect_right(self.spans, at, key=attrgetter("at")) - 1)


def page_blocks(page: PageText) -> list[TextBlock]:
    """The page's blocks in reading order, running heads and page numbers left out."""
    source = _Source(page.page, without_furniture(page))
    tokens = _PARSER.parse(source.text)
    notes = [block for block in page.blocks if block.kind is BlockKind.FOOTNOTE and not block.furniture]
    return [_as_note(block, notes) for block in _tiled(source, tokens, 0, source.count)]


def _as_note(block: TextBlock, notes: Sequence[Block]) -> TextBlock:
    """A block that the reader called a footnote is one, whatever its Markdown looks like."""
    if not notes or block.table:
        return block
    start, end = block.spans[0].start, block.spans[-1].end
    covered = sum(max(0, min(end, note.end) - max(start, note.start)) for note in notes)
    return replace(block, kind=BlockKind.FOOTNOTE) if 2 * covered > end - start else block


def without_furniture(page: PageText) -> str:
    """Blanked, not cut out: every offset stays what it was."""
    text = page.markdown
    for block in page.blocks:
        if block.furniture:
            text = text[: block.start] + _VISIBLE.sub(" ", text[block.start : block.end]) + text[block.end :]
    return text


class _Source:
    """A page's text by lines."""

    def __init__(self, page: int, text: str) -> None:
        self.page = page
        self.text = text
        self.starts = [0, *(found.end() for found in _NEWLINE.finditer(text))]
        self.count = len(self.starts)
        self.starts.append(len(text))

    def block(self, kind: BlockKind, first: int, last: int, **more: object) -> TextBlock | None:
        """From whole lines, blank ones around them left out; None if nothing is left."""
        return self.slice(kind, self.starts[first], self.starts[min(last, self.count)], **more)

    def slice(self, kind: BlockKind, start: int, end: int, **more: object) -> TextBlock | None:
        bare = self.text[start:end].rstrip()
        if not bare:
            return None
        blank = _BLANK if kind is BlockKind.PARAGRAPH else _BLANK_LINES
        skip = len(blank.match(bare)[0])  # type: ignore[index]  # the pattern matches everywhere
        start, bare = start + skip, bare[skip:]
        return TextBlock(kind, bare, (Span(0, self.page, start, start + len(bare)),), **more)  # type: ignore[arg-type]  # fields of TextBlock


def _tiled(source: _Source, tokens: Sequence[Token], first: int, last: int) -> Iterator[TextBlock]:
    """The outermost blocks among `tokens`, and as paragraphs any line between them that no block claims."""
    at = first
    for index, end in _outermost(tokens):
        token = tokens[index]
        lines = token.map or [at, at]
        between = source.block(BlockKind.PARAGRAPH, at, max(at, lines[0]))
        if between:
            yield between
        yield from _blocks_of(source, tokens[index:end], max(at, lines[0]), lines[1])
        at = max(at, lines[1])
    rest = source.block(BlockKind.PARAGRAPH, at, max(at, last))
    if rest:
        yield rest


def _outermost(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    index = 0
    while index < len(tokens):
        end = index + 1
        if tokens[index].nesting == 1:
            level = tokens[index].level
            while tokens[end].level > level:
                end += 1
            end += 1
        yield index, end
        index = end


def _blocks_of(source: _Source, tokens: Sequence[Token], first: int, last: int) -> Iterator[TextBlock]:
    opening = tokens[0]
    kind = _KINDS.get(opening.type, BlockKind.PARAGRAPH)
    if opening.type == "hr" and source.starts[last] - source.starts[first] <= RULE_CHARS_MAX:
        return
    if opening.type == "html_table":
        yield from _html_tables(source, source.starts[first], source.starts[last])
        return
    if opening.type == "table_open":
        yield _pipe_table(source, first, last)
        return
    block: TextBlock | None
    if opening.type == "heading_open":
        block = _heading(source, opening, first, last)
    else:
        parts: tuple[TextBlock, ...] = ()
        if opening.nesting == 1 and opening.type != "paragraph_open":
            parts = tuple(_tiled(source, tokens[1:-1], first, last))
        block = source.block(kind, first, last, fence=opening.markup if opening.type == "fence" else "", parts=parts)
    if block:
        yield block


def _heading(source: _Source, token: Token, first: int, last: int) -> TextBlock | None:
    """With the words alone as text: marks and underline say nothing that `level` does not."""
    is_atx = token.markup[0] == "#"
    line = source.block(BlockKind.PARAGRAPH, first, last if is_atx else last - 1)
    if not line or len(line.text) > HEADING_CHARS_MAX:
        return source.block(BlockKind.PARAGRAPH, first, last)
    text, start = line.text, line.spans[0].start
    if is_atx:
        mark = _ATX.match(text)
        skip = mark.end() if mark else 0
        text, start = _ATX_END.sub("", text[skip:]), start + skip
    level = int(token.tag[1])
    return source.slice(BlockKind.HEADING, start, start + len(text), level=level, title=" ".join(text.split()))


def _pipe_table(source: _Source, first: int, last: int) -> TextBlock:
    lines = [
        (source.text[source.starts[line] : source.starts[line + 1]], source.starts[line]) for line in range(first, last)
    ]
    return table_block(pipe_table(source.page, [line for line in lines if line[0].strip()]))


def table_block(table: Table) -> TextBlock:
    rows = table.head + table.rows
    return TextBlock(
        BlockKind.TABLE, table.text, tuple(Span(0, row.page, row.start, row.end) for row in rows), table=table
    )


def _html_tables(source: _Source, start: int, end: int) -> Iterator[TextBlock]:
    """Tables, and the text before, between and after them."""
    while start < end:
        found = HTML_TABLE.search(source.text, start, end)
        before = source.slice(BlockKind.PARAGRAPH, start, found.start() if found else end)
        if before:
            yield before
        if not found:
            return
        start = min(table_end(source.text[:end], found.start()) or end, end)
        yield from _html_table(source, found.start(), start)


def _html_table(source: _Source, start: int, end: int) -> Iterator[TextBlock]:
    written = source.text[start:end]
    table = html_table(source.page, written, start)
    if table:
        yield table_block(table)
        return
    text = outside_cells(written)
    if text:
        yield TextBlock(BlockKind.PARAGRAPH, text, (Span(0, source.page, start, end),))
