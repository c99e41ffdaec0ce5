"""A real Kafka broker for the tests: the one that FOLIO_KAFKA names if it answers, else one started for the session."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "infra" / "deploy" / "kafka" / "broker.sh"


class Cluster:
    """Brokers of our own in a folder, which tests may kill and start again."""

    def __init__(
        self, home: Path, *, brokers: int = 1, port: int = 0, extra: Path | None = None, users: str = ""
    ) -> None:
        """Free ports when `port` is 0; `extra` has more server properties, `users` more arguments for formatting."""
        self._home = home
        self._environment = os.environ | {
            "FOLIO_KAFKA_HOME": str(home),
            "FOLIO_KAFKA_BROKERS": str(brokers),
            "FOLIO_KAFKA_PORT": str(port),
            "FOLIO_KAFKA_HEAP": "384m",
            "FOLIO_KAFKA_EXTRA": str(extra or ""),
            "FOLIO_KAFKA_FORMAT": users,
        }

    @property
    def servers(self) -> str:
        return (self._home / "address").read_text(encoding="utf-8").strip()

    def pid(self, broker: int = 1) -> int:
        return int((self._home / str(broker) / "pid").read_text(encoding="utf-8"))

    def start(self, broker: int | None = None) -> None:
        """Returns when it answers. Raises RuntimeError with what the script said."""
        self._script("start", broker)

    def stop(self, broker: int | None = None) -> None:
        self._script("stop", broker)

    def kill(self, broker: int | None = None) -> None:
        """As a power cut would."""
        self._script("kill", broker)

    def _script(self, verb: str, broker: int | None) -> None:
        command = [str(SCRIPT), verb] + ([str(broker)] if broker else [])
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())


@contextmanager
def cluster(home: Path, **options: object) -> Iterator[Cluster]:
    """Started, and ended as quickly as it can be. Skips at a desk that lacks what a broker needs, fails in CI."""
    absent_without_java()
    made = Cluster(home, **options)  # type: ignore[arg-type]
    try:
        made.start()
        yield made
    finally:
        made.kill()


def absent_without_java() -> None:
    if shutil.which("java") and (shutil.which("mvn") or (ROOT / ".kafka" / "libs" / ".complete").exists()):
        return
    why = "Kafka needs Java and Maven: infra/deploy/kafka/broker.sh prepare gets them, or says what to install"
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def answers(servers: str) -> bool:
    host, _, port = servers.split(",", maxsplit=1)[0].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
    except (OSError, ValueError):
        return False
    return True


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a broker that answers. Use topics with a prefix of your own: others use it too."""
    given = os.environ.get("FOLIO_KAFKA", "")
    if given and answers(given):
        yield given
        return
    with cluster(tmp_path_factory.mktemp("kafka")) as made:
        yield made.servers
