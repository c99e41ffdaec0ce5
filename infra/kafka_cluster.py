"""Where a Kafka cluster is, how one gets in, and how folio wants its topics; needs no Kafka library."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from folio.errors import SettingsError
from folio.topics import DAY_S, DEAD, DOCUMENTS, PAGES, PAGES_BULK, UPLOADS, Topic

MIB = 1 << 20
MESSAGE_BYTES_MAX = 8 * MIB
"""The largest batch that a topic takes (`max.message.bytes`): broker, topic, producer and consumer must agree."""
VALUE_BYTES_MAX = MESSAGE_BYTES_MAX - 256 * 1024
"""The largest value of one record: key, headers and the batch's own header need room too."""
PRODUCER = {
    "acks": "all",
    "batch_size": MIB,  # the default makes a batch of every page, and one batch is under way for each partition
    "linger_ms": 5,
    "max_request_size": MESSAGE_BYTES_MAX,
    "max_block_ms": 10_000,
    "request_timeout_ms": 10_000,
    "delivery_timeout_ms": 30_000,
    "reconnect_backoff_max_ms": 2_000,
    "allow_auto_create_topics": False,
}
CONSUMER = {
    "enable_auto_commit": False,
    "auto_offset_reset": "none",  # what is gone before it was read must be said, not skipped
    "allow_auto_create_topics": False,
    "max_partition_fetch_bytes": MESSAGE_BYTES_MAX,
    "max_poll_interval_ms": 120_000,
    "reconnect_backoff_max_ms": 2_000,
}

KNOCK_S = 3.0
POLL_S = 0.2
"""How long one turn of a reader waits for records; a stop waits as long."""
JOIN_S = 1.0
"""How long a turn may take that joins the group: the client forgets an answer that comes between two turns."""
SILENT_S = 60.0
"""A client whose threads say nothing for so long hangs: its waits have no limit of their own."""
QUIET_S = 5.0
"""After so long without a record the broker is asked something: a reader of nothing must know whether it is there."""
FETCH_SHARE = 16
"""A reader's queue takes 3/8 of its budget; the library keeps up to five copies of an answer that is on its way."""
CALM_S = 1.0
"""A partition that cannot be read on is reported when nothing of the others has come for so long."""
PING_S = 2.0
ANSWER_S = 10.0
AGAIN_S = 0.1


Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
PROTOCOLS, MECHANISMS = get_args(Protocol), get_args(Mechanism)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """How to reach a cluster, and the bounds within which we use it."""

    servers: str
    """host:port, several by commas; any one that answers will do."""
    prefix: str = ""
    """Stands before the name of every topic and group, so that several folios can share one cluster."""
    security_protocol: Protocol = "PLAINTEXT"
    sasl_mechanism: Mechanism = "SCRAM-SHA-512"
    username: str = ""
    password: str = field(default="", repr=False)
    cafile: Path | None = None
    """PEM of who signed the brokers' certificates; None trusts what the system trusts."""
    certfile: Path | None = None
    keyfile: Path | None = None
    session_timeout_s: float = 45.0
    """A member that says nothing for so long has lost its partitions."""
    producer_bytes_max: int = 64 * MIB
    """Appended and not yet durable; who appends beyond it waits."""
    consumer_bytes_max: int = 64 * MIB
    """Fetched and not yet read, for each reader."""
    partitions: int = 24
    """Of `pages`; the other topics have fewer."""
    replication: int = 0
    """Copies of every topic; 0: three, or as many as there are brokers."""

    def __post_init__(self) -> None:
        """Raises SettingsError. A protocol that nobody knows must not come to nothing: nothing is plain text."""
        for name, given, known in (
            ("security_protocol", self.security_protocol, PROTOCOLS),
            ("sasl_mechanism", self.sasl_mechanism, MECHANISMS),
        ):
            if given not in known:
                raise SettingsError(f"{name} = {given!r}: one of {', '.join(known)} is wanted")

    @property
    def client(self) -> dict[str, Any]:
        """What every client of the library is given."""
        options: dict[str, Any] = {"bootstrap_servers": self.servers.split(","), "client_id": "folio"}
        options["security_protocol"] = self.security_protocol
        if "SASL" in self.security_protocol:
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        files = {"ssl_cafile": self.cafile, "ssl_certfile": self.certfile, "ssl_keyfile": self.keyfile}
        return options | {name: str(path) for name, path in files.items() if path is not None}


def nobody_answers(servers: str) -> str:
    """Why, in a moment; empty when somebody does. A client of the library takes its time, and leaves a thread behind.

    Raises SettingsError for what is no list of addresses.
    """
    last: Exception | None = None
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or "/" in host or not port.isdecimal():
            raise SettingsError(f"kafka.servers: {server!r} is not host:port")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()
        except OSError as error:
            last = error
        else:
            return ""
    return f"nobody answers ({last}): start the broker, or correct kafka.servers"


@dataclass(frozen=True, slots=True)
class Change:
    """What has to be done to one topic. `settings` maps a name to (what it is, what it should be)."""

    topic: str
    create: bool
    partitions: int | None
    replication: int
    settings: Mapping[str, tuple[str, str]]

    def __str__(self) -> str:
        what = [f"{name} {old} -> {new}" if old else f"{name}={new}" for name, (old, new) in self.settings.items()]
        if self.create:
            return f"create {self.topic}: {self.partitions} partitions, {self.replication} copies, {', '.join(what)}"
        more = [f"{self.partitions} partitions"] if self.partitions else []
        return f"alter {self.topic}: {', '.join(more + what)}"


def partitions_of(topic: Topic, cluster: Cluster) -> int:
    """As many as processes may ever read it side by side: pages the most, what one ledger reads few."""
    if topic in {PAGES, PAGES_BULK}:
        return cluster.partitions
    if topic in {UPLOADS, DOCUMENTS}:
        return max(1, cluster.partitions // 2)
    return 1 if topic == DEAD else max(1, cluster.partitions // 4)


def settings_of(topic: Topic, replication: int, keep_s: float | None) -> dict[str, str]:
    """Time is the broker's: versions of documents come from it. A segment is let go only when it is closed."""
    settings = {
        "cleanup.policy": topic.cleanup,
        "max.message.bytes": str(MESSAGE_BYTES_MAX),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": "2" if replication > 2 else "1",
        "segment.ms": str(DAY_S * 1000),
    }
    if topic.cleanup == "delete" and keep_s is not None:
        settings["retention.ms"] = str(int(keep_s * 1000))
        settings["segment.ms"] = str(int(min(DAY_S, max(60.0, keep_s / 4)) * 1000))
    return settings
