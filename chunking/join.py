"""Pages become one run of blocks: a paragraph or a table that a page break cut in two is whole again.

Conservative: when in doubt both halves stay as they are, and every piece keeps the page that it came from.
"""

import re
from collections.abc import Iterable, Sequence

from chunking.blocks import Span, TextBlock, page_blocks, table_block
from chunking.tables import continues, joined
from folio.errors import Cause
from folio.records import BlockKind, Document, PageText

_CJK = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_FINISHED = re.compile(r"[.!?:;\u3002\uff01\uff1f\uff1a\uff1b\u2026][\"'\u201d\u2019)\]\u300d\u300f\uff09*_]*$")
_HYPHENED = re.compile(r"[a-z]-$")
_ENDS_CJK = re.compile(rf"[{_CJK}\uff0c\u3001]$")
TAIL_CHARS = 8
_STARTS_CJK = re.compile(rf"[{_CJK}]")


def gaps_of(document: Document) -> dict[int, Cause]:
    """Pages that could not be read, and why."""
    return {page.page: page.cause or Cause.INTERNAL for page in document.pages if page.status == "failed"}


def document_blocks(pages: Iterable[PageText]) -> list[TextBlock]:
    """All blocks of the readable pages, in order, joined where a page break cut one.

    A page's footnotes come after the text that they stand under, its last sentence included, and before whatever
    else the next page begins with.
    """
    blocks: list[TextBlock] = []
    notes: list[TextBlock] = []
    run: _Run | None = None
    last_page = 0
    for page in pages:
        if page.status == "failed":
            continue
        body, following = _parted(page_blocks(page))
        goes_on = run is not None and bool(body) and page.page == last_page + 1 and run.takes(body[0])
        body = body[goes_on:]
        if run and (notes or body):
            blocks.append(run.whole())
            run = None
        blocks += notes + body[:-1]
        if body:
            run = _Run(body[-1])
        notes, last_page = following, page.page
    return [*blocks, *([run.whole()] if run else []), *notes]


def _parted(blocks: Sequence[TextBlock]) -> tuple[list[TextBlock], list[TextBlock]]:
    """The page's body, and the footnotes at its foot; a note with text after it stays where it is."""
    cut = len(blocks)
    while cut and blocks[cut - 1].kind is BlockKind.FOOTNOTE:
        cut -= 1
    return list(blocks[:cut]), list(blocks[cut:])


class _Run:
    """A block that may go on page after page: put together once, at its end, however many pages it has."""

    def __init__(self, first: TextBlock) -> None:
        self._first = first
        self._more: list[tuple[str, TextBlock]] = []
        self._tail = first.text[-TAIL_CHARS:]

    def takes(self, after: TextBlock) -> bool:
        """Whether a page break cut the two apart; then it is part of the run."""
        glue = self._joint(after)
        if glue is None:
            return False
        self._more.append((glue, after))
        self._tail = (self._tail.removesuffix(glue) + glue * (glue == " ") + after.text[-TAIL_CHARS:])[-TAIL_CHARS:]
        return True

    def _joint(self, after: TextBlock) -> str | None:
        first = self._first
        if first.table and after.table:
            return "" if continues(first.table, after.table) else None
        if {first.kind, after.kind} != {BlockKind.PARAGRAPH} or first.parts or after.parts:
            return None
        return _glue(self._tail, after.text)

    def whole(self) -> TextBlock:
        if not self._more:
            return self._first
        if self._first.table:
            return table_block(joined(self._first.table, [more.table for _, more in self._more if more.table]))
        texts, spans, at = [self._first.text], list(self._first.spans), len(self._first.text)
        for glue, after in self._more:
            if glue == "-":
                texts[-1], at = texts[-1][:-1], at - 1
                spans[-1] = spans[-1]._replace(end=spans[-1].end - 1)
            else:
                texts.append(glue)
                at += len(glue)
            texts.append(after.text)
            spans += [Span(span.at + at, span.page, span.start, span.end) for span in after.spans]
            at += len(after.text)
        return TextBlock(BlockKind.PARAGRAPH, "".join(texts), tuple(spans))


def _glue(before: str, after: str) -> str | None:
    """What goes between two halves of a sentence ("-": its hyphen goes), by how the first ends; None if not halves."""
    if _FINISHED.search(before):
        return None
    if _STARTS_CJK.match(after):
        return "" if _ENDS_CJK.search(before) else None
    if not after[0].islower():
        return None
    return "-" if _HYPHENED.search(before) and "a" <= after[0] <= "z" else " "
