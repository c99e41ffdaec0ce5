"""A worker is ready once its engine has started; one that is away is tried again; a stop lets pages end."""

import asyncio
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from console.health import ready
from folio.errors import Cause, Permanent, Transient
from folio.settings import load
from infra import wiring
from infra.working import Worker
from ocr_stage import stage as stages
from ocr_stage.engine import ScriptedEngine
from ocr_stage.ladder import Ladder
from ocr_stage.model import Ask
from ocr_stage.stage import STARTS, OcrStage
from tests.memory_log import MemoryLog


class SlowEngine(ScriptedEngine):
    """Starts when the test says so; each of `away` is why it did not start, once."""

    def __init__(self, *away: Cause) -> None:
        super().__init__()
        self.away = list(away)
        self.may_start = asyncio.Event()
        self.begun = 0

    async def warm(self) -> None:
        self.begun += 1
        if self.away:
            raise Transient(self.away.pop(0), "as the test says")
        await self.may_start.wait()


def worker_of(engine: Any) -> Worker:
    ocr = OcrStage(engine, None, keep_images=False, pages_at_once=2)
    parts: Any = SimpleNamespace(
        log=MemoryLog(), stages=(ocr.stage,), ocr=ocr, turn=None, ledger=None, roles=frozenset({"ocr"}), index=None
    )
    settings: Any = SimpleNamespace(retention=SimpleNamespace(blob_grace_s=0))
    return Worker(settings, parts)


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_readyz_says_no_until_the_engine_has_started() -> None:
    engine = SlowEngine()
    worker = worker_of(engine)
    assert ready(worker) == (503, {"ready": False, "waiting": {"ocr": STARTS}}), "before anything runs"
    worker.start()
    try:
        await until(lambda: engine.begun)
        assert ready(worker)[0] == 503
        assert [status.ready for status in await worker.stages()] == [False]
        engine.may_start.set()
        await until(lambda: ready(worker)[0] == 200)
        assert [status.ready for status in await worker.stages()] == [True]
    finally:
        await worker.stop()


async def test_an_engine_that_is_away_is_tried_again_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "WARM_AGAIN_S", 0.2)
    engine = SlowEngine(Cause.ENGINE_DOWN)
    engine.may_start.set()
    worker = worker_of(engine)
    worker.start()
    try:
        await until(lambda: worker.waiting == {"ocr": Cause.ENGINE_DOWN.sentence})
        await until(lambda: ready(worker)[0] == 200)
        assert engine.begun == 2
    finally:
        await worker.stop()


async def test_a_stop_does_not_wait_for_an_engine_that_starts() -> None:
    engine = SlowEngine()
    worker = worker_of(engine)
    worker.start()
    await until(lambda: engine.begun)
    async with asyncio.timeout(10):
        await worker.stop()
    assert not worker.failed.done()


async def test_an_engine_that_breaks_while_it_starts_ends_the_process() -> None:
    class Broken(SlowEngine):
        async def warm(self) -> None:
            raise RuntimeError("no such card")

    worker = worker_of(Broken())
    worker.start()
    with pytest.raises(RuntimeError, match="no such card"):
        await asyncio.wait_for(worker.failed, 10)
    await worker.stop()


async def test_a_refusal_is_left_to_the_pages() -> None:
    class Refused(SlowEngine):
        async def warm(self) -> None:
            raise Permanent(Cause.ENGINE_REFUSED)

    worker = worker_of(Refused())
    worker.start()
    await until(lambda: ready(worker)[0] == 200)
    await worker.stop()
    assert not worker.failed.done()


async def test_engines_that_start_with_their_first_page_are_ready_at_once() -> None:
    assert ready(worker_of(ScriptedEngine()))[0] == 200


async def test_the_ladder_warms_its_model() -> None:
    model: Any = SlowEngine()
    model.may_start.set()
    await Ladder(model, Any, Ask()).warm()  # type: ignore[arg-type]
    assert model.begun == 1


async def test_a_worker_of_a_card_lets_pages_end_as_long_as_its_setting_says() -> None:
    settings = load(environment={"FOLIO_OCR__ENGINE": "deepseek", "FOLIO_GPU__GRACE_S": "7"})
    async with AsyncExitStack() as stack:
        ocr = wiring._open_ocr(stack, settings, None, None)  # type: ignore[arg-type]
        assert [lane.grace_s for lane in (ocr.stage, ocr.bulk, ocr.verify)] == [7, 7, 7]
