"""Where the Kafka cluster is, how one gets in, and what folio asks of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

MIB = 1 << 20
MESSAGE_BYTES_MAX = 8 * MIB
"""The largest batch that a topic takes (`max.message.bytes`): broker, topic, producer and consumer must agree."""
VALUE_BYTES_MAX = MESSAGE_BYTES_MAX - 256 * 1024
"""The largest value of one record: key, headers and the batch's own header need room too."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """How to reach a cluster, and the bounds within which we use it."""

    servers: str
    """host:port, several by commas; any one that answers will do."""
    prefix: str = ""
    """Stands before the name of every topic and group, so that several folios can share one cluster."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
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
