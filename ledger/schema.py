"""The ledger's one SQLite file: its tables, how it is opened, and the only kind of transaction."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from folio.errors import Cause, FolioError, Transient

APPLICATION_ID = 0x666F6C65
DIFFERS = "text_layer_differs"
"""Flag of a page whose text layer and OCR disagree."""

SKIPPED = "skipped"
"""folio.records.SKIPPED, without importing every record there is: `folio status` answers in 300 ms."""

SCHEMA_VERSION = 4
"""2: which pages an upload asked for, and how many were skipped. 3: chunks that lack their vector, and why.
4: a name of its own, so that several ledgers follow one log."""

SCHEMA = """
CREATE TABLE ledger (rebuilt INTEGER NOT NULL, name TEXT NOT NULL);
INSERT INTO ledger VALUES (0, lower(hex(randomblob(6))));
CREATE TABLE docs (
  doc TEXT PRIMARY KEY, revision INTEGER NOT NULL, indexed_revision INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE versions (
  id INTEGER PRIMARY KEY, doc TEXT NOT NULL, version INTEGER NOT NULL,
  name TEXT NOT NULL, name_page INTEGER NOT NULL, uri TEXT NOT NULL, sha256 TEXT NOT NULL,
  size_bytes INTEGER NOT NULL, metadata TEXT NOT NULL, page_range TEXT NOT NULL, added_ms INTEGER NOT NULL,
  deleted INTEGER NOT NULL, marker INTEGER NOT NULL, cause TEXT NOT NULL, detail TEXT NOT NULL,
  page_count INTEGER, page_max INTEGER NOT NULL, prefix INTEGER NOT NULL,
  pages_ok INTEGER NOT NULL, pages_failed INTEGER NOT NULL, pages_born_digital INTEGER NOT NULL,
  pages_ocr INTEGER NOT NULL, pages_human INTEGER NOT NULL, pages_skipped INTEGER NOT NULL,
  first_ms INTEGER NOT NULL, moved_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
  changes INTEGER NOT NULL, shown_changes INTEGER NOT NULL,
  pending_hash BLOB NOT NULL, pending_revision INTEGER NOT NULL, pending_reach INTEGER NOT NULL,
  emitted_hash BLOB NOT NULL, emitted_revision INTEGER NOT NULL, emitted_reach INTEGER NOT NULL,
  emitted_complete INTEGER NOT NULL, emitted_ms INTEGER NOT NULL, emitted_changes INTEGER NOT NULL,
  repeats INTEGER NOT NULL, outdated INTEGER NOT NULL, refused TEXT NOT NULL,
  document_partition INTEGER NOT NULL, document_offset INTEGER NOT NULL, document_blob TEXT NOT NULL,
  due_ms INTEGER,
  UNIQUE (doc, version)
);
CREATE INDEX versions_due ON versions (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX versions_uri ON versions (uri) WHERE uri <> '';
CREATE TABLE pages (
  id INTEGER PRIMARY KEY, version_id INTEGER NOT NULL, page INTEGER NOT NULL, source TEXT NOT NULL,
  shown INTEGER NOT NULL, ok INTEGER NOT NULL, trusted INTEGER NOT NULL, digest BLOB NOT NULL,
  cause TEXT NOT NULL, detail TEXT NOT NULL, engine TEXT NOT NULL, flags TEXT NOT NULL, image TEXT NOT NULL,
  agreement REAL, differs INTEGER NOT NULL,
  read_ms INTEGER NOT NULL, text_partition INTEGER NOT NULL, text_offset INTEGER NOT NULL,
  UNIQUE (version_id, page, source)
);
CREATE INDEX pages_failed ON pages (version_id, page) WHERE shown = 1 AND ok = 0;
CREATE INDEX pages_image ON pages (image) WHERE image <> '';
CREATE TABLE bodies (page_id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE receipts (
  doc TEXT NOT NULL, generation TEXT NOT NULL, version INTEGER NOT NULL, revision INTEGER NOT NULL,
  chunks INTEGER NOT NULL, embedded INTEGER NOT NULL, outcome TEXT NOT NULL, indexed_ms INTEGER NOT NULL,
  lacking INTEGER NOT NULL, cause TEXT NOT NULL, detail TEXT NOT NULL,
  PRIMARY KEY (doc, generation)
) WITHOUT ROWID;
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open for writing, creating it when it is not there. Raises FolioError for a file that is not ours.

    A ledger of an older schema is moved aside: the log holds all that it knew, and fills the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if older := outdated(path):
        _move_aside(path, older)
    db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        _check(db, path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_size_limit = 67108864")
        db.execute("PRAGMA cache_size = -16384")
    except sqlite3.DatabaseError as error:
        db.close()
        raise FolioError(f"{path}: not a ledger that folio can open ({error}): move it away, it is rebuilt") from error
    except FolioError:
        db.close()
        raise
    return db


def outdated(path: Path) -> int | None:
    """The schema of a ledger that an older folio wrote; None for any other file, or none."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True, timeout=5)) as db:
            (application,) = db.execute("PRAGMA application_id").fetchone()
            (version,) = db.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError:
        return None
    return version if application == APPLICATION_ID and 0 < version < SCHEMA_VERSION else None


def _move_aside(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path, timeout=30)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what lies beside it goes into it
    path.replace(path.with_name(f"{path.name}.schema-{version}"))
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)


def _check(db: sqlite3.Connection, path: Path) -> None:
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if not tables and not application:
        db.executescript(
            f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    elif application != APPLICATION_ID:
        raise FolioError(f"{path}: a SQLite file, but not a ledger of folio: name another place")
    elif version != SCHEMA_VERSION:
        raise FolioError(
            f"{path}: a ledger of schema {version}, this folio writes {SCHEMA_VERSION}:"
            " use the folio that wrote it, or move the file away and it is rebuilt from the log"
        )


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. A disk that is full or away is Transient: the stage waits and repeats."""
    try:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise Transient(Cause.DISK_FULL, f"ledger: {error}") from error
        if code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN}:
            raise Transient(Cause.STORE_DOWN, f"ledger: {error}") from error
        raise
