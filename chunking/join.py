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
    last_page = 0
    for page in pages:
        if page.status == "failed":
            continue
        body, following = _parted(page_blocks(page))
        if blocks and body and page.page == last_page + 1:
            whole = across(blocks[-1], body[0])
            if whole:
                blocks[-1], body = whole, body[1:]
        blocks += notes + body
        notes, last_page = following, page.page
    return blocks + notes


def _parted(blocks: Sequence[TextBlock]) -> tuple[list[TextBlock], list[TextBlock]]:
    """The page's body, and the footnotes at its foot; a note with text after it stays where it is."""
    cut = len(blocks)
    while cut and blocks[cut - 1].kind is BlockKind.FOOTNOTE:
        cut -= 1
    return list(blocks[:cut]), list(blocks[cut:])


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
