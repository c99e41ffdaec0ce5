"""From what is due to what is emitted: the revision goes on record before the append, the emission after it."""

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from folio import topics
from folio.errors import Cause
from folio.faults import effect
from folio.ids import Doc
from folio.log import Position
from folio.records import Document, PageText
from ledger import rows
from ledger.arrivals import Books, read, settle
from ledger.compare import digest, failure_digest
from ledger.rows import GAP, VERIFY, DocRows, PageRow, VersionRow
from ledger.rules import Emission, Index, Timings, decide, may_repeat
from ledger.schema import DIFFERS, transaction

DOCS_MAX = 64
BYTES_MAX = 16 << 20
"""One round plans at most this many documents, and no further one once their text is this large."""
AGAIN_MS = 1000
LEDGER = "ledger"
"""The engine of a page that nobody read: the ledger itself says that it failed."""
_ABSENT = failure_digest(Cause.PAGE_MISSING)


@dataclass(slots=True, kw_only=True)
class PlannedPage:
    """A page of a Document to come. Its text is `body`, or rests at `text`; a gap has a cause and neither."""

    page: int
    digest: bytes = _ABSENT
    differs: bool = False
    cause: Cause | None = None
    detail: str = ""
    body: bytes | None = None
    text: Position | None = None


@dataclass(slots=True, kw_only=True)
class Plan:
    """A Document whose revision is on record and whose append is not."""

    version_id: int
    head: Document
    reach: int
    hash: bytes
    changes: int
    shown_changes: int
    again: bool
    pages: list[PlannedPage]
    last: Position | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """Where a plan's Document rests now."""

    plan: Plan
    position: Position
    blob: str = ""


@dataclass(frozen=True, slots=True)
class Restored:
    """A Document found on the log when the ledger was lost."""

    document: Document
    position: Position
    appended_ms: int
    blob: str


def next_due(db: sqlite3.Connection) -> int | None:
    found: int | None = db.execute("SELECT min(due_ms) FROM versions WHERE due_ms IS NOT NULL").fetchone()[0]
    return found


def make(db: sqlite3.Connection, timings: Timings, index: Index, now_ms: int) -> list[Plan]:
    """Plan what is due, the longest waiting first, and put the revisions on record."""
    due = db.execute(
        "SELECT doc FROM versions WHERE due_ms <= ? ORDER BY due_ms LIMIT ?", (now_ms, DOCS_MAX)
    ).fetchall()
    if not due:
        return []
    plans: list[Plan] = []
    with effect("ledger.revision"), transaction(db):
        books = Books(db, now_ms)
        for (doc,) in due:
            plan = _plan(books, books.doc(doc), timings, index)
            plans += [plan] if plan else []
        books.write()
    kept, size = 0, 0
    for plan in plans:
        size += _take_bodies(db, plan)
        kept += 1
        if size > BYTES_MAX:
            break
    return plans[:kept]


def _plan(books: Books, known: DocRows, timings: Timings, index: Index) -> Plan | None:
    now_ms = books.now_ms
    settle(known, timings, now_ms)
    row = known.leading()
    emission = decide(row, timings, now_ms)[0] if row else None
    if row is None or emission is None:
        return None
    if emission.again and not may_repeat(row, timings, index, now_ms):
        row.due_ms = now_ms + round(timings.receipt_s * 1000)
        return None
    if emission.closing:
        _close(books, row, emission)
    pages = planned_pages(books.db, row, emission.reach)
    seen = content_hash(row, pages, complete=emission.complete)
    if seen == row.emitted_hash and not emission.again and not row.pending_revision:
        _recognised(books.db, row)
        row.due_ms = decide(row, timings, now_ms)[1]
        row.due_ms = row.due_ms and max(row.due_ms, now_ms + AGAIN_MS)
        return None
    row.pending_revision, row.pending_hash = _revision(known, row, seen, now_ms), seen
    row.pending_reach = emission.reach
    return _as_plan(row, pages, emission)


def _revision(known: DocRows, row: VersionRow, seen: bytes, now_ms: int) -> int:
    """The same content keeps its revision over a crash and when it is emitted again; anything else gets a higher."""
    if row.pending_hash == seen and row.pending_revision == known.revision > 0:
        return known.revision
    if row.emitted_hash == seen and row.emitted_revision == known.revision > 0 and not row.outdated:
        return known.revision
    known.revision = max(known.revision + 1, now_ms)
    return known.revision


