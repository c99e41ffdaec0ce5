"""Processes on a real broker are killed, frozen, shuffled and fed with poison: no page is lost, none is there twice."""

import asyncio
import os
import random
import signal
import statistics
import time
from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from folio import topics
from folio.ids import Doc
from folio.log import Record
from folio.records import DeadLetter, PageText, Upload
from infra.kafka_log import KafkaLog
from tests.faults.kafka_world import WORKERS, Worker, World, audited, everything, images, put, sentence, world
from tests.faults.points import fail_points
from tests.kafka_broker import Cluster, cluster
from tests.pages import report_pdf

KILLS = int(os.environ.get("FOLIO_TEST_KILLS", "200"))
KILLS_EVERY_DAY = 20
ROLE_OF = {"ingest": "ingest", "blobs": "ocr", "ocr": "ocr", "ledger": "ledger", "indexer": "index"}
"""Where a fail point is reached; the log's own are reached by all."""
NOT_HERE = (
    "log.",
    "replay.",
    "kafka.topics",
    "kafka.rewind",
    "kafka.expire",
    "blobs.claim",
    "blobs.put",
    "blobs.sweep",
    "ledger.blob",
    "ledger.bodies",
    "ledger.rebuilt",
    "ledger.restored",
    "indexer.mark_seen",
)
"""Fail points of other logs and stores, of commands, of what happens once, or once an hour, and of a document emitted
again without a change: other tests reach them."""
UNREACHED_S_MAX = 60.0


@pytest.fixture(scope="module")
def brisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A broker of this module's own, which lets sessions be short."""
    folder = tmp_path_factory.mktemp("brisk")
    extra = folder / "extra.properties"
    extra.write_text("group.min.session.timeout.ms=1000\n")
    with cluster(folder / "kafka", extra=extra) as made:
        yield made


def where(point: str) -> Collection[str]:
    """The roles that reach it."""
    if point.startswith("ledger.followed"):
        return ["index"]  # the ledger that the API answers from is never the one that emits
    room = point.partition(".")[0]
    return ROLE_OF.values() if room == "kafka" else [ROLE_OF.get(room, "")]


def points_of(role: str) -> list[str]:
    found = [point for point in fail_points() if role in where(point) and not point.startswith(NOT_HERE)]
    begins = [point for point in found if point.startswith("kafka.begin")]  # a group begins but once: first
    return [*(begins if role == "ingest" else ()), *(point for point in found if point not in begins)]


def at(point: str) -> str:
    """Not the first time: most of what was in hand at the death before is done by then, with commits of its own."""
    times = {"kafka.begin": 1, "kafka.commit": 8}
    return f"{point}@{times.get(point.partition(':')[0], 3)}"


async def feed(world: World, log: KafkaLog, number: int) -> dict[str, int]:
    """A scanned document, a born-digital one that is put in twice, and one that is deleted: how many pages stay."""
    scanned, digital, gone = f"scan{number}", f"file{number}", f"gone{number}"
    pdf = report_pdf(world.folder / f"{digital}.pdf", pages=1, special={1: sentence(digital, 1)})
    await log.append(topics.PAGES, images(scanned, 2))
    for document in (digital, digital, gone):
        await put(world, log, document, pdf)
    deleted = Upload(doc=Doc(f"default/{gone}"), deleted=True)
    await log.append(topics.UPLOADS, [Record(deleted.doc, deleted.encode())])
    return {scanned: 2, digital: 1, gone: 0}


