"""A Log in memory: as wide as the port and no wider, for tests of what stands on it."""

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime

from folio.errors import Cause, Gone, LeaseLost, Permanent
from folio.log import Entry, Lease, Offset, Position, Record
from folio.topics import Topic

Part = tuple[str, int]


class MemoryLog:
    """Everything is durable until the object goes. `forget` plays retention."""

    value_bytes_max = 1 << 20

    def __init__(self, *, partitions: int = 1) -> None:
        self.partitions = partitions
        self.entries: dict[Part, list[Entry | None]] = {}
        self.committed_at: dict[tuple[str, Part], Offset] = {}
        self.attempts: dict[tuple[str, Position], int] = {}
        self._first: dict[Part, Offset] = {}
        self._epochs: dict[tuple[str, Part], int] = {}
        self._readers: set[MemoryReader] = set()

    def _parts(self, topic: Topic) -> list[Part]:
        parts = [(topic.name, partition) for partition in range(self.partitions)]
        for part in parts:
            self.entries.setdefault(part, [])
        return parts

    async def append(self, topic: Topic, records: Sequence[Record]) -> Sequence[Position]:
        if any(len(record.value) > self.value_bytes_max for record in records):
            raise Permanent(Cause.TOO_LARGE, "a record over value_bytes_max")
        await asyncio.sleep(0)
        parts, positions = self._parts(topic), []
        now_ms = time.time_ns() // 1_000_000
        for record in records:
            part = parts[zlib.crc32(record.key.encode()) % self.partitions]
            last = self.entries[part][-1] if self.entries[part] else None
            position = Position(*part, len(self.entries[part]))
            appended_ms = max(now_ms, last.appended_ms if last else 0)
            self.entries[part].append(Entry(position, record.key, record.value, dict(record.headers), appended_ms))
            positions.append(position)
        for reader in self._readers:
            reader.news.set()
        return positions

    @asynccontextmanager
    async def reader(self, topics: Sequence[Topic], group: str | None) -> AsyncIterator["MemoryReader"]:
        reader = MemoryReader(self, [part for topic in topics for part in self._parts(topic)], group)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            reader.leases.clear()

    async def fetch(self, position: Position) -> Entry:
        for entry in self.entries.get((position.topic, position.partition), []):
            if entry is not None and entry.position == position:
                return entry
        raise Gone(str(position))

    async def rewind(self, group: str, topic: Topic, to: Offset | datetime) -> None:
        for part in self._parts(topic):
            entries = self.entries[part]
            since_ms = int(to.timestamp() * 1000) if isinstance(to, datetime) else 0
            late = (e.position.offset for e in entries if e and e.appended_ms >= since_ms)
            offset = next(late, len(entries)) if isinstance(to, datetime) else to
            self.committed_at[group, part] = min(max(offset, self._first.get(part, 0)), len(entries))

    async def is_read(self, group: str) -> bool:
        return any(reader.group == group for reader in self._readers)

    async def lag(self, group: str, topic: Topic) -> int:
        starts = {part: self.committed_at.get((group, part), 0) for part in self._parts(topic)}
        return sum(entry is not None for part, start in starts.items() for entry in self.entries[part][start:])

    async def spans(self, topic: Topic) -> Mapping[int, tuple[Offset, Offset]]:
        return {part[1]: (self._first.get(part, 0), len(self.entries[part])) for part in self._parts(topic)}

    async def committed(self, group: str, topic: Topic) -> Mapping[int, Offset]:
        known = {part[1]: self.committed_at.get((group, part)) for part in self._parts(topic)}
        return {partition: offset for partition, offset in known.items() if offset is not None}

    async def accept_gap(self, group: str, topic: Topic) -> Mapping[int, int]:
        lost = {}
        for part in self._parts(topic):
            first = self._first.get(part, 0)
            if (gap := first - self.committed_at.get((group, part), first)) > 0:
                lost[part[1]] = gap
                self.committed_at[group, part] = first
        return lost

    def forget(self, topic: Topic) -> None:
        """Delete every entry that there is."""
        for part in self._parts(topic):
            self._first[part] = len(self.entries[part])
            self.entries[part] = [None] * len(self.entries[part])


class MemoryReader:
    def __init__(self, log: MemoryLog, parts: Sequence[Part], group: str | None) -> None:
        self.log, self.group, self.news = log, group, asyncio.Event()
        self.parts = list(parts)
        self.leases: dict[Part, Lease] = {}
        self.at = {part: log._first.get(part, 0) for part in parts}
        for part in parts if group is not None else ():
            self.at[part] = log.committed_at.setdefault((group, part), self.at[part])
            epoch = log._epochs[group, part] = log._epochs.get((group, part), 0) + 1
            self.leases[part] = Lease(*part, epoch)
            for other in log._readers:
                if other.group == group:
                    other.leases.pop(part, None)

    async def read(self, *, entries_max: int, bytes_max: int, wait_s: float) -> Sequence[Entry]:
        deadline = time.monotonic() + wait_s
        await asyncio.sleep(0)
        while True:
            self.news.clear()
            if found := self._next(entries_max, bytes_max):
                return found
            if (left := deadline - time.monotonic()) <= 0:
                return ()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.news.wait(), left)

    def _next(self, entries_max: int, bytes_max: int) -> list[Entry]:
        found: list[Entry] = []
        self.parts.append(self.parts.pop(0))
        for part in [part for part in self.parts if self.group is None or part in self.leases]:
            if lost := max(0, self.log._first.get(part, 0) - self.at[part]):
                raise Gone(f"group {self.group}, topic {part[0]}: {lost} entries were deleted")
            for entry in self.log.entries[part][self.at[part] :]:
                if len(found) >= entries_max or (found and len(entry.value) > bytes_max):
                    return found
                attempt = self.log.attempts.get((self.group or "", entry.position), 0)
                found.append(replace(entry, lease=self.leases.get(part), attempt=attempt))
                bytes_max -= len(entry.value)
                self.at[part] += 1
        return found

    def held(self) -> frozenset[Lease]:
        return frozenset(self.leases.values())

    async def started(self, entries: Sequence[Entry]) -> None:
        await asyncio.sleep(0)
        self._fence(entry.lease for entry in entries)
        self.log.attempts.update({(self.group or "", entry.position): entry.attempt + 1 for entry in entries})

    async def commit(self, positions: Mapping[Lease, Offset]) -> None:
        await asyncio.sleep(0)
        self._fence(positions)
        for lease, offset in positions.items():
            part = (lease.topic, lease.partition)
            self.log.committed_at[self.group or "", part] = offset
            for before in range(offset):
                self.log.attempts.pop((self.group or "", Position(*part, before)), None)

    def _fence(self, leases) -> None:
        if any(lease not in self.leases.values() for lease in leases):
            raise LeaseLost(f"group {self.group}")
