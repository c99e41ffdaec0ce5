"""Where a bounded log ends: when all was read, or when nothing comes of a log that answers."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import pytest

from folio.errors import Cause, Transient
from folio.log import Entry, Lease, Offset
from folio.topics import PAGES
from infra.bounded import Bounded, BoundedReader
from tests.memory_log import MemoryLog


class Away:
    """A reader that holds its partition, while the partition's leader is away or has nothing."""

    def __init__(self) -> None:
        self.away = True

    async def read(self, *, entries_max: int, bytes_max: int, wait_s: float) -> Sequence[Entry]:
        if self.away:
            raise Transient(Cause.LOG_DOWN, "its leader is away")
        return ()

    def held(self) -> frozenset[Lease]:
        return frozenset({Lease(PAGES.name, 0, 1)})

    async def started(self, entries: Sequence[Entry]) -> None:
        raise AssertionError("nobody asks for this here")

    async def commit(self, positions: Mapping[Lease, Offset]) -> None:
        raise AssertionError("nobody asks for this here")


async def test_a_log_that_was_away_is_not_taken_for_one_that_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now, reader = [0.0], Away()
    monkeypatch.setattr("infra.bounded.time", SimpleNamespace(monotonic=lambda: now[0]))
    bounded = Bounded(MemoryLog(), {0: 5}, quiet_s=30)
    of = BoundedReader(reader, bounded)
    for now[0] in (1, 50, 100):
        with pytest.raises(Transient):
            await of.read(entries_max=1, bytes_max=1, wait_s=0)
    reader.away = False
    for now[0] in (101, 129):
        await of.read(entries_max=1, bytes_max=1, wait_s=0)
    assert not bounded.finished.is_set()
    now[0] = 131
    await of.read(entries_max=1, bytes_max=1, wait_s=0)
    assert bounded.finished.is_set()
