"""What every Log promises, one class run against every adapter."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from folio.errors import Gone, LeaseLost
from folio.log import Log, Position, Record
from folio.topics import Topic
from infra.folder_blobs import FolderBlobs
from infra.kafka_cluster import Cluster
from infra.kafka_log import KafkaLog
from infra.sqlite_log import SqliteLog
from tests.memory_log import MemoryLog

ALL = {"entries_max": 1000, "bytes_max": 1 << 30}
SLOW_S = 60.0


@dataclass(frozen=True)
class Adapter:
    """A log under test, what it needs to be asked from outside, and topics that no other test uses."""

    log: Log
    topic: Topic
    compacted: Topic
    brief: Topic
    expire: Callable[[], Awaitable[None]]
    """Retention removes everything that lies in `brief`."""
    takes_over: bool = True
    """A second reader of a group takes all partitions over at once (a broker shares them out)."""


@asynccontextmanager
async def memory(partitions: int, folder: Path) -> AsyncIterator[Adapter]:
    log = MemoryLog(partitions=partitions)
    brief = Topic("brief", 1)

    async def expire() -> None:
        log.forget(brief)

    yield Adapter(log, Topic("t", 3600), Topic("c", None), brief, expire)


@asynccontextmanager
async def sqlite(partitions: int, folder: Path) -> AsyncIterator[Adapter]:
    blobs = FolderBlobs(folder / "blobs")
    async with SqliteLog.open(folder / "log.sqlite", blobs, partitions=partitions, keep_s={"brief": -1}) as log:
        yield Adapter(log, Topic("t", 3600), Topic("c", None), Topic("brief", 1), log.housekeep)


@asynccontextmanager
async def on_kafka(partitions: int, servers: str) -> AsyncIterator[Adapter]:
    """Topics of this test's own; their fewest partitions are one, so that `partitions` means the same everywhere."""
    cluster = Cluster(servers=servers, prefix=f"contract-{uuid.uuid4().hex[:12]}.", session_timeout_s=6)
    keep, compacted, brief = Topic("t", 3600), Topic("c", None), Topic("brief", 3600)
    async with KafkaLog.open(cluster) as log:
        made = await log.plan([keep, compacted, brief])
        await log.apply([replace(change, partitions=partitions) for change in made])
        yield Adapter(log, keep, compacted, brief, lambda: log.expire(brief), takes_over=False)


ADAPTERS: dict[str, tuple[Callable[[int, Path], AbstractAsyncContextManager[Adapter]], int]] = {
    "memory-1": (memory, 1),
    "memory-3": (memory, 3),
    "sqlite-1": (sqlite, 1),
    "sqlite-3": (sqlite, 3),
}


KAFKA = {"kafka-1": 1, "kafka-3": 3}


@pytest.fixture(params=[*ADAPTERS, *KAFKA])
async def on(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Adapter]:
    if partitions := KAFKA.get(request.param):
        async with on_kafka(partitions, request.getfixturevalue("kafka")) as adapter:
            yield adapter
        return
    make, partitions = ADAPTERS[request.param]
    async with make(partitions, tmp_path) as adapter:
        yield adapter


def records(count: int, *, start: int = 0, size: int = 3) -> list[Record]:
    return [Record(f"key-{n}", f"{n}".encode().ljust(size, b"."), {"n": str(n)}) for n in range(start, start + count)]


async def read_all(reader, *, count: int, wait_s: float = SLOW_S, **limits) -> list:
    found: list = []
    while len(found) < count:
        new = await reader.read(**{**ALL, **limits}, wait_s=wait_s)
        assert new, f"{len(found)} of {count} entries came"
        found += new
    return found


async def nothing_more(reader) -> bool:
    return not await reader.read(**ALL, wait_s=0.5)


def after(entries) -> dict:
    """The positions that commit all of these."""
    ends: dict = {}
    for entry in entries:
        ends[entry.lease] = max(ends.get(entry.lease, 0), entry.position.offset + 1)
    return ends


