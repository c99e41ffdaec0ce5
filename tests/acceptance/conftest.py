"""The command as a person runs it: a process, a data folder, an exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FOLIO = str(Path(sys.executable).with_name("folio"))


@dataclass
class Ran:
    """What a command left: exit code and both streams."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Desk:
    """A data folder and the folio command on it. The hash embedder keeps it quick; all else is real."""

    data: Path
    environment: dict[str, str]

    def folio(self, *arguments: str, stdin: bytes | None = None, seconds_max: float = 90) -> Ran:
        done = subprocess.run(
            [FOLIO, *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            timeout=seconds_max,
            check=False,
        )
        ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in ran.err + ran.out, ran.err
        return ran

    def ok(self, *arguments: str, stdin: bytes | None = None) -> Ran:
        ran = self.folio(*arguments, stdin=stdin)
        assert ran.code == 0, ran
        return ran

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [FOLIO, *arguments], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def search(self, question: str, *more: str) -> list[dict[str, Any]]:
        hits: list[dict[str, Any]] = self.ok("search", question, "--json", *more).json()["hits"]
        return hits

    def until(self, true: Callable[[], bool], seconds_max: float = 60) -> None:
        deadline = time.monotonic() + seconds_max
        while not true():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)


def desk_at(folder: Path, **settings: str) -> Desk:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOLIO_")}
    quick = {
        "FOLIO_DATA": str(folder / "data"),
        "FOLIO_INDEXER__EMBEDDER": "hash",
        "FOLIO_INGEST__VERIFY_SHARE": "0",
        "FOLIO_LEDGER__PREFIX_WAIT_S": "0.5",
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    return Desk(folder / "data", kept | quick | settings)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return desk_at(tmp_path)


@pytest.fixture
def owner(desk: Desk) -> Iterator["subprocess.Popen[bytes]"]:
    """`folio run` on the desk's folder, answering."""
    with running(desk) as process:
        yield process


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk whose owner runs for a whole module, so that a command costs a fraction of a second. OCR is scripted."""
    desk = desk_at(tmp_path_factory.mktemp("served"), FOLIO_OCR__ENGINE="scripted")
    with running(desk):
        yield desk


@contextmanager
def running(desk: Desk) -> Iterator["subprocess.Popen[bytes]"]:
    process = desk.start("run", "--port", "0", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["port"] > 0
    try:
        yield process
    finally:  # a test that failed leaves nobody behind
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
