"""A topic up to where it ended at one moment: everything that it holds, and a Log whose readers stop there."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from folio.errors import Transient
from folio.log import Entry, Lease, Log, Offset, Position, Reader, Record
from folio.telemetry import log as logger
from folio.topics import Topic
from infra.counted import Counted

ENTRIES_MAX = 256
BYTES_MAX = 16 << 20
QUIET_S = 30.0
"""Where nothing came for so long nothing will: markers that a broker keeps for itself take offsets, too."""


async def held(log: Log, topic: Topic, *, quiet_s: float = QUIET_S) -> AsyncGenerator[Sequence[Entry], None]:
    """What a topic holds now, partition by partition in order. What is appended meanwhile is left out."""
    left = {partition: end for partition, (first, end) in (await log.spans(topic)).items() if first < end}
    if not left:
        return
    ends = dict(left)
    async with log.reader([topic], None) as reader:
        while left and (entries := await reader.read(entries_max=ENTRIES_MAX, bytes_max=BYTES_MAX, wait_s=quiet_s)):
            for entry in entries:
                _cross_off(left, entry)
            yield [one for one in entries if one.position.offset < ends.get(one.position.partition, 0)]


def _cross_off(left: dict[int, Offset], entry: Entry) -> None:
    at = entry.position
    if at.offset + 1 >= left.get(at.partition, at.offset + 2):
        del left[at.partition]


class Bounded:
    """A Log of one topic that ends at `left`, by partition. `finished` is set when a group has committed all of it.

    `counted` hears what is handed out and what is committed.
    """

    def __init__(
        self, log: Log, left: Mapping[int, Offset], *, counted: Counted | None = None, quiet_s: float = QUIET_S
    ) -> None:
        self.finished = asyncio.Event()
        self._counted = counted
        self._reader: Reader | None = None
        self._log = log
        self._ends = dict(left)
        self._left = dict(left)
        self._open: dict[Lease, Offset] = {}
        """What was handed out and is not committed: the next offset after it, by lease."""
        self._quiet_s = quiet_s
        self._heard_s = time.monotonic()
        self._look()

    @property
    def value_bytes_max(self) -> int:
        return self._log.value_bytes_max

    async def append(self, topic: Topic, records: Sequence[Record]) -> Sequence[Position]:
        return await self._log.append(topic, records)

    @asynccontextmanager
    async def reader(self, topics: Sequence[Topic], group: str | None) -> AsyncIterator[Reader]:
        async with self._log.reader(topics, group) as self._reader:
            yield BoundedReader(self._reader, self)

    @property
    def waits(self) -> bool:
        """It was given nothing to read yet: another member of the group has it, perhaps one that was killed."""
        return self._reader is None or not self._reader.held()

    async def fetch(self, position: Position) -> Entry:
        return await self._log.fetch(position)

    async def rewind(self, group: str, topic: Topic, to: Offset | datetime) -> None:
        await self._log.rewind(group, topic, to)

    async def lag(self, group: str, topic: Topic) -> int:
        return await self._log.lag(group, topic)

    async def is_read(self, group: str) -> bool:
        return await self._log.is_read(group)

    async def spans(self, topic: Topic) -> Mapping[int, tuple[Offset, Offset]]:
        return await self._log.spans(topic)

    async def committed(self, group: str, topic: Topic) -> Mapping[int, Offset]:
        return await self._log.committed(group, topic)

    async def accept_gap(self, group: str, topic: Topic) -> Mapping[int, int]:
        return await self._log.accept_gap(group, topic)

    def within(self, entries: Sequence[Entry], held: frozenset[Lease]) -> list[Entry]:
        """Those before the end; what comes after it is let go, and shows that the end was reached."""
        mine = [one for one in entries if one.position.offset < self._ends.get(one.position.partition, 0)]
        for entry in entries:
            _cross_off(self._left, entry)
        for entry in mine:
            if entry.lease is not None:
                self._open[entry.lease] = entry.position.offset + 1
        if self._counted is not None:
            self._counted.was_handed(mine)
        self._listen(entries, held)
        self._look()
        return mine

    def is_due(self, positions: Mapping[Lease, Offset]) -> None:
        if self._counted is not None:
            self._counted.is_due(positions)

    def was_committed(self, positions: Mapping[Lease, Offset]) -> None:
        if self._counted is not None:
            self._counted.was_committed(positions)
        for lease, offset in positions.items():
            if offset >= self._open.get(lease, offset + 1):
                del self._open[lease]
        self._look()

    def lost(self, held: frozenset[Lease]) -> None:
        """What was handed out under leases that we no longer hold is read again, by whoever has them now."""
        for lease in self._open.keys() - held:
            del self._open[lease]
            self._left[lease.partition] = self._ends[lease.partition]

    def was_away(self) -> None:
        """A log that does not answer is not quiet: what it still has comes when it is back."""
        self._heard_s = time.monotonic()

    def _listen(self, entries: Sequence[Entry], held: frozenset[Lease]) -> None:
        """Quiet counts only while everything that is left is ours to read."""
        now = time.monotonic()
        if entries or self._open or not self._left.keys() <= {lease.partition for lease in held}:
            self._heard_s = now
        elif now - self._heard_s > self._quiet_s:
            logger().warning("quiet before the end", left=str(self._left))
            self._left.clear()

    def _look(self) -> None:
        if not self._left and not self._open:
            self.finished.set()


class BoundedReader:
    """A reader that sees nothing from the end on."""

    def __init__(self, reader: Reader, of: Bounded) -> None:
        self._reader = reader
        self._of = of

    async def read(self, *, entries_max: int, bytes_max: int, wait_s: float) -> Sequence[Entry]:
        self._of.lost(self._reader.held())
        try:
            found = await self._reader.read(entries_max=entries_max, bytes_max=bytes_max, wait_s=wait_s)
        except Transient:
            self._of.was_away()
            raise
        return self._of.within(found, self._reader.held())

    def held(self) -> frozenset[Lease]:
        return self._reader.held()

    async def started(self, entries: Sequence[Entry]) -> None:
        await self._reader.started(entries)

    async def commit(self, positions: Mapping[Lease, Offset]) -> None:
        self._of.is_due(positions)
        await self._reader.commit(positions)
        self._of.was_committed(positions)
