"""What an entry changes in the ledger: uploads, texts, receipts and dead letters, in any order, any number of times.

Every rule here commutes: the later read is decided by its own time and position, never by when it was stored. So
a redelivered or re-ordered entry ends in the same rows, and entries of one document share a commit.
"""

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from folio import topics
from folio.claims import DOCUMENT_PAGES_MAX, VERSION_MAX
from folio.errors import Cause, Permanent
from folio.ids import doc_id_of, doc_of, tenant_of
from folio.letters import DeadLetter
from folio.log import Entry, Position
from folio.records import Message, PageText, Receipt, Upload, revision_of
from ledger import rows
from ledger.compare import AGREEMENT_MIN, agreement, digest, failure_digest
from ledger.rows import GAP, VERIFY, DocRows, PageRow, VersionRow
from ledger.rules import Index, Timings, decide

INGEST = "ingest"
_NUMBERS = (
    *("version", "revision", "page", "page_count", "read_ms", "size_bytes"),
    *("chunks", "embedded", "lacking", "indexed_ms"),
)
_KINDS: dict[str, type[Message]] = {
    topics.UPLOADS.name: Upload,
    topics.TEXTS.name: PageText,
    topics.RECEIPTS.name: Receipt,
    topics.DEAD.name: DeadLetter,
}


@dataclass(slots=True, kw_only=True)
class Arrival:
    """A decoded entry, ready to be stored. `other` is the Markdown that a verify read is compared with.

    `version` is the one that an upload makes or completes.
    """

    doc: str
    message: Message
    position: Position
    appended_ms: int
    version: int = 0
    revision: int = 0
    digest: bytes = b""
    body: bytes = b""
    other: str | None = None


def arrival(entry: Entry) -> Arrival | None:
    """Decode an entry; None when it says nothing about a document. Raises Permanent(schema_invalid)."""
    kind = _KINDS[entry.position.topic]
    message = Upload.of(entry) if kind is Upload else kind.decode(entry.value)
    doc = getattr(message, "doc", None)
    if doc is None or (isinstance(message, DeadLetter) and message.redriven_ms):
        return None
    _check(message, doc)
    arrived = Arrival(doc=doc, message=message, position=entry.position, appended_ms=entry.appended_ms)
    if isinstance(message, Upload):
        arrived.version = message.version_in(entry)
    if isinstance(message, PageText):
        arrived.digest, arrived.body = digest(message), message.encode()
    arrived.revision = revision_of(entry)
    return arrived


def _check(message: Message, doc: str) -> None:
    """Numbers and names that the tables can hold; a page number within reason."""
    try:
        doc_of(tenant_of(doc), doc_id_of(doc))  # type: ignore[arg-type]  # being checked to be a Doc
    except ValueError as error:
        raise Permanent(Cause.SCHEMA_INVALID, str(error)) from None
    for name in _NUMBERS:
        number = getattr(message, name, None)
        if number is not None and not 0 <= number <= VERSION_MAX:
            raise Permanent(Cause.SCHEMA_INVALID, f"{name}: {number} is out of range")
    for name in ("page", "page_count"):
        if (getattr(message, name, None) or 0) > DOCUMENT_PAGES_MAX:
            raise Permanent(Cause.SCHEMA_INVALID, f"{name}: more than {DOCUMENT_PAGES_MAX} pages are not one document")
    if isinstance(message, PageText) and not abs(message.seconds) < float("inf"):
        raise Permanent(Cause.SCHEMA_INVALID, "seconds: not a number")


class Books:
    """The rows that one transaction touches, loaded once and saved once."""

    def __init__(self, db: sqlite3.Connection, now_ms: int) -> None:
        self.db = db
        self.now_ms = now_ms
        self._docs: dict[str, DocRows] = {}

    def doc(self, doc: str) -> DocRows:
        if doc not in self._docs:
            self._docs[doc] = rows.load(self.db, doc)
        return self._docs[doc]

    def version(self, doc: str, version: int, added_ms: int) -> VersionRow | None:
        """Its row, made when it is new; None when a newer version was emitted: this one is superseded."""
        known = self.doc(doc)
        if version < known.live:
            return None
        for old in known.versions:
            if old.version == version:
                old.added_ms = min(old.added_ms, added_ms)
                return old
        row = VersionRow(doc=doc, version=version, added_ms=added_ms)
        for marker in known.versions:
            if marker.marker and marker.version > version:
                # Compaction leaves only the cancellation, which repeats what its upload said.
                row.name, row.uri, row.metadata = marker.name, marker.uri, marker.metadata
                row.sha256, row.size_bytes, row.page_range = marker.sha256, marker.size_bytes, marker.page_range
        rows.insert(self.db, row)
        known.versions.append(row)
        known.versions.sort(key=lambda one: one.version)
        return row

    def save(self, timings: Timings) -> int | None:
        """Write everything back; returns when the first of these documents is due."""
        for known in self._docs.values():
            settle(known, timings, self.now_ms)
        self.write()
        dues = [row.due_ms for known in self._docs.values() for row in known.versions if row.due_ms is not None]
        return min(dues, default=None)

    @property
    def touched(self) -> Collection[DocRows]:
        return self._docs.values()

    def write(self) -> None:
        for known in self._docs.values():
            rows.save(self.db, known)


