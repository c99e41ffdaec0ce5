"""Processes on a real broker are killed, frozen, shuffled and fed with poison: no page is lost, none is there twice."""

import asyncio
import os
import random
import signal
import statistics
import time
from pathlib import Path

import pytest

from folio import topics
from folio.log import Record
from folio.records import PageText
from infra.kafka_log import KafkaLog
from tests.faults.kafka_world import WORKERS, audited, dead_letters, everything, feed, images, world
from tests.kafka_broker import Cluster

KILLS = int(os.environ.get("FOLIO_TEST_KILLS", "200"))
KILLS_EVERY_DAY = 20


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
