"""Kill the process around every durable effect, and 200 times anywhere: the same index, nothing left over."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from folio.ids import Doc
from tests.faults.points import bare_effects, fail_points, modules
from tests.faults.scenario import contents
from tests.pages import report_pdf

_NOT_IN_THIS_LIFE = (
    *("ledger.blob", "ledger.followed", "replay.kept"),
    *("blobs.claim", "blobs.claim_object", "blobs.put_object", "blobs.put_file_object", "blobs.sweep_object"),
)
REACHED_ELSEWHERE = frozenset(
    point for point in fail_points() if point.rpartition(":")[0] in _NOT_IN_THIS_LIFE or point.startswith("kafka.")
)
"""A document over the log's limit, 1 GiB: test_a_crash_around_a_large_documents_blob_emits_it_once covers them. And
ledgers that follow another, stores that may be shared, brokers and replays: there are none in this life."""

KILLS = int(os.environ.get("FOLIO_TEST_KILLS", "200"))
RESTARTS_MAX = 12


def make_files(folder: Path) -> Path:
    folder.mkdir()
    for number, name in enumerate(("a.pdf", "b.pdf", "c.pdf")):
        report_pdf(folder / name, pages=3, seed=number)
    (folder / "changed").mkdir()
    report_pdf(folder / "changed" / "b.pdf", pages=3, seed=1, special={2: "A paragraph of the second edition."})
    return folder


def life(data: Path, files: Path, **more: str) -> "subprocess.Popen[bytes]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FOLIO_FAULT")} | more
    command = [sys.executable, "-m", "tests.faults.scenario", str(data), str(files)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def run_to_the_end(data: Path, files: Path) -> None:
    for _ in range(RESTARTS_MAX):
        process = life(data, files)
        _, err = process.communicate(timeout=120)
        if process.returncode == 0:
            return
    raise AssertionError(err.decode())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> "tuple[Path, dict[str, Any]]":
    folder = tmp_path_factory.mktemp("undisturbed")
    files = make_files(folder / "files")
    run_to_the_end(folder / "data", files)
    return files, asyncio.run(contents(folder / "data"))


def test_every_durable_effect_has_a_fail_point() -> None:
    assert [place for path in modules() for place in bare_effects(path)] == []


def test_there_are_fail_points_in_every_room_that_writes() -> None:
    rooms = {point.partition(".")[0] for point in fail_points()}
    assert rooms >= {"log", "blobs", "ledger", "indexer", "ocr"}


def test_the_undisturbed_run_is_what_it_should_be(undisturbed: "tuple[Path, dict[str, Any]]") -> None:
    shown = undisturbed[1]
    assert {name: state[0] for name, state in shown["states"].items()} == {
        "a.pdf": "searchable",
        "b.pdf": "searchable",
        "c.pdf": "deleted",
        "images": "searchable",
    }
    assert shown["points left over"] == 0
    assert any("second edition" in row[2] for row in shown["chunks"])


@pytest.mark.faults
@pytest.mark.timeout(300)
@pytest.mark.parametrize("occurrence", [1, 5, 25])
@pytest.mark.parametrize("point", [point for point in fail_points() if point not in REACHED_ELSEWHERE])
def test_a_crash_there_changes_nothing_in_the_end(
    point: str, occurrence: int, tmp_path: Path, undisturbed: "tuple[Path, dict[str, Any]]"
) -> None:
    files, expected = undisturbed
    fault = {"FOLIO_FAULT": f"{point}@{occurrence}", "FOLIO_FAULT_ONCE": str(tmp_path / "died")}
    process = life(tmp_path / "data", files, **fault)
    process.communicate(timeout=120)
    if not (tmp_path / "died").exists():
        assert occurrence > 1, "this fail point was never reached"
        pytest.skip(f"it is reached fewer than {occurrence} times in this life")
    run_to_the_end(tmp_path / "data", files)
    assert asyncio.run(contents(tmp_path / "data")) == expected


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_200_random_kills_change_nothing_in_the_end(
    tmp_path: Path, undisturbed: "tuple[Path, dict[str, Any]]", capsys: pytest.CaptureFixture[str]
) -> None:
    """But for what stood beside three deaths of its process, alone at last: that is given up, as a dead letter says."""
    files, expected = undisturbed
    chance = random.Random(20)
    kills = rounds = innocents = 0
    while kills < KILLS:
        data = tmp_path / f"data-{rounds}"
        rounds += 1
        kills += kill_until_it_ends(data, files, chance, KILLS - kills)
        run_to_the_end(data, files)
        found = asyncio.run(contents(data))
        given_up = found["given up"]
        innocents += len(given_up)
        assert without(found, given_up) == without(expected, given_up), f"after {kills} kills, in round {rounds}"
        assert found["points left over"] == 0
        shutil.rmtree(data)
    with capsys.disabled():
        print(
            f"\n{kills} kills in {rounds} lives: the same index every time; {innocents} documents with a page given up"
        )
    assert innocents < 0.1 * kills


def without(contents: dict[str, Any], given_up: list[Doc]) -> dict[str, Any]:
    """Of the other documents. What a page that was given up leaves in the blob store is not looked at."""
    if not given_up:
        return contents
    names = {doc.partition("/")[2] for doc in given_up}
    return {
        "chunks": [row for row in contents["chunks"] if row[0] not in given_up],
        "states": {name: state for name, state in contents["states"].items() if name not in names},
    }


def kill_until_it_ends(data: Path, files: Path, chance: random.Random, kills_max: int) -> int:
    """Kill one life again and again until it reaches its end by itself; returns how often it was killed."""
    kills = 0
    while kills < kills_max:
        process = life(data, files)
        deadline = time.monotonic() + chance.uniform(0.4, 2.5)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if process.poll() is not None:
            return kills
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        kills += 1
    return kills
