"""What others write to a real broker, and what no library can read of it; partitions that move while we live."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from kafka import KafkaProducer, codec
from kafka.record import default_records

from folio.errors import Gone, SettingsError
from folio.log import FLAW, Entry, Position, Reader, Record
from folio.topics import Topic
from infra.kafka_cluster import Cluster
from infra.kafka_log import KafkaLog

T = Topic("t", 3600)
WAIT_S = 60.0

pytestmark = pytest.mark.timeout(300)


@dataclass
class Desk:
    log: KafkaLog
    cluster: Cluster

    def send(self, values: Sequence[bytes], partition: int = 0, header: str = "n", **options: object) -> None:
        """In one batch, as a producer with nothing of ours does."""
        producer = KafkaProducer(bootstrap_servers=self.cluster.servers, linger_ms=500, **options)
        for value in values:
            producer.send(f"{self.cluster.prefix}t", value, b"k", [(header, b"1")], partition=partition)
        producer.close()


@asynccontextmanager
async def opened(servers: str, partitions: int) -> AsyncIterator[Desk]:
    cluster = Cluster(servers=servers, prefix=f"records-{uuid.uuid4().hex[:12]}.", session_timeout_s=30)
    async with KafkaLog.open(cluster) as log:
        await log.apply([replace(change, partitions=partitions) for change in await log.plan([T])])
        yield Desk(log, cluster)


@pytest.fixture
async def desk(kafka: str) -> AsyncIterator[Desk]:
    async with opened(kafka, 2) as made:
        yield made


async def until(reader: Reader, enough: Callable[[list[Entry]], bool]) -> list[Entry]:
    found: list[Entry] = []
    async with asyncio.timeout(WAIT_S):
        while not enough(found):
            found += await reader.read(entries_max=100, bytes_max=1 << 24, wait_s=1)
    return found


@pytest.mark.parametrize("how", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_what_was_compressed_is_read_however_it_was(desk: Desk, how: str | None) -> None:
    desk.send([b"first" * 1000, b"second" * 1000], compression_type=how)
    async with desk.log.reader([T], "g") as reader:
        found = await until(reader, lambda found: len(found) == 2)
    assert [entry.value for entry in found] == [b"first" * 1000, b"second" * 1000]


class NoText(str):
    """A header's name that the library writes as it is asked to, and then cannot read."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfename"


@pytest.mark.parametrize("flaw", ["header", "codec"])
async def test_what_cannot_be_read_is_named_and_passed_and_all_others_are_read(
    desk: Desk, flaw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.send([b"before"])
    if flaw == "header":
        desk.send([b"bad"], header=NoText("x"))
    else:
        desk.send([b"bad" * 100, b"worse" * 100], compression_type="lz4")
        monkeypatch.setattr(codec, "has_lz4", lambda: False)
        assert default_records.codecs.has_lz4() is False
    desk.send([b"after"])
    desk.send([b"elsewhere"], partition=1)
    bad = 1 if flaw == "header" else 2
    async with desk.log.reader([T], "g") as reader:
        found = await until(reader, lambda found: len(found) == bad + 3)
        here = [entry for entry in found if entry.position.partition == 0]
        assert [entry.value for entry in here] == [b"before", *[b""] * bad, b"after"]
        assert [entry.position.offset for entry in here] == list(range(bad + 2))
        for entry in here[1:-1]:
            assert "cannot be read" in entry.headers[FLAW]
            assert ("UnicodeDecodeError" if flaw == "header" else "lz4") in entry.headers[FLAW]
        assert FLAW not in found[-1].headers
    with pytest.raises(Gone, match="cannot be read"):
        await desk.log.fetch(Position("t", 0, 1))


async def test_partitions_that_move_while_we_live_count_no_attempt(desk: Desk, kafka: str) -> None:
    """Else pages that take long would be given up as killers, because processes were added."""
    await desk.log.append(T, [Record(f"k{n}", b"") for n in range(20)])
    async with desk.log.reader([T], "g") as old:
        entries = await until(old, lambda found: len(found) == 20)
        await old.started(entries)
        assert {entry.attempt for entry in entries} == {0}
        async with KafkaLog.open(desk.cluster) as other, other.reader([T], "g") as new:
            moved = await until(new, bool)
            async with asyncio.timeout(WAIT_S):
                while len(old.held()) != 1:
                    await asyncio.sleep(0.1)
            assert {entry.attempt for entry in moved} == {0}
            stays = [entry for entry in entries if entry.lease in old.held()]
    assert stays
    assert moved[0].position.partition != stays[0].position.partition


async def test_what_killed_its_process_counts_after_a_move(desk: Desk) -> None:
    await desk.log.append(T, [Record(f"k{n}", b"") for n in range(20)])
    async with desk.log.reader([T], "g") as first:
        await first.started([replace(entry, attempt=1) for entry in await until(first, lambda found: len(found) == 20)])
    async with desk.log.reader([T], "g") as second:
        again = await until(second, lambda found: len(found) == 20)
        assert {entry.attempt for entry in again} == {2}, "who leaves is no mover"
        await second.started(again)
        lanes = [(f"{desk.cluster.prefix}t", partition) for partition in range(2)]
        marks = second._fetched.forgiven(lanes)
        assert {count for mark in marks.values() for count in mark.attempts.values()} == {2}, "its own is forgiven"
        assert sum(len(mark.attempts) for mark in marks.values()) == 20


@pytest.mark.parametrize("wrong", [{"security_protocol": "ssl"}, {"sasl_mechanism": "SCRAM"}])
def test_a_protocol_that_is_misspelt_is_refused_and_not_taken_for_plain_text(wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Cluster(servers="localhost:9092", **wrong)


async def test_a_record_that_cannot_be_sent_holds_up_no_other(desk: Desk) -> None:
    for record in (Record("k", b"", {"x": "\ud800"}), Record("\ud800", b""), Record("k", b"", {"x": None})):
        with pytest.raises((UnicodeEncodeError, AttributeError)):
            await asyncio.wait_for(desk.log.append(T, [record]), WAIT_S)
    assert len(await desk.log.append(T, [Record("k", b"")])) == 1
