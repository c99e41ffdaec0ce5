"""The file behind the embedded log: its schema, every statement that runs on it, and its errors in plain words.

An entry's row id `at` is its lane (one partition of one topic) and its offset in one integer, so a partition is
one range of the table, appended at its end. Everything here is synchronous and is called from two threads only: the
writer's, inside the one transaction of a batch, and the reader's.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import Any

from folio.errors import Cause, FolioError, Gone, Transient
from folio.faults import effect
from infra.folder_blobs import sync

APPLICATION = 0x666F6C69
SCHEMA = 1
OFFSET_BITS = 40
PAGE_BYTES = 8192
WAL_BYTES_MAX = 64 << 20
"""Beyond this the writer waits for readers to leave and empties the write-ahead log; SQLite alone only tries."""
STEP_ROWS = 500
STEP_PAGES = 256
"""Housekeeping works in steps of this size, and appends go between them."""
SPARE_BYTES = 1 << 20

_TABLES = (
    "CREATE TABLE made (partitions INTEGER NOT NULL)",
    """CREATE TABLE lanes (
        lane INTEGER PRIMARY KEY, topic TEXT NOT NULL, part INTEGER NOT NULL, compact INTEGER NOT NULL,
        first INTEGER NOT NULL DEFAULT 0, next INTEGER NOT NULL DEFAULT 0, appended_ms INTEGER NOT NULL DEFAULT 0,
        compacted INTEGER NOT NULL DEFAULT 0, UNIQUE (topic, part))""",
    # The value comes last: a scan of what stands before it reads no overflow pages. NULL: it lies in the blob.
    """CREATE TABLE entries (
        at INTEGER PRIMARY KEY, appended_ms INTEGER NOT NULL, size INTEGER NOT NULL, compact INTEGER NOT NULL,
        blob TEXT, key TEXT NOT NULL, headers TEXT, value BLOB)""",
    "CREATE INDEX by_key ON entries (key, at) WHERE compact = 1",
    "CREATE INDEX by_blob ON entries (blob) WHERE blob IS NOT NULL",
    """CREATE TABLE positions (
        grp TEXT NOT NULL, lane INTEGER NOT NULL, next INTEGER NOT NULL, epoch INTEGER NOT NULL,
        PRIMARY KEY (grp, lane)) WITHOUT ROWID""",
    """CREATE TABLE attempts (
        grp TEXT NOT NULL, at INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (grp, at)) WITHOUT ROWID""",
)

Job = Callable[[sqlite3.Connection], Any]
Row = tuple[str, bytes | None, str | None, str | None, int]
"""What an append brings: key, value (None: in the blob), blob, headers, size."""


@dataclass(slots=True)
class Lane:
    """One partition of one topic, and the next offset that readers may see."""

    id: int
    topic: str
    partition: int
    compact: bool
    next: int

    @property
    def start(self) -> int:
        return self.id << OFFSET_BITS


@dataclass(frozen=True, slots=True)
class Found:
    """A row that was read: its value, or the blob that holds it."""

    lane: int
    offset: int
    appended_ms: int
    size: int
    blob: str | None
    key: str
    headers: str | None
    value: bytes | None


# Opening, and errors. ---------------------------------------------------------------------------------


def open_file(path: Path, partitions: int) -> tuple[sqlite3.Connection, sqlite3.Connection, int]:
    """A connection that writes, one that reads, and the number of partitions that the file was made with."""
    with plain_errors(path):
        writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        try:
            _prepare(writer, path, partitions)
            (made,) = writer.execute("SELECT partitions FROM made").fetchone()
            reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
            reader.execute("PRAGMA query_only = ON")
        except BaseException:
            writer.close()
            raise
    return writer, reader, made


def _prepare(db: sqlite3.Connection, path: Path, partitions: int) -> None:
    is_new = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if is_new:
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only counts before the first table
        db.execute("VACUUM")
    elif _pragma(db, "application_id") != APPLICATION:
        raise FolioError(f"{path}: this is not a folio log. Choose another --data folder, or move the file away.")
    elif _pragma(db, "user_version") != SCHEMA:
        raise FolioError(
            f"{path}: this log has format {_pragma(db, 'user_version')}, this folio knows {SCHEMA}. "
            "Use the folio that wrote it, or start with a new --data folder."
        )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
    if is_new:
        _create(db, partitions)
        sync(path.parent)


def _create(db: sqlite3.Connection, partitions: int) -> None:
    db.execute("BEGIN IMMEDIATE")
    for table in _TABLES:
        db.execute(table)
    db.execute("INSERT INTO made VALUES (?)", (partitions,))
    db.execute(f"PRAGMA application_id = {APPLICATION}")
    db.execute(f"PRAGMA user_version = {SCHEMA}")
    with effect("log.create"):
        db.execute("COMMIT")


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """SQLite's errors as ours: Transient(disk_full), or a sentence that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: sqlite3.Error) -> FolioError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and disk_usage(path.parent).free < SPARE_BYTES):
        return Transient(Cause.DISK_FULL, f"{path.parent}: no space left; nothing acknowledged is lost")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return FolioError(f"{path}: the log's file is damaged ({error}). Restore it from a backup, or move it away.")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY):
        return FolioError(f"{path}: cannot be opened for writing ({error}). Check the folder and its permissions.")
    return FolioError(f"{path}: {error}")


