"""The embedded log: one SQLite file, one owner process, many asyncio tasks; the Log port without a broker.

Concurrent appends, commits and attempts travel together in one transaction (group commit) on the writer's thread, and
are acknowledged when it is on disk. A reader learns of new entries in memory: waiting costs nothing. Values over
64 KiB lie in the blob store and the row keeps their hash.
"""

import asyncio
import json
import sqlite3
import time
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from folio.batching import Batcher
from folio.blobs import Blobs
from folio.errors import Cause, FolioError, Gone, LeaseLost, Permanent
from folio.log import Entry, Lease, Offset, Position, Record
from folio.telemetry import log as lines
from folio.topics import BY_NAME, Topic
from infra import sqlite_files as files
from infra import sqlite_groups as groups
from infra.sqlite_files import Found, Lane

T = TypeVar("T")
INLINE_BYTES_MAX = 64 << 10
VALUE_BYTES_MAX = 1 << 30
BLOB_HEADER = "folio-blob"
"""A record whose header names a blob keeps that blob from being swept for as long as the record is kept."""


class SqliteLog:
    """A Log in one file. Make one with `open`."""

    def __init__(self, path: Path, blobs: Blobs, *, partitions: int, keep_s: Mapping[str, float] | None) -> None:
        """Private: takes over the file. The number of partitions counts only when the file is made."""
        self._path = path
        self._blobs = blobs
        self._writer_db, self._reader_db, self._partitions = files.open_file(path, partitions)
        self._writing = ThreadPoolExecutor(1, "log-writer")
        self._reading = ThreadPoolExecutor(1, "log-reader")
        self._writes: Batcher[tuple[files.Job, Callable[[Any], None]], Any] = Batcher(self._write_all)
        self._keep_s: dict[str, float | None] = {name: topic.keep_s for name, topic in BY_NAME.items()}
        self._keep_s.update(keep_s or {})
        self._lanes: dict[str, list[Lane]] = {}
        self._readers: set[SqliteReader] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, blobs: Blobs, *, partitions: int = 1, keep_s: Mapping[str, float] | None = None
    ) -> AsyncIterator["SqliteLog"]:
        """Open or make the file; `keep_s` by topic name overrides how long a topic's entries are kept.

        Raises FolioError when the file is damaged, foreign, or of another folio's format.
        """
        log = await asyncio.to_thread(cls, path, blobs, partitions=partitions, keep_s=keep_s)
        try:
            yield log
        finally:
            await log._close()

    @property
    def value_bytes_max(self) -> int:
        return VALUE_BYTES_MAX

    async def append(self, topic: Topic, records: Sequence[Record]) -> Sequence[Position]:
        """Append in order; returns when durable. Raises Transient(disk_full), and then nothing was appended."""
        lanes = await self._lanes_of(topic)
        rows = [(lanes[partition_of(record.key, len(lanes))], await self._row(record)) for record in records]

        def visible(offsets: list[int]) -> None:
            for (lane, _), offset in zip(rows, offsets, strict=True):
                lane.next = max(lane.next, offset + 1)
            self._tell(topic.name)

        offsets = await self._write(partial(files.append, rows=rows), visible)
        return [Position(topic.name, lane.partition, offset) for (lane, _), offset in zip(rows, offsets, strict=True)]

    @asynccontextmanager
    async def reader(self, topics: Sequence[Topic], group: str | None) -> AsyncIterator["SqliteReader"]:
        """Join a group, taking its partitions over from the reader that has them; None follows alone."""
        lanes = [lane for topic in topics for lane in await self._lanes_of(topic)]
        reader = SqliteReader(self, lanes, group)
        if group is not None:
            await self._write(partial(groups.join, group=group, lanes=lanes), reader._joined)
        else:
            reader._at = await self._read(partial(files.oldest, lanes=lanes))
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            reader._lose({lane.id for lane in lanes})

    async def fetch(self, position: Position) -> Entry:
        """One entry again; raises Gone when it expired, was compacted away or its blob is lost."""
        query = partial(files.get, topic=position.topic, partition=position.partition, offset=position.offset)
        found = await self._read(query)
        if found is None:
            raise Gone(f"{position}: expired or compacted away")
        value = found.value if found.value is not None else await self._blobs.get(found.blob or "")
        return _entry(position, found, value)

    async def rewind(self, group: str, topic: Topic, to: Offset | datetime) -> None:
        """Set what a group without live readers reads next, in every partition; an offset is cut to what is kept."""
        lanes = await self._lanes_of(topic)
        self._refuse_while_read(group, lanes)
        offset, since_ms = (None, int(to.timestamp() * 1000)) if isinstance(to, datetime) else (to, 0)
        await self._write(partial(groups.move, group=group, lanes=lanes, offset=offset, since_ms=since_ms))

    async def is_read(self, group: str) -> bool:
        return any(reader.group == group for reader in self._readers)

    async def lag(self, group: str, topic: Topic) -> int:
        lanes = await self._lanes_of(topic)
        return sum([await self._read(partial(groups.count_behind, group=group, lane=lane)) for lane in lanes])

    async def spans(self, topic: Topic) -> Mapping[int, tuple[Offset, Offset]]:
        lanes = await self._lanes_of(topic)
        first = await self._read(partial(files.oldest, lanes=lanes))
        return {lane.partition: (first[lane.id], lane.next) for lane in lanes}

    async def committed(self, group: str, topic: Topic) -> Mapping[int, Offset]:
        lanes = await self._lanes_of(topic)
        return await self._read(partial(groups.committed, group=group, lanes=lanes))

    async def accept_gap(self, group: str, topic: Topic) -> Mapping[int, int]:
        lanes = await self._lanes_of(topic)
        self._refuse_while_read(group, lanes)
        return await self._write(partial(groups.accept_gap, group=group, lanes=lanes))

    async def housekeep(self) -> None:
        """Delete what is too old, compact, give the disk back. In small steps: appends go between them.

        The newest record of a key of a compacted topic always stays, read or not; offsets never change.
        """
        await self._on_file(files.checkpoint)  # on a full disk this makes the room that deleting needs
        now_ms = time.time_ns() // 1_000_000
        for lane in await self._read(files.all_lanes):
            keep_s = self._keep_s.get(lane.topic)
            if lane.compact:
                await self._in_steps(partial(files.compact, lane=lane))
            elif keep_s is not None:
                await self._in_steps(partial(files.expire, lane=lane, before_ms=now_ms - int(keep_s * 1000)))
        while await self._on_file(files.give_back):
            pass
        await self._on_file(files.checkpoint)

    async def referenced_blobs(self) -> set[str]:
        """Hashes of all blobs that a kept entry needs: its value, or what its `folio-blob` header names."""
        query = "SELECT DISTINCT blob FROM entries WHERE blob IS NOT NULL"
        return {blob for (blob,) in await self._read(lambda db: db.execute(query).fetchall())}

    async def _in_steps(self, step: files.Job) -> None:
        while await self._write(step) == files.STEP_ROWS:
            pass

    async def _row(self, record: Record) -> files.Row:
        size = len(record.value)
        if size > VALUE_BYTES_MAX:
            raise Permanent(Cause.TOO_LARGE, f"a record of {size} bytes; the log takes {VALUE_BYTES_MAX}")
        headers = json.dumps(dict(record.headers)) if record.headers else None
        if size > INLINE_BYTES_MAX:
            return record.key, None, await self._blobs.put(record.value), headers, size
        return record.key, record.value, record.headers.get(BLOB_HEADER), headers, size

    async def _lanes_of(self, topic: Topic) -> list[Lane]:
        if topic.name not in self._lanes:
            self._keep_s.setdefault(topic.name, topic.keep_s)
            make = partial(
                files.lanes_of, topic=topic.name, partitions=self._partitions, compact=topic.cleanup == "compact"
            )
            lanes = await self._write(make)
            self._lanes.setdefault(topic.name, lanes)
        return self._lanes[topic.name]

    def _refuse_while_read(self, group: str, lanes: Sequence[Lane]) -> None:
        if any(reader.group == group and reader._holds(lanes) for reader in self._readers):
            raise FolioError(f"group {group} is being read: stop its stage before moving it")

    def _tell(self, topic: str) -> None:
        for reader in self._readers:
            if topic in reader.topics:
                reader._news.set()

    def _taken(self, by: "SqliteReader", lanes: set[int]) -> None:
        for reader in self._readers:
            if reader is not by and reader.group == by.group:
                reader._lose(lanes)

    async def _write(self, job: Callable[..., T], then: Callable[[T], None] = lambda _: None) -> T:
        """Run one job in the next transaction; `then` is called when it is durable, even if the caller is gone."""
        outcome = await self._writes((job, then))
        if isinstance(outcome, FolioError):
            raise outcome
        return outcome  # type: ignore[no-any-return]  # a batch mixes jobs, so its outcomes are Any

    async def _write_all(self, jobs: Sequence[tuple[files.Job, Callable[[Any], None]]]) -> Sequence[Any]:
        run = partial(files.write, self._writer_db, self._path, [job for job, _ in jobs])
        outcomes = await asyncio.get_running_loop().run_in_executor(self._writing, run)
        for (_, then), outcome in zip(jobs, outcomes, strict=True):
            if not isinstance(outcome, FolioError):
                then(outcome)
        return outcomes

    async def _on_file(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """On the writer's thread, in no transaction."""
        return await self._run(self._writing, self._writer_db, work)

    async def _read(self, query: Callable[..., T]) -> T:
        return await self._run(self._reading, self._reader_db, query)

    async def _run(self, thread: ThreadPoolExecutor, db: sqlite3.Connection, work: Callable[..., T]) -> T:
        def run() -> T:
            with files.plain_errors(self._path):
                return work(db)

        return await asyncio.get_running_loop().run_in_executor(thread, run)

    async def _close(self) -> None:
        await self._writes.drain()
        for thread in (self._reading, self._writing):
            await asyncio.to_thread(thread.shutdown)
        self._reader_db.close()
        self._writer_db.close()


class SqliteReader:
    """One member of a group, or a follower."""

    def __init__(self, log: SqliteLog, lanes: Sequence[Lane], group: str | None) -> None:
        self.group = group
        self._name = group or ""
        self.topics = frozenset(lane.topic for lane in lanes)
        self._log = log
        self._lanes = {lane.id: lane for lane in lanes}
        self._at = dict.fromkeys(self._lanes, 0)
        self._leases: dict[int, Lease] = {}
        self._attempts: dict[int, int] = {}
        self._turn = 0
        self._news = asyncio.Event()

    async def read(self, *, entries_max: int, bytes_max: int, wait_s: float) -> Sequence[Entry]:
        """Next entries, at least one if there is one, else empty after `wait_s` of quiet.

        Raises Gone when retention removed entries before they were read: nothing is skipped in silence.
        A value whose blob is lost or damaged comes as empty bytes: one entry fails, not the stage.
        """
        deadline = time.monotonic() + wait_s
        while True:
            self._news.clear()
            wants = self._wants()
            if wants:
                if entries := await self._take(wants, entries_max, bytes_max):
                    return entries
            elif (left := deadline - time.monotonic()) <= 0:
                return ()
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), left)

    def held(self) -> frozenset[Lease]:
        return frozenset(self._leases.values())

    async def started(self, entries: Sequence[Entry]) -> None:
        """Put attempt `entry.attempt + 1` of each on record. Raises LeaseLost and changes nothing if one is stale."""
        counts, epochs = {}, {}
        for entry in entries:
            lane = self._lane(entry.lease)
            counts[lane.start + entry.position.offset] = entry.attempt + 1
            epochs[lane.id] = self._leases[lane.id].epoch
        await self._write(partial(groups.count_attempts, group=self._name, counts=counts, epochs=epochs))

    async def commit(self, positions: Mapping[Lease, Offset]) -> None:
        """Record the next offset to read, durably. Raises LeaseLost and changes nothing if a lease is stale."""
        due = {self._lane(lease).id: (lease.epoch, offset) for lease, offset in positions.items()}
        await self._write(partial(groups.commit, group=self._name, positions=due))

    async def _write(self, job: files.Job) -> None:
        try:
            await self._log._write(job)
        except LeaseLost:
            self._lose(set(self._lanes))  # a takeover takes all
            raise

    def _lane(self, lease: Lease | None) -> Lane:
        for lane, held in self._leases.items():
            if held == lease:
                return self._lanes[lane]
        raise LeaseLost(f"group {self.group}: {lease} is not held any more")

    def _wants(self) -> list[tuple[Lane, Offset, Offset]]:
        """Lanes with something to read, beginning with another one each time."""
        open_to_us = [lane for lane in self._lanes.values() if self.group is None or lane.id in self._leases]
        behind = [(lane, self._at[lane.id], lane.next) for lane in open_to_us if self._at[lane.id] < lane.next]
        self._turn += 1
        first = self._turn % max(1, len(behind))
        return behind[first:] + behind[:first]

    async def _take(
        self, wants: list[tuple[Lane, Offset, Offset]], entries_max: int, bytes_max: int
    ) -> Sequence[Entry]:
        query = partial(files.take, wants=wants, entries_max=entries_max, bytes_max=bytes_max)
        try:
            found, reached = await self._log._read(query)
        except Gone as error:
            raise Gone(f"group {self.group}, {error}") from None
        values = [row.value if row.value is not None else await self._value(row) for row in found]
        # From here on nothing waits, so a cancelled read has moved nothing.
        entries = []
        for row, value in zip(found, values, strict=True):
            lease = self._leases.get(row.lane)
            if self.group is None or lease is not None:
                attempt = self._attempts.pop((row.lane << files.OFFSET_BITS) + row.offset, 0)
                lane = self._lanes[row.lane]
                position = Position(lane.topic, lane.partition, row.offset)
                entries.append(_entry(position, row, value, lease=lease, attempt=attempt))
        self._at.update(reached)
        return entries

    async def _value(self, row: Found) -> bytes:
        try:
            return await self._log._blobs.get(row.blob or "")
        except (Gone, Permanent) as error:
            lines().error(
                "value lost", topic=self._lanes[row.lane].topic, offset=row.offset, key=row.key, why=str(error)
            )
            return b""

    def _joined(self, joined: tuple[dict[int, tuple[Offset, int]], dict[int, int]]) -> None:
        taken, self._attempts = joined
        for lane_id, (following, epoch) in taken.items():
            lane = self._lanes[lane_id]
            self._at[lane_id] = following
            self._leases[lane_id] = Lease(lane.topic, lane.partition, epoch)
        self._log._taken(self, set(taken))

    def _lose(self, lanes: set[int]) -> None:
        for lane in lanes:
            self._leases.pop(lane, None)
        self._news.set()

    def _holds(self, lanes: Sequence[Lane]) -> bool:
        return any(lane.id in self._leases for lane in lanes)


def partition_of(key: str, partitions: int) -> int:
    return zlib.crc32(key.encode()) % partitions


def _entry(position: Position, row: Found, value: bytes, *, lease: Lease | None = None, attempt: int = 0) -> Entry:
    return Entry(
        position=position,
        key=row.key,
        value=value,
        headers=json.loads(row.headers) if row.headers else {},
        appended_ms=row.appended_ms,
        lease=lease,
        attempt=attempt,
    )
