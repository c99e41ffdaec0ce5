"""A broker that loses the end of its log: with copies nothing is lost, without them it is said how much."""

import asyncio
import uuid
from pathlib import Path

import pytest

from folio.errors import Gone, Transient
from folio.log import Reader, Record
from folio.topics import PAGES
from infra.kafka_cluster import Cluster
from infra.kafka_log import KafkaLog
from tests.kafka_broker import cluster

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

COUNT = 60


def on(servers: str) -> Cluster:
    return Cluster(servers=servers, prefix=f"t{uuid.uuid4().hex[:8]}.", partitions=1, session_timeout_s=6)


def records(first: int, count: int) -> list[Record]:
    return [Record(f"doc/{number}", b"%d" % number * 100) for number in range(first, first + count)]


def cut(home: Path, broker: int, topic: str) -> None:
    """Half of what a broker has written of a topic is gone, as after a power cut under an unkind disk."""
    (segment,) = (home / str(broker) / "data" / f"{topic}-0").glob("*.log")
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size // 2)


async def append_one_by_one(log: KafkaLog, first: int, count: int) -> None:
    """Each in a batch of its own, so that a cut goes between them."""
    for record in records(first, count):
        while True:
            try:
                await log.append(PAGES, [record])
                break
            except Transient:
                await asyncio.sleep(0.5)


async def read(reader: Reader, count: int) -> list[bytes]:
    found: list[bytes] = []
    async with asyncio.timeout(120):
        while len(set(found)) < count:
            try:
                entries = await reader.read(entries_max=1000, bytes_max=1 << 26, wait_s=1.0)
            except Transient:
                continue
            found += [entry.value for entry in entries]
            for entry in entries:
                assert entry.lease is not None
                await reader.commit({entry.lease: entry.position.offset + 1})
    return found


async def test_of_three_brokers_one_may_lose_its_tail(tmp_path: Path) -> None:
    with cluster(tmp_path / "kafka", brokers=3) as brokers:
        where = on(brokers.servers)
        async with KafkaLog.open(where) as log:
            await log.apply(await log.plan([PAGES]))
            await append_one_by_one(log, 0, COUNT)
            for broker in (1, 2, 3):  # whichever leads: each loses its tail once, and gets it back from the others
                brokers.kill(broker)
                cut(tmp_path / "kafka", broker, f"{where.prefix}pages")
                brokers.start(broker)
                await append_one_by_one(log, COUNT * broker, COUNT)
            async with log.reader([PAGES], "all") as reader:
                found = await read(reader, 4 * COUNT)
    assert set(found) == {record.value for record in records(0, 4 * COUNT)}


async def test_one_broker_alone_that_loses_its_tail_is_found_out(tmp_path: Path) -> None:
    with cluster(tmp_path / "kafka") as broker:
        where = on(broker.servers)
        async with KafkaLog.open(where) as log:
            await log.apply(await log.plan([PAGES]))
            await append_one_by_one(log, 0, COUNT)
            async with log.reader([PAGES], "all") as reader:
                await read(reader, COUNT)
        broker.kill()
        cut(tmp_path / "kafka", 1, f"{where.prefix}pages")
        broker.start()
        async with KafkaLog.open(where) as log, log.reader([PAGES], "all") as reader:
            with pytest.raises(Gone, match=r"pages/0: the broker lost its last entries, \d+ that were read among them"):
                await read(reader, COUNT)
