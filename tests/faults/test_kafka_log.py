"""What the log on Kafka does when the broker, a member or the topic under it is away, late or cut off."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest

from folio.errors import Cause, Gone, LeaseLost, Transient
from folio.log import Record
from folio.topics import DEAD, PAGES
from infra.kafka_cluster import CONSUMER, Cluster
from infra.kafka_log import KafkaLog
from tests import kafka_broker

ALL = {"entries_max": 1000, "bytes_max": 1 << 30}
LONG_S = 90.0


@pytest.fixture
def own(tmp_path) -> Iterator[kafka_broker.Cluster]:
    """A broker that may be killed."""
    with kafka_broker.cluster(tmp_path / "kafka") as made:
        yield made


@asynccontextmanager
async def opened(servers: str, *, partitions: int = 2, session_s: float = 6) -> AsyncIterator[KafkaLog]:
    prefix = f"f{uuid.uuid4().hex[:8]}."
    cluster = Cluster(servers=servers, prefix=prefix, partitions=partitions, session_timeout_s=session_s)
    async with KafkaLog.open(cluster) as log:
        await log.apply(await log.plan([PAGES]))
        yield log


def pages(count: int, *, start: int = 0) -> list[Record]:
    return [Record(f"doc/{n}", str(n).encode()) for n in range(start, start + count)]


async def read_values(reader, wanted: set[bytes], *, within_s: float = LONG_S) -> list:
    """Entries until all that is wanted has come; a broker that is away is waited for."""
    found: list = []
    deadline = time.monotonic() + within_s
    while wanted - {entry.value for entry in found}:
        assert time.monotonic() < deadline, f"{len(found)} entries came, of {len(wanted)} values"
        with suppress(Transient):
            found += await reader.read(**ALL, wait_s=1)
    return found


async def insist(call, *, within_s: float = LONG_S):
    deadline = time.monotonic() + within_s
    while True:
        try:
            return await call()
        except Transient:
            assert time.monotonic() < deadline, "it never went on"
            await asyncio.sleep(0.5)


def ends(entries) -> dict:
    due: dict = {}
    for entry in entries:
        due[entry.lease] = max(due.get(entry.lease, 0), entry.position.offset + 1)
    return due


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_a_broker_that_is_killed_and_started_again_loses_nothing_that_was_acknowledged(own) -> None:
    async with opened(own.servers) as log:
        acknowledged: set[bytes] = set()
        running = True

        async def keep_appending() -> None:
            for number in range(100_000):
                if not running:
                    return
                await insist(lambda number=number: log.append(PAGES, pages(1, start=number)))
                acknowledged.add(str(number).encode())
                await asyncio.sleep(0.01)

        appending = asyncio.create_task(keep_appending())
        async with log.reader([PAGES], "g") as reader:
            before = await read_values(reader, {b"0"})
            for _ in range(2):
                await asyncio.to_thread(own.kill)
                with pytest.raises((Transient, LeaseLost)):  # its lease may not have outlived the first time
                    await reader.commit(ends(before))
                await asyncio.to_thread(own.start)
                count = len(acknowledged)
                while len(acknowledged) < count + 20:
                    assert not appending.done()
                    await asyncio.sleep(0.1)
            running = False
            await appending
            await read_values(reader, acknowledged - {entry.value for entry in before})
        async with log.reader([PAGES], "g") as reader:  # what is read after a rebalance is told by the other tests
            entries = await read_values(reader, acknowledged)
            await insist(lambda: reader.commit(ends(entries)))
        spans, committed = await log.spans(PAGES), await log.committed("g", PAGES)
        assert sum(end for _, end in spans.values()) >= len(acknowledged)
        assert all(committed[lane] <= end for lane, (_, end) in spans.items())


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_a_reader_of_nothing_says_that_the_broker_hangs_and_goes_on_when_it_answers(own) -> None:
    async with opened(own.servers) as log, log.reader([PAGES], "g") as reader:
        await log.append(PAGES, pages(1))
        await read_values(reader, {b"0"})
        os.kill(own.pid(), signal.SIGSTOP)
        try:
            deadline = time.monotonic() + LONG_S
            with pytest.raises(Transient, match="log_down"):
                while time.monotonic() < deadline:
                    await reader.read(**ALL, wait_s=1)
        finally:
            os.kill(own.pid(), signal.SIGCONT)
        await insist(lambda: log.append(PAGES, pages(1, start=1)))
        await read_values(reader, {b"1"})


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_a_member_that_was_frozen_past_its_session_commits_nothing_when_it_wakes(kafka: str) -> None:
    async with opened(kafka, partitions=1) as log:
        await log.append(PAGES, pages(5))
        command = [sys.executable, "-m", "tests.faults.kafka_member", kafka, log._cluster.prefix]
        frozen = await asyncio.to_thread(
            subprocess.Popen, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert frozen.stdout is not None
        try:
            assert await asyncio.to_thread(frozen.stdout.readline) == "read\n"
            frozen.send_signal(signal.SIGSTOP)
            async with log.reader([PAGES], "g") as reader:
                entries = await read_values(reader, {str(n).encode() for n in range(5)})
                await reader.commit(ends(entries[:3]))
                frozen.send_signal(signal.SIGCONT)
                said = await asyncio.to_thread(frozen.communicate, "commit\n", LONG_S)
                assert said[0].strip() in {"LeaseLost", "Transient"}
                assert await log.committed("g", PAGES) == {0: 3}
        finally:
            frozen.kill()
            frozen.wait()


async def test_members_share_partitions_and_what_a_leaver_did_not_commit_is_read_by_the_other(kafka: str) -> None:
    async with opened(kafka, partitions=4, session_s=30) as log:
        await log.append(PAGES, pages(40))
        values = {str(n).encode() for n in range(40)}
        async with log.reader([PAGES], "g") as stays:
            entries = await read_values(stays, values)
            held = stays.held()
            async with log.reader([PAGES], "g") as comes:
                deadline = time.monotonic() + LONG_S
                while len(stays.held()) != 2 or len(comes.held()) != 2:
                    assert time.monotonic() < deadline
                    await comes.read(**ALL, wait_s=0.2)
                assert stays.held() < held, "what stays keeps its lease: its work goes on"
                mine = [entry for entry in entries if entry.lease in stays.held()]
                await insist(lambda: stays.commit(ends(mine)))
            theirs = values - {entry.value for entry in mine}
            again = await read_values(stays, theirs)
            assert {entry.value for entry in again} == theirs, "nothing that was kept is read twice"
            assert len(stays.held()) == 4


async def test_a_partition_that_retention_overtook_stops_loudly_and_the_others_go_on(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.kafka_reader.CALM_S", 10)  # on a slow machine the others may take their time
    async with opened(kafka) as log:
        positions = await log.append(PAGES, pages(40))
        behind = positions[0].partition
        lost = [at for at in positions if at.partition == behind]
        async with log.reader([PAGES], "g") as reader:
            await read_values(reader, {b"0"})
            await reader.started(await read_values(reader, set()))
        await log.rewind("g", PAGES, 0)
        await log.expire(PAGES)
        await log.rewind("g", PAGES, 1 << 40)  # the others have read all; this one is put back by hand
        await log._ask("put back", lambda: log._move("g", {log._partitions(log._name(PAGES))[behind]: 0}))
        later = await log.append(PAGES, pages(40, start=40))
        going_on = {str(40 + n).encode() for n, at in enumerate(later) if at.partition != behind}
        async with log.reader([PAGES], "g") as reader:
            entries = await read_values(reader, going_on)
            assert {entry.value for entry in entries} == going_on
            with pytest.raises(Gone, match=f"pages/{behind}: retention removed {len(lost)} entries"):
                await reader.read(**ALL, wait_s=LONG_S)
        assert await insist(lambda: log.accept_gap("g", PAGES)) == {behind: len(lost)}
        async with log.reader([PAGES], "g") as reader:
            await read_values(reader, {str(40 + n).encode() for n, at in enumerate(later) if at.partition == behind})


async def test_a_topic_that_is_missing_is_waited_for_and_said(kafka: str) -> None:
    async with opened(kafka) as log:
        with pytest.raises(Transient, match="folio topics apply") as missing:
            await log.append(DEAD, pages(1))
        assert missing.value.cause is Cause.LOG_DOWN
        await log.append(PAGES, pages(1))  # the others are not held up
        await log.apply(await log.plan([DEAD]))
        await insist(lambda: log.append(DEAD, pages(1)))


async def test_a_client_that_hangs_is_noticed_and_left_behind(kafka: str, monkeypatch) -> None:
    """Its library waits without limits in places: the process says so, reads fail, and a stop does not hang with it."""
    monkeypatch.setattr("infra.kafka_reader.SILENT_S", 1.5)
    monkeypatch.setattr("infra.kafka_reader.LEAVE_S", 0.5)
    released = threading.Event()
    async with opened(kafka) as log:
        async with log.reader([PAGES], "hung") as reader:
            await log.append(PAGES, pages(1))
            await read_values(reader, {b"0"})
            assert log.silent_s < 1.5
            monkeypatch.setattr(reader, "_turn", lambda _: released.wait(60))
            await asyncio.sleep(2.0)
            assert log.silent_s > 1.5
            with pytest.raises(Transient, match="silent for"):
                await reader.read(**ALL, wait_s=1)
            began = time.monotonic()
        assert time.monotonic() - began < 5.0
        assert log.silent_s == 0.0
        released.set()
        await asyncio.to_thread(reader._thread.join, 30)


@pytest.mark.faults
@pytest.mark.timeout(180)
async def test_a_page_that_takes_longer_than_a_poll_may_is_committed_all_the_same(kafka: str, monkeypatch) -> None:
    """The thread polls on while the work goes on, so the group never does without us."""
    monkeypatch.setitem(CONSUMER, "max_poll_interval_ms", 7_000)
    async with opened(kafka) as log, log.reader([PAGES], "slow") as reader:
        await log.append(PAGES, pages(2))
        entries = await read_values(reader, {b"0", b"1"})
        leases = reader.held()
        await asyncio.sleep(20)
        assert reader.held() == leases
        await reader.commit(ends(entries))
        assert await log.lag("slow", PAGES) == 0
