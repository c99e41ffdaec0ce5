"""A version's row and a page's row as the objects that the rules reason about."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ledger.schema import SKIPPED

VERIFY, GAP = "verify", "gap"
"""Two sources beside those of a PageText: a reading to compare with, and a page known only by its failure."""


class Table:
    """The statements for one row class: its fields are the columns."""

    def __init__(self, name: str, row: Any, keys: tuple[str, ...] = ()) -> None:
        self.columns = tuple(one.name for one in fields(row) if not one.metadata.get("derived"))
        written = (*keys, *self.columns[1:])
        sets = ", ".join(f"{column} = :{column}" for column in self.columns[1:])
        values = ", ".join(f":{column}" for column in written)
        # Table and column names are literals of this module; every value is bound.
        self.select = f"SELECT {', '.join(self.columns)} FROM {name}"  # noqa: S608  # see above
        self.insert = f"INSERT INTO {name} ({', '.join(written)}) VALUES ({values})"  # noqa: S608  # see above
        self.update = f"UPDATE {name} SET {sets} WHERE id = :id"  # noqa: S608  # see above

    def values(self, row: object) -> dict[str, object]:
        return {column: getattr(row, column) for column in self.columns}


@dataclass(slots=True, kw_only=True)
class VersionRow:
    """One version of a document: an upload, a deletion, a cancellation's marker, or pages that just came.

    `changes` counts every change of what is shown, `shown_changes` only those within the pages already emitted.
    """

    id: int = 0
    doc: str
    version: int
    name: str = ""
    name_page: int = 0
    uri: str = ""
    sha256: str = ""
    size_bytes: int = 0
    metadata: str = "{}"
    page_range: str = ""
    added_ms: int
    deleted: int = 0
    marker: int = 0
    cause: str = ""
    detail: str = ""
    page_count: int | None = None
    page_max: int = 0
    prefix: int = 0
    pages_ok: int = 0
    pages_failed: int = 0
    pages_born_digital: int = 0
    pages_ocr: int = 0
    pages_human: int = 0
    pages_skipped: int = 0
    first_ms: int = 0
    moved_ms: int = 0
    last_ms: int = 0
    changes: int = 0
    shown_changes: int = 0
    pending_hash: bytes = b""
    pending_revision: int = 0
    pending_reach: int = 0
    emitted_hash: bytes = b""
    emitted_revision: int = 0
    emitted_reach: int = 0
    emitted_complete: int = 0
    emitted_ms: int = 0
    emitted_changes: int = 0
    repeats: int = 0
    outdated: int = 0
    refused: str = ""
    document_partition: int = 0
    document_offset: int = -1
    document_blob: str = ""
    due_ms: int | None = None
    cancelled: bool = field(default=False, metadata={"derived": True})
    replaces_whole: bool = field(default=False, metadata={"derived": True})
    indexed_revision: int = field(default=0, metadata={"derived": True})

    @property
    def facts(self) -> dict[str, Any]:
        """The upload's metadata."""
        found: dict[str, Any] = json.loads(self.metadata)
        return found

    @property
    def count(self) -> int | None:
        """Pages of the whole document, once announced. A page beyond the announced count proves it wrong."""
        return None if self.page_count is None else max(self.page_count, self.page_max)

    @property
    def all_there(self) -> bool:
        return self.count is not None and self.prefix >= self.count

    @property
    def changed(self) -> bool:
        """Something shown in the last emitted Document is different now."""
        return self.emitted_revision > 0 and self.shown_changes != self.emitted_changes

    @property
    def indexed(self) -> bool:
        return 0 < self.emitted_revision <= self.indexed_revision

    @property
    def void(self) -> bool:
        """It never became anything to show, so it does not stand in the way of an older version."""
        nothing = self.page_max == 0 and bool(self.cause or self.cancelled)
        # What was read of it before it was cancelled is worth less than an older version that is there as a whole.
        partial = bool(self.pages_failed) or not self.all_there
        useless = not self.pages_ok or (self.replaces_whole and not self.emitted_revision and partial)
        return not self.deleted and bool(self.marker or nothing or (self.cancelled and useless))

    def touch(self, page: int) -> None:
        """What is shown of this page (0: of the document) changed."""
        self.changes += 1
        if page <= max(self.emitted_reach, self.pending_reach):
            self.shown_changes += 1


