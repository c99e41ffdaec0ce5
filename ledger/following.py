"""What another ledger emitted, taken over as if this one had: so that it can go on, and meanwhile says what is.

Each ledger file reads the log in a group of its own, so any number of them may follow. One emits; the others read its
Documents here. A Document only ever adds to what is known: pages that this file has read later are left as they are.
"""

import sqlite3
from collections.abc import Awaitable, Callable

from folio.errors import Cause
from folio.faults import effect
from folio.records import Document
from ledger import plans, rows
from ledger.arrivals import Books, read
from ledger.compare import digest
from ledger.plans import LEDGER, NAMED_LAST, PlannedPage, Restored, content_hash, recognise, restored_page, unflagged
from ledger.rows import VersionRow
from ledger.rules import Timings
from ledger.schema import DIFFERS, transaction

MayEmit = Callable[[], Awaitable[bool]]
"""Whether this ledger is the one that emits, asked of the log and true at the moment of the answer."""


async def always() -> bool:
    """The only ledger there is."""
    return True


async def never() -> bool:
    """A view: it follows, and leaves emitting to others."""
    return False


def is_known(db: sqlite3.Connection, doc: str, revision: int) -> bool:
    """Whether this file emitted it, is about to, or followed it already."""
    query = "SELECT 1 FROM versions WHERE doc = ? AND max(emitted_revision, pending_revision) >= ?"
    return db.execute(query, (doc, revision)).fetchone() is not None


def follow(db: sqlite3.Connection, found: Restored, timings: Timings, now_ms: int) -> int | None:
    """Store it in one commit; returns when something of this document is due."""
    with effect("ledger.followed"), transaction(db):
        books = Books(db, now_ms)
        _follow(books, found)
        return books.save(timings)


def _follow(books: Books, found: Restored) -> None:
    document = found.document
    known = books.doc(document.doc)
    known.revision = max(known.revision, document.revision)
    row = books.version(document.doc, document.version, found.appended_ms)
    if row is None or row.emitted_revision >= document.revision:
        return
    _take_facts(row, document)
    for text in document.pages:
        if document.complete or text.engine != LEDGER or text.cause is not Cause.PAGE_MISSING:
            read(books, row, text.page, restored_page(text))
    row.emitted_hash = _hash_of(document)
    row.emitted_revision, row.emitted_reach = document.revision, len(document.pages)
    row.emitted_complete, row.emitted_ms = int(document.complete), found.appended_ms
    row.emitted_changes = row.shown_changes - 1  # until what is shown here is recognised as just that
    row.pending_hash, row.pending_revision, row.pending_reach = b"", 0, 0
    row.repeats = row.outdated = 0
    row.refused = ""
    position = found.position
    row.document_partition, row.document_offset, row.document_blob = position.partition, position.offset, found.blob
    recognise(books, known)
    plans.drop_older(books.db, known)


def _take_facts(row: VersionRow, document: Document) -> None:
    """What the upload, or the pages, will say too when this file comes to them."""
    row.deleted = int(document.deleted)
    if document.page_count is not None:
        row.page_count = max(row.page_count or 0, document.page_count)
    if not row.name:
        row.name, row.name_page = document.name, NAMED_LAST
    row.uri = row.uri or document.uri
    row.metadata = row.metadata if row.metadata != "{}" else rows.as_json(document.metadata)


def _hash_of(document: Document) -> bytes:
    """What the ledger that emitted it noted down."""
    as_row = VersionRow(
        doc=document.doc, version=document.version, name=document.name, uri=document.uri, added_ms=0,
        metadata=rows.as_json(document.metadata), page_count=document.page_count, deleted=int(document.deleted),
    )  # fmt: skip
    pages = [
        PlannedPage(page=text.page, digest=digest(unflagged(text)), differs=DIFFERS in text.flags)
        for text in document.pages
    ]
    return content_hash(as_row, pages, complete=document.complete)
