"""Blocks become pieces that packing never cuts: rows, items, sentences and code lines stay whole where they fit."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from langchain_text_splitters import RecursiveCharacterTextSplitter

from chunking.blocks import Span, TextBlock
from chunking.rules import is_fence_end
from chunking.tables import Row, Table
from chunking.tokens import LONG_WORD_CHARS_A_TOKEN, Counter
from folio.records import BlockKind

SEPARATORS = ["\n\n", "\n", "\u3002", "\uff01", "\uff1f", "\uff1b", ". ", "\uff0c", " ", ""]
SPLIT_FORMULA = "split_formula"
INFO_CHARS_MAX = 24
_MATH = re.compile(r"\$\$.{1,400}?\$\$|\\\(.{1,400}?\\\)|\$(?!\s)[^$\n]{1,200}(?<!\s)\$(?!\d)", re.DOTALL)
_GAP = "\ue000"
"""Stands for white space inside a formula while prose is split, so that no cut falls there."""
SOLID_CHARS = 1000
_STOPS = r"\s\u3002\uff01\uff1f\uff1b\uff0c"
_SOLID = re.compile(rf"(?<![^{_STOPS}])[^{_STOPS}]{{{SOLID_CHARS},}}|(?<!\s)\s{{{SOLID_CHARS},}}")
"""No writing runs on like this: base64, hashes, minified scripts. Nor is a page of blanks a space between words."""
GROWS_ONE_IN = 16
"""After a piece that fitted the next may be longer by this share: denser text is tried again at most now and then."""
_SEAM = re.compile(r"[^\w\s]")
_FORMULA_LINE = re.compile(r"\n|(?<=\\\\)\s*")

Slice = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """`joint` stands between it and the piece before; `opens` begins a chunk; `binds` never ends one."""

    text: str
    tokens: int
    spans: tuple[Span, ...]
    kind: BlockKind
    joint: str = "\n\n"
    opens: bool = False
    binds: bool = False
    flags: tuple[str, ...] = ()


class Cutter:
    """Cuts what is larger than `room` tokens, each kind at its own seams."""

    def __init__(self, counter: Counter, room: int) -> None:
        self._counts = counter.counts
        self._room = room

    def pieces(self, block: TextBlock, tokens: int, lead: Piece | None) -> list[Piece]:
        """`tokens` is the block's count; `lead` the piece before, if it introduces this block."""
        if block.table:
            return list(_TableCutter(self, block.table, lead, self._room).pieces(block, tokens))
        if tokens <= self._room:
            return [Piece(block.text, tokens, block.spans, block.kind)]
        if block.parts:
            return list(self._parts(block))
        if block.kind is BlockKind.CODE:
            return list(self._code(block))
        if block.kind is BlockKind.FORMULA:
            return list(self._formula(block))
        return list(self._prose(block))

    def counts(self, texts: Sequence[str]) -> list[int]:
        return self._counts(texts)

    def _parts(self, block: TextBlock) -> Iterator[Piece]:
        counts = self._counts([part.text for part in block.parts])
        for part, tokens in zip(block.parts, counts, strict=True):
            for piece in self.pieces(part, tokens, None):
                kind = block.kind if piece.kind is BlockKind.PARAGRAPH else piece.kind
                yield Piece(
                    piece.text, piece.tokens, piece.spans, kind, joint="\n", opens=piece.opens, flags=piece.flags
                )

    def _prose(self, block: TextBlock) -> Iterator[Piece]:
        slices = self.prose_slices(block.text)
        counts = self._counts([block.text[start:end] for start, end in slices])
        for index, ((start, end), tokens) in enumerate(zip(slices, counts, strict=True)):
            spans = block.spans_within(start, end)
            yield Piece(block.text[start:end], tokens, spans, block.kind, opens=index > 0)

    def _code(self, block: TextBlock) -> Iterator[Piece]:
        """By lines, the fence closed and opened again around each piece."""
        lines = _lines(block.text)
        opening = closing = ""
        if block.fence and len(block.fence) <= INFO_CHARS_MAX:
            first = block.text[slice(*lines[0])].strip()
            info = first[len(block.fence) :]
            opening = block.fence + info[:INFO_CHARS_MAX]
            closing = block.fence
            has_end = len(lines) > 1 and is_fence_end(block.text[slice(*lines[-1])], block.fence)
            lines = lines[len(info) <= INFO_CHARS_MAX : -1 if has_end else None]
        around = sum(self._counts([opening, closing]))
        for start, end in self._grouped(block.text, lines, self._room - around):
            code = block.text[start:end]
            text = f"{opening}\n{code}\n{closing}" if opening else code
            yield Piece(text, self._counts([text])[0], block.spans_within(start, end), block.kind)

    def _formula(self, block: TextBlock) -> Iterator[Piece]:
        """The last resort, flagged: a formula that no chunk can hold is cut at its line breaks."""
        seams = [0, *(found.end() for found in _FORMULA_LINE.finditer(block.text)), len(block.text)]
        for start, end in self._grouped(block.text, list(pairwise(seams)), self._room):
            text = block.text[start:end]
            spans = block.spans_within(start, end)
            yield Piece(text, self._counts([text])[0], spans, block.kind, joint="\n", flags=(SPLIT_FORMULA,))

    def _grouped(self, text: str, slices: Sequence[Slice], room: int) -> Iterator[Slice]:
        """Neighbouring slices together up to `room` tokens; one that is larger alone is cut as prose."""
        small = [part for one in slices for part in self._small(text, one, room)]
        counts = self._counts([text[start:end] for start, end in small])
        for first, last in grouped(counts, room):
            yield small[first][0], small[last - 1][1]

    def _small(self, text: str, one: Slice, room: int) -> list[Slice]:
        start, end = one
        part = text[start:end]
        if not part.strip():
            return []
        if self._counts([part])[0] <= room:
            return [one]
        return [(start + first, start + last) for first, last in self.prose_slices(part, room)]

    def prose_slices(self, text: str, room: int | None = None) -> list[Slice]:
        """Where to cut prose: between sentences where that is possible, in pieces of about equal size."""
        room = room or self._room
        total = self._counts([text])[0]
        if total <= room:
            return [(0, len(text))]
        slices, at = [], 0
        for solid in _SOLID.finditer(text):
            slices += self._between_words(text, (at, solid.start()), room)
            slices += [] if solid[0].isspace() else self._solid(text, solid.span(), room)
            at = solid.end()
        return slices + self._between_words(text, (at, len(text)), room)

    def _between_words(self, text: str, one: Slice, room: int) -> list[Slice]:
        start, end = one
        part = text[start:end]
        total = self._counts([part])[0]
        if total <= room:
            bare = part.strip()
            start += len(part) - len(part.lstrip())
            return [(start, start + len(bare))] if bare else []
        fewest = -(-total // room)
        even = self._split(part, min(room, int(1.15 * total / fewest) + 1))
        slices = even if len(even) <= fewest else self._split(part, room)
        return [(start + first, start + last) for one in slices for first, last in self._refined(part, one, room)]

    def _refined(self, text: str, one: Slice, room: int) -> list[Slice]:
        """A splitter adds up what its parts count; where the sum was too small, cut again."""
        start, end = one
        if end - start < 2 or self._counts([text[start:end]])[0] <= room:
            return [one]
        half = (start + end) // 2
        return self._refined(text, (start, half), room) + self._refined(text, (half, end), room)

    def _solid(self, text: str, one: Slice, size: int) -> list[Slice]:
        """What has no words, cut after a mark where there is one."""
        slices: list[Slice] = []
        start, end = one
        step = longest = max(1, size * LONG_WORD_CHARS_A_TOKEN)
        while start < end:
            stop = _seam(text, start + step // 2, start + step) if start + step < end else end
            tokens = self._counts([text[start:stop]])[0]
            if tokens > size and stop - start > 1:
                step = max(1, min((stop - start) * size // tokens, stop - start - 1))
                continue
            slices.append((start, stop))
            start, step = stop, min(longest, step + step // GROWS_ONE_IN + 1)
        return slices

    def _split(self, text: str, size: int) -> list[Slice]:
        masked = _MATH.sub(lambda math: re.sub(r"\s", _GAP, math[0]), text)
        splitter = RecursiveCharacterTextSplitter(
            separators=SEPARATORS,
            keep_separator="end",
            chunk_size=max(1, size),
            chunk_overlap=0,
            length_function=self._length(),
        )
        slices, at = [], 0
        for part in splitter.split_text(masked):
            start = masked.index(part, at)
            at = start + len(part)
            slices.append((start, at))
        return slices

    def _length(self) -> Callable[[str], int]:
        known: dict[str, int] = {}

        def length(text: str) -> int:
            if text not in known:
                # at least 1: the splitter repeats a piece that it believes to be of no length
                known[text] = max(bool(text), self._counts([text.replace(_GAP, " ")])[0])
            return known[text]

        return length


class _TableCutter:
    """Rows are never cut; every continuation repeats caption and header."""

    def __init__(self, cutter: Cutter, table: Table, lead: Piece | None, room: int) -> None:
        self._cutter = cutter
        self._table = table
        self._room = room
        self._led = lead.tokens if lead else 0
        caption = table.caption or (lead.text if lead and lead.tokens <= room // 4 else "")
        named, headed = cutter.counts([caption, "\n".join(table.header)])
        self._repeats = headed <= room // 2
        self._again = ([caption] if caption and named + headed <= room // 2 else []) + table.header
        self._spans = tuple(Span(0, row.page, row.start, row.end) for row in table.head)

    def pieces(self, block: TextBlock, tokens: int) -> Iterator[Piece]:
        if tokens + self._led <= self._room:
            yield Piece(block.text, tokens, block.spans, block.kind)
            return
        opening, again = self._cutter.counts(["\n".join(self._table.opening), "\n".join(self._again)])
        first = self._room - self._led - opening
        counts = self._cutter.counts([row.text for row in self._table.rows])
        rows = list(zip(self._table.rows, counts, strict=True))
        if not rows or not self._repeats or counts[0] > first:
            yield from self._apart("\n".join(self._table.opening), self._spans, binds=True)
            first = 0
        if not self._repeats:
            for row, _ in rows:
                yield from self._by_cells(row)
            return
        yield from self._by_rows(rows, first, self._room - again)

    def _by_rows(self, rows: Sequence[tuple[Row, int]], first: int, room: int) -> Iterator[Piece]:
        """`first`: what the table's own opening leaves for rows (0: it is out already); `room`: what a repeat does."""
        group: list[Row] = []
        used, limit, opens = 0, first or room, first > 0
        for row, tokens in rows:
            if group and used + tokens > limit:
                yield self._group(group, opens=opens)
                group, used, limit, opens = [], 0, room, False
            if tokens > limit:
                yield from self._by_cells(row)
                continue
            group.append(row)
            used += tokens
        if group:
            yield self._group(group, opens=opens)

    def _group(self, rows: Sequence[Row], *, opens: bool) -> Piece:
        """The first piece shows the header where it stands on the page; the others only repeat its words."""
        opening, spans = (self._table.opening, self._spans) if opens else (self._again, ())
        text = "\n".join([*opening, *(row.text for row in rows)])
        own = tuple(Span(0, row.page, row.start, row.end) for row in rows)
        return Piece(text, self._cutter.counts([text])[0], spans + own, BlockKind.TABLE)

    def _by_cells(self, row: Row) -> Iterator[Piece]:
        """A row that no chunk holds: "header: value" lines, each piece led by the row's first."""
        table = self._table
        names = [table.name_of(column) for column in range(len(row.cells))]
        lines = [f"{name}: {cell}" if name else cell for name, cell in zip(names, row.cells, strict=True) if cell]
        spans = (Span(0, row.page, row.start, row.end),)
        label = lines[0] if lines and self._cutter.counts(lines[:1])[0] <= self._room // 4 else ""
        room = self._room - self._cutter.counts([label])[0]
        parts = [line[start:end] for line in lines for start, end in self._cutter.prose_slices(line, room)]
        counts = self._cutter.counts(parts)
        for first, last in grouped(counts, room):
            text = "\n".join(([label] if label and first else []) + parts[first:last])
            yield Piece(text, self._cutter.counts([text])[0], spans, BlockKind.TABLE)

    def _apart(self, text: str, spans: tuple[Span, ...], *, binds: bool) -> Iterator[Piece]:
        """Caption and header as text of their own."""
        for start, end in self._cutter.prose_slices(text):
            part = text[start:end]
            yield Piece(part, self._cutter.counts([part])[0], spans, BlockKind.TABLE, binds=binds)


def grouped(counts: Sequence[int], room: int) -> Iterator[Slice]:
    """Ranges of neighbours that fit into `room` together, filled from the front."""
    first = used = 0
    for index, tokens in enumerate(counts):
        if index > first and used + tokens > room:
            yield first, index
            first, used = index, 0
        used += tokens
    if first < len(counts):
        yield first, len(counts)


def _lines(text: str) -> list[Slice]:
    ends = list(accumulate(len(line) for line in text.splitlines(keepends=True)))
    return [(start, start + len(text[start:end].rstrip("\r\n"))) for start, end in pairwise([0, *ends])]


def _seam(text: str, first: int, last: int) -> int:
    """After the last mark between the two, or the latter."""
    seams = [found.end() for found in _SEAM.finditer(text, first, last)]
    return seams[-1] if seams else last
