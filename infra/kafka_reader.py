"""A member of a group on Kafka, or a follower: one polling thread, and what it fetched within a byte budget."""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from kafka import KafkaConsumer, TopicPartition, errors
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState, OffsetAndMetadata

from folio.batching import Batcher
from folio.errors import Cause, FolioError, Gone, LeaseLost, Transient
from folio.faults import effect
from folio.log import Entry, Lease, Offset
from folio.telemetry import log as lines
from folio.topics import Topic
from infra.fetched import Due, Fetched, Lane, Mark, entry_of, packed, unpacked
from infra.kafka_cluster import (
    AGAIN_S,
    ANSWER_S,
    CALM_S,
    CONSUMER,
    FETCH_SHARE,
    JOIN_S,
    MIB,
    PING_S,
    POLL_S,
    QUIET_S,
    SILENT_S,
    Cluster,
)
from infra.kafka_door import TAKEN, connected, translated
from infra.kafka_unreadable import Unreadable

LEAVE_S = 30.0
"""Its last question to a broker, and its farewell, have ended by then."""


class KafkaReader:
    """One member of a group, or a follower: a thread that polls, and what it fetched."""

    def __init__(self, cluster: Cluster, topics: Sequence[Topic], group: str | None) -> None:
        """Private: starts the thread."""
        self._cluster = cluster
        self._group = group
        self._topics = {cluster.prefix + topic.name: topic.name for topic in topics}
        self._fetched = Fetched(cluster.consumer_bytes_max * 3 // 8)
        self._unreadable = Unreadable()
        self._opened: tuple[set[Lane], set[Lane]] | None = None
        self._trouble: FolioError | None = None
        self._consumer: KafkaConsumer | None = None
        self._stopping = threading.Event()
        self._turned_s = self._stable_s = self._heard_s = time.monotonic()
        self._any_lane: TopicPartition | None = None
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._commits: Batcher[Due, FolioError | None] = Batcher(self._commit_all)
        self._committing = ThreadPoolExecutor(1, f"kafka-commit-{group or 'follower'}")
        """Not a thread of the pool that everybody shares: it waits out a rebalance."""
        self._thread = threading.Thread(target=self._run, name=f"kafka-{group or 'follower'}", daemon=True)
        self._thread.start()

    @property
    def silent_s(self) -> float:
        return time.monotonic() - self._turned_s

    async def read(self, *, entries_max: int, bytes_max: int, wait_s: float) -> Sequence[Entry]:
        """Next entries, at least one if there is one, else empty after `wait_s` of quiet.

        Raises Gone when retention overtook a partition, once nothing of the others is left to give; Transient
        (log_down) while the broker is away; SettingsError when it refuses us.
        """
        deadline = time.monotonic() + wait_s
        while True:
            self._news.clear()
            if entries := self._fetched.take(entries_max, bytes_max):
                return entries
            left = min(deadline - time.monotonic(), self._patience_s())
            if left <= 0:
                return ()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), left)

    def held(self) -> frozenset[Lease]:
        return self._fetched.leases

    async def started(self, entries: Sequence[Entry]) -> None:
        """Put attempt `entry.attempt + 1` of each on record. Raises LeaseLost and changes nothing if one is stale."""
        attempts: dict[Lease, dict[Offset, int]] = {}
        for entry in entries:
            assert entry.lease is not None, "a follower attempts nothing"
            attempts.setdefault(entry.lease, {})[entry.position.offset] = entry.attempt + 1
        await self._commit((attempts, {}))

    async def commit(self, positions: Mapping[Lease, Offset]) -> None:
        """Record the next offset to read, durably. Raises LeaseLost and changes nothing if a lease is stale."""
        await self._commit(({}, dict(positions)))

    async def _commit(self, due: Due) -> None:
        if (error := await self._commits(due)) is not None:
            raise error

    async def _commit_all(self, jobs: Sequence[Due]) -> Sequence[FolioError | None]:
        return await self._loop.run_in_executor(self._committing, self._commit_together, jobs)

    def _commit_together(self, jobs: Sequence[Due]) -> Sequence[FolioError | None]:
        """One request for all that came meanwhile; who has lost a lease hears so, the others go on."""
        deadline = time.monotonic() + ANSWER_S
        while True:
            marks, outcomes = self._fetched.marks(jobs)
            failed: FolioError
            rebalancing = False
            try:
                self._put_on_record(marks)
            except errors.RebalanceInProgressError as error:
                rebalancing = True
                failed = Transient(Cause.LOG_DOWN, f"group {self._group} shares its partitions out anew: {error}")
            except errors.CommitFailedError as error:
                failed = LeaseLost(f"group {self._group}: {error}")
            except errors.KafkaError as error:
                failed = translated(error, self._cluster, f"committing for {self._group}")
            else:
                return outcomes
            if not rebalancing or time.monotonic() > deadline:
                return [outcome or failed for outcome in outcomes]
            time.sleep(AGAIN_S)  # the polling thread completes it; then the leases say whose this is

    def _put_on_record(self, marks: Mapping[Lane, Mark]) -> None:
        if not marks:
            return
        consumer = self._consumer
        if consumer is None:  # it leaves, and the leases end with it
            raise errors.RebalanceInProgressError("not a member now")
        with effect("kafka.commit"):
            consumer.commit(_due(marks), timeout_ms=int(ANSWER_S * 1000))
        self._fetched.committed(marks)

    def _patience_s(self) -> float:
        """How long to wait before looking again. Raises what there is to say while nothing comes."""
        if self._trouble is not None:
            raise self._trouble
        if self.silent_s > SILENT_S:
            raise Transient(Cause.LOG_DOWN, f"the Kafka client has been silent for {self.silent_s:.0f} s")
        gaps, calm_s = self._fetched.gaps()
        if gaps and calm_s >= CALM_S:
            raise Gone(f"group {self._group}: " + "; ".join(gaps))
        return CALM_S if gaps else SILENT_S

    def _tell(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._news.set)

    def _stop(self) -> None:
        """Leave the group. A thread that hangs is left behind: it ends with the process, its session with the group."""
        self._stopping.set()
        self._thread.join(LEAVE_S)
        if self._thread.is_alive():
            lines().warning("a Kafka client hangs and is left behind", group=self._group)

    # From here on: the polling thread.

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                consumer = self._joined()
                while not self._stopping.is_set() and not self._is_stuck():
                    self._try_turn(consumer)
            except Exception as error:
                self._say(error)
                self._stopping.wait(1.0)
            finally:
                self._leave()

    def _try_turn(self, consumer: KafkaConsumer) -> None:
        try:
            self._turn(consumer)
            if time.monotonic() - self._heard_s > QUIET_S:
                ours = list(consumer.assignment()) or [self._any_lane]  # each has a leader of its own
                consumer.end_offsets(ours, timeout_ms=int(PING_S * 1000))
                self._hear()
        except errors.RetriableError as error:
            self._say(error)
            self._stopping.wait(AGAIN_S)

    def _hear(self) -> None:
        """A broker answered."""
        self._heard_s = time.monotonic()
        self._trouble = None

    def _say(self, error: Exception) -> None:
        """Whoever reads hears it; the log hears it once."""
        before = str(self._trouble)
        if isinstance(error, errors.KafkaError):
            self._trouble = translated(error, self._cluster, f"reading {', '.join(self._topics)}")
        else:
            self._trouble = Transient(Cause.LOG_DOWN, f"the Kafka client failed: {error!r}")
        if str(self._trouble) != before:
            lines().warning("kafka", group=self._group, error=str(self._trouble))
        self._tell()

    def _leave(self) -> None:
        consumer, self._consumer, self._opened = self._consumer, None, None
        if consumer is not None:
            with suppress(errors.KafkaError):
                consumer.close(timeout_ms=5000)
        self._fetched.lose()

    def _joined(self) -> KafkaConsumer:
        group = None if self._group is None else self._cluster.prefix + self._group
        session_ms = int(self._cluster.session_timeout_s * 1000)
        consumer = connected(
            KafkaConsumer,
            self._cluster,
            **CONSUMER,
            group_id=group,
            partition_assignment_strategy=(CooperativeStickyAssignor,),
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=min(3000, session_ms // 4),
            fetch_max_bytes=max(MIB, self._cluster.consumer_bytes_max // FETCH_SHARE),
        )
        self._consumer = consumer  # closed by whoever made it, whatever happens below
        # Topics that become known while a leader joins make it join again, for ever if turns are short.
        lanes = [TopicPartition(name, n) for name in self._topics for n in consumer.partitions_for_topic(name) or ()]
        missing = set(self._topics) - {lane.topic for lane in lanes}
        if missing:
            raise errors.UnknownTopicOrPartitionError(", ".join(sorted(missing)))
        self._any_lane = lanes[0]
        self._stable_s = self._heard_s = time.monotonic()
        if group is None:
            consumer.assign(lanes)
            consumer.seek_to_beginning(*lanes)
            for lane in lanes:
                self._fetched.gain(lane, self._topics[lane.topic], None)
                self._fetched.begin(lane, 0, {})
        else:
            consumer.subscribe(list(self._topics), listener=Moves(self, consumer))
        return consumer

    def _is_stuck(self) -> bool:
        return self._group is not None and time.monotonic() - self._stable_s > 2 * self._cluster.session_timeout_s

    def _turn(self, consumer: KafkaConsumer) -> None:
        """Poll once: also while there is no room, or the group would do without us."""
        full = self._fetched.full
        self._pause(consumer, full=full)
        stable = self._group is None or consumer.group_metadata().state is MemberState.STABLE
        records: dict[TopicPartition, list[Any]] = {}
        try:
            if not stable:  # by itself, it returns when it has joined; a poll would go on to wait for records
                _join(consumer)
            records = consumer.poll(timeout_ms=int(POLL_S * 1000) if stable and not full else 0)
        except errors.NoOffsetForPartitionError:
            pass  # a new group: below it is told where to begin
        except errors.OffsetOutOfRangeError as error:
            self._overtaken(consumer, error.args[0])
        except errors.LogTruncationError as error:
            self._overtaken(consumer, {lane: consumer.position(lane) for lane in error.divergent_offsets})
        except Exception as error:
            records = self._unreadable.passed(consumer, error)
        self._turned_s = time.monotonic()
        if stable:
            self._stable_s = self._turned_s
        new = self._fetched.unknown()
        if old := {lane: found for lane, found in records.items() if lane not in new}:
            self._put(old)  # before anything that may fail: the client gives no record twice
        self._begin(consumer, new)
        if full:
            self._fetched.wait_for_room(POLL_S)

    def _pause(self, consumer: KafkaConsumer, *, full: bool) -> None:
        assigned = consumer.assignment()
        open_lanes = set() if full else self._fetched.readable() & assigned
        if self._opened == (open_lanes, assigned):
            return
        self._opened = (open_lanes, assigned)
        for change, lanes in ((consumer.resume, open_lanes), (consumer.pause, assigned - open_lanes)):
            for lane in lanes:
                with suppress(*TAKEN):
                    change(TopicPartition(*lane))

    def _put(self, records: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """All at once: what came together is read in turns."""
        found: list[tuple[Lane, Lease | None, list[Entry]]] = []
        for lane, raws in records.items():
            held, lease, attempts = self._fetched.lease_of(lane)
            topic = self._topics[lane.topic]
            if held:
                found.append((lane, lease, [entry_of(raw, topic, lease, attempts.get(raw.offset, 0)) for raw in raws]))
        self._fetched.put(found)
        self._hear()
        self._tell()

    def _begin(self, consumer: KafkaConsumer, new: Sequence[Lane]) -> None:
        """Look up where new partitions go on, and what was attempted there; a new group begins at what is kept.

        What came of them before that is fetched once more.
        """
        for lane in (TopicPartition(*lane) for lane in new):
            with suppress(*TAKEN):
                mark = consumer.committed(lane, metadata=True, timeout_ms=int(ANSWER_S * 1000))
                if mark is None or mark.offset < 0:
                    [following] = consumer.beginning_offsets([lane]).values()
                    mark = OffsetAndMetadata(following, "", -1)
                    with effect("kafka.begin"):  # on record: retention that overtakes us before we commit is a gap
                        consumer.commit({lane: mark}, timeout_ms=int(ANSWER_S * 1000))
                consumer.seek(lane, mark.offset)
                self._fetched.begin(lane, mark.offset, unpacked(mark.offset, mark.metadata or ""))

    def _overtaken(self, consumer: KafkaConsumer, positions: Mapping[TopicPartition, Any]) -> None:
        for lane, position in positions.items():
            at = getattr(position, "offset", position)
            [begins], [ends] = consumer.beginning_offsets([lane]).values(), consumer.end_offsets([lane]).values()
            gap = f"{self._topics[lane.topic]}/{lane.partition}: "
            if at < begins:
                gap += f"retention removed {begins - at} entries before they were read"
            else:
                gap += f"the broker lost its last entries, {at - ends} that were read among them"
            self._fetched.stop(lane, gap)
            lines().error("kafka gap", group=self._group, gap=gap)
        self._tell()


class Moves(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """Partitions come and go, on the library's own thread: nothing here may wait."""

    def __init__(self, reader: KafkaReader, consumer: KafkaConsumer) -> None:
        self._reader = reader
        self._consumer = consumer

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Nothing of them is read until the polling thread has looked up where to begin."""
        epoch = self._consumer.group_metadata().generation_id
        for lane in assigned:
            self._reader._fetched.gain(lane, self._reader._topics[lane.topic], epoch)
        self._reader._opened = None  # what is new is open, whatever it was before

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """They go to somebody else while we live: what was begun of them has killed nobody. One that leaves is a
        reader no more, and what it began counts.
        """
        stays = self._reader._consumer is self._consumer
        if stays and (forgiven := self._reader._fetched.forgiven(revoked)):
            with suppress(errors.KafkaError):
                self._consumer.commit_async(_due(forgiven))
        self.on_partitions_lost(revoked)

    def on_partitions_lost(self, lost: Sequence[TopicPartition]) -> None:
        """Our session is over, and nothing of ours is taken any more."""
        self._reader._fetched.lose(lost)
        self._reader._tell()


def _due(marks: Mapping[Lane, Mark]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {
        TopicPartition(*lane): OffsetAndMetadata(mark.following, packed(mark.following, mark.attempts), -1)
        for lane, mark in marks.items()
    }


def _join(consumer: KafkaConsumer) -> None:
    """Begin to join the group, or go on with it.

    kafka-python 3.0.12 begins anew when metadata differ from those of the last assignment. When they are as before by
    its next look, it needs nothing any more: the join stays half done, without heartbeats, until the session is over.
    """
    coordinator = consumer._coordinator
    if coordinator.rejoining:
        coordinator.request_rejoin()
    coordinator.poll(timeout_ms=int(JOIN_S * 1000))