@pytest.mark.timeout(1500)
async def test_every_fail_point_once(brisk: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The index, whose points are the most, leaves those of the log to the others: they die at the same time."""
    await every_fail_point(brisk, tmp_path, capsys, leaves_the_log="index")


@pytest.mark.faults
@pytest.mark.timeout(1500)
async def test_every_fail_point_in_every_role(
    brisk: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await every_fail_point(brisk, tmp_path, capsys)


async def every_fail_point(
    broker: Cluster, folder: Path, capsys: pytest.CaptureFixture[str], *, leaves_the_log: str = ""
) -> None:
    """Every process dies at each of its points in turn, all of them at once; then all is as if nothing had been.

    But for what stood beside three deaths of its process, alone at last: that is given up, and a dead letter says so.
    """
    async with world(broker.servers, folder, session_s=2.0) as (here, log):
        deaths = Deaths(here, leaves_the_log=leaves_the_log)
        put_in: dict[str, int] = {}
        for number in range(400):
            if deaths.over():
                break
            put_in |= await feed(here, log, number)
            await asyncio.sleep(0.6)
        assert not deaths.unreached, deaths.unreached
        here.end()
        here.start_all()
        await here.settled(put_in)
        letters = await dead_letters(log)
        assert [letter.detail for letter in letters if "killed its process 3 times" not in letter.detail] == []
        given_up = {str(letter.doc).removeprefix("default/") for letter in letters}
        await audited(here, log, put_in, given_up=given_up)
    with capsys.disabled():
        print(
            f"\n{deaths.count} deaths; of {len(put_in)} documents {len(given_up)} given up, as their dead letters say"
        )
    assert len(given_up) < 0.1 * len(put_in)


class Deaths:
    """Which point each worker dies at next."""

    def __init__(self, world: World, *, leaves_the_log: str) -> None:
        self._world = world
        alone = [worker for worker in WORKERS if worker[1] == 1]  # a second ledger would take the first one's turn
        self._left = {
            (role, number): deque(
                point for point in points_of(role) if role != leaves_the_log or not point.startswith("kafka.")
            )
            for role, number in alone
        }
        self._since = dict.fromkeys(self._left, time.monotonic())
        self.count = 0
        self.unreached: list[tuple[Worker, str]] = []
        for worker in alone:
            self._start(worker)

    def over(self) -> bool:
        """Look who died, and send those to their next point. True when all have been at all of theirs."""
        for worker, left in self._left.items():
            died = self._world.up[worker].popen.poll() is not None
            if left and died and self._mark(worker, left[0]).exists():
                left.popleft()
                self.count += 1
                self._start(worker)
            elif died:
                self._start(worker)
            elif left and time.monotonic() - self._since[worker] > UNREACHED_S_MAX:
                self.unreached.append((worker, left.popleft()))
                self._world.kill(*worker)
                self._start(worker)
        return not any(self._left.values())

    def _start(self, worker: Worker) -> None:
        self._since[worker] = time.monotonic()
        left = self._left.get(worker)
        fault = {"FOLIO_FAULT": at(left[0]), "FOLIO_FAULT_ONCE": str(self._mark(worker, left[0]))} if left else {}
        self._world.start(*worker, **fault)

    def _mark(self, worker: Worker, point: str) -> Path:
        return self._world.folder / f"{worker[0]}-{point.replace(':', '-')}"


@pytest.mark.timeout(1800)
async def test_a_few_random_kills(brisk: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await kills(brisk, tmp_path, KILLS_EVERY_DAY, session_s=2.0, capsys=capsys)


@pytest.mark.faults
@pytest.mark.timeout(3600)
async def test_200_random_kills(brisk: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await kills(brisk, tmp_path, KILLS, session_s=6.0, capsys=capsys)


async def kills(
    broker: Cluster, folder: Path, count: int, *, session_s: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """One to all of them at once, anywhere; recovered is who has indexed what was put in at the moment of the kill."""
    chance = random.Random(count)
    recoveries: list[float] = []
    put_in: dict[str, int] = {}
    killed = 0
    async with world(broker.servers, folder, session_s=session_s) as (here, log):
        here.start_all()
        while killed < count:
            put_in |= await feed(here, log, len(recoveries))
            await asyncio.sleep(chance.uniform(0, 1.5))
            began = time.monotonic()
            for worker in chance.sample(WORKERS, k=min(chance.randint(1, 6), count - killed)):
                here.kill(*worker)
                here.start(*worker)
                killed += 1
            await here.settled(put_in)
            recoveries.append(time.monotonic() - began)
        absorbed = await duplicates(log)
        await audited(here, log, put_in)
    p50, p95 = statistics.median(recoveries), sorted(recoveries)[int(0.95 * (len(recoveries) - 1))]
    with capsys.disabled():
        print(f"\n{killed} kills, {absorbed} duplicates absorbed, recovered in {p50:.1f} s (p50), {p95:.1f} s (p95)")


async def dead_letters(log: KafkaLog) -> list[DeadLetter]:
    return [DeadLetter.decode(entry.value) for entry in await everything(log, topics.DEAD)]


async def duplicates(log: KafkaLog) -> int:
    """Page texts that were appended again after a kill: the same page of the same version."""
    texts = [PageText.decode(entry.value) for entry in await everything(log, topics.TEXTS)]
    return len(texts) - len({(text.doc, text.version, text.page) for text in texts})


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_member_that_froze_past_its_session_does_no_harm(brisk: Cluster, tmp_path: Path) -> None:
    put_in: dict[str, int] = {}
    async with world(brisk.servers, tmp_path, session_s=2.0) as (here, log):
        here.start_all()
        for number, role in enumerate(("ocr", "ledger")):
            put_in |= await feed(here, log, number)
            here.freeze(role, 1)
            await asyncio.sleep(5.0)
            put_in |= await feed(here, log, 10 + number)
            await asyncio.sleep(1.0)
            here.thaw(role, 1)
        await asyncio.sleep(2.0)
        here.revive()
        await audited(here, log, put_in)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_an_index_killed_again_while_it_waits_for_its_turn_is_not_taken_for_another(
    brisk: Cluster, tmp_path: Path
) -> None:
    async with world(brisk.servers, tmp_path, session_s=20.0) as (here, log):
        here.start("ledger")
        here.start("ocr")
        here.start("index")
        here.ready("index")
        here.kill("index")
        here.start("index")
        while not any("waits for its turn" in line for line in here.up["index", 1].said):
            await asyncio.sleep(0.1)
        here.kill("index")
        await log.append(topics.PAGES, images("late", 1))
        here.start("index")
        await asyncio.to_thread(here.ready, "index")
        await audited(here, log, {"late": 1})


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_joining_and_leaving_every_two_seconds(brisk: Cluster, tmp_path: Path) -> None:
    put_in: dict[str, int] = {}
    async with world(brisk.servers, tmp_path) as (here, log):
        here.start_all()
        ends = time.monotonic() + 60
        number = 0
        while time.monotonic() < ends:
            put_in |= await feed(here, log, number)
            await asyncio.sleep(2.0)
            if ("ocr", 3) in here.up:
                here.ready("ocr", 3)
                assert await asyncio.to_thread(here.stop, "ocr", 3) == 0
            else:
                here.start("ocr", 3)
            number += 1
        await audited(here, log, put_in)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_every_record_three_times_and_shuffled(brisk: Cluster, tmp_path: Path) -> None:
    """As a producer that retries, a log that redelivers and a careless operator would have it, on every topic."""
    chance = random.Random(3)
    put_in: dict[str, int] = {}
    async with world(brisk.servers, tmp_path, session_s=2.0) as (here, log):
        here.start_all()
        for number in range(3):
            records = images(f"scan{number}", 4) * 3
            chance.shuffle(records)
            await log.append(topics.PAGES, records)
            put_in[f"scan{number}"] = 4
        await here.settled(put_in)
        for topic in (topics.TEXTS, topics.DOCUMENTS, topics.RECEIPTS):
            again = [Record(e.key, e.value, e.headers) for e in await everything(log, topic)] * 2
            chance.shuffle(again)
            await log.append(topic, again)
        await log.append(topics.PAGES, images("last", 1))
        await audited(here, log, put_in | {"last": 1})


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_pages_that_kill_the_process_are_found_and_given_up(brisk: Cluster, tmp_path: Path) -> None:
    async with world(brisk.servers, tmp_path, session_s=2.0) as (here, log):
        here.start_all()
        await log.append(topics.PAGES, images("poison", 4, script={3: b"folio!die"}))
        await log.append(topics.PAGES, images("innocent", 4))
        await here.settled({"poison": 4, "innocent": 4})
        assert {letter.page for letter in await dead_letters(log)} == {3}
        await audited(here, log, {"poison": 4, "innocent": 4}, failed=1)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_broker_that_refuses_everything_for_30_s_and_one_that_dies(brisk: Cluster, tmp_path: Path) -> None:
    """Nothing can be appended or committed; then the broker is killed and started again. Nobody has to be told."""
    put_in: dict[str, int] = {}
    async with world(brisk.servers, tmp_path) as (here, log):
        here.start_all()
        put_in |= await feed(here, log, 0)
        os.kill(brisk.pid(), signal.SIGSTOP)
        await asyncio.sleep(30.0)
        os.kill(brisk.pid(), signal.SIGCONT)
        await here.settled(put_in)
        put_in |= await feed(here, log, 1)
        await asyncio.to_thread(brisk.kill)
        await asyncio.to_thread(brisk.start)
        await audited(here, log, put_in)