# Writing. Each function is one job of a batch; it raises FolioError only before it has changed anything. ----


def write(db: sqlite3.Connection, path: Path, jobs: Sequence[Job]) -> list[Any]:
    """Run jobs in one transaction, durable on return. A job's FolioError is its outcome; anything else fails all."""
    with plain_errors(path):
        db.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [_outcome(db, job) for job in jobs]
            with effect("log.write"):
                db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    with suppress(OSError, sqlite3.Error):  # the batch is durable, whatever becomes of this
        if Path(f"{path}-wal").stat().st_size > WAL_BYTES_MAX:
            checkpoint(db)
    return outcomes


def _outcome(db: sqlite3.Connection, job: Job) -> Any:
    try:
        return job(db)
    except FolioError as error:
        return error


def lanes_of(db: sqlite3.Connection, topic: str, *, partitions: int, compact: bool) -> list[Lane]:
    """The topic's lanes in order of partition, made if they are new."""
    rows = [(topic, part, int(compact)) for part in range(partitions)]
    db.executemany("INSERT OR IGNORE INTO lanes (topic, part, compact) VALUES (?, ?, ?)", rows)
    return [lane for lane in all_lanes(db) if lane.topic == topic]


def all_lanes(db: sqlite3.Connection) -> list[Lane]:
    found = db.execute("SELECT lane, topic, part, compact, next FROM lanes ORDER BY topic, part")
    return [Lane(lane, topic, part, bool(compact), following) for lane, topic, part, compact, following in found]


def append(db: sqlite3.Connection, rows: Sequence[tuple[Lane, Row]]) -> list[int]:
    """Append in order; returns offsets. Time never goes back within a lane."""
    now_ms = time.time_ns() // 1_000_000
    ends: dict[int, list[int]] = {}
    offsets, ready = [], []
    for lane, (key, value, blob, headers, size) in rows:
        end = ends.get(lane.id)
        if end is None:
            following, last_ms = db.execute("SELECT next, appended_ms FROM lanes WHERE lane = ?", (lane.id,)).fetchone()
            end = ends[lane.id] = [following, max(now_ms, last_ms)]
        ready.append((lane.start + end[0], end[1], size, int(lane.compact), blob, key, headers, value))
        offsets.append(end[0])
        end[0] += 1
    db.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", ready)
    ended = [(*end, lane) for lane, end in ends.items()]
    db.executemany("UPDATE lanes SET next = ?, appended_ms = ? WHERE lane = ?", ended)
    return offsets


# Reading. -----------------------------------------------------------------------------------------------


