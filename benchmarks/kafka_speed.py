"""Pages a second through a real Kafka broker, ours beside the bare library with the same settings; and memory.

A producer and a consumer, each a process, run at once: seconds from the first send until the last of the records has
been read and committed. Rounds alternate, the median of their ratios counts. Must reach: 0.8 of bare kafka-python and
300 pages/s; and a reader before a backlog of 10,000 pages grows by no more than its byte budget.
confluent-kafka (librdkafka) runs beside them for information.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from folio.log import Record
from folio.topics import PAGES
from infra.kafka_cluster import CONSUMER, FETCH_SHARE, PRODUCER, Cluster
from infra.kafka_log import KafkaLog

PAGE_BYTES = 300_000
PARTITIONS = 8
RATIO_MIN = 0.8
PAGES_PER_S_MIN = 300
AT_ONCE = 64
APPENDS = 256
"""At once: more than the producer's byte budget lets through, so that it is what bounds ours."""
COMMIT_EVERY_S = 0.1
MIB = 1 << 20
BROKER = Path(__file__).parent.parent / "infra" / "deploy" / "kafka" / "broker.sh"
KINDS = ("bare", "ours", "confluent")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", default=os.environ.get("FOLIO_KAFKA", ""), help="none: one is started for this")
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backlog", type=int, default=10_000)
    parser.add_argument("--role", help="what one of the processes does", default="")
    parser.add_argument("--prefix", default="")
    asked = parser.parse_args()
    if asked.role:
        ROLES[asked.role](cluster_of(asked.servers, asked.prefix), asked.pages)
        return 0
    with broker(asked.servers) as servers:
        reached = speed(servers, asked.pages, asked.rounds) & memory(servers, asked.backlog)
    return 0 if reached else 1


@contextmanager
def broker(servers: str) -> Iterator[str]:
    """The one that is given, else one of our own on free ports."""
    if servers:
        yield servers
        return
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"FOLIO_KAFKA_HOME": home, "FOLIO_KAFKA_PORT": "0"}
        subprocess.run([BROKER, "start"], env=environment, check=True)
        try:
            yield (Path(home) / "address").read_text().strip()
        finally:
            subprocess.run([BROKER, "kill"], env=environment, check=True)


def cluster_of(servers: str, prefix: str) -> Cluster:
    return Cluster(servers=servers, prefix=prefix, partitions=PARTITIONS, session_timeout_s=10)


def speed(servers: str, pages: int, rounds: int) -> bool:
    """Print a line for each round and the medians; whether ours is quick enough."""
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    print(f"{pages} pages of {PAGE_BYTES // 1000} KB, {PARTITIONS} partitions, acks=all, pages/s:")
    for number in range(rounds):
        for kind in KINDS[number % 2 :] + KINDS[: number % 2]:
            rates[kind].append(pages / seconds(servers, kind, pages))
        print("  " + "  ".join(f"{kind} {rates[kind][-1]:6.0f}" for kind in KINDS), flush=True)
    ratio = statistics.median(ours / bare for ours, bare in zip(rates["ours"], rates["bare"], strict=True))
    middle = {kind: statistics.median(found) for kind, found in rates.items()}
    print(f"median  {'  '.join(f'{kind} {rate:.0f}' for kind, rate in middle.items())}")
    print(f"ours / bare, median of rounds: {ratio:.2f} (must reach {RATIO_MIN}); floor {PAGES_PER_S_MIN} pages/s")
    return ratio >= RATIO_MIN and middle["ours"] >= PAGES_PER_S_MIN


def seconds(servers: str, kind: str, pages: int) -> float:
    with topic(servers) as prefix:
        reading = start(servers, f"read-{kind}", prefix, pages)
        assert reading.stdout is not None
        assert reading.stdout.readline().strip() == "ready"
        began = time.time()
        writing = start(servers, f"write-{kind}", prefix, pages)
        ended = float(reading.stdout.readline())
        assert reading.wait() == writing.wait() == 0
        assert writing.stdout is not None
        return ended - max(began, float(writing.stdout.readline()))


@contextmanager
def topic(servers: str) -> Iterator[str]:
    """A fresh topic of pages; yields its prefix."""
    prefix = f"speed-{uuid.uuid4().hex[:8]}."

    async def make() -> None:
        async with KafkaLog.open(cluster_of(servers, prefix)) as log:
            await log.apply(await log.plan([PAGES]))

    asyncio.run(make())
    try:
        yield prefix
    finally:
        admin = KafkaAdminClient(bootstrap_servers=servers)
        admin.delete_topics([prefix + PAGES.name])
        admin.close()


