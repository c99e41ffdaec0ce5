"""Records that a broker gives and its library cannot read: they are named and passed, so that others are read on."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaConsumer, TopicPartition, errors

from folio.log import FLAW, Offset

OF_A_RECORD = (errors.CorruptRecordError, errors.UnsupportedCodecError)
TRIES = 3
"""Fetched anew so many times: bytes may have been damaged on their way, too."""


@dataclass(frozen=True, slots=True)
class Flawed:
    """In place of the library's record. Its stage makes a dead letter of what carries this header."""

    partition: int
    offset: Offset
    flaw: str
    key: bytes = b""
    value: bytes = b""
    timestamp: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        return [(FLAW, self.flaw.encode("utf-8", "replace"))]


class Unreadable:
    """Which records of one consumer could not be read, and how often."""

    def __init__(self) -> None:
        self._tries: dict[TopicPartition, tuple[Offset, int]] = {}

    def passed(self, consumer: KafkaConsumer, error: Exception) -> dict[TopicPartition, list[Flawed]]:
        """After a poll that raised: the record that is passed over, none while it is tried once more.

        What is read of its batch before it has been given already. Raises `error` when no record is to blame.
        """
        part = consumer._fetcher._next_partition_records
        if (isinstance(error, errors.KafkaError) and not isinstance(error, OF_A_RECORD)) or not part:
            raise error
        lane, at = part.topic_partition, part.next_fetch_offset
        is_spent = _is_spent(part.record_iterator)
        part.drain()
        with suppress(errors.IllegalStateError, AssertionError, KeyError):  # it was taken from us a moment ago
            consumer.seek(lane, at)
        if not is_spent:
            raise error
        before, tries = self._tries.get(lane, (-1, 0))
        tries = tries + 1 if at == before else 1
        self._tries[lane] = (at, tries)
        if tries < TRIES:
            return {}
        with suppress(errors.IllegalStateError, AssertionError, KeyError):
            consumer.seek(lane, at + 1)
        self._tries[lane] = (at + 1, TRIES - 1)  # of its batch the next one fails alike
        return {lane: [Flawed(lane.partition, at, f"Kafka's record cannot be read: {error}")]}


def _is_spent(records: Iterator[Any]) -> bool:
    """Whether reading them has failed: a generator that raised gives nothing more."""
    try:
        return next(records, None) is None
    except Exception:
        return True