def take(
    db: sqlite3.Connection, wants: Sequence[tuple[Lane, int, int]], *, entries_max: int, bytes_max: int
) -> tuple[list[Found], dict[int, int]]:
    """Read on from (lane, offset, end), each lane its share; returns rows and how far each lane was read.

    At least one row if there is one. Raises Gone when retention came first. One snapshot, never left open.
    """
    found: list[Found] = []
    reached: dict[int, int] = {}
    db.execute("BEGIN")
    try:
        for nth, (lane, offset, end) in enumerate(wants):
            (first,) = db.execute("SELECT first FROM lanes WHERE lane = ?", (lane.id,)).fetchone()
            if first > offset:
                raise Gone(
                    f"topic {lane.topic}: {first - offset} entries were deleted because of their age before they were "
                    f"read. folio replay --topic {lane.topic} --group NAME --accept-gap goes on with what is left"
                )
            share = -(-(entries_max - len(found)) // (len(wants) - nth))
            reached[lane.id], bytes_max = _read_lane(
                db, found, (lane, offset, end), entries_max=share, bytes_max=bytes_max
            )
            if bytes_max <= 0 or len(found) >= entries_max:
                break
    finally:
        db.execute("END")  # of a snapshot: nothing was written
    return found, reached


def _read_lane(
    db: sqlite3.Connection, found: list[Found], want: tuple[Lane, int, int], *, entries_max: int, bytes_max: int
) -> tuple[int, int]:
    """Add rows to `found`; returns the offset reached and the bytes left (none left when a row had to wait)."""
    lane, offset, end = want
    columns = "at, appended_ms, size, blob, key, headers, value"
    query = f"SELECT {columns} FROM entries WHERE at >= ? AND at < ? ORDER BY at LIMIT ?"  # noqa: S608  # our own words
    taken = 0
    with closing(db.execute(query, (lane.start + offset, lane.start + end, entries_max))) as rows:
        for at, appended_ms, size, *rest in rows:
            if found and size > bytes_max:
                return offset, 0
            bytes_max -= size
            taken += 1
            offset = at - lane.start + 1
            found.append(Found(lane.id, offset - 1, appended_ms, size, *rest))
    return (offset if taken == entries_max else end), bytes_max


def get(db: sqlite3.Connection, topic: str, partition: int, *, offset: int) -> Found | None:
    query = (
        "SELECT lane, e.appended_ms, size, blob, key, headers, value FROM lanes JOIN entries AS e "
        "ON at = (lane << ?) + ? WHERE topic = ? AND part = ?"
    )
    row = db.execute(query, (OFFSET_BITS, offset, topic, partition)).fetchone()
    return Found(row[0], offset, *row[1:]) if row else None


def oldest(db: sqlite3.Connection, lanes: Sequence[Lane]) -> dict[int, int]:
    """The first offset that is kept, by lane."""
    query = "SELECT first FROM lanes WHERE lane = ?"
    return {lane.id: db.execute(query, (lane.id,)).fetchone()[0] for lane in lanes}


# Housekeeping, in steps. ------------------------------------------------------------------------------


def expire(db: sqlite3.Connection, lane: Lane, before_ms: int) -> int:
    """Delete the oldest entries appended before a time; returns how many, STEP_ROWS when there may be more."""
    query = "SELECT at, appended_ms FROM entries WHERE at >= ? AND at < ? ORDER BY at LIMIT ?"
    rows = db.execute(query, (lane.start, lane.start + (1 << OFFSET_BITS), STEP_ROWS)).fetchall()
    old = [at for at, appended_ms in rows if appended_ms < before_ms]
    if old:
        db.execute("DELETE FROM entries WHERE at >= ? AND at <= ?", (lane.start, old[-1]))
        db.execute("DELETE FROM attempts WHERE at >= ? AND at <= ?", (lane.start, old[-1]))
        db.execute("UPDATE lanes SET first = ? WHERE lane = ?", (old[-1] - lane.start + 1, lane.id))
    return len(old)


def compact(db: sqlite3.Connection, lane: Lane) -> int:
    """Take in the next entries and delete what they replace; returns how many, STEP_ROWS when there may be more."""
    (done,) = db.execute("SELECT compacted FROM lanes WHERE lane = ?", (lane.id,)).fetchone()
    query = "SELECT at FROM entries WHERE at >= ? AND at < ? ORDER BY at LIMIT ?"
    fresh = db.execute(query, (lane.start + done, lane.start + (1 << OFFSET_BITS), STEP_ROWS)).fetchall()
    if fresh:
        db.execute(
            "DELETE FROM entries WHERE at IN (SELECT old.at FROM entries AS new CROSS JOIN entries AS old "
            "ON old.key = new.key AND old.compact = 1 AND old.at < new.at AND old.at >= ? "
            "WHERE new.at >= ? AND new.at <= ?)",
            (lane.start, fresh[0][0], fresh[-1][0]),
        )
        db.execute("UPDATE lanes SET compacted = ? WHERE lane = ?", (fresh[-1][0] - lane.start + 1, lane.id))
    return len(fresh)


def give_back(db: sqlite3.Connection) -> bool:
    """Return some free pages to the file system; True when there are more."""
    free = _pragma(db, "freelist_count")
    if free:
        with effect("log.vacuum"):  # a script, because execute() steps once and frees one page
            db.executescript(f"PRAGMA incremental_vacuum({STEP_PAGES})")
    return 0 < _pragma(db, "freelist_count") < free


def checkpoint(db: sqlite3.Connection) -> None:
    """Copy the write-ahead log into the file and empty it."""
    with effect("log.checkpoint"):
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
