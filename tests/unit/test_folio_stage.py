"""The loop: nothing is lost, nothing unfinished is committed, and each failure class goes its own way."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from folio.errors import Cause, Gone, LeaseLost, Permanent, StageStopped, Transient
from folio.letters import DeadLetter
from folio.log import FLAW, Entry, Log, Record
from folio.outputs import Output
from folio.stage import Stage, StageLoop
from folio.topics import DEAD, Topic
from infra.folder_blobs import FolderBlobs
from infra.sqlite_log import SqliteLog
from tests.memory_log import MemoryLog

IN = Topic("in", 3600)
OUT = Topic("out", 3600)
QUICK = {"backoff_s": (0.001, 0.01), "commit_every_s": 0.002, "grace_s": 0.2}


@pytest.fixture(autouse=True)
def _silent(_lines_as_they_come) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))  # tracebacks are most of the time


async def copy(entry: Entry) -> AsyncGenerator[Output, None]:
    yield OUT, Record(f"{entry.key}:{entry.value.decode()}", entry.value)


def stage(process=copy, **changes) -> Stage:
    return Stage(**{"name": "s", "sources": (IN,), "process": process, **QUICK, **changes})


async def fill(log: Log, count: int, *, keys: int = 1000, size: int = 0) -> None:
    await log.append(IN, [Record(f"k{n % keys}", str(n).encode().ljust(size, b" ")) for n in range(count)])


async def everything(log: Log, topic: Topic) -> list[Entry]:
    found: list[Entry] = []
    async with log.reader([topic], None) as follower:
        while new := await follower.read(entries_max=1000, bytes_max=1 << 30, wait_s=0):
            found += new
    return found


async def values(log: Log, topic: Topic = OUT) -> list[int]:
    return [int(entry.value) for entry in await everything(log, topic)]


async def letters(log: Log) -> list[DeadLetter]:
    return [DeadLetter.decode(entry.value) for entry in await everything(log, DEAD)]


@asynccontextmanager
async def running(loop: StageLoop):
    stop = asyncio.Event()
    task = asyncio.create_task(loop.run(stop))
    try:
        yield task
    finally:
        stop.set()
        with suppress(StageStopped, Gone):
            await asyncio.wait_for(task, 10)


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


def copies(log: MemoryLog, topic: Topic = OUT) -> list[Entry]:
    return [entry for part, entries in log.entries.items() if part[0] == topic.name for entry in entries if entry]


class Crash(BaseException):
    """The process is gone: nothing that it would still do has an effect."""


class Crashing:
    """A log that dies at its nth call, before or after the call has its effect, and stays dead."""

    def __init__(self, log: Log, at: int, *, after: bool) -> None:
        self.log, self.left, self.after, self.dead = log, at, after, False
        self.value_bytes_max = log.value_bytes_max

    async def _call(self, call):
        if self.dead:
            call.close()
            raise Crash
        self.left -= 1
        if self.left:
            return await call
        self.dead = True
        if self.after:
            await call
        else:
            call.close()
        raise Crash

    async def append(self, topic: Topic, records: Sequence[Record]):
        return await self._call(self.log.append(topic, records))

    @asynccontextmanager
    async def reader(self, topics: Sequence[Topic], group: str | None):
        async with self.log.reader(topics, group) as reader:
            yield CrashingReader(self, reader)


class CrashingReader:
    def __init__(self, log: Crashing, reader) -> None:
        self.log, self.reader = log, reader

    async def read(self, **limits):
        return await self.log._call(self.reader.read(**limits))

    async def started(self, entries):
        return await self.log._call(self.reader.started(entries))

    async def commit(self, positions):
        return await self.log._call(self.reader.commit(positions))

    def held(self):
        return self.reader.held()


async def crash_and_restart(log: Log, entries: int, crashes: list[tuple[int, bool]], **changes) -> None:
    await fill(log, entries, keys=5)
    for at, after in crashes:
        with suppress(Crash, StageStopped):
            await StageLoop(stage(attempts_max=1000, **changes), Crashing(log, at, after=after)).run_until_idle()
    await StageLoop(stage(attempts_max=1000, **changes), log).run_until_idle()
    assert set(await values(log)) == set(range(entries))
    assert await log.lag("s", IN) == 0
    assert len({entry.key for entry in await everything(log, OUT)}) == entries
    assert await letters(log) == []


crashes = st.lists(st.tuples(st.integers(1, 25), st.booleans()), max_size=6)


class TestCrashes:
    @given(crashes=crashes, entries=st.integers(0, 20), partitions=st.sampled_from([1, 3]), window=st.integers(1, 8))
    @settings(max_examples=120, deadline=None)
    def test_a_crash_anywhere_loses_nothing(self, crashes, entries, partitions, window) -> None:
        log = MemoryLog(partitions=partitions)
        asyncio.run(crash_and_restart(log, entries, crashes, entries_max=window, uncommitted_max=window * 2))

    @given(crashes=crashes)
    @settings(max_examples=8, deadline=None)
    def test_a_crash_anywhere_loses_nothing_on_disk(self, crashes, tmp_path_factory) -> None:
        async def scenario(folder: Path) -> None:
            async with SqliteLog.open(folder / "log.sqlite", FolderBlobs(folder), partitions=2) as log:
                await crash_and_restart(log, 12, crashes, entries_max=4)

        asyncio.run(scenario(tmp_path_factory.mktemp("crash")))


class TestCommit:
    @given(
        seed=st.integers(0, 10_000),
        partitions=st.sampled_from([1, 2, 5]),
        window=st.integers(1, 30),
        failing=st.floats(0, 0.5),
    )
    @settings(max_examples=60, deadline=None)
    def test_nothing_unfinished_is_ever_committed(self, seed, partitions, window, failing) -> None:
        """Random completion order and random failures; the recorder looks at every commit."""
        chance = random.Random(seed)
        finished: set = set()

        async def process(entry: Entry) -> AsyncGenerator[Output, None]:
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            if chance.random() < failing:
                raise chance.choice([Permanent(Cause.CORRUPT), Transient(Cause.ENGINE_DOWN), ValueError("odd")])
            yield OUT, Record(entry.key, entry.value)

        class Recording(MemoryLog):
            async def append(self, topic, records):
                positions = await super().append(topic, records)
                for record in records:
                    number = int(record.value) if topic is OUT else None
                    letter = None if topic is OUT else DeadLetter.decode(record.value)
                    finished.add(by_number[number] if letter is None else (letter.partition, letter.offset))
                return positions

        log = Recording(partitions=partitions)
        by_number: dict = {}

        async def scenario() -> None:
            await MemoryLog.append(log, IN, [Record(f"k{n}", str(n).encode()) for n in range(40)])
            for part, entries in log.entries.items():
                by_number.update({int(e.value): (part[1], e.position.offset) for e in entries if part[0] == IN.name})
            loop = StageLoop(stage(process, entries_max=window, failures_max=1000), log)
            async with running(loop):
                while await log.lag("s", IN):
                    await asyncio.sleep(0.001)
                    for partition in range(partitions):
                        committed = log.committed_at.get(("s", (IN.name, partition)), 0)
                        assert all((partition, offset) in finished for offset in range(committed))
            assert len(finished) == 40

        asyncio.run(asyncio.wait_for(scenario(), 60))

    async def test_one_slow_entry_holds_the_commit_and_not_the_others(self) -> None:
        log, gate = MemoryLog(), asyncio.Event()
        await fill(log, 10)

        async def process(entry: Entry) -> AsyncGenerator[Output, None]:
            if entry.value == b"3":
                await gate.wait()
            yield OUT, Record(entry.key, entry.value)

        async with running(StageLoop(stage(process), log)):
            await until(lambda: len(copies(log)) == 9)
            await until(lambda: log.committed_at["s", ("in", 0)] == 3)
            await asyncio.sleep(0.02)
            assert await log.lag("s", IN) == 7
            gate.set()
            await until(lambda: log.committed_at["s", ("in", 0)] == 10)

    async def test_work_of_a_lost_lease_is_cancelled_and_never_commits(self) -> None:
        log, cancelled = MemoryLog(), []
        await fill(log, 3)

        async def process(entry: Entry) -> AsyncGenerator[Output, None]:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                cancelled.append(entry.value)
                raise
            yield OUT, Record(entry.key, entry.value)

        loop = StageLoop(stage(process), log)
        async with running(loop):
            await until(lambda: len(loop._running) == 3)
            async with log.reader([IN], "s") as thief:
                await until(lambda: len(cancelled) == 3)
                assert len(await thief.read(entries_max=9, bytes_max=1 << 20, wait_s=1)) == 3
                await asyncio.sleep(0.02)
                assert await log.lag("s", IN) == 3
        assert copies(log) == []

    async def test_a_commit_refused_as_stale_changes_nothing_and_is_not_an_error(self) -> None:
        log = MemoryLog()
        await fill(log, 5)

        async def stolen(entry: Entry) -> AsyncGenerator[Output, None]:
            if entry.value == b"2":
                async with log.reader([IN], "s"):
                    pass
            yield OUT, Record(entry.key, entry.value)

        await StageLoop(stage(stolen), log).run_until_idle()
        assert await log.lag("s", IN) == 5
        await StageLoop(stage(), log).run_until_idle()
        assert await log.lag("s", IN) == 0


class TestOrder:
    @given(seed=st.integers(0, 10_000), keys=st.integers(1, 5), partitions=st.sampled_from([1, 3]))
    @settings(max_examples=40, deadline=None)
    def test_entries_of_one_key_keep_their_order_when_asked(self, seed, keys, partitions) -> None:
        chance, seen = random.Random(seed), []

        async def process(entry: Entry) -> AsyncGenerator[Output, None]:
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
            if chance.random() < 0.2:
                raise chance.choice([Transient(Cause.STORE_DOWN), ValueError("odd")])
            seen.append((entry.key, int(entry.value)))
            yield OUT, Record(entry.key, entry.value)

        async def scenario() -> None:
            log = MemoryLog(partitions=partitions)
            await fill(log, 30, keys=keys)
            await StageLoop(stage(process, key_order=True, attempts_max=1000), log).run_until_idle()
            assert len(seen) == 30
            for key in {key for key, _ in seen}:
                mine = [n for other, n in seen if other == key]
                assert mine == sorted(mine)

        asyncio.run(scenario())


class TestGivingWay:
    async def test_a_stage_that_may_not_take_reads_nothing_and_stops_at_once(self, monkeypatch) -> None:
        monkeypatch.setattr("folio.stage.ASK_EVERY_S", 0.02)
        log, allowed, asked = MemoryLog(), False, 0

        async def may_take() -> bool:
            nonlocal asked
            asked += 1
            return allowed

        await log.append(IN, [Record("k", b"0")])
        stop = asyncio.Event()
        running = asyncio.create_task(StageLoop(stage(may_take=may_take), log).run(stop))
        await asyncio.sleep(0.2)
        assert await log.lag("s", IN) == 1
        assert asked > 2
        allowed = True
        async with asyncio.timeout(5):
            while await log.lag("s", IN):
                await asyncio.sleep(0.01)
        allowed = False
        await log.append(IN, [Record("k", b"1")])
        await asyncio.sleep(0.2)
        assert await log.lag("s", IN) == 1, "what came afterwards waits again"
        stop.set()
        async with asyncio.timeout(1):
            await running
        assert await values(log) == [0]


class TestFailures:
    async def test_permanent_becomes_exactly_one_dead_letter_with_cause_and_position(self) -> None:
        log = MemoryLog()
        headers = {"folio-tenant": "acme", "folio-doc-id": "a.pdf", "folio-version": "7", "folio-page": "3"}
        await log.append(IN, [Record("k", b"0"), Record("acme/a.pdf/3", b"1", headers), Record("k", b"2")])

        async def process(entry: Entry) -> AsyncGenerator[Output, None]:
            if entry.value == b"1":
                raise Permanent(Cause.CORRUPT, "not a picture")
            yield OUT, Record(entry.key, entry.value)

        loop = StageLoop(stage(process), log)
        assert await loop.run_until_idle() == 3
        [letter] = await letters(log)
        assert (letter.stage, letter.cause, letter.detail) == ("s", Cause.CORRUPT, "not a picture")
        assert (letter.topic, letter.partition, letter.offset, letter.key) == ("in", 0, 1, "acme/a.pdf/3")
        assert (letter.doc, letter.version, letter.page, letter.attempts) == ("acme/a.pdf", 7, 3, 1)
        assert sorted(await values(log)) == [0, 2]
        assert await log.lag("s", IN) == 0
        assert await StageLoop(stage(process), log).run_until_idle() == 0

    async def test_what_became_a_dead_letter_is_taken_back_once_that_is_durable_and_the_store_is_there(self) -> None:
        log = MemoryLog()
        await fill(log, 3)
        taken_back: list[tuple[bytes, int]] = []
        away = True

        async def process(entry: Entry) -> AsyncGenerator[Output, None]:
            if entry.value == b"1":
                raise Permanent(Cause.CORRUPT)
            yield OUT, Record(entry.key, entry.value)

        async def undo(entry: Entry) -> None:
            nonlocal away
            if away:
                away = False
                raise Transient(Cause.STORE_DOWN)
            taken_back.append((entry.value, len(await letters(log))))

        assert await StageLoop(replace(stage(process), undo=undo), log).run_until_idle() == 3
        assert taken_back == [(b"1", 1)]
        assert await log.lag("s", IN) == 0

    async def test_transient_repeats_until_it_works_and_readiness_is_false_meanwhile(self) -> None:
        log, down = MemoryLog(), True
        await fill(log, 4)

        async def process(entry: Entry) -> AsyncGenerator[Output, None]:
            if down:
                raise Transient(Cause.ENGINE_DOWN)
            yield OUT, Record(entry.key, entry.value)

        loop = StageLoop(stage(process), log)
        async with running(loop):
            await until(lambda: not loop.ready)
            await asyncio.sleep(0.05)
            assert loop.waits_for is Cause.ENGINE_DOWN
            assert (await log.lag("s", IN), copies(log), copies(log, DEAD)) == (4, [], [])
            down = False
            await until(lambda: len(copies(log)) == 4)
            await until(lambda: loop.ready)
        assert await log.lag("s", IN) == 0

    async def test_what_the_log_could_not_read_is_a_dead_letter_and_never_processed(self) -> None:
        log = MemoryLog()
        await log.append(IN, [Record("k", b"1"), Record("", b"", {FLAW: "Kafka's record cannot be read: why"})])
        assert await StageLoop(stage(), log).run_until_idle() == 2
        [letter] = await letters(log)
        assert (letter.cause, letter.detail) == (Cause.SCHEMA_INVALID, "Kafka's record cannot be read: why")
        assert (letter.offset, letter.attempts, await values(log)) == (1, 1, [1])

    async def test_restarts_while_a_dependency_is_away_never_make_a_dead_letter(self) -> None:
        log = MemoryLog()
        await fill(log, 2)

        async def away(entry: Entry) -> AsyncGenerator[Output, None]:
            raise Transient(Cause.ENGINE_DOWN)
            yield

        for _ in range(5):
            loop = StageLoop(stage(away), log)
            async with running(loop):
                await until(lambda each=loop: not each.ready)
        await StageLoop(stage(), log).run_until_idle()
        assert (sorted(await values(log)), await letters(log)) == ([0, 1], [])

    async def test_long_work_interrupted_by_many_stops_is_no_suspect(self) -> None:
        log = MemoryLog()
        await fill(log, 2)

        async def endless(entry: Entry) -> AsyncGenerator[Output, None]:
            await asyncio.sleep(30)
            yield OUT, Record(entry.key, entry.value)

        for _ in range(5):
            loop = StageLoop(stage(endless, grace_s=0.01), log)
            async with running(loop):
                await until(lambda each=loop: len(each._working) == 2)
        assert set(log.attempts.values()) == {0}

    async def test_a_full_disk_stops_nothing_for_good(self) -> None:
        """Every call of the log fails for a while: nothing is lost, nothing is buried, the loop goes on by itself."""

        class Full(MemoryLog):
            full = False

            async def append(self, topic, records):
                if self.full:
                    raise Transient(Cause.DISK_FULL)
                return await super().append(topic, records)

            @asynccontextmanager
            async def reader(self, topics, group):
                async with super().reader(topics, group) as reader:
                    for name in ("started", "commit"):
                        setattr(reader, name, self.refusing(getattr(reader, name)))
                    yield reader

            def refusing(self, call):
                async def refused(argument):
                    if self.full:
                        raise Transient(Cause.DISK_FULL)
                    await call(argument)

                return refused

        log = Full()
        await fill(log, 3)
        log.full = True
        loop = StageLoop(stage(), log)
        async with running(loop):
            await until(lambda: loop.waits_for is Cause.DISK_FULL)
            log.full = False
            await until(lambda: len(copies(log)) == 3)
            log.full = True
            await asyncio.sleep(0.02)
            log.full = False
            await until(lambda: log.committed_at["s", ("in", 0)] == 3)
            await until(lambda: loop.ready)
        assert await letters(log) == []

    async def test_the_unexpected_is_retried_alone_and_buried_after_three(self) -> None:
        log, beside = MemoryLog(), []
        await fill(log, 6)
        at_once = 0

        async def process(entry: Entry) -> AsyncGenerator[Output, None]:
            nonlocal at_once
            at_once += 1
            try:
                await asyncio.sleep(0.002)
                if entry.value == b"2":
                    beside.append(at_once)
                    raise ValueError("odd")
                yield OUT, Record(entry.key, entry.value)
            finally:
                at_once -= 1

        await StageLoop(stage(process), log).run_until_idle()
        assert len(beside) == 3
        assert beside[1:] == [1, 1]
        [letter] = await letters(log)
        assert (letter.cause, letter.offset, letter.attempts) == (Cause.INTERNAL, 2, 3)
        assert sorted(await values(log)) == [0, 1, 3, 4, 5]

    async def test_what_kills_its_process_is_found_alone_and_buried_over_restarts(self) -> None:
        log, deaths = MemoryLog(), 0
        await fill(log, 8)

        async def process(entry: Entry) -> AsyncGenerator[Output, None]:
            if entry.value == b"5":
                dying.dead = True
            await asyncio.sleep(0)
            yield OUT, Record(entry.key, entry.value)

        for _ in range(10):
            dying = Crashing(log, 10_000, after=False)
            try:
                await StageLoop(stage(process), dying).run_until_idle()
                break
            except (Crash, StageStopped):
                deaths += 1
        assert deaths == 3
        [letter] = await letters(log)
        assert (letter.offset, letter.attempts) == (5, 3)
        assert set(await values(log)) == {0, 1, 2, 3, 4, 6, 7}
        assert await log.lag("s", IN) == 0

    async def test_a_suspect_that_makes_progress_is_forgiven(self) -> None:
        log = MemoryLog()
        await fill(log, 1)
        async with log.reader([IN], "s") as reader:
            [entry] = await reader.read(entries_max=1, bytes_max=1, wait_s=1)
            log.attempts["s", entry.position] = 2
        slow = asyncio.Event()

        async def book(entry: Entry) -> AsyncGenerator[Output, None]:
            for page in range(3):
                yield OUT, Record(entry.key, str(page).encode())
                await until(lambda have=page + 1: len(copies(log)) == have)
            await slow.wait()

        loop = StageLoop(stage(book), log)
        async with running(loop):
            await until(lambda: log.attempts["s", entry.position] == 0)
            slow.set()
            await until(lambda: log.committed_at["s", ("in", 0)] == 1)
        assert await values(log) == [0, 1, 2]

    async def test_whoever_is_asked_to_stop_forgives_before_it_lets_work_end(self) -> None:
        """A second Ctrl-C, or an impatient supervisor, kills in the middle of the grace."""
        log, begun = MemoryLog(), asyncio.Event()
        await fill(log, 1)

        async def slow(entry: Entry) -> AsyncGenerator[Output, None]:
            begun.set()
            await asyncio.sleep(60)
            yield OUT, Record(entry.key, entry.value)

        loop, stop = StageLoop(stage(slow, grace_s=60), log), asyncio.Event()
        task = asyncio.create_task(loop.run(stop))
        await begun.wait()
        [position] = [position for name, position in log.attempts if name == "s"]
        assert log.attempts["s", position] == 1
        stop.set()
        await until(lambda: log.attempts["s", position] == 0)
        assert not task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def test_everything_failing_stops_the_stage_and_nothing_more_is_committed(self) -> None:
        log, calls = MemoryLog(), Counter()
        await fill(log, 50)

        async def process(entry: Entry) -> AsyncGenerator[Output, None]:
            calls[entry.value] += 1
            raise ValueError("odd")
            yield

        loop = StageLoop(stage(process, entries_max=10), log)
        with pytest.raises(StageStopped, match="not the records"):
            await asyncio.wait_for(loop.run(asyncio.Event()), 10)
        buried = len(await letters(log))
        assert buried == 4
        assert await log.lag("s", IN) >= 50 - buried
        assert len(calls) <= 10

    async def test_a_success_in_between_means_it_is_the_records(self) -> None:
        log = MemoryLog()
        await fill(log, 40)

        async def process(entry: Entry) -> AsyncGenerator[Output, None]:
            if int(entry.value) % 4:
                raise ValueError("odd")
            yield OUT, Record(entry.key, entry.value)

        await StageLoop(stage(process, entries_max=1), log).run_until_idle()
        assert len(await letters(log)) == 30
        assert len(await values(log)) == 10

    async def test_work_cancelled_from_within_stops_the_stage_instead_of_hanging(self) -> None:
        log = MemoryLog()
        await fill(log, 2)

        async def process(entry: Entry) -> AsyncGenerator[Output, None]:
            raise asyncio.CancelledError
            yield

        with pytest.raises(StageStopped, match="cancelled from within"):
            await StageLoop(stage(process), log).run_until_idle()

    async def test_an_output_too_large_for_the_log_is_its_own_entrys_failure_only(self) -> None:
        log = MemoryLog()
        await fill(log, 5)

        async def process(entry: Entry) -> AsyncGenerator[Output, None]:
            yield (
                OUT,
                Record(entry.key, entry.value.ljust(log.value_bytes_max + 1) if entry.value == b"1" else entry.value),
            )

        await StageLoop(stage(process), log).run_until_idle()
        [letter] = await letters(log)
        assert (letter.cause, letter.offset) == (Cause.TOO_LARGE, 1)
        assert sorted(await values(log)) == [0, 2, 3, 4]

    async def test_retention_that_came_first_stops_the_stage_loudly(self) -> None:
        log = MemoryLog()
        async with log.reader([IN], "s"):
            await fill(log, 3)
        log.forget(IN)
        with pytest.raises(Gone, match="in"):
            await StageLoop(stage(), log).run_until_idle()

    async def test_a_commit_that_fails_for_good_stops_the_stage(self) -> None:
        log = MemoryLog()
        await fill(log, 3)
        loop = StageLoop(stage(uncommitted_max=3, entries_max=3), log)

        async def broken(reader) -> None:
            raise OSError("the file is gone")

        loop._commit = broken
        with pytest.raises(StageStopped, match="the file is gone"):
            await asyncio.wait_for(loop.run(asyncio.Event()), 15)


class TestBounds:
    @given(entries=st.integers(1, 8), size=st.integers(1, 400), uncommitted=st.integers(1, 12))
    @settings(max_examples=30, deadline=None)
    def test_entries_bytes_and_uncommitted_stay_within_their_bounds(self, entries, size, uncommitted) -> None:
        most = Counter()

        async def scenario() -> None:
            log = MemoryLog(partitions=2)
            await fill(log, 40, size=50)

            async def process(entry: Entry) -> AsyncGenerator[Output, None]:
                waiting = sum(tracker.uncommitted for tracker in loop._trackers.values())
                at_work = len(loop._running.keys() - loop._settling)
                for what, now in (("entries", at_work), ("bytes", loop._bytes), ("uncommitted", waiting)):
                    most[what] = max(most[what], now)
                await asyncio.sleep(0.001 if int(entry.value) % 7 else 0.01)
                yield OUT, Record(entry.key, entry.value)

            loop = StageLoop(stage(process, entries_max=entries, bytes_max=size, uncommitted_max=uncommitted), log)
            async with running(loop):
                await until(lambda: len(copies(log)) == 40, 30)

        asyncio.run(scenario())
        assert most["entries"] <= entries
        assert most["uncommitted"] <= uncommitted
        assert most["bytes"] <= size + 49  # one that is larger than the room comes alone

    async def test_what_only_waits_for_the_disk_keeps_nobody_from_beginning(self) -> None:
        begun: list[str] = []

        class Stuck(MemoryLog):
            async def append(self, topic, records):
                if topic is OUT:
                    await asyncio.sleep(60)
                return await super().append(topic, records)

        log = Stuck()
        await fill(log, 5)

        async def quick(entry: Entry) -> AsyncGenerator[Output, None]:
            begun.append(entry.key)
            yield OUT, Record(entry.key, b"done")

        loop = StageLoop(stage(quick, entries_max=1, grace_s=0.01), log)
        async with running(loop):
            await until(lambda: len(begun) == 2)
            await asyncio.sleep(0.05)
            assert len(begun) == 2  # as many again as may work, and no more: they all hold memory
            assert await log.lag("s", IN) == 5

    async def test_outputs_lie_on_the_log_before_their_entry_is_finished(self) -> None:
        log, more = MemoryLog(), asyncio.Event()
        await fill(log, 1)

        async def book(entry: Entry) -> AsyncGenerator[Output, None]:
            yield OUT, Record("page", b"1")
            await more.wait()
            yield OUT, Record("page", b"2")

        async with running(StageLoop(stage(book), log)):
            await until(lambda: len(copies(log)) == 1)
            assert await log.lag("s", IN) == 1
            more.set()
            await until(lambda: log.committed_at["s", ("in", 0)] == 1)
        assert await values(log) == [1, 2]

    async def test_a_stage_cannot_run_ahead_of_what_is_durable(self) -> None:
        made, durable = 0, 0

        class Slow(MemoryLog):
            async def append(self, topic, records):
                nonlocal durable
                await asyncio.sleep(0.001)
                positions = await super().append(topic, records)
                durable += len(records) if topic is OUT else 0
                return positions

        log = Slow()
        await fill(log, 1)

        async def book(entry: Entry) -> AsyncGenerator[Output, None]:
            nonlocal made
            for page in range(100):
                made += 1
                assert made - durable <= 5
                yield OUT, Record("page", str(page).encode())

        await StageLoop(stage(book, outputs_max=4), log).run_until_idle()
        assert await values(log) == list(range(100))

    async def test_stop_ends_quickly_when_work_only_waits(self) -> None:
        log = MemoryLog()
        await fill(log, 20)

        async def away(entry: Entry) -> AsyncGenerator[Output, None]:
            raise Transient(Cause.ENGINE_DOWN)
            yield

        loop = StageLoop(stage(away, backoff_s=(30,), grace_s=30), log)
        async with running(loop):
            await until(lambda: not loop.ready)
        assert not loop._running

    async def test_a_lost_lease_in_the_middle_of_a_retry_is_dropped_quietly(self) -> None:
        log = MemoryLog()
        await fill(log, 1)

        async def process(entry: Entry) -> AsyncGenerator[Output, None]:
            async with log.reader([IN], "s"):
                raise LeaseLost("g")
            yield

        await StageLoop(stage(process), log).run_until_idle()
        assert (await letters(log), await log.lag("s", IN)) == ([], 1)
