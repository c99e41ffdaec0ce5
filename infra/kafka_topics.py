"""Topics and groups of a Kafka cluster as folio wants them: made, checked, measured, rewound."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Self, TypeVar

from kafka import KafkaConsumer, TopicPartition, errors
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, OffsetSpec, OffsetTimestamp
from kafka.structs import OffsetAndMetadata

from folio.errors import FolioError, Gone, SettingsError, Transient
from folio.faults import effect
from folio.log import Entry, Offset, Position
from folio.topics import PAGES, PAGES_BULK, TOPICS, Topic
from infra.fetched import entry_of
from infra.kafka_cluster import Change, Cluster, partitions_of, settings_of
from infra.kafka_door import PASSING, connected, plain_errors
from infra.kafka_unreadable import OF_A_RECORD

T = TypeVar("T")
INSIST_S = 15.0
LOSING = {"cleanup.policy", "message.timestamp.type"}
"""Settings of a topic that no stage starts with when they are others: what was acknowledged would be taken away."""


class Topics:
    """Topics and groups of one cluster, asked from outside of any stage. Make one with `open`."""

    def __init__(self, cluster: Cluster) -> None:
        """Private: connects at the first question."""
        self._cluster = cluster
        self._asking = ThreadPoolExecutor(1, "kafka-topics")
        self._admin: KafkaAdminClient | None = None
        self._fetcher: KafkaConsumer | None = None
        self._met = False

    @classmethod
    @asynccontextmanager
    async def open(cls, cluster: Cluster) -> AsyncIterator[Self]:
        """Raises Transient(log_down) when no broker answers, SettingsError when it does not let us in."""
        topics = await asyncio.to_thread(cls, cluster)
        try:
            yield topics
        finally:
            await asyncio.to_thread(topics._close)

    async def plan(
        self, topics: Sequence[Topic] = TOPICS, *, keep_s: Mapping[str, float] | None = None
    ) -> list[Change]:
        """What `apply` would do, one Change a topic; empty when all is as it should be."""
        return await self._ask("looking at topics", lambda: self._plan(topics, keep_s or {}))

    async def apply(self, changes: Sequence[Change]) -> None:
        """Create and alter. Raises SettingsError naming what the broker refuses."""
        await self._ask("making topics", lambda: self._apply(changes))

    async def check(self, topics: Sequence[Topic] = TOPICS) -> None:
        """Raises SettingsError when a topic is missing, takes smaller messages than folio sends, or loses some."""
        for change in await self.plan(topics):
            if change.create:
                raise SettingsError(f"topic {change.topic} is missing: folio topics apply --yes makes it")
            if smaller := change.settings.get("max.message.bytes"):
                raise SettingsError(
                    f"topic {change.topic} takes messages of {smaller[0]} bytes, folio sends up to {smaller[1]}: raise "
                    "its max.message.bytes (folio topics apply --yes)"
                )
            for name in LOSING & change.settings.keys():
                now, wanted = change.settings[name]
                raise SettingsError(
                    f"topic {change.topic} has {name}={now}, and folio would lose documents or mix their versions: it "
                    f"must be {wanted} (folio topics apply --yes)"
                )

    async def identity(self) -> str:
        """The same for everybody who reads and writes these topics, however they reach the cluster."""
        found = await self._ask("asking for the cluster's id", lambda: self._client.describe_cluster()["cluster_id"])
        return f"Kafka cluster {found}, prefix {self._cluster.prefix!r}"

    async def lag(self, group: str, topic: Topic) -> int:
        """Entries of the topic that the group has not committed; of a compacted topic also what is gone from it."""
        return await self._ask(f"lag of {group}", lambda: self._lag(group, self._name(topic)))

    async def is_read(self, group: str) -> bool:
        """Whether the group has a member; one that was killed counts until its session is over."""
        name = self._cluster.prefix + group
        return await self._ask(f"members of {group}", lambda: self._has_members(name))

    async def rewind(self, group: str, topic: Topic, to: Offset | datetime) -> None:
        """Set what a group without live readers reads next; an offset is cut to what is kept."""
        await self._ask(f"rewinding {group}", lambda: self._rewind(group, self._name(topic), to))

    async def spans(self, topic: Topic) -> dict[int, tuple[Offset, Offset]]:
        """By partition: the first offset that is kept, and the next one that will be given."""

        def look() -> dict[int, tuple[Offset, Offset]]:
            lanes = self._partitions(self._name(topic))
            begins, ends = self._begins(lanes), self._ends(lanes)
            return {lane.partition: (begins[lane], ends[lane]) for lane in lanes}

        return await self._ask(f"spans of {topic.name}", look)

    async def committed(self, group: str, topic: Topic) -> dict[int, Offset]:
        """By partition: the next offset that the group reads. Where it never was, none."""

        def look() -> dict[int, Offset]:
            found = self._committed(group, self._partitions(self._name(topic)))
            return {lane.partition: offset for lane, offset in found.items() if offset >= 0}

        return await self._ask(f"what {group} has read", look)

    async def accept_gap(self, group: str, topic: Topic) -> dict[int, int]:
        """Let a stopped group go on past what retention removed before it was read: partition -> entries lost."""
        return await self._ask(f"accepting the gap of {group}", lambda: self._accept_gap(group, self._name(topic)))

    async def fetch(self, position: Position) -> Entry:
        """One entry again; raises Gone when it expired, was compacted away or never was."""
        return await self._ask(f"fetching {position}", lambda: self._fetch(position))

    async def expire(self, topic: Topic) -> None:
        """Remove everything that lies in a topic now."""

        def remove() -> None:
            with effect("kafka.expire"):
                self._client.delete_records(self._ends(self._partitions(self._name(topic))))

        await self._ask(f"emptying {topic.name}", remove)

    async def _ask(self, doing: str, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._asking, self._insist, doing, question)

    def _insist(self, doing: str, question: Callable[[], T]) -> T:
        """A fresh cluster has no coordinator for a second, and a moved one is asked for again."""
        deadline = time.monotonic() + INSIST_S
        while True:
            try:
                with plain_errors(self._cluster, doing):
                    return question()
            except Transient as error:
                if not self._met or time.monotonic() > deadline or not isinstance(error.__cause__, PASSING):
                    raise
                self._forget()  # its knowledge of who coordinates which group never ages
                time.sleep(0.2)

    @property
    def _client(self) -> KafkaAdminClient:
        if self._admin is None:
            self._admin = connected(KafkaAdminClient, self._cluster)
            self._met = True
        return self._admin

    def _close(self) -> None:
        self._asking.shutdown()
        self._forget()

    def _forget(self) -> None:
        for client in (self._admin, self._fetcher):
            if client is not None:
                client.close()
        self._admin = self._fetcher = None

    def _name(self, topic: Topic) -> str:
        return self._cluster.prefix + topic.name

    def _plan(self, topics: Sequence[Topic], keep_s: Mapping[str, float]) -> list[Change]:
        found = self._client.describe_topics([self._name(topic) for topic in topics])
        there = {each["name"]: len(each["partitions"]) for each in found if _is_there(each)}
        asked = [ConfigResource(ConfigResourceType.TOPIC, name, None) for name in there]
        settings = self._client.describe_configs(asked, config_filter="all")["topic"] if asked else {}
        brokers = len(self._client.describe_cluster()["brokers"])
        replication = self._cluster.replication or min(3, brokers)
        changes = []
        for topic in topics:
            name = self._name(topic)
            wanted = settings_of(topic, replication, keep_s.get(topic.name, topic.keep_s))
            now = {key: str(each["value"]) for key, each in settings.get(name, {}).items()}
            partitions: int | None = partitions_of(topic, self._cluster)
            if name in there and (there[name] >= (partitions or 0) or topic not in {PAGES, PAGES_BULK}):
                partitions = None  # more partitions move keys: only pages may, whose order nobody minds
            differing = {key: (now.get(key, ""), value) for key, value in wanted.items() if now.get(key) != value}
            if partitions or differing:
                changes.append(Change(name, name not in there, partitions, replication, differing))
        return changes

    def _apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            values = {key: new for key, (_, new) in change.settings.items()}
            with effect("kafka.topics"):
                if change.create:
                    self._create(change, values)
                else:
                    self._alter(change, values)

    def _alter(self, change: Change, values: Mapping[str, str]) -> None:
        if change.partitions:
            self._client.create_partitions({change.topic: change.partitions})
        if values:
            resource = ConfigResource(ConfigResourceType.TOPIC, change.topic, values)
            answer = self._client.alter_configs([resource])["topic"][change.topic]
            if answer != "OK":
                raise SettingsError(f"Kafka refuses to alter topic {change.topic}: {answer}")

    def _create(self, change: Change, values: Mapping[str, str]) -> None:
        wanted = {
            "num_partitions": change.partitions,
            "replication_factor": change.replication,
            "configs": dict(values),
        }
        try:
            self._client.create_topics({change.topic: wanted}, wait_for_metadata=True)
        except errors.TopicAlreadyExistsError:
            return  # somebody else made it just now; the next plan says whether as we want it
        except (
            errors.InvalidConfigurationError,
            errors.InvalidReplicationFactorError,
            errors.PolicyViolationError,
        ) as error:
            raise SettingsError(f"Kafka refuses topic {change.topic} ({change}): {error}") from error

    def _partitions(self, name: str) -> list[TopicPartition]:
        [found] = self._client.describe_topics([name])
        if not _is_there(found):
            raise errors.UnknownTopicOrPartitionError(name)
        return [TopicPartition(name, each["partition_index"]) for each in found["partitions"]]

    def _offsets(self, lanes: Sequence[TopicPartition], spec: Any) -> dict[TopicPartition, Offset]:
        found = self._client.list_partition_offsets(dict.fromkeys(lanes, spec))
        return {lane: each.offset for lane, each in found.items()}

    def _begins(self, lanes: Sequence[TopicPartition]) -> dict[TopicPartition, Offset]:
        return self._offsets(lanes, OffsetSpec.EARLIEST)

    def _ends(self, lanes: Sequence[TopicPartition]) -> dict[TopicPartition, Offset]:
        return self._offsets(lanes, OffsetSpec.LATEST)

    def _committed(self, group: str, lanes: Sequence[TopicPartition]) -> dict[TopicPartition, Offset]:
        """What is on record; -1 for a partition without a commit."""
        name = self._cluster.prefix + group
        found = self._client.list_group_offsets({name: list(lanes)})[name]
        return {lane: found[lane].offset if lane in found else -1 for lane in lanes}

    def _lag(self, group: str, name: str) -> int:
        lanes = self._partitions(name)
        begins, ends, committed = self._begins(lanes), self._ends(lanes), self._committed(group, lanes)
        return sum(max(0, ends[lane] - max(begins[lane], committed[lane])) for lane in lanes)

    def _has_members(self, name: str) -> bool:
        try:
            return bool(self._client.describe_groups([name])[name]["members"])
        except errors.GroupIdNotFoundError:  # nobody ever read it
            return False

    def _rewind(self, group: str, name: str, to: Offset | datetime) -> None:
        lanes = self._partitions(name)
        begins, ends = self._begins(lanes), self._ends(lanes)
        if isinstance(to, datetime):
            since = self._offsets(lanes, OffsetTimestamp(int(to.timestamp() * 1000)))
            wanted = {lane: ends[lane] if since[lane] < 0 else since[lane] for lane in lanes}
        else:
            wanted = {lane: min(max(to, begins[lane]), ends[lane]) for lane in lanes}
        self._move(group, wanted)

    def _accept_gap(self, group: str, name: str) -> dict[int, int]:
        lanes = self._partitions(name)
        begins, ends, committed = self._begins(lanes), self._ends(lanes), self._committed(group, lanes)
        wanted = {lane: min(max(committed[lane], begins[lane]), ends[lane]) for lane in lanes if committed[lane] >= 0}
        gaps = {lane: abs(at - committed[lane]) for lane, at in wanted.items() if at != committed[lane]}
        if gaps:
            self._move(group, {lane: wanted[lane] for lane in gaps})
        return {lane.partition: lost for lane, lost in gaps.items()}

    def _move(self, group: str, wanted: Mapping[TopicPartition, Offset]) -> None:
        marks = {lane: OffsetAndMetadata(offset, "", -1) for lane, offset in wanted.items()}
        with effect("kafka.rewind"):
            answers = self._client.alter_group_offsets(self._cluster.prefix + group, marks)
        for refused in (answer for answer in answers.values() if answer is not errors.NoError):
            if issubclass(refused, errors.UnknownMemberIdError):
                raise FolioError(
                    f"group {group} is being read: stop its stage before rewinding it (a process that was killed "
                    f"counts as reading for {self._cluster.session_timeout_s:.0f} s)"
                )
            raise refused

    def _fetch(self, position: Position) -> Entry:
        lane = TopicPartition(self._cluster.prefix + position.topic, position.partition)
        if self._fetcher is None:
            self._fetcher = connected(KafkaConsumer, self._cluster, **FETCH_ONE)
        if lane.partition not in (self._fetcher.partitions_for_topic(lane.topic) or ()):
            raise Gone(f"{position}: there is no such topic or partition")
        self._fetcher.assign([lane])
        self._fetcher.seek(lane, position.offset)
        try:
            found = self._read_one(self._fetcher, lane, position)
        except errors.OffsetOutOfRangeError:
            found = None
        except OF_A_RECORD as error:
            raise Gone(f"{position}: Kafka's record cannot be read: {error}") from None
        if found is None or found.offset != position.offset:
            raise Gone(f"{position}: expired or compacted away")
        return entry_of(found, position.topic, None, 0)

    def _read_one(self, fetcher: KafkaConsumer, lane: TopicPartition, position: Position) -> Any:
        deadline = time.monotonic() + INSIST_S
        while time.monotonic() < deadline:
            if records := fetcher.poll(timeout_ms=500, max_records=1):
                return records[lane][0]
            if position.offset >= fetcher.end_offsets([lane])[lane]:
                return None
        raise errors.KafkaTimeoutError(f"{position} does not come")


FETCH_ONE = {
    "group_id": None,
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "allow_auto_create_topics": False,
    "max_partition_fetch_bytes": 1,  # a broker sends at least one batch, and one is what we want
}


def _is_there(found: Mapping[str, Any]) -> bool:
    error = errors.for_code(found["error_code"])
    if error not in {errors.NoError, errors.UnknownTopicOrPartitionError}:
        raise error(found["name"])
    return error is errors.NoError