def settle(known: DocRows, timings: Timings, now_ms: int) -> None:
    """Only the leading version is ever due: an older one stays as it is until the newer one is there."""
    known.derive()
    leading = known.leading()
    for row in known.versions:
        row.due_ms = decide(row, timings, now_ms)[1] if row is leading else None


def store(books: Books, arrivals: Sequence[Arrival], index: Index) -> Index:
    """Apply arrivals inside the caller's transaction; returns what is known of the index afterwards."""
    for arrived in arrivals:
        message = arrived.message
        if isinstance(message, Upload):
            _upload(books, arrived, message)
        elif isinstance(message, PageText):
            page_text(books, arrived, message)
        elif isinstance(message, DeadLetter):
            _dead_letter(books, arrived, message)
        elif isinstance(message, Receipt):
            _receipt(books, message)
            index = Index(books.now_ms, max(index.revision, message.revision))
    return index


def _upload(books: Books, arrived: Arrival, upload: Upload) -> None:
    row = books.version(arrived.doc, arrived.version, arrived.appended_ms)
    if row is None or (row.sha256 and not upload.sha256):
        return  # an announcement that was answered before it came here again
    before = (row.name, row.uri, row.metadata)
    row.name, row.name_page = upload.name or row.name, 0 if upload.name else row.name_page
    row.uri, row.sha256, row.size_bytes = upload.uri, upload.sha256, upload.size_bytes
    row.metadata, row.page_range = rows.as_json(upload.metadata), upload.pages
    row.deleted, row.marker = int(upload.deleted), int(upload.cancelled and not upload.deleted)
    if before != (row.name, row.uri, row.metadata):
        row.touch(0)


def _receipt(books: Books, receipt: Receipt) -> None:
    known = books.doc(receipt.doc)
    books.db.execute(
        "INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', '') ON CONFLICT (doc, generation) DO UPDATE SET"
        " version = excluded.version, revision = excluded.revision, chunks = excluded.chunks,"
        " embedded = excluded.embedded, outcome = excluded.outcome, indexed_ms = excluded.indexed_ms,"
        " lacking = excluded.lacking, cause = '', detail = ''"
        " WHERE (excluded.revision, excluded.indexed_ms) > (receipts.revision, receipts.indexed_ms)",
        (
            *(receipt.doc, receipt.generation, receipt.version, receipt.revision),
            *(receipt.chunks, receipt.embedded, receipt.outcome, receipt.indexed_ms, receipt.lacking),
        ),
    )
    for row in known.versions:
        if row.emitted_revision == receipt.revision:
            # Outdated by a revision that we never gave: the index knows better numbers than this file.
            row.outdated = int(receipt.outcome == "outdated")
            row.refused = row.refused if row.outdated else ""
    if receipt.outcome != "outdated":
        known.indexed_revision = max(known.indexed_revision, receipt.revision)


def _dead_letter(books: Books, arrived: Arrival, letter: DeadLetter) -> None:
    if letter.topic == topics.RECEIPTS.name:
        # Its words are found. Nobody need wait for vectors that nobody makes any more.
        books.db.execute(
            "UPDATE receipts SET cause = ?, detail = ? WHERE doc = ? AND revision = ? AND lacking > 0",
            (letter.cause, letter.detail, arrived.doc, arrived.revision),
        )
        return
    if letter.topic == topics.DOCUMENTS.name:
        for known in books.doc(arrived.doc).versions:
            if known.emitted_revision == arrived.revision > 0 and not known.indexed:
                known.refused = letter.cause
        return
    if not letter.version or not (letter.page or letter.stage == INGEST):
        return
    row = books.version(arrived.doc, letter.version, arrived.appended_ms)
    if row is None:
        return
    if letter.page:
        gap = PageRow(
            source=GAP, ok=0, digest=failure_digest(letter.cause), cause=letter.cause, detail=letter.detail,
            engine="ledger", read_ms=arrived.appended_ms, text_offset=arrived.position.offset,
        )  # fmt: skip
        read(books, row, letter.page, gap)
    else:
        row.last_ms = row.last_ms if row.cause == letter.cause else books.now_ms
        row.cause, row.detail = letter.cause, letter.detail


