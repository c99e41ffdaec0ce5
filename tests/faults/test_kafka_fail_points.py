"""Every process on a real broker dies at each of its fail points: no page is lost, none is there twice."""

import asyncio
import time
from collections import deque
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.faults.kafka_world import WORKERS, Worker, World, audited, dead_letters, feed, world
from tests.faults.points import fail_points
from tests.kafka_broker import Cluster

ROLE_OF = {"ingest": "ingest", "blobs": "ocr", "ocr": "ocr", "ledger": "ledger", "indexer": "index"}
"""Where a fail point is reached; the log's own are reached by all."""
NOT_HERE = (
    "log.",
    "replay.",
    "kafka.topics",
    "kafka.rewind",
    "kafka.expire",
    "blobs.claim",
    "blobs.put",
    "blobs.sweep",
    "ledger.blob",
    "ledger.bodies",
    "ledger.rebuilt",
    "ledger.restored",
    "indexer.mark_seen",
)
"""Fail points of other logs and stores, of commands, of what happens once, or once an hour, and of a document emitted
again without a change: other tests reach them."""
UNREACHED_S_MAX = 60.0


def where(point: str) -> Collection[str]:
    """The roles that reach it."""
    if point.startswith("ledger.followed"):
        return ["index"]  # the ledger that the API answers from is never the one that emits
    room = point.partition(".")[0]
    return ROLE_OF.values() if room == "kafka" else [ROLE_OF.get(room, "")]


def points_of(role: str) -> list[str]:
    found = [point for point in fail_points() if role in where(point) and not point.startswith(NOT_HERE)]
    begins = [point for point in found if point.startswith("kafka.begin")]  # a group begins but once: first
    return [*(begins if role == "ingest" else ()), *(point for point in found if point not in begins)]


def at(point: str) -> str:
    """Not the first time: most of what was in hand at the death before is done by then, with commits of its own."""
    times = {"kafka.begin": 1, "kafka.commit": 8}
    return f"{point}@{times.get(point.partition(':')[0], 3)}"


@pytest.mark.timeout(1500)
async def test_every_fail_point_once(brisk: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The index, whose points are the most, leaves those of the log to the others: they die at the same time."""
    await every_fail_point(brisk, tmp_path, capsys, leaves_the_log="index")


@pytest.mark.faults
@pytest.mark.timeout(1500)
async def test_every_fail_point_in_every_role(
    brisk: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await every_fail_point(brisk, tmp_path, capsys)


async def every_fail_point(
    broker: Cluster, folder: Path, capsys: pytest.CaptureFixture[str], *, leaves_the_log: str = ""
) -> None:
    """Every process dies at each of its points in turn, all of them at once; then all is as if nothing had been.

    But for what stood beside three deaths of its process, alone at last: that is given up, and a dead letter says so.
    """
    async with world(broker.servers, folder, session_s=2.0) as (here, log):
        deaths = Deaths(here, leaves_the_log=leaves_the_log)
        put_in: dict[str, int] = {}
        for number in range(400):
            if deaths.over():
                break
            put_in |= await feed(here, log, number)
            await asyncio.sleep(0.6)
        assert not deaths.unreached, deaths.unreached
        here.end()
        here.start_all()
        await here.settled(put_in)
        letters = await dead_letters(log)
        assert [letter.detail for letter in letters if "killed its process 3 times" not in letter.detail] == []
        given_up = {str(letter.doc).removeprefix("default/") for letter in letters}
        await audited(here, log, put_in, given_up=given_up)
    with capsys.disabled():
        print(
            f"\n{deaths.count} deaths; of {len(put_in)} documents {len(given_up)} given up, as their dead letters say"
        )
    assert len(given_up) < 0.1 * len(put_in)


class Deaths:
    """Which point each worker dies at next."""

    def __init__(self, world: World, *, leaves_the_log: str) -> None:
        self._world = world
        alone = [worker for worker in WORKERS if worker[1] == 1]  # a second ledger would take the first one's turn
        self._left = {
            (role, number): deque(
                point for point in points_of(role) if role != leaves_the_log or not point.startswith("kafka.")
            )
            for role, number in alone
        }
        self._since = dict.fromkeys(self._left, time.monotonic())
        self.count = 0
        self.unreached: list[tuple[Worker, str]] = []
        for worker in alone:
            self._start(worker)

    def over(self) -> bool:
        """Look who died, and send those to their next point. True when all have been at all of theirs."""
        for worker, left in self._left.items():
            died = self._world.up[worker].popen.poll() is not None
            if left and died and self._mark(worker, left[0]).exists():
                left.popleft()
                self.count += 1
                self._start(worker)
            elif died:
                self._start(worker)
            elif left and time.monotonic() - self._since[worker] > UNREACHED_S_MAX:
                self.unreached.append((worker, left.popleft()))
                self._world.kill(*worker)
                self._start(worker)
        return not any(self._left.values())

    def _start(self, worker: Worker) -> None:
        self._since[worker] = time.monotonic()
        left = self._left.get(worker)
        fault = {"FOLIO_FAULT": at(left[0]), "FOLIO_FAULT_ONCE": str(self._mark(worker, left[0]))} if left else {}
        self._world.start(*worker, **fault)

    def _mark(self, worker: Worker, point: str) -> Path:
        return self._world.folder / f"{worker[0]}-{point.replace(':', '-')}"