def _as_plan(row: VersionRow, pages: list[PlannedPage], emission: Emission) -> Plan:
    head = Document(
        doc=Doc(row.doc), version=row.version, revision=row.pending_revision, name=row.name, uri=row.uri,
        metadata=row.facts, page_count=row.count, complete=emission.complete, deleted=bool(row.deleted),
    )  # fmt: skip
    last = Position(topics.DOCUMENTS.name, row.document_partition, row.document_offset)
    return Plan(
        version_id=row.id, head=head, reach=emission.reach, hash=row.pending_hash, changes=row.changes,
        shown_changes=row.shown_changes, again=emission.again, pages=pages,
        last=last if row.document_offset >= 0 else None,
    )  # fmt: skip


def _close(books: Books, row: VersionRow, emission: Emission) -> None:
    """What is absent now is failed for good; a page that comes all the same replaces its gap."""
    assert emission.closing is not None
    cause = emission.closing
    there = books.db.execute("SELECT page FROM pages WHERE version_id = ? AND shown = 1", (row.id,))
    for page in sorted(set(range(1, emission.reach + 1)) - {page for (page,) in there}):
        gap = PageRow(source=GAP, ok=0, digest=failure_digest(cause), cause=cause, engine=LEDGER)
        read(books, row, page, gap)
    row.page_count = max(row.page_count or 0, emission.reach)


def planned_pages(db: sqlite3.Connection, row: VersionRow, reach: int) -> list[PlannedPage]:
    """Pages 1 to `reach` as they are shown now, without their text; an absent one is a gap."""
    pages = {page: PlannedPage(page=page, cause=Cause.PAGE_MISSING) for page in range(1, reach + 1)}
    shown = db.execute(
        "SELECT page, source, digest, differs, cause, detail, text_partition, text_offset"
        " FROM pages WHERE version_id = ? AND shown = 1 AND page <= ?",
        (row.id, reach),
    )
    for page, source, seen, differs, cause, detail, partition, offset in shown:
        planned = PlannedPage(page=page, digest=seen, differs=bool(differs), detail=detail)
        if cause:
            planned.cause = Cause(cause)
        if source != GAP and offset >= 0:
            planned.text = Position(topics.TEXTS.name, partition, offset)
        pages[page] = planned
    return list(pages.values())


def content_hash(row: VersionRow, pages: Sequence[PlannedPage], *, complete: bool) -> bytes:
    """Names what a Document shows, whatever its revision."""
    facts = (row.version, row.name, row.uri, row.metadata, row.count, complete, row.deleted)
    seen = hashlib.blake2b(repr(facts).encode(), digest_size=16)
    for page in pages:
        seen.update(page.digest + (b"\1" if page.differs else b"\0"))
    return seen.digest()


def _take_bodies(db: sqlite3.Connection, plan: Plan) -> int:
    """Fill in the texts that lie here; returns their bytes."""
    found = db.execute(
        "SELECT page, body FROM pages JOIN bodies ON page_id = id WHERE version_id = ? AND shown = 1 AND page <= ?",
        (plan.version_id, plan.reach),
    )
    size = 0
    for page, body in found:
        plan.pages[page - 1].body = body
        size += len(body)
    return size


def keep_bodies(db: sqlite3.Connection, plan: Plan, bodies: dict[int, bytes]) -> None:
    """Texts fetched from the log stay here until the new revision is there: a crash must find them again."""
    with effect("ledger.bodies"), transaction(db):
        db.executemany(
            "INSERT OR REPLACE INTO bodies SELECT id, ? FROM pages WHERE version_id = ? AND shown = 1 AND page = ?",
            [(body, plan.version_id, page) for page, body in bodies.items()],
        )


def mark(db: sqlite3.Connection, emitted: Sequence[Emitted], timings: Timings, now_ms: int) -> None:
    """The appends are acknowledged: older versions go, and the text of whole documents too."""
    with effect("ledger.emitted"), transaction(db):
        books = Books(db, now_ms)
        for one in emitted:
            known = books.doc(one.plan.head.doc)
            row = next(row for row in known.versions if row.id == one.plan.version_id)
            _mark(row, one, now_ms)
            if row.emitted_complete and row.changes == one.plan.changes:
                evict(db, row)
            drop_older(db, known)
        books.save(timings)


