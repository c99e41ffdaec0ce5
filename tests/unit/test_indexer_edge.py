"""The embedded index's guards: one owner, nothing acknowledged lost by a kill, full disk, NaN, another dimension."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from folio.errors import Cause, Permanent, Transient
from folio.ids import Doc
from indexer import edge_process
from indexer.edge import EdgeStore
from indexer.edge_process import EdgeProcess
from indexer.store import Asked, Head, Point, Totals, Where

DOC = Doc("default/a")


def points(count: int, *, revision: int = 1, dimension: int = 4) -> list[Point]:
    rows = np.random.default_rng(0).random((count, dimension), np.float32)
    payload = {"page_content": "x", "doc": DOC, "tenant": "default", "revision": revision, "embed_hash": "h"}
    return [Point(f"00000000-0000-0000-{revision:04}-{n:012}", rows[n], payload) for n in range(count)]


async def test_what_was_acknowledged_survives_a_kill_and_the_store_comes_back_by_itself(tmp_path: Path):
    store = EdgeStore(tmp_path, dimension=4)
    await store.upsert(points(100))
    await store.raise_head(Head(DOC, 1, 1))
    assert store.pid is not None
    os.kill(store.pid, signal.SIGSTOP)
    asked = asyncio.create_task(store.totals())
    await asyncio.sleep(0.05)
    os.kill(store.pid, signal.SIGKILL)
    with pytest.raises(Transient) as down:
        await asked
    assert down.value.cause is Cause.STORE_DOWN
    assert await store.totals() == Totals(100, 1)
    await store.close()


async def test_it_is_all_there_after_closing_and_opening(tmp_path: Path):
    store = EdgeStore(tmp_path, dimension=4)
    await store.upsert(points(300))
    await store.close()
    again = EdgeStore(tmp_path, dimension=4)
    assert await again.totals() == Totals(300, 0)
    await again.close()


async def test_a_second_owner_is_told_who_the_first_is(tmp_path: Path):
    store = EdgeStore(tmp_path, dimension=4)
    await store.open()
    with pytest.raises(Transient, match=rf"pid {store.pid}\) owns the index at {tmp_path}") as refused:
        EdgeProcess(str(tmp_path), 4, lock_wait_s=0.1)
    assert refused.value.cause is Cause.STORE_DOWN
    await store.close()


async def test_a_dying_predecessor_is_waited_for(tmp_path: Path):
    first, second = EdgeStore(tmp_path, dimension=4), EdgeStore(tmp_path, dimension=4)
    await first.upsert(points(1))
    waiting = asyncio.create_task(second.totals())
    await asyncio.sleep(0.5)
    assert not waiting.done()
    await first.close()
    assert await waiting == Totals(1, 0)
    await second.close()


async def test_a_folder_made_for_another_dimension_is_refused_every_time(tmp_path: Path):
    first = EdgeStore(tmp_path, dimension=4)
    await first.open()
    await first.close()
    other = EdgeStore(tmp_path, dimension=8)
    for _ in range(2):
        with pytest.raises(Permanent, match="cannot be opened"):
            await other.open()
    await other.close()


def test_a_crash_while_the_folder_was_made_leaves_nothing_in_the_way(tmp_path: Path):
    (tmp_path / "points.new" / "segments").mkdir(parents=True)
    (tmp_path / "points.new" / "segments" / "half").write_bytes(b"written")
    index = EdgeProcess(str(tmp_path), 4)
    assert index.totals() == (0, 0)
    index.close()
    assert not (tmp_path / "points.new").exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
async def test_a_vector_that_is_not_finite_never_reaches_the_engine(tmp_path: Path, bad: float):
    store = EdgeStore(tmp_path, dimension=4)
    spoiled = points(3)
    spoiled[1].vector[2] = bad
    for wrong in (spoiled, points(2, dimension=5)):
        with pytest.raises(Permanent) as refused:
            await store.upsert(wrong)
        assert refused.value.cause is Cause.EMBEDDING_INVALID
    assert await store.totals() == Totals(0, 0)
    await store.close()


def test_a_full_disk_refuses_what_grows_and_allows_what_shrinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    index = EdgeProcess(str(tmp_path), 4)
    ids, payloads = [p.id for p in points(2)], [p.payload for p in points(2)]
    rows = np.ones((2, 4), np.float32).tobytes()
    index.upsert(ids, rows, payloads)
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(edge_process.shutil, "disk_usage", lambda _: usage)
    for refused in (
        lambda: index.upsert(ids, rows, payloads),
        lambda: index.raise_head(Head(DOC, 1, 1).payload(), None),
    ):
        with pytest.raises(Transient, match="1 MiB free") as full:
            refused()
        assert full.value.cause is Cause.DISK_FULL
    index.sweep(DOC, 9, 9)
    assert index.totals() == (0, 0)
    index.close()


def test_the_engines_own_word_for_a_full_disk_is_understood():
    def full() -> None:
        raise Exception("Service runtime error: IO Error: No space left on device (os error 28)")  # noqa: TRY002  # as the engine does

    with pytest.raises(Transient) as refused:
        edge_process._translated(full)
    assert refused.value.cause is Cause.DISK_FULL


async def test_flushes_that_are_asked_for_together_are_one(tmp_path: Path):
    store = EdgeStore(tmp_path, dimension=4)
    await store.open()
    calls: list[str] = []
    real = store._process.call

    async def counted(method: str, *args: object) -> object:
        calls.append(method)
        return await real(method, *args)

    store._process.call = counted
    await asyncio.gather(*(store.flush() for _ in range(20)))
    assert calls.count("flush") <= 2
    await store.close()


async def test_maintenance_waits_for_quiet_and_changes_no_answer(tmp_path: Path):
    store = EdgeStore(tmp_path, dimension=4)
    await store.upsert(points(256))
    await store.upsert(points(200, revision=2))
    await store.sweep(Head(DOC, 2, 2))
    assert not await store.maintain(quiet_s=60)
    await store.maintain(quiet_s=0)
    assert await store.totals() == Totals(200, 0)
    found = await store.search(Asked(points(1)[0].vector, "x"), Where("default"), limit=5)
    assert (len(found.dense), len(found.lexical)) == (5, 5)
    await store.close()


async def test_a_search_that_is_given_up_does_not_take_the_index_down(tmp_path: Path):
    store = EdgeStore(tmp_path, dimension=4)
    await store.open()
    pid = store.pid
    for _ in range(3):
        asked = asyncio.create_task(store.search(np.ones(4, np.float32), Where("default"), limit=5))
        await asyncio.sleep(0.001)
        asked.cancel()
    assert await store.totals() == Totals(0, 0)
    assert store.pid == pid
    await store.close()
    shutil.rmtree(tmp_path)
