"""Questions that anyone may ask the ledger, read-only, whether its owner runs or not: what became of my document?"""

import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from folio.errors import Cause, FolioError
from folio.ids import Doc, doc_id_of
from ledger.schema import APPLICATION_ID, DIFFERS, SCHEMA_VERSION, SKIPPED, outdated

State = Literal["queued", "reading", "indexing", "searchable", "searchable with gaps", "failed", "cancelled", "deleted"]


Row = dict[str, Any]


FREE_BYTES_MIN = 1 << 20
"""Below it a read-only question may fail too: SQLite makes shared memory beside the file."""
VALUES_MAX = 500
"""Documents asked for in one statement."""
UNSETTLED: frozenset[State] = frozenset({"queued", "reading", "indexing"})
"""States that will change by themselves."""


class PageStatus(BaseModel):
    """What became of one page."""

    model_config = ConfigDict(frozen=True)

    page: int
    status: Literal["ok", "failed", "waiting", "skipped"]
    source: str = ""
    engine: str = ""
    cause: Cause | None = None
    sentence: str = ""
    detail: str = ""
    flags: tuple[str, ...] = ()
    agreement: float | None = None
    image: str = ""


class DocumentStatus(BaseModel):
    """What became of one document: its newest version, and what of it (or of an older one) is searchable."""

    model_config = ConfigDict(frozen=True)

    doc: Doc
    document: str
    name: str = ""
    version: int
    state: State
    page_count: int | None = None
    pages_ok: int = 0
    pages_failed: int = 0
    pages_waiting: int = 0
    pages_born_digital: int = 0
    pages_ocr: int = 0
    pages_human: int = 0
    pages_skipped: int = 0
    pages_searchable: int = 0
    page_range: str = ""
    metadata: dict[str, Any] = {}
    chunks: int = 0
    embedded: int = 0
    lacking: int = 0
    """Chunks that are found by their words only: their vectors are still to come, or `lacking_cause` says why not."""
    lacking_cause: Cause | None = None
    lacking_detail: str = ""
    revision: int | None = None
    searchable_revision: int | None = None
    searchable_version: int | None = None
    """The version that the index answers with: an older one while a newer is being read, or has failed."""
    cause: Cause | None = None
    sentence: str = ""
    detail: str = ""
    size_bytes: int = 0
    uri: str = ""
    sha256: str = ""
    added_ms: int
    searchable_ms: int | None = None
    pages: tuple[PageStatus, ...] = ()

    @property
    def awaits_vectors(self) -> bool:
        """Searchable by its words, and more is to come by itself."""
        return self.lacking > 0 and self.lacking_cause is None

    @property
    def unfinished(self) -> bool:
        """It will change by itself: not searchable yet, or not by meaning."""
        return self.state in UNSETTLED or self.awaits_vectors


_DOCUMENTS = """
SELECT v.id, v.doc, v.version, v.name, v.uri, v.sha256, v.size_bytes, v.added_ms, v.deleted, v.marker, v.cause,
  v.detail, v.page_count, v.page_max, v.prefix, v.pages_ok, v.pages_failed, v.pages_born_digital, v.pages_ocr,
  v.pages_human, v.pages_skipped, v.page_range, v.metadata, v.shown_changes,
  v.emitted_changes, v.emitted_revision, v.emitted_reach, v.emitted_complete,
  v.refused, r.revision AS indexed_revision, r.chunks, r.embedded, r.indexed_ms, r.outcome,
  r.version AS indexed_version, r.lacking, r.cause AS lacking_cause, r.detail AS lacking_detail,
  CASE WHEN v.pages_failed > 0 THEN
    (SELECT p.cause FROM pages p WHERE p.version_id = v.id AND p.shown = 1 AND p.ok = 0 ORDER BY p.page LIMIT 1)
  END AS page_cause,
  EXISTS (SELECT 1 FROM versions m WHERE m.doc = v.doc AND m.version > v.version AND m.marker = 1) AS cancelled,
  CASE WHEN v.pages_failed > 0 THEN EXISTS
    (SELECT 1 FROM pages p WHERE p.version_id = v.id AND p.shown = 1 AND p.ok = 0 AND p.cause = 'cancelled')
  ELSE 0 END AS broken_off
FROM versions v LEFT JOIN receipts r ON r.doc = v.doc AND r.generation =
  (SELECT generation FROM receipts g WHERE g.doc = v.doc AND g.outcome <> 'outdated'
   ORDER BY g.revision DESC, g.indexed_ms DESC LIMIT 1)
WHERE v.version = (SELECT version FROM versions n WHERE n.doc = v.doc ORDER BY n.marker, n.version DESC LIMIT 1)
"""

_PAGES = """
SELECT page, source, ok, engine, cause, detail, flags, differs,
  (SELECT max(l.agreement) FROM pages l WHERE l.version_id = p.version_id AND l.page = p.page) AS agreement,
  (SELECT max(i.image) FROM pages i WHERE i.version_id = p.version_id AND i.page = p.page) AS any_image, image
FROM pages p WHERE version_id = ? AND shown = 1 ORDER BY page
"""


