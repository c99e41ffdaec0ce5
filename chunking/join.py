"""Pages become one run of blocks: a paragraph or a table that a page break cut in two is whole again.

Conservative: when in doubt both halves stay as they are, and every piece keeps the page that it came from.
"""

import re
from collections.abc import Iterable

from chunking.blocks import Span, TextBlock, page_blocks, table_block
from chunking.tables import continues, joined
from folio.errors import Cause
from folio.records import BlockKind, Document, PageText

_CJK = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_FINISHED = re.compile(r"[.!?:;\u3002\uff01\uff1f\uff1a\uff1b\u2026][\"'\u201d\u2019)\]\u300d\u300f\uff09*_]*$")
_HYPHENED = re.compile(r"[a-z]-$")
_ENDS_CJK = re.compile(rf"[{_CJK}\uff0c\u3001]$")
_STARTS_CJK = re.compile(rf"[{_CJK}]")


def gaps_of(document: Document) -> dict[int, Cause]:
    """Pages that could not be read, and why."""
    return {page.page: page.cause or Cause.INTERNAL for page in document.pages if page.status == "failed"}


def document_blocks(pages: Iterable[PageText]) -> list[TextBlock]:
    """All blocks of the readable pages, in order, joined where a page break cut one."""
    blocks: list[TextBlock] = []
    last_page = 0
    for page in pages:
        if page.status == "failed":
            continue
        here = page_blocks(page)
        if blocks and here and page.page == last_page + 1:
            whole = across(blocks[-1], here[0])
            if whole:
                blocks[-1], here = whole, here[1:]
        blocks += here
        last_page = page.page
    return blocks


def across(before: TextBlock, after: TextBlock) -> TextBlock | None:
    """The two as one, if a page break cut them apart."""
    if before.table and after.table:
        return table_block(joined(before.table, after.table)) if continues(before.table, after.table) else None
    if {before.kind, after.kind} != {BlockKind.PARAGRAPH} or before.parts or after.parts:
        return None
    glue = _glue(before.text, after.text)
    if glue is None:
        return None
    hyphen = glue == "-"
    text = before.text[:-1] if hyphen else before.text + glue
    shift = len(text)
    spans = [span._replace(end=span.end - 1) for span in before.spans[-1:]] if hyphen else list(before.spans[-1:])
    moved = [Span(span.at + shift, span.page, span.start, span.end) for span in after.spans]
    return TextBlock(BlockKind.PARAGRAPH, text + after.text, (*before.spans[:-1], *spans, *moved))


def _glue(before: str, after: str) -> str | None:
    """What goes between two halves of a sentence ("-": its hyphen goes); None if they are not halves."""
    if _FINISHED.search(before[-8:]):
        return None
    if _STARTS_CJK.match(after):
        return "" if _ENDS_CJK.search(before) else None
    if not after[0].islower():
        return None
    return "-" if _HYPHENED.search(before) and "a" <= after[0] <= "z" else " "
