"""Who cannot be reached is named, with the setting that says where it is and how one gets in."""

from pathlib import Path

import pytest
from kafka import errors

from folio.errors import Cause, Permanent, SettingsError, Transient
from folio.settings import load
from infra.indexing import open_store
from infra.kafka_cluster import Cluster
from infra.kafka_door import connected, translated
from ocr_stage.picture import decoded

NOBODY = "http://127.0.0.1:9"


async def test_a_qdrant_that_is_away_is_named_with_its_setting(tmp_path: Path) -> None:
    settings = load(overrides={"data": str(tmp_path), "indexer": {"url": NOBODY}}, environment={})
    with pytest.raises(Transient, match=r"indexer\.url") as away:
        await open_store(settings, "generation", 8).open()
    assert (away.value.cause, NOBODY in away.value.detail) == (Cause.STORE_DOWN, True)


@pytest.mark.parametrize("servers", ["http://127.0.0.1:9092", "127.0.0.1", "h:port"])
def test_servers_that_are_not_host_and_port_name_the_setting(servers: str) -> None:
    with pytest.raises(SettingsError, match=r"kafka\.servers.*is not host:port"):
        connected(dict, Cluster(servers=servers))


def test_a_prefix_that_no_topic_can_have_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"kafka\.prefix"):
        load(overrides={"data": str(tmp_path), "kafka": {"prefix": "p1./x"}}, environment={})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.IllegalSaslStateError(), SettingsError),
        (errors.KafkaConnectionError("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred"), Transient),
    ],
)
def test_a_listener_that_speaks_something_else_names_the_protocol(error: errors.KafkaError, kind: type) -> None:
    said = translated(error, Cluster(servers="h:1", security_protocol="SSL"), "opening")
    assert isinstance(said, kind)
    assert "kafka.security_protocol" in str(said)


def test_bytes_that_are_no_picture_are_refused_in_our_own_words() -> None:
    with pytest.raises(Permanent) as refused:
        decoded(b"no picture", edge_pixels=100, pixels_max=10_000)
    assert "BytesIO" not in refused.value.detail
