"""Where a chunk stands: its pages, its boxes on them, and the unreadable pages beside it."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate

from chunking.blocks import Span
from folio.records import Block, BlockKind, Box, PageBox, PageText

MISSING_BEFORE = "page_missing_before"
MISSING_AFTER = "page_missing_after"


class Places:
    """Made once a document."""

    def __init__(self, pages: Iterable[PageText], gaps: Collection[int]) -> None:
        self._on = {page.page: _OnPage(page.blocks) for page in pages}
        self._gaps = sorted(gaps)

    def pages(self, spans: Iterable[Span]) -> tuple[int, ...]:
        return tuple(sorted({span.page for span in spans}))

    def boxes(self, spans: Iterable[Span]) -> tuple[PageBox, ...]:
        """Of every block that the spans touch, each once, in page order."""
        touched = {(span.page, index) for span in spans for index in self._on[span.page].touched(span)}
        found = [(page, box) for page, index in sorted(touched) for box in self._on[page].boxes(index)]
        return tuple(dict.fromkeys(PageBox(page=page, box=box) for page, box in found))

    def gap_flags(self, chunks: Sequence[Sequence[Span]]) -> list[list[str]]:
        """For each chunk, given in order by its spans: whether the text goes on, or began, on a missing page."""
        flags: list[list[str]] = [[] for _ in chunks]
        last = 0
        for index, spans in enumerate(chunks):
            pages = self.pages(spans)
            if self._is_gap_between(last, pages[0]):
                flags[index].append(MISSING_BEFORE)
                if index:
                    flags[index - 1].append(MISSING_AFTER)
            last = max(last, pages[-1])
        if chunks and self._gaps and self._gaps[-1] > last:
            flags[-1].append(MISSING_AFTER)
        return flags

    def _is_gap_between(self, last: int, page: int) -> bool:
        at = bisect_right(self._gaps, last)
        return at < len(self._gaps) and self._gaps[at] < page


class _OnPage:
    """The blocks of one page by their place in its text; blocks may hold others, as a list holds its items."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        placed = sorted(blocks, key=lambda block: (block.start, block.end))
        self._blocks = [block for block in placed if block.end > block.start]
        self._starts = [block.start for block in self._blocks]
        self._reach = list(accumulate((block.end for block in self._blocks), max))
        self._riders: dict[int, list[Box]] = {}
        for block in placed:
            if block.end == block.start and block.box and not block.furniture:
                self._ride(block.start, block.box)

    def touched(self, span: Span) -> Iterable[int]:
        last = bisect_left(self._starts, span.end)
        for index in range(last - 1, -1, -1):
            if self._reach[index] <= span.start:
                return
            if self._blocks[index].end > span.start and not self._blocks[index].furniture:
                yield index

    def boxes(self, index: int) -> list[Box]:
        own = self._blocks[index].box
        return ([own] if own else []) + self._riders.get(index, [])

    def _ride(self, at: int, box: Box) -> None:
        """A figure without words is where its caption is: right after it, or right before."""
        after = bisect_left(self._starts, at)
        for index in (after, after - 1):
            if 0 <= index < len(self._blocks) and self._blocks[index].kind is BlockKind.CAPTION:
                self._riders.setdefault(index, []).append(box)
                return
