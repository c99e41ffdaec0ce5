"""The Log port: a replayable, partitioned log with groups, leases and an honest commit."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from folio.topics import Topic

Headers = Mapping[str, str]
Offset = int


@dataclass(frozen=True, slots=True)
class Position:
    """Where an entry rests."""

    topic: str
    partition: int
    offset: Offset


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to commit one partition for one group; a later holder has a higher epoch."""

    topic: str
    partition: int
    epoch: int


FLAW = "folio-unreadable"
"""A header that a reader gives to an entry whose record could not be read, with the reason: it has no key and value."""


@dataclass(frozen=True, slots=True)
class Record:
    """Something to be appended. An empty value under a compacted topic is a value like any other."""

    key: str
    value: bytes
    headers: Headers = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record at rest. `attempt` counts the attempts on record before this read, 0 for a fresh entry."""

    position: Position
    key: str
    value: bytes
    headers: Headers
    appended_ms: int
    lease: Lease | None = None
    attempt: int = 0


class Reader(Protocol):
    """One member of a group. Reads move forward over everything not committed; commit is by partition."""

    async def read(self, *, entries_max: int, bytes_max: int, wait_s: float) -> Sequence[Entry]:
        """Next entries, at least one if there is one, else empty after `wait_s` of quiet."""
        ...

    def held(self) -> frozenset[Lease]:
        """Leases held now; work under any other lease is dropped."""
        ...

    async def started(self, entries: Sequence[Entry]) -> None:
        """Put attempt `entry.attempt + 1` of each on record, before work that may kill the process."""
        ...

    async def commit(self, positions: Mapping[Lease, Offset]) -> None:
        """Record the next offset to read, durably. Raises LeaseLost and changes nothing if a lease is stale."""
        ...


class Log(Protocol):
    """Two adapters, one contract: SQLite (embedded) and Kafka."""

    @property
    def value_bytes_max(self) -> int:
        """The largest value one record may have; what is larger travels as a blob and its hash."""
        ...

    async def append(self, topic: Topic, records: Sequence[Record]) -> Sequence[Position]:
        """Append in order; returns when durable. Transient(disk_full) when nothing could be written."""
        ...

    def reader(self, topics: Sequence[Topic], group: str | None) -> AbstractAsyncContextManager[Reader]:
        """Join a group; None follows alone, from the start, and commits nothing."""
        ...

    async def fetch(self, position: Position) -> Entry:
        """One entry again; raises Gone when it expired or was compacted away."""
        ...

    async def rewind(self, group: str, topic: Topic, to: Offset | datetime) -> None:
        """Set what a group without live readers reads next."""
        ...

    async def lag(self, group: str, topic: Topic) -> int:
        """Entries of the topic that the group has not committed."""
        ...

    async def is_read(self, group: str) -> bool:
        """Whether the group has a reader that lives; one that was killed counts until its session is over."""
        ...

    async def spans(self, topic: Topic) -> Mapping[int, tuple[Offset, Offset]]:
        """By partition: the first offset that is kept, and the next one that will be given."""
        ...

    async def committed(self, group: str, topic: Topic) -> Mapping[int, Offset]:
        """By partition: the next offset that the group reads. Where it never was, none."""
        ...

    async def accept_gap(self, group: str, topic: Topic) -> Mapping[int, int]:
        """Move a group without live readers over what retention took before it was read; entries lost, by partition."""
        ...