def start(servers: str, role: str, prefix: str, pages: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks.kafka_speed", "--servers", servers]
    command += ["--role", role, "--prefix", prefix, "--pages", str(pages)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def write_bare(cluster: Cluster, pages: int) -> None:
    producer = KafkaProducer(**cluster.client, **PRODUCER)
    page = os.urandom(PAGE_BYTES)
    producer.partitions_for(cluster.prefix + PAGES.name)
    print(time.time(), flush=True)
    for number in range(pages):
        producer.send(cluster.prefix + PAGES.name, page, f"doc/{number}".encode())
    producer.flush()
    producer.close()


def read_bare(cluster: Cluster, pages: int) -> None:
    consumer = KafkaConsumer(
        cluster.prefix + PAGES.name,
        **cluster.client,
        **(CONSUMER | {"auto_offset_reset": "earliest"}),
        group_id=cluster.prefix + "bare",
        partition_assignment_strategy=(CooperativeStickyAssignor,),
        fetch_max_bytes=cluster.consumer_bytes_max // FETCH_SHARE,
    )
    while not consumer.assignment():
        consumer.poll(timeout_ms=1000)
    print("ready", flush=True)
    found, committed = 0, time.monotonic()
    while found < pages:
        found += sum(map(len, consumer.poll(timeout_ms=200).values()))
        if time.monotonic() - committed > COMMIT_EVERY_S or found == pages:
            consumer.commit()
            committed = time.monotonic()
    print(time.time(), flush=True)
    consumer.close()


def write_confluent(cluster: Cluster, pages: int) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": cluster.servers, "acks": "all", "batch.size": MIB, "linger.ms": 5})
    page = os.urandom(PAGE_BYTES)
    producer.list_topics(cluster.prefix + PAGES.name)
    print(time.time(), flush=True)
    for number in range(pages):
        while True:
            try:
                producer.produce(cluster.prefix + PAGES.name, page, f"doc/{number}")
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


def read_confluent(cluster: Cluster, pages: int) -> None:
    from confluent_kafka import Consumer

    options = {"bootstrap.servers": cluster.servers, "group.id": cluster.prefix + "c", "auto.offset.reset": "earliest"}
    consumer = Consumer(options | {"enable.auto.commit": False})
    consumer.subscribe([cluster.prefix + PAGES.name])
    while not consumer.assignment():
        consumer.poll(0.1)
    print("ready", flush=True)
    found, committed = 0, time.monotonic()
    while found < pages:
        new = len(consumer.consume(AT_ONCE, 0.2))
        found += new
        if new and (time.monotonic() - committed > COMMIT_EVERY_S or found == pages):
            consumer.commit(asynchronous=False)
            committed = time.monotonic()
    print(time.time(), flush=True)
    consumer.close()


def write_ours(cluster: Cluster, pages: int) -> None:
    async def write() -> None:
        page = os.urandom(PAGE_BYTES)
        numbers = iter(range(pages))

        async def some(log: KafkaLog) -> None:
            for number in numbers:
                await log.append(PAGES, [Record(f"doc/{number}", page)])

        async with KafkaLog.open(cluster) as log:
            await log.append(PAGES, [])  # it knows the topic, as the bare one does
            await asyncio.to_thread(log._producer.partitions_for, cluster.prefix + PAGES.name)
            print(time.time(), flush=True)
            await asyncio.gather(*(some(log) for _ in range(APPENDS)))

    asyncio.run(write())


def read_ours(cluster: Cluster, pages: int) -> None:
    async def read() -> None:
        async with KafkaLog.open(cluster) as log, log.reader([PAGES], "ours") as reader:
            while not reader.held():
                await reader.read(entries_max=AT_ONCE, bytes_max=64 * MIB, wait_s=0.1)
            print("ready", flush=True)
            found, committed, ends = 0, time.monotonic(), {}
            while found < pages:
                entries = await reader.read(entries_max=AT_ONCE, bytes_max=64 * MIB, wait_s=0.2)
                found += len(entries)
                ends |= {entry.lease: entry.position.offset + 1 for entry in entries}
                if time.monotonic() - committed > COMMIT_EVERY_S or found == pages:
                    await reader.commit(ends)
                    committed, ends = time.monotonic(), {}
            print(time.time(), flush=True)

    asyncio.run(read())


def memory(servers: str, backlog: int) -> bool:
    """Fill a topic, let a reader stand before it and then read it slowly; whether it stayed within its budget."""
    with topic(servers) as prefix:
        assert start(servers, "write-ours", prefix, backlog).wait() == 0
        reading = start(servers, "backlog", prefix, backlog)
        shown, _ = reading.communicate()
    found = json.loads(shown)
    budget = cluster_of(servers, "").consumer_bytes_max
    grown = f"{found['standing'] / MIB:.0f} MiB while nobody reads, {found['reading'] / MIB:.0f} MiB while it is read"
    print(f"a reader before {backlog} pages ({backlog * PAGE_BYTES / 1e9:.1f} GB) grows by {grown}")
    print(f"its budget: {budget / MIB:.0f} MiB; the process before it: {found['before'] / MIB:.0f} MiB")
    return max(found["standing"], found["reading"]) <= budget * 1.1


def stand(cluster: Cluster, pages: int) -> None:
    async def watch() -> None:
        this = psutil.Process()
        grown = {"standing": 0, "reading": 0}
        async with KafkaLog.open(cluster) as log:
            before = this.memory_info().rss
            async with log.reader([PAGES], "backlog") as reader:
                for _ in range(100):
                    await asyncio.sleep(0.1)
                    grown["standing"] = max(grown["standing"], this.memory_info().rss - before)
                found = 0
                while found < pages:
                    found += len(await reader.read(entries_max=8, bytes_max=64 * MIB, wait_s=1))
                    grown["reading"] = max(grown["reading"], this.memory_info().rss - before)
        print(json.dumps({"before": before} | grown))

    asyncio.run(watch())


ROLES: dict[str, Callable[[Cluster, int], None]] = {
    "write-bare": write_bare,
    "read-bare": read_bare,
    "write-ours": write_ours,
    "read-ours": read_ours,
    "write-confluent": write_confluent,
    "read-confluent": read_confluent,
    "backlog": stand,
}

if __name__ == "__main__":
    sys.exit(main())
