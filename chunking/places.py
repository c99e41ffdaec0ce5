"""Where a chunk stands: its pages, its boxes on them, and the unreadable pages beside it."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence

from chunking.blocks import Span
from folio.records import PageBox, PageText

MISSING_BEFORE = "page_missing_before"
MISSING_AFTER = "page_missing_after"


class Places:
    """Made once a document."""

    def __init__(self, pages: Iterable[PageText], gaps: Collection[int]) -> None:
        self._blocks = {page.page: sorted(page.blocks, key=lambda block: block.start) for page in pages}
        self._starts = {page: [block.start for block in blocks] for page, blocks in self._blocks.items()}
        self._gaps = sorted(gaps)

    def pages(self, spans: Iterable[Span]) -> tuple[int, ...]:
        return tuple(sorted({span.page for span in spans}))

    def boxes(self, spans: Iterable[Span]) -> tuple[PageBox, ...]:
        """Of every block that the spans touch, each once, in page order."""
        touched = {(span.page, index) for span in spans for index in self._touched(span)}
        found = [(page, self._blocks[page][index].box) for page, index in sorted(touched)]
        return tuple(dict.fromkeys(PageBox(page=page, box=box) for page, box in found if box))

    def _touched(self, span: Span) -> Iterable[int]:
        blocks = self._blocks[span.page]
        first = max(0, bisect_right(self._starts[span.page], span.start) - 1)
        for index in range(first, len(blocks)):
            if blocks[index].start >= span.end:
                return
            if blocks[index].end > span.start and not blocks[index].furniture:
                yield index

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