@dataclass(slots=True, kw_only=True)
class PageRow:
    """One reading of one page."""

    id: int = 0
    source: str
    shown: int = 0
    ok: int
    trusted: int = 1
    digest: bytes
    cause: str = ""
    detail: str = ""
    engine: str = ""
    flags: str = ""
    image: str = ""
    agreement: float | None = None
    differs: int = 0
    read_ms: int = 0
    text_partition: int = 0
    text_offset: int = -1

    @property
    def skipped(self) -> bool:
        """Its upload did not ask for this page."""
        return SKIPPED in self.flags.split()

    @property
    def order(self) -> tuple[int, int, int]:
        """Of two readings from one source the greater stays: ok before failed, then the later."""
        return self.ok, self.read_ms, self.text_offset

    @property
    def rank(self) -> tuple[int, int] | None:
        """Of all readings of a page the greatest is shown; None is never shown. No failure hides a text."""
        if self.source == VERIFY or not self.trusted:
            return None
        return self.ok, (GAP, "ocr", "text_layer", "human").index(self.source)


VERSIONS = Table("versions", VersionRow)
PAGES = Table("pages", PageRow, ("version_id", "page"))
_OF_DOC = f"{VERSIONS.select} WHERE doc = ? ORDER BY version"
_OF_PAGE = f"{PAGES.select} WHERE version_id = ? AND page = ?"


@dataclass(slots=True)
class DocRows:
    """Everything known of one document: its versions, oldest first, and the last revision given to any of them."""

    doc: str
    revision: int = 0
    indexed_revision: int = 0
    versions: list[VersionRow] = field(default_factory=list)

    @property
    def live(self) -> int:
        """The newest version that was emitted; whatever comes for an older one is too late."""
        return max((row.version for row in self.versions if row.emitted_revision), default=0)

    def leading(self) -> VersionRow | None:
        """The version to emit: the newest that is or may become something."""
        return next((row for row in reversed(self.versions) if not row.void), None)

    def derive(self) -> None:
        """Set what a version's row owes to its neighbours."""
        cancelled = False
        for row in reversed(self.versions):
            row.cancelled, row.indexed_revision = cancelled, self.indexed_revision
            cancelled = cancelled or bool(row.marker)
        whole = False
        for row in self.versions:
            row.replaces_whole = whole
            if row.deleted:
                whole = False
            elif row.emitted_revision:
                # One that was cancelled early, or that hardly a page could be read of, is not worth waiting behind.
                whole = bool(row.emitted_complete and not row.refused and row.pages_ok > row.pages_failed)


def load(db: sqlite3.Connection, doc: str) -> DocRows:
    found = db.execute("SELECT revision, indexed_revision FROM docs WHERE doc = ?", (doc,)).fetchone()
    rows = DocRows(doc, *(found or ()))
    rows.versions = [
        VersionRow(**dict(zip(VERSIONS.columns, values, strict=True))) for values in db.execute(_OF_DOC, (doc,))
    ]
    rows.derive()
    return rows


def insert(db: sqlite3.Connection, row: VersionRow) -> None:
    row.id = db.execute(VERSIONS.insert, VERSIONS.values(row)).lastrowid or 0


def save(db: sqlite3.Connection, rows: DocRows) -> None:
    db.execute(
        "INSERT INTO docs VALUES (?, ?, ?) ON CONFLICT (doc) DO UPDATE"
        " SET revision = excluded.revision, indexed_revision = excluded.indexed_revision",
        (rows.doc, rows.revision, rows.indexed_revision),
    )
    db.executemany(VERSIONS.update, [VERSIONS.values(row) for row in rows.versions])


def page_rows(db: sqlite3.Connection, version_id: int, page: int) -> Iterator[PageRow]:
    for values in db.execute(_OF_PAGE, (version_id, page)):
        yield PageRow(**dict(zip(PAGES.columns, values, strict=True)))


def save_pages(db: sqlite3.Connection, version_id: int, page: int, readings: Iterable[PageRow]) -> None:
    """All readings of one page: nearly always one."""
    for one in readings:
        if one.id:
            db.execute(PAGES.update, PAGES.values(one))
        else:
            values = PAGES.values(one) | {"version_id": version_id, "page": page}
            one.id = db.execute(PAGES.insert, values).lastrowid or 0


def as_json(metadata: Mapping[str, Any]) -> str:
    """The same metadata is the same text, whatever the order of its keys."""
    return json.dumps(metadata, sort_keys=True, ensure_ascii=False)
