"""Commands over Kafka that wait say for what: a broker that is away, and processes that nobody has started."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kafka_broker import Cluster, cluster
from tests.processes import Site, site

pytestmark = pytest.mark.timeout(300)
SAID_S_MAX = 10.0
"""Two or three seconds, and the start of the command on a machine with other work."""


@pytest.fixture(scope="module")
def lonely(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An index process that serves the API, and nobody else."""
    with site(kafka, tmp_path_factory.mktemp("lonely")) as made:
        made.start("index")
        yield made


def said_of(made: Site, *arguments: str, until: str) -> tuple[str, float, str]:
    """The first line on stderr with these words, after how long, and what is said at a Ctrl-C then."""
    command = [sys.executable, "-m", "console.cli", *arguments, "--data", str(made.folder / "data")]
    began = time.monotonic()
    with subprocess.Popen(command, env=made.environment, stderr=subprocess.PIPE, text=True) as asked:
        assert asked.stderr is not None
        try:
            line = next((line for line in asked.stderr if until in line), "")
            seconds = time.monotonic() - began
            asked.send_signal(signal.SIGINT)
            return line, seconds, asked.communicate(timeout=30)[1]
        finally:
            asked.kill()


def text(folder: Path, name: str) -> str:
    (folder / name).write_text(f"# {name}\n\nA barn stands on a hill.\n", encoding="utf-8")
    return str(folder / name)


def test_add_and_status_say_that_no_ingest_and_no_ledger_process_is_at_work(lonely: Site, tmp_path: Path) -> None:
    line, seconds, _ = said_of(lonely, "add", text(tmp_path, "a.md"), until="no ingest process is at work")
    assert "start folio run ingest" in line
    assert "start folio run ledger" in line
    assert seconds < SAID_S_MAX
    known = lonely.folio("status")
    assert "a.md" in known.stdout
    assert "waiting: no ingest process is at work: start folio run ingest" in known.stderr
    assert "start folio run ocr" not in known.stderr, "nothing waits for it"
    assert json.loads(lonely.folio("status", "--json").stdout)["documents"]


def test_a_second_index_says_that_it_waits_for_its_turn_and_ends_when_asked(lonely: Site) -> None:
    began = time.monotonic()
    second = lonely.start("index", data="second", wait=False)
    while not (said := [line for line in second.said if "waits for its turn" in line]):
        assert time.monotonic() - began < SAID_S_MAX, second.said
        assert second.popen.poll() is None
        time.sleep(0.1)
    assert "s at most" in said[0]
    assert "indexer.url" in said[0]
    began = time.monotonic()
    assert second.stop() == 0
    assert time.monotonic() - began < 8, "it is asked while it waits"


def test_add_outlives_the_process_that_it_talks_to(kafka: str, tmp_path: Path) -> None:
    with site(kafka, tmp_path) as made:
        index = made.start("index")
        command = [
            sys.executable,
            "-m",
            "console.cli",
            "add",
            text(tmp_path, "a.md"),
            "--data",
            str(made.folder / "data"),
        ]
        with subprocess.Popen(
            command, env=made.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as adding:
            assert adding.stdout is not None
            assert adding.stderr is not None
            assert any("no ingest process is at work" in line for line in adding.stderr), "it was acknowledged"
            index.kill()
            ended = next(line for line in adding.stderr if "has ended" in line)
            assert "start it again; what was acknowledged is kept and goes on" in ended
            for role in ("index", "ingest", "ledger"):
                made.start(role, data="data" if role == "index" else role)
            said, _ = adding.communicate(timeout=90)
        assert adding.returncode == 0
        assert "a.md: searchable" in said


@pytest.mark.parametrize("role", ["ocr", "ledger", "index"])
def test_a_session_that_the_brokers_do_not_allow_is_refused_with_the_setting(
    kafka: str, tmp_path: Path, role: str
) -> None:
    with site(kafka, tmp_path, FOLIO_KAFKA__SESSION_TIMEOUT_S="3600") as made:
        refused = made.start(role, wait=False)
        began = time.monotonic()
        assert refused.popen.wait(60) == 2, refused.said
        assert time.monotonic() - began < SAID_S_MAX
        assert "does not allow kafka.session_timeout_s = 3600" in refused.said[-1]
        assert "group.max.session.timeout.ms" in refused.said[-1]


@pytest.mark.kafka
def test_add_says_that_the_broker_is_away_and_delete_ends_with_it(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    with cluster(tmp_path_factory.mktemp("broker")) as broker, site(broker.servers, tmp_path) as made:
        made.start("index")
        assert made.folio("add", text(tmp_path, "a.md"), "--no-wait").returncode == 0
        _away(broker, made, tmp_path)


def _away(broker: Cluster, made: Site, folder: Path) -> None:
    broker.kill()
    with ThreadPoolExecutor(1) as beside:  # it takes half a minute to give up
        deleting = beside.submit(made.folio, "delete", "a.md")
        line, seconds, stopped = said_of(made, "add", text(folder, "b.md"), until="waiting, ")
        assert "120 s at most" in line
        assert f"Kafka at {broker.servers}: nobody answers" in line
        assert seconds < SAID_S_MAX
        assert "b.md was just being handed over: it may have been taken all the same" in stopped
        began = time.monotonic()
        found = made.folio("search", "barn")
        assert found.returncode == 0, "what the index holds is here"
        assert "the log does not answer: what was put in of late may be missing" in found.stderr
        assert time.monotonic() - began < SAID_S_MAX
        assert "waiting: " in made.folio("status").stderr
        done = deleting.result()
    assert done.returncode == 1
    assert "do the same again when the log answers" in done.stderr