_LACKING = """
SELECT coalesce(sum(lacking), 0) AS lacking FROM receipts WHERE generation = ? AND cause = '' AND outcome <> 'outdated'
"""


def documents(path: Path) -> list[DocumentStatus]:
    """Every document, the newest first."""
    return _ask(path, "ORDER BY v.added_ms DESC, v.doc")


def document(path: Path, doc: str) -> DocumentStatus | None:
    """One document with every page of it; None when the ledger does not know it."""
    with opened(path) as db:
        if db is None:
            return None
        row = db.execute(f"{_DOCUMENTS} AND v.doc = ?", (doc,)).fetchone()
        return _status(row, tuple(_pages(db, row))) if row else None


def summary(path: Path, doc: str) -> DocumentStatus | None:
    """One document without its pages: cheap enough to ask again and again."""
    return next(iter(_ask(path, "AND v.doc = ?", [doc])), None)


def summaries(path: Path, docs: Sequence[str]) -> dict[str, DocumentStatus]:
    """Many documents without their pages, by their keys; what the ledger does not know is absent."""
    found: dict[str, DocumentStatus] = {}
    for start in range(0, len(docs), VALUES_MAX):
        some = docs[start : start + VALUES_MAX]
        found |= {one.doc: one for one in _ask(path, f"AND v.doc IN ({', '.join('?' * len(some))})", some)}
    return found


def counts(path: Path) -> dict[str, int]:
    """How many documents there are, how many of them will not change by themselves, and their chunks.

    Those that are found by their words, with vectors still to come, are counted in `read` and not yet in `settled`.
    """
    known = documents(path)
    settled = sum(not one.unfinished for one in known)
    done = sum(one.state not in UNSETTLED for one in known)
    return {"documents": len(known), "settled": settled, "read": done, "chunks": sum(one.chunks for one in known)}


def lacking(path: Path, generation: str) -> int:
    """How many chunks of an index await their vectors: one sum, cheap enough for every search."""
    with opened(path) as db:
        row = db.execute(_LACKING, (generation,)).fetchone() if db is not None else None
    return row["lacking"] if row else 0


def find(path: Path, *, uri: str | None = None, document: str | None = None) -> list[DocumentStatus]:
    """Documents that were added from this URI, or whose document id ends like this; both given: either."""
    conditions, values = [], []
    if uri is not None:
        conditions.append("v.uri = ?")
        values.append(uri)
    if document is not None:
        conditions.append("substr(v.doc, -length(?)) = ?")
        values += [document, document]
    if not conditions:
        return []
    return _ask(path, f"AND ({' OR '.join(conditions)}) ORDER BY v.added_ms DESC, v.doc", values)


def live_blobs(path: Path) -> set[str]:
    """Originals, page images and large Documents that a version still needs. Raises FolioError for a missing file:
    taking it for an empty one would sweep everything.
    """
    with opened(path) as db:
        if db is None:
            raise FolioError(f"{path}: there is no ledger, so nothing says which blobs are needed")
        found = db.execute(
            "SELECT sha256 FROM versions WHERE sha256 <> '' AND deleted = 0"
            " UNION SELECT document_blob FROM versions WHERE document_blob <> ''"
            " UNION SELECT image FROM pages WHERE image <> ''"
        )
        return {row["sha256"] for row in found}


def out_of_date(path: Path) -> bool:
    """Whether an older folio wrote this file: whoever owns the folder next builds it again from the log."""
    return outdated(path) is not None


