"""TLS, SCRAM and ACLs against a real broker: who is let in works, and whoever is not reads one sentence that helps."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka.admin import ACLOperation as May
from kafka.admin import ResourceType as On

from folio.errors import FolioError, SettingsError
from folio.log import Record
from folio.topics import PAGES, UPLOADS
from infra import kafka_door
from infra.kafka_cluster import Cluster
from infra.kafka_log import KafkaLog
from tests.kafka_secured import PASSWORDS, Secured, secured

pytestmark = pytest.mark.timeout(300)  # the first test waits for the broker

PREFIX = "ours."
OCR = (
    (On.TOPIC, PREFIX, May.READ),
    (On.TOPIC, PREFIX, May.WRITE),
    (On.TOPIC, PREFIX, May.DESCRIBE_CONFIGS),
    (On.GROUP, PREFIX, May.READ),
)
"""What docs/kafka.md says that a process which reads and appends needs."""

Reach = Callable[..., Cluster]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured(tmp_path_factory.mktemp("secured")) as made:
        made.allow("reader", OCR)
        made.allow("CN=client", OCR)
        yield made


@pytest.fixture
async def reach(broker: Secured, monkeypatch: pytest.MonkeyPatch) -> Reach:
    """Ways to the broker, as the user `reader` unless told otherwise; its topics are there."""
    monkeypatch.setattr(kafka_door, "BOOTSTRAP_MS", 8000)
    async with KafkaLog.open(Cluster(servers=broker.plain, prefix=PREFIX, partitions=2)) as log:
        await log.apply(await log.plan())

    def as_user(username: str = "reader", **more: object) -> Cluster:
        mine = {"servers": broker.sasl_ssl, "security_protocol": "SASL_SSL", "cafile": broker.ca, "prefix": PREFIX}
        mine |= {"username": username, "password": PASSWORDS[username], "session_timeout_s": 6}
        return Cluster(**(mine | more))

    return as_user


async def goes_round(cluster: Cluster) -> None:
    async with KafkaLog.open(cluster) as log:
        await log.check()
        await log.append(PAGES, [Record("k", b"v")])
        async with log.reader([PAGES], "ocr") as reader:
            entries = await reader.read(entries_max=1, bytes_max=1 << 20, wait_s=120)
            assert [entry.value for entry in entries] == [b"v"]
            await reader.commit({entry.lease: entry.position.offset + 1 for entry in entries if entry.lease})
        assert await log.lag("ocr", PAGES) == 0


async def refusal(cluster: Cluster) -> str:
    with pytest.raises(FolioError) as refused:
        async with KafkaLog.open(cluster):
            pass
    assert isinstance(refused.value, SettingsError)
    return str(refused.value)


async def test_a_user_with_a_password_is_let_in_and_may_what_its_acls_say(reach: Reach) -> None:
    await goes_round(reach())


async def test_a_certificate_is_let_in_too(reach: Reach, broker: Secured) -> None:
    mine = {"servers": broker.ssl, "security_protocol": "SSL"}
    await goes_round(reach(**mine, certfile=broker.certificate, keyfile=broker.key))
    assert "kafka.certfile" in await refusal(reach(**mine))


async def test_a_wrong_password_names_the_user_and_the_settings(reach: Reach) -> None:
    said = await refusal(reach(password="wrong"))
    assert "'reader'" in said
    assert "kafka.password" in said
    assert "wrong" not in said.replace("wrongly", "")


async def test_a_broker_signed_by_somebody_else_names_the_setting(reach: Reach, broker: Secured) -> None:
    assert "kafka.cafile" in await refusal(reach(cafile=broker.other_ca))


async def test_a_missing_acl_names_user_topic_and_where_acls_are_listed(reach: Reach) -> None:
    async with KafkaLog.open(reach("nobody")) as log:
        for asked in (log.append(UPLOADS, [Record("k", b"v")]), log.lag("ocr", UPLOADS), log.check()):
            with pytest.raises(SettingsError) as refused:
                await asked
            assert "'nobody'" in str(refused.value)
            assert "docs/kafka.md" in str(refused.value)


async def test_a_missing_acl_on_the_group_stops_its_reader(reach: Reach, broker: Secured) -> None:
    broker.allow("nobody", [(On.TOPIC, f"{PREFIX}{PAGES.name}", May.READ)])
    async with KafkaLog.open(reach("nobody")) as log, log.reader([PAGES], "ocr") as reader:
        with pytest.raises(SettingsError, match="GroupAuthorizationFailed"):
            await reader.read(entries_max=1, bytes_max=1 << 20, wait_s=120)


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    assert "secret" not in repr(Cluster(servers="h:1", password="secret"))