def _mark(row: VersionRow, emitted: Emitted, now_ms: int) -> None:
    plan = emitted.plan
    row.emitted_revision, row.emitted_hash, row.emitted_reach = plan.head.revision, plan.hash, plan.reach
    row.emitted_complete, row.emitted_ms, row.emitted_changes = int(plan.head.complete), now_ms, plan.shown_changes
    row.repeats = row.repeats + 1 if plan.again else 0
    row.pending_hash, row.pending_revision, row.pending_reach = b"", 0, 0
    row.outdated, row.refused = 0, ""
    row.document_partition, row.document_offset = emitted.position.partition, emitted.position.offset
    row.document_blob = emitted.blob


def evict(db: sqlite3.Connection, row: VersionRow) -> None:
    """The whole document is on the log: its text need not lie here too."""
    db.execute(
        "DELETE FROM bodies WHERE page_id IN (SELECT id FROM pages WHERE version_id = ? AND source <> ?)",
        (row.id, VERIFY),
    )


def drop_older(db: sqlite3.Connection, known: DocRows) -> None:
    """A newer version is there: what came before is no longer shown and no longer kept."""
    live = known.live
    for row in known.versions:
        if row.version < live:
            _forget_pages(db, row)
            db.execute("DELETE FROM versions WHERE id = ?", (row.id,))
    known.versions = [row for row in known.versions if row.version >= live]


def _forget_pages(db: sqlite3.Connection, row: VersionRow) -> None:
    db.execute("DELETE FROM bodies WHERE page_id IN (SELECT id FROM pages WHERE version_id = ?)", (row.id,))
    db.execute("DELETE FROM pages WHERE version_id = ?", (row.id,))


def restore(books: Books, found: Restored) -> None:
    """Rebuild: a Document on the log tells what was emitted and, should its texts be gone, what every page is."""
    document, position = found.document, found.position
    known = books.doc(document.doc)
    known.revision = max(known.revision, document.revision)
    row = books.version(document.doc, document.version, found.appended_ms)
    if row is None or row.emitted_revision > document.revision:
        return
    _forget_pages(books.db, row)
    row.page_max = row.prefix = row.pages_ok = row.pages_failed = 0
    row.pages_born_digital = row.pages_ocr = row.pages_human = row.pages_skipped = 0
    row.deleted, row.page_count = int(document.deleted), document.page_count
    if not row.name:
        row.name, row.name_page = document.name, NAMED_LAST
    row.uri = row.uri or document.uri
    row.metadata = row.metadata if row.metadata != "{}" else rows.as_json(document.metadata)
    for text in document.pages:
        if document.complete or text.engine != LEDGER or text.cause is not Cause.PAGE_MISSING:
            read(books, row, text.page, restored_page(text))
    pages = planned_pages(books.db, row, len(document.pages))
    row.emitted_hash = content_hash(row, pages, complete=document.complete)
    row.emitted_revision, row.emitted_reach = document.revision, len(document.pages)
    row.emitted_complete, row.emitted_ms = int(document.complete), found.appended_ms
    row.emitted_changes = row.shown_changes
    row.document_partition, row.document_offset, row.document_blob = position.partition, position.offset, found.blob
    drop_older(books.db, known)


def recognise(books: Books, known: DocRows) -> None:
    """Whatever happened in between, what is shown now may be just what was emitted, if nothing else may be since."""
    row = known.leading()
    if row is None or not row.changed or row.pending_revision:
        return
    pages = planned_pages(books.db, row, row.emitted_reach)
    if content_hash(row, pages, complete=bool(row.emitted_complete)) == row.emitted_hash:
        _recognised(books.db, row)


def _recognised(db: sqlite3.Connection, row: VersionRow) -> None:
    row.emitted_changes = row.shown_changes
    if row.emitted_complete:
        evict(db, row)


NAMED_LAST = 1 << 32
"""A name taken from a Document gives way to the one that its lowest named page brings."""


def restored_page(text: PageText) -> PageRow:
    """A page of a Document as the reading that it was; where its text rests is not known."""
    plain = unflagged(text)
    return PageRow(
        source=GAP if text.engine == LEDGER and text.cause else text.source.value,
        ok=int(text.status == "ok"), digest=digest(plain), cause=text.cause or "", detail=text.detail,
        engine=text.engine, flags=" ".join(plain.flags), image=text.image, differs=int(DIFFERS in text.flags),
        read_ms=text.read_ms,
    )  # fmt: skip


def unflagged(text: PageText) -> PageText:
    """As it was read: without the flag that the ledger adds."""
    if DIFFERS not in text.flags:
        return text
    return text.model_copy(update={"flags": tuple(flag for flag in text.flags if flag != DIFFERS)})