def page_text(books: Books, arrived: Arrival, text: PageText) -> None:
    row = books.version(arrived.doc, text.version, arrived.appended_ms)
    if row is None:
        return
    if text.page_count is not None:
        row.page_count = max(row.page_count or 0, text.page_count)
    if text.name and (not row.name or (row.name_page and (text.page, text.name) < (row.name_page, row.name))):
        row.name, row.name_page = text.name, text.page
        row.touch(0)
    new = PageRow(
        source=VERIFY if text.verify else text.source.value,
        ok=int(text.status == "ok"), trusted=int(text.trusted), digest=arrived.digest,
        cause=text.cause or "", detail=text.detail, engine=text.engine, flags=" ".join(text.flags), image=text.image,
        read_ms=text.read_ms, text_partition=arrived.position.partition, text_offset=arrived.position.offset,
    )  # fmt: skip
    read(books, row, text.page, new, arrived=arrived)


def read(books: Books, row: VersionRow, page: int, new: PageRow, *, arrived: Arrival | None = None) -> None:
    """Keep the better reading of this source, then show the best of all sources."""
    readings = {one.source: one for one in rows.page_rows(books.db, row.id, page)}
    old = readings.get(new.source)
    if old is not None and new.order <= old.order:
        return
    before = next((one for one in readings.values() if one.shown), None)
    face_before = _face(before)
    if old is not None:
        new.id = old.id
        if old.digest == new.digest:
            new.agreement, new.differs = old.agreement, old.differs
    readings[new.source] = new
    if arrived is not None:
        _compare(books.db, readings, new, arrived)
    ranked = [(one.rank, one) for one in readings.values() if one.rank is not None]
    shown = max(ranked, key=lambda pair: pair[0])[1] if ranked else None
    for one in readings.values():
        one.shown = int(one is shown)
    rows.save_pages(books.db, row.id, page, readings.values())
    if arrived is not None:
        _keep_body(books.db, row, new, arrived.body, same=old is not None and old.digest == new.digest)
    _recount(row, before, -1)
    _recount(row, shown, 1)
    if face_before != _face(shown):
        _moved(books, row, page, gone=shown is None)


def _face(one: PageRow | None) -> tuple[bytes, int] | None:
    return (one.digest, one.differs) if one else None


def _recount(row: VersionRow, shown: PageRow | None, step: int) -> None:
    if shown is None:
        return
    if not shown.ok:
        row.pages_failed += step
        return
    if shown.skipped:
        row.pages_skipped += step
        return
    row.pages_ok += step
    row.pages_born_digital += step * (shown.source == "text_layer")
    row.pages_ocr += step * (shown.source == "ocr")
    row.pages_human += step * (shown.source == "human")


def _moved(books: Books, row: VersionRow, page: int, *, gone: bool) -> None:
    """Something else is shown: note when, and how far pages now follow each other without a hole."""
    row.first_ms = row.first_ms or books.now_ms
    row.moved_ms = row.moved_ms or books.now_ms
    row.last_ms = books.now_ms
    row.page_max = max(row.page_max, page)
    row.touch(page)
    if gone:
        row.prefix = min(row.prefix, page - 1)
    elif page == row.prefix + 1:
        following = books.db.execute(
            "SELECT page FROM pages WHERE version_id = ? AND page > ? AND shown = 1 ORDER BY page", (row.id, row.prefix)
        )
        for (present,) in following:
            if present != row.prefix + 1:
                break
            row.prefix = present
        row.moved_ms = books.now_ms


def _compare(db: sqlite3.Connection, readings: dict[str, PageRow], new: PageRow, arrived: Arrival) -> None:
    """A verify read and the text layer of one page: how far do they agree."""
    layer, check = readings.get("text_layer"), readings.get(VERIFY)
    if layer is None or check is None or new.source not in {"text_layer", VERIFY}:
        return
    mine = PageText.decode(arrived.body).markdown
    local = markdown(db, check.id if new is layer else layer.id)
    theirs = local if local is not None or new is layer else arrived.other
    if not (layer.ok and check.ok):
        layer.agreement, layer.differs = None, 0
    elif theirs is not None:
        layer.agreement = round(agreement(mine, theirs), 4)
        layer.differs = int(layer.agreement < AGREEMENT_MIN)


def markdown(db: sqlite3.Connection, page_id: int) -> str | None:
    found = db.execute("SELECT body FROM bodies WHERE page_id = ?", (page_id,)).fetchone()
    return PageText.decode(found[0]).markdown if found else None


def _keep_body(db: sqlite3.Connection, row: VersionRow, new: PageRow, body: bytes, *, same: bool) -> None:
    """Text stays here until its document is appended; what is on the log already needs no second copy."""
    if new.source != VERIFY and row.emitted_complete and (same or not new.shown):
        if not same:
            db.execute("DELETE FROM bodies WHERE page_id = ?", (new.id,))
        return
    db.execute("INSERT OR REPLACE INTO bodies VALUES (?, ?)", (new.id, body))