def _ask(path: Path, rest: str, values: Sequence[str] = ()) -> list[DocumentStatus]:
    with opened(path) as db:
        if db is None:
            return []
        return [_status(row) for row in db.execute(f"{_DOCUMENTS} {rest}", values)]


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Read-only, one consistent view; None when there is no file. Raises FolioError for a file that is not ours."""
    if not path.exists():
        yield None
        return
    try:
        with closing(_connect(path)) as db:
            db.row_factory = _by_name
            db.execute("BEGIN")
            if db.execute("PRAGMA application_id").fetchone()["application_id"] != APPLICATION_ID:
                raise FolioError(f"{path}: not a ledger of folio")
            if db.execute("PRAGMA user_version").fetchone()["user_version"] != SCHEMA_VERSION:
                raise FolioError(f"{path}: a ledger of another schema; run the folio that wrote it, or rebuild it")
            yield db
    except sqlite3.DatabaseError as error:
        full = shutil.disk_usage(path.parent).free < FREE_BYTES_MIN  # SQLite calls it an I/O error
        raise FolioError(
            f"{path}: the ledger cannot be read ({'the disk is full: make space' if full else error})"
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    place = path.absolute().as_uri()
    db = sqlite3.connect(f"{place}?mode=ro", uri=True, timeout=5, isolation_level=None)
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        db.close()
        if path.with_name(path.name + "-wal").exists():
            raise
        # Nobody has it open, and the folder is read-only, so no shared memory can be made beside it.
        db = sqlite3.connect(f"{place}?mode=ro&immutable=1", uri=True, isolation_level=None)
    return db


def _by_name(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Row:
    return Row(zip((column[0] for column in cursor.description), values, strict=True))


def _count(row: Row) -> int | None:
    return None if row["page_count"] is None else max(row["page_count"], row["page_max"])


def _there(row: Row) -> int:
    there: int = row["pages_ok"] + row["pages_failed"] + row["pages_skipped"]
    return there


def _reach(row: Row) -> int:
    """Pages of the last emitted revision, once the index has it."""
    reach: int = row["emitted_reach"] if 0 < row["emitted_revision"] <= (row["indexed_revision"] or 0) else 0
    return reach


def _state(row: Row) -> State:
    if row["deleted"]:
        return "deleted"
    count, there = _count(row), _there(row)
    whole = count is not None and row["prefix"] >= count
    partial = not whole or row["broken_off"] or (row["pages_failed"] and not row["emitted_revision"])
    if row["marker"] or (row["cancelled"] and partial):
        return "cancelled"
    if not row["page_max"]:
        return "failed" if row["cause"] else "queued"
    indexed = 0 < row["emitted_revision"] <= (row["indexed_revision"] or 0)
    if (row["refused"] and not indexed) or (whole and not row["pages_ok"]):
        return "failed"
    if not whole and (count is not None or row["emitted_reach"] < row["page_max"]):
        return "reading"
    if not indexed or row["emitted_changes"] != row["shown_changes"] or (whole and not row["emitted_complete"]):
        return "indexing"
    return "searchable with gaps" if row["pages_failed"] or there < row["page_max"] else "searchable"


def _status(row: Row, pages: tuple[PageStatus, ...] = ()) -> DocumentStatus:
    state, count = _state(row), _count(row)
    there = _there(row)
    named = Cause.CANCELLED if state == "cancelled" else _cause(row, state)
    empty = state == "failed" and not row["pages_ok"] and row["indexed_version"] == row["version"]
    visible = row["outcome"] is not None and row["outcome"] != "deleted" and not row["deleted"] and not empty
    facts: dict[str, Any] = {
        name: row[name]
        for name in (
            *("doc", "name", "version", "pages_ok", "pages_failed", "pages_born_digital", "pages_ocr", "pages_human"),
            *("pages_skipped", "page_range", "detail", "size_bytes", "uri", "sha256", "added_ms"),
        )
    }
    return DocumentStatus.model_construct(
        **facts,
        document=doc_id_of(row["doc"]),
        state=state,
        page_count=count,
        metadata=json.loads(row["metadata"]),
        pages_searchable=_reach(row) if visible else 0,
        pages_waiting=max(0, (row["page_max"] if count is None else count) - there),
        chunks=row["chunks"] or 0 if visible else 0,
        embedded=row["embedded"] or 0 if visible else 0,
        lacking=row["lacking"] or 0 if visible else 0,
        lacking_cause=Cause(row["lacking_cause"]) if visible and row["lacking_cause"] else None,
        lacking_detail=row["lacking_detail"] or "" if visible else "",
        revision=row["emitted_revision"] or None,
        searchable_revision=row["indexed_revision"] if visible else None,
        searchable_version=row["indexed_version"] if visible else None,
        searchable_ms=row["indexed_ms"] if visible else None,
        cause=named,
        sentence=named.sentence if named else "",
        pages=pages,
    )


def _cause(row: Row, state: State) -> Cause | None:
    refused = row["refused"] if state == "failed" else ""
    gaps = state in {"failed", "searchable with gaps"} or row["pages_failed"]
    found = refused or (row["cause"] if gaps else "") or row["page_cause"]
    return Cause(found) if found else None


def _page_status(page: Row) -> Literal["ok", "failed", "skipped"]:
    if not page["ok"]:
        return "failed"
    return "skipped" if SKIPPED in page["flags"].split() else "ok"


def _pages(db: sqlite3.Connection, row: Row) -> Iterator[PageStatus]:
    count = _count(row)
    shown = {page["page"]: page for page in db.execute(_PAGES, (row["id"],))}
    for number in range(1, (row["page_max"] if count is None else count) + 1):
        page = shown.get(number)
        if page is None:
            yield PageStatus(page=number, status="waiting")
            continue
        cause = Cause(page["cause"]) if page["cause"] else None
        yield PageStatus(
            page=number,
            status=_page_status(page),
            source="" if page["source"] == "gap" or SKIPPED in page["flags"].split() else page["source"],
            engine=page["engine"],
            cause=cause,
            sentence=cause.sentence if cause else "",
            detail=page["detail"],
            flags=(*page["flags"].split(), *([DIFFERS] if page["differs"] else [])),
            agreement=page["agreement"],
            image=page["image"] or page["any_image"] or "",
        )
