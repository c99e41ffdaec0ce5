"""`folio topics apply` against a real broker: nothing without --yes, everything once, and again only what differs."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable

import pytest
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

Folio = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folio(kafka: str) -> Folio:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FOLIO_")}
    mine = {
        "FOLIO_KAFKA__SERVERS": kafka,
        "FOLIO_KAFKA__PREFIX": f"topics-{uuid.uuid4().hex[:8]}.",
        "FOLIO_KAFKA__PARTITIONS": "4",
    }

    def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "console.cli", *arguments]
        return subprocess.run(
            command, env=clean | mine | more, capture_output=True, text=True, timeout=180, check=False
        )

    return run


def test_a_plan_changes_nothing_and_applying_it_is_done_once(folio: Folio) -> None:
    planned = folio("topics", "apply")
    assert planned.returncode == 0, planned.stderr
    assert "pages: 4 partitions, 1 copies" in planned.stdout
    assert "message.timestamp.type=LogAppendTime" in planned.stdout
    assert "--yes" in planned.stderr
    assert folio("topics", "apply", "--yes").stdout == planned.stdout
    assert "nothing to do" in folio("topics", "apply").stdout


def test_what_differs_is_altered_and_pages_get_more_partitions(folio: Folio) -> None:
    assert folio("topics", "apply", "--yes").returncode == 0
    more = {"FOLIO_RETENTION__PAGES_S": "3600", "FOLIO_KAFKA__PARTITIONS": "6"}
    altered = folio("topics", "apply", "--yes", **more)
    lines = altered.stdout.splitlines()
    assert all("pages" in line for line in lines), "a key of any other topic would move to another partition"
    assert any("6 partitions" in line and "retention.ms 604800000 -> 3600000" in line for line in lines)
    assert "nothing to do" in folio("topics", "apply", **more).stdout


def test_a_process_refuses_to_start_before_there_are_topics(folio: Folio, tmp_path_factory) -> None:
    refused = folio("run", "ocr", FOLIO_DATA=str(tmp_path_factory.mktemp("data")), FOLIO_OCR__ENGINE="scripted")
    assert refused.returncode == 2
    assert "folio topics apply --yes" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("topic", "setting", "now", "wanted"),
    [
        ("pages", "max.message.bytes", "1000000", "8388608"),
        ("uploads", "cleanup.policy", "delete", "compact"),
        ("documents", "message.timestamp.type", "CreateTime", "LogAppendTime"),
    ],
)
def test_a_topic_that_would_lose_or_refuse_records_is_refused_with_the_setting_to_change(
    folio: Folio, kafka: str, tmp_path_factory, topic: str, setting: str, now: str, wanted: str
) -> None:
    prefix = f"small-{uuid.uuid4().hex[:8]}."
    mine = {"FOLIO_KAFKA__PREFIX": prefix, "FOLIO_OCR__ENGINE": "scripted"}
    assert folio("topics", "apply", "--yes", **mine).returncode == 0
    other = ConfigResource(ConfigResourceType.TOPIC, f"{prefix}{topic}", {setting: now})
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.alter_configs([other])
    admin.close()
    refused = folio("run", "ocr", FOLIO_DATA=str(tmp_path_factory.mktemp("data")), **mine)
    assert refused.returncode == 2
    assert now in refused.stderr
    assert f"{prefix}{topic}" in refused.stderr
    assert setting in refused.stderr
    assert f"{setting} {now} -> {wanted}" in folio("topics", "apply", "--yes", **mine).stdout


def test_without_a_cluster_there_is_nothing_to_make(folio: Folio) -> None:
    refused = folio("topics", "apply", FOLIO_KAFKA__SERVERS="")
    assert refused.returncode == 2
    assert "kafka.servers" in refused.stderr


def test_a_broker_that_is_away_is_said_in_one_sentence(folio: Folio) -> None:
    away = folio("topics", "apply", FOLIO_KAFKA__SERVERS="127.0.0.1:1")
    assert away.returncode == 1
    assert "127.0.0.1:1" in away.stderr
    assert "Traceback" not in away.stderr