class TestLog:
    async def test_a_group_is_read_while_it_has_a_reader(self, on: Adapter) -> None:
        assert not await on.log.is_read("g")
        await on.log.append(on.topic, records(1))
        async with on.log.reader([on.topic], "g") as reader:
            await read_all(reader, count=1)
            assert await on.log.is_read("g")
            assert not await on.log.is_read("h")
        assert not await on.log.is_read("g")

    async def test_what_was_appended_is_read_with_everything_it_had(self, on: Adapter) -> None:
        sent = [Record("ключ", b"\x00\xff", {"name": "报告.pdf", "n": "1"}), Record("k", b"", {})]
        positions = await on.log.append(on.topic, sent)
        async with on.log.reader([on.topic], "g") as reader:
            found = {entry.position: entry for entry in await read_all(reader, count=2)}
        for position, record in zip(positions, sent, strict=True):
            entry = found[position]
            assert (entry.key, entry.value, dict(entry.headers)) == (record.key, record.value, record.headers)
            assert entry.attempt == 0
            assert entry.lease is not None
            assert (entry.lease.topic, entry.lease.partition) == (position.topic, position.partition)
            assert abs(entry.appended_ms - time.time() * 1000) < 60_000

    async def test_one_key_stays_in_one_partition_in_order_and_time_never_goes_back(self, on: Adapter) -> None:
        for n in range(5):
            await on.log.append(on.topic, [Record(f"k{k}", str(n).encode()) for k in range(6)])
        async with on.log.reader([on.topic], None) as follower:
            found = await read_all(follower, count=30)
        for key in {entry.key for entry in found}:
            mine = [entry for entry in found if entry.key == key]
            assert [entry.value for entry in mine] == [b"0", b"1", b"2", b"3", b"4"]
            assert len({entry.position.partition for entry in mine}) == 1
        for partition in {entry.position.partition for entry in found}:
            lane = [entry for entry in found if entry.position.partition == partition]
            assert [entry.position.offset for entry in lane] == sorted({entry.position.offset for entry in lane})
            assert [entry.appended_ms for entry in lane] == sorted(entry.appended_ms for entry in lane)

    async def test_concurrent_appends_all_get_their_own_positions(self, on: Adapter) -> None:
        answers = await asyncio.gather(*(on.log.append(on.topic, records(3, start=3 * n)) for n in range(20)))
        assert len({position for answer in answers for position in answer}) == 60
        for n, answer in enumerate(answers):
            for m, position in enumerate(answer):
                assert (await on.log.fetch(position)).key == f"key-{3 * n + m}"

    async def test_a_new_reader_goes_on_at_the_commit(self, on: Adapter) -> None:
        await on.log.append(on.topic, records(10))
        async with on.log.reader([on.topic], "g") as reader:
            first = await read_all(reader, count=4, entries_max=4)
            await reader.commit(after(first))
            await read_all(reader, count=10 - len(first))
        async with on.log.reader([on.topic], "g") as reader:
            rest = await read_all(reader, count=10 - len(first))
            assert await nothing_more(reader)
        assert {entry.key for entry in first + rest} == {f"key-{n}" for n in range(10)}
        assert len(first) + len(rest) == 10

    async def test_groups_do_not_touch_each_other(self, on: Adapter) -> None:
        await on.log.append(on.topic, records(3))
        async with on.log.reader([on.topic], "a") as a, on.log.reader([on.topic], "b") as b:
            await a.commit(after(await read_all(a, count=3)))
            assert len(await read_all(b, count=3)) == 3
        assert await on.log.lag("a", on.topic) == 0
        assert await on.log.lag("b", on.topic) == 3

    async def test_a_follower_reads_all_from_the_start_and_stays(self, on: Adapter) -> None:
        await on.log.append(on.topic, records(2))
        async with on.log.reader([on.topic], None) as one, on.log.reader([on.topic], None) as two:
            assert one.held() == frozenset()
            assert len(await read_all(one, count=2)) == 2
            waiting = asyncio.create_task(one.read(**ALL, wait_s=SLOW_S))
            await asyncio.sleep(0.05)
            await on.log.append(on.topic, records(1, start=2))
            assert [entry.key for entry in await waiting] == ["key-2"]
            assert len(await read_all(two, count=3)) == 3

    async def test_entries_max_and_bytes_max_bound_a_read_and_a_large_one_comes_alone(self, on: Adapter) -> None:
        await on.log.append(on.topic, [Record("k", bytes(size)) for size in (100, 100, 100, 5000, 100, 100)])
        async with on.log.reader([on.topic], "g") as reader:
            sizes: list[int] = []
            while len(sizes) < 6:
                new = await reader.read(entries_max=2, bytes_max=250, wait_s=SLOW_S)
                assert 1 <= len(new) <= 2
                assert sum(len(entry.value) for entry in new) <= 250 or len(new) == 1
                sizes += [len(entry.value) for entry in new]
        assert sizes == [100, 100, 100, 5000, 100, 100]

    async def test_a_large_value_comes_back_as_it_was(self, on: Adapter) -> None:
        value = bytes(range(256)) * 2000
        [position] = await on.log.append(on.topic, [Record("k", value, {"a": "b"})])
        async with on.log.reader([on.topic], "g") as reader:
            [entry] = await read_all(reader, count=1)
        assert entry.value == value
        assert (await on.log.fetch(position)).value == value

    async def test_a_cancelled_read_skips_nothing(self, on: Adapter) -> None:
        async with on.log.reader([on.topic], "g") as reader:
            seen = []
            for n in range(30):
                reading = asyncio.create_task(reader.read(entries_max=2, bytes_max=1 << 20, wait_s=1))
                await on.log.append(on.topic, records(1, start=n))
                for _ in range(n % 4):
                    await asyncio.sleep(0)
                reading.cancel()
                await asyncio.wait({reading})
                if not reading.cancelled():
                    seen += reading.result()
            seen += await read_all(reader, count=30 - len(seen))
        assert sorted(entry.key for entry in seen) == sorted(f"key-{n}" for n in range(30))

    async def test_waiting_ends_when_something_is_appended_and_costs_nothing_until_then(self, on: Adapter) -> None:
        async with on.log.reader([on.topic], "g") as reader:
            await on.log.append(on.topic, records(1))
            await read_all(reader, count=1)  # joining a group costs something
            before = time.process_time()
            assert await reader.read(**ALL, wait_s=0.5) == ()
            assert time.process_time() - before < 0.2
            began = time.monotonic()
            reading = asyncio.create_task(reader.read(**ALL, wait_s=30))
            await asyncio.sleep(0.05)
            await on.log.append(on.topic, records(1))
            assert len(await reading) == 1
            assert time.monotonic() - began < SLOW_S

    async def test_attempts_are_on_record_until_a_commit_passes_them(self, on: Adapter) -> None:
        await on.log.append(on.topic, [Record("k", str(n).encode()) for n in range(4)])
        async with on.log.reader([on.topic], "g") as reader:
            entries = await read_all(reader, count=4)
            await reader.started(entries[:3])
            await reader.started([replace(entries[1], attempt=1)])
            await reader.commit(after(entries[:1]))
        async with on.log.reader([on.topic], "g") as reader:
            again = await read_all(reader, count=3)
            assert [(entry.value, entry.attempt) for entry in again] == [(b"1", 2), (b"2", 1), (b"3", 0)]
        async with on.log.reader([on.topic], "other") as reader:
            assert {entry.attempt for entry in await read_all(reader, count=4)} == {0}

    async def test_a_taken_over_reader_holds_nothing_and_can_change_nothing(self, on: Adapter) -> None:
        if not on.takes_over:
            pytest.skip("this adapter shares partitions between the readers of a group")
        await on.log.append(on.topic, records(6))
        async with on.log.reader([on.topic], "g") as old:
            entries = await read_all(old, count=6)
            stale = old.held()
            async with on.log.reader([on.topic], "g") as new:
                assert old.held() == frozenset()
                for lease in new.held():
                    before = [other for other in stale if other.partition == lease.partition]
                    assert lease.epoch > before[0].epoch
                with pytest.raises(LeaseLost):
                    await old.commit(after(entries))
                with pytest.raises(LeaseLost):
                    await old.started(entries)
                assert await old.read(**ALL, wait_s=0.05) == ()
                again = await read_all(new, count=6)
                assert {entry.attempt for entry in again} == {0}
                assert await on.log.lag("g", on.topic) == 6
                await new.commit(after(again))
        assert await on.log.lag("g", on.topic) == 0

    async def test_one_stale_lease_makes_the_whole_commit_fail(self, on: Adapter) -> None:
        await on.log.append(on.topic, records(6))
        async with on.log.reader([on.topic], "g") as reader:
            due = after(await read_all(reader, count=6))
            stale = next(iter(due))
            with pytest.raises(LeaseLost):
                await reader.commit({**due, replace(stale, epoch=stale.epoch - 1): due[stale]})
        assert await on.log.lag("g", on.topic) == 6

    async def test_rewind_to_an_offset_or_a_time(self, on: Adapter) -> None:
        await on.log.append(on.topic, [Record("k", b"0"), Record("k", b"1")])
        await asyncio.sleep(0.05)
        between = datetime.now(UTC)
        await asyncio.sleep(0.05)
        await on.log.append(on.topic, [Record("k", b"2"), Record("k", b"3")])

        async def rewound(to: int | datetime, *, count: int) -> list[bytes]:
            await on.log.rewind("g", on.topic, to)
            async with on.log.reader([on.topic], "g") as reader:
                entries = await read_all(reader, count=count)
                assert await nothing_more(reader)
                if entries:
                    await reader.commit(after(entries))
            return [entry.value for entry in entries]

        assert await rewound(0, count=4) == [b"0", b"1", b"2", b"3"]
        assert await rewound(0, count=4) == [b"0", b"1", b"2", b"3"]
        assert await rewound(between, count=2) == [b"2", b"3"]
        assert await rewound(3, count=1) == [b"3"]
        assert await rewound(99, count=0) == []
        assert await rewound(datetime.now(UTC) + timedelta(hours=1), count=0) == []
        assert await rewound(datetime.now(UTC) - timedelta(hours=1), count=4) == [b"0", b"1", b"2", b"3"]

    async def test_lag_counts_what_is_not_committed(self, on: Adapter) -> None:
        assert await on.log.lag("g", on.topic) == 0
        await on.log.append(on.topic, records(5))
        assert await on.log.lag("g", on.topic) == 5
        async with on.log.reader([on.topic], "g") as reader:
            entries = await read_all(reader, count=5)
            assert await on.log.lag("g", on.topic) == 5
            await reader.commit(after(entries))
        assert await on.log.lag("g", on.topic) == 0

    async def test_a_reader_of_two_topics_starves_neither(self, on: Adapter) -> None:
        await on.log.append(on.topic, records(50))
        await on.log.append(on.compacted, records(5))
        async with on.log.reader([on.topic, on.compacted], "g") as reader:
            found = await read_all(reader, count=25, entries_max=5)
        assert {entry.position.topic for entry in found} == {on.topic.name, on.compacted.name}

    async def test_retention_that_overtakes_a_group_is_loud_until_it_is_rewound(self, on: Adapter) -> None:
        positions = await on.log.append(on.brief, records(5))
        async with on.log.reader([on.brief], "g") as reader:
            first = await read_all(reader, count=1, entries_max=1)
            await reader.commit(after(first))
        await on.expire()
        with pytest.raises(Gone):
            await on.log.fetch(positions[-1])
        for _ in range(2):
            async with on.log.reader([on.brief], "g") as reader:
                with pytest.raises(Gone, match=on.brief.name):
                    await reader.read(**ALL, wait_s=SLOW_S)
        await on.log.rewind("g", on.brief, 0)
        later = await on.log.append(on.brief, records(5))
        assert {(at.partition, at.offset) for at in later}.isdisjoint((at.partition, at.offset) for at in positions)
        async with on.log.reader([on.brief], "g") as reader, on.log.reader([on.brief], None) as follower:
            assert len(await read_all(reader, count=5)) == 5
            assert len(await read_all(follower, count=5)) == 5

    async def test_fetch_of_what_never_was_raises_gone(self, on: Adapter) -> None:
        for position in (Position(on.topic.name, 0, 7), Position("nowhere", 0, 0), Position(on.topic.name, 77, 0)):
            with pytest.raises(Gone):
                await on.log.fetch(position)

    async def test_spans_say_what_is_kept_and_what_comes_next(self, on: Adapter) -> None:
        assert all(first == end for first, end in (await on.log.spans(on.topic)).values())
        positions = await on.log.append(on.topic, records(9))
        spans = await on.log.spans(on.topic)
        assert sum(end - first for first, end in spans.values()) == 9
        assert all(spans[at.partition][0] <= at.offset < spans[at.partition][1] for at in positions)

    async def test_committed_is_the_next_offset_of_each_partition_that_was_committed(self, on: Adapter) -> None:
        assert await on.log.committed("g", on.topic) == {}
        await on.log.append(on.topic, records(9))
        async with on.log.reader([on.topic], "g") as reader:
            entries = await read_all(reader, count=9)
            await reader.commit(after(entries))
        expected = {lease.partition: offset for lease, offset in after(entries).items()}
        found = await on.log.committed("g", on.topic)
        assert {partition: found[partition] for partition in expected} == expected

    async def test_a_gap_that_retention_made_can_be_accepted(self, on: Adapter) -> None:
        await on.log.append(on.brief, records(5))
        await on.log.rewind("g", on.brief, 0)
        assert await on.log.accept_gap("g", on.brief) == {}
        await on.expire()
        assert sum((await on.log.accept_gap("g", on.brief)).values()) == 5
        assert await on.log.accept_gap("g", on.brief) == {}
        await on.log.append(on.brief, records(2))
        async with on.log.reader([on.brief], "g") as reader:
            assert len(await read_all(reader, count=2)) == 2
