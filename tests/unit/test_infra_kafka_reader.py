"""What a reader and a producer on Kafka do when their client fails between two things, played turn by turn."""

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition, errors
from kafka.structs import MemberState, OffsetAndMetadata

from folio.errors import LeaseLost, Transient
from folio.log import Record
from folio.topics import PAGES
from infra.kafka_cluster import Cluster
from infra.kafka_door import plain_errors
from infra.kafka_log import KafkaLog
from infra.kafka_reader import KafkaReader, _join
from infra.sending import Answer

NOWHERE = Cluster(servers="127.0.0.1:1", prefix="x.")
OLD, NEW = TopicPartition("x.pages", 0), TopicPartition("x.pages", 1)


class Client:
    """As much of the library's consumer as a turn asks; `answers` are what a coordinator says, in order."""

    def __init__(self, polled: list[dict[TopicPartition, list[object]]], answers: list[object]) -> None:
        self._polled = deque(polled)
        self._answers = deque(answers)
        self.sought: dict[TopicPartition, int] = {}

    def assignment(self) -> set[TopicPartition]:
        return {OLD, NEW}

    def group_metadata(self) -> SimpleNamespace:
        return SimpleNamespace(state=MemberState.STABLE)

    def pause(self, *_: TopicPartition) -> None: ...

    def resume(self, *_: TopicPartition) -> None: ...

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[object]]:
        return self._polled.popleft() if self._polled else {}

    def committed(self, lane: TopicPartition, *, metadata: bool, timeout_ms: int) -> object:
        answer = self._answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def seek(self, lane: TopicPartition, offset: int) -> None:
        self.sought[lane] = offset


def raw(lane: TopicPartition, offset: int) -> SimpleNamespace:
    return SimpleNamespace(partition=lane.partition, offset=offset, key=b"k", value=b"v", headers=[], timestamp=0)


async def stopped_reader() -> KafkaReader:
    """One whose own thread has ended: the test takes its turns."""
    reader = KafkaReader(NOWHERE, [PAGES], "ocr")
    await asyncio.to_thread(reader._stop)
    return reader


async def test_records_that_came_are_kept_when_a_new_partition_cannot_be_looked_up() -> None:
    reader = await stopped_reader()
    reader._fetched.gain(OLD, "pages", 1)
    reader._fetched.begin(OLD, 0, {})
    reader._fetched.gain(NEW, "pages", 2)
    client = Client(
        [{OLD: [raw(OLD, 0), raw(OLD, 1)], NEW: [raw(NEW, 7)]}, {OLD: [raw(OLD, 2)]}, {NEW: [raw(NEW, 5)]}],
        [errors.KafkaTimeoutError("the coordinator is slow"), OffsetAndMetadata(5, "", -1)],
    )
    for _ in range(3):
        reader._try_turn(client)
    found = await reader.read(entries_max=10, bytes_max=1000, wait_s=0)
    assert sorted((one.position.partition, one.position.offset) for one in found) == [(0, 0), (0, 1), (0, 2), (1, 5)]
    assert client.sought == {NEW: 5}


async def test_nothing_counts_as_committed_by_a_reader_that_is_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.kafka_reader.ANSWER_S", 0)
    reader = await stopped_reader()
    reader._fetched.gain(OLD, "pages", 1)
    reader._fetched.begin(OLD, 0, {})
    (lease,) = reader.held()
    with pytest.raises(Transient):
        await reader.commit({lease: 3})
    reader._leave()
    with pytest.raises(LeaseLost):
        await reader.commit({lease: 3})


def test_a_producer_that_cannot_be_made_again_is_a_log_that_is_away_and_no_fault_of_a_record() -> None:
    class Away(KafkaLog):
        def __init__(self) -> None:
            self._cluster = NOWHERE

        def _producing(self) -> Any:
            raise OSError("the network is unreachable")

    answer = Answer(2, lambda _: None)
    Away()._send("x.pages", [Record("k", b"1"), Record("k", b"2")], answer)
    with pytest.raises(Transient, match="unreachable"), plain_errors(NOWHERE, "appending"):
        answer.all.result(0)


@pytest.mark.parametrize("rejoining", [True, False])
def test_a_join_that_was_begun_is_gone_on_with_when_the_library_needs_none_any_more(rejoining: bool) -> None:
    asked: list[str] = []
    coordinator = SimpleNamespace(
        rejoining=rejoining,
        request_rejoin=lambda: asked.append("rejoin"),
        poll=lambda timeout_ms: asked.append("poll" if timeout_ms else "nothing"),
    )
    consumer: Any = SimpleNamespace(_coordinator=coordinator)
    _join(consumer)
    assert asked == (["rejoin", "poll"] if rejoining else ["poll"])
