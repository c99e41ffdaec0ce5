"""The log on Kafka: the Log port over a producer whose bytes under way are bounded, readers, and what Topics asks."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

from kafka import KafkaProducer, errors

from folio.errors import Cause, Permanent
from folio.faults import effect
from folio.log import Position, Record
from folio.topics import Topic
from infra.kafka_cluster import (
    ANSWER_S,
    PRODUCER,
    VALUE_BYTES_MAX,
    Cluster,
)
from infra.kafka_door import connected, plain_errors
from infra.kafka_reader import KafkaReader
from infra.kafka_topics import Topics
from infra.sending import Answer, Room, parts_of

OF_THE_RECORD = (
    errors.AuthorizationError,
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.UnknownTopicOrPartitionError,
)
"""Refusals after which a producer is as good as before."""


class KafkaLog(Topics):
    """A Log on a cluster. Make one with `open`; its topics must be there (`folio topics apply`)."""

    def __init__(self, cluster: Cluster) -> None:
        """Private: connects. Blocks."""
        super().__init__(cluster)
        with plain_errors(cluster, "connecting"):
            self._producer = connected(KafkaProducer, cluster, **PRODUCER)
        self._sending = ThreadPoolExecutor(1, "kafka-append")
        self._room = Room(cluster.producer_bytes_max)
        self._broken: KafkaProducer | None = None
        self._readers: set[KafkaReader] = set()
        self._known: set[str] = set()

    @property
    def value_bytes_max(self) -> int:
        return VALUE_BYTES_MAX

    @property
    def silent_s(self) -> float:
        """How long the longest silent reader's thread has not come round; beyond SILENT_S this process is not alive."""
        return max((reader.silent_s for reader in self._readers), default=0.0)

    async def append(self, topic: Topic, records: Sequence[Record]) -> Sequence[Position]:
        """Append in order; returns when durable. Waits while more than the producer's budget is under way.

        Raises Transient(log_down) when that could not be confirmed: some of it may have been appended all the same.
        """
        for record in records:
            if len(record.value) > VALUE_BYTES_MAX:
                raise Permanent(
                    Cause.TOO_LARGE, f"a record of {len(record.value)} bytes; Kafka takes {VALUE_BYTES_MAX}"
                )
        name = self._cluster.prefix + topic.name
        if name not in self._known:  # the producer would wait for it, and everybody behind it
            await self._ask(f"appending to {topic.name}", lambda: self._partitions(name))
            self._known.add(name)
        answers = []
        for part, size in parts_of(records, self._room.bytes_max // 4):
            answers.append(Answer(len(part), await self._room.enter(size)))
            self._sending.submit(self._send, name, part, answers[-1])
        with plain_errors(self._cluster, f"appending to {topic.name}"), effect("kafka.append"):
            found = await asyncio.gather(*(asyncio.wrap_future(answer.all) for answer in answers))
        return [Position(topic.name, partition, offset) for part in found for partition, offset in part]

    @asynccontextmanager
    async def reader(self, topics: Sequence[Topic], group: str | None) -> AsyncIterator["KafkaReader"]:
        """Join a group, which shares partitions out; None follows alone, from the start, and commits nothing."""
        reader = KafkaReader(self._cluster, topics, group)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            await asyncio.to_thread(reader._stop)
            self._readers.discard(reader)

    def _send(self, name: str, records: Sequence[Record], answer: Answer) -> None:
        """On the appending thread, which keeps their order."""
        try:
            producer = self._producing()
        except Exception as error:  # whatever it is: no record is to blame
            away = error if isinstance(error, errors.KafkaError) else errors.KafkaConnectionError(repr(error))
            for index in range(len(records)):
                answer.refused(index, away)
            return
        for index, record in enumerate(records):
            try:
                headers = [(key, value.encode()) for key, value in record.headers.items()]
                sent = producer.send(name, record.value, record.key.encode(), headers)
            except Exception as error:
                answer.refused(index, error)
            else:
                sent.add_callback(partial(answer.came, index))
                sent.add_errback(partial(self._failed, producer, answer, index))

    def _failed(self, producer: KafkaProducer, answer: Answer, index: int, error: Exception) -> None:
        if not isinstance(error, OF_THE_RECORD):
            self._broken = producer
        answer.refused(index, error)

    def _producing(self) -> KafkaProducer:
        """One that gave a batch up is replaced: its library never sends to that partition again."""
        if self._broken is self._producer:
            _end(self._producer, wait_s=0)
            self._producer = connected(KafkaProducer, self._cluster, **PRODUCER)
        return self._producer

    def _close(self) -> None:
        self._sending.shutdown()
        _end(self._producer, wait_s=ANSWER_S)
        super()._close()


def _end(producer: KafkaProducer, *, wait_s: float) -> None:
    try:
        producer.close(timeout=wait_s)
    except errors.KafkaTimeoutError:  # it would go on for ever
        producer._sender.force_close()
        producer._closed = True
