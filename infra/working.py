"""A process at work: the loops of its stages and what runs beside them, until a stop or until one cannot go on."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from folio.errors import Transient
from folio.settings import Settings
from folio.stage import StageLoop
from folio.telemetry import log
from folio.topics import Topic
from infra.housekeeping import Housekeeping
from infra.roles import INDEX, LEDGER
from infra.wiring import Parts

BEAT_S = 1.0
HOUSEKEEP_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class StageStatus:
    """What a stage is doing: entries not committed, and what it waits for, if it does.

    `filling`: it fills an index that was empty when its owner began, so that much that is known is not found yet.
    """

    stage: str
    lag: int
    ready: bool
    waits_for: str
    took: int = 0
    dead: int = 0
    filling: bool = False
    here: bool = True
    """False: other processes run it, and only its lag is known here."""


class Worker:
    """The open parts of one process at work. `failed` resolves when a stage cannot go on."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self.settings = settings
        self.parts = parts
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.filling = False
        """The index was empty when we began, and not all that the log holds for it is in it yet."""
        self.housekeep = Housekeeping(parts, grace_s=settings.retention.blob_grace_s)
        self.stopping = asyncio.Event()
        self._loops = [StageLoop(stage, parts.log) for stage in parts.stages]
        self._tasks: list[asyncio.Task[None]] = []
        self._beat_s = time.monotonic()

    def start(self) -> None:
        stop, parts = self.stopping, self.parts
        for loop in self._loops:
            self.begin(loop.run(stop))
        if parts.turn is not None:
            self.begin(parts.turn.run(stop))
        if parts.ledger is not None:
            self.begin(parts.ledger.run(stop))
        if parts.ocr is not None:
            self.begin(parts.ocr.warm(stop))
            self.begin(parts.ocr.follow(parts.log, stop))
        if LEDGER in parts.roles:
            self.every(self.housekeep.interval_s, self.housekeep)
        if INDEX in parts.roles:
            self.every(HOUSEKEEP_EVERY_S, self._tend_index)
        self.every(BEAT_S, self._beat)

    async def stop(self) -> None:
        """Finish what runs (each stage within its grace), commit, leave the groups."""
        self.stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def silent_s(self) -> float:
        """How long this process has not come round: for whoever asks whether it is alive."""
        return max(time.monotonic() - self._beat_s, getattr(self.parts.log, "silent_s", 0.0))

    @property
    def waiting(self) -> dict[str, str]:
        """Stages that wait for a dependency or for an engine that starts, and for which."""
        return {loop.stage.name: why for loop in self._loops if (why := self._waits_for(loop))}

    def _waits_for(self, loop: StageLoop) -> str:
        if loop.waits_for:
            return loop.waits_for.sentence
        ocr = self.parts.ocr
        return ocr.warming if ocr is not None and loop.stage is ocr.stage else ""

    async def stages(self) -> list[StageStatus]:
        return [await self._status(loop) for loop in self._loops]

    async def _status(self, loop: StageLoop) -> StageStatus:
        name = loop.stage.name
        lag = await self.lag(name, loop.stage.sources)
        waits_for = self._waits_for(loop)
        fills = self.parts.index is not None and loop.stage is self.parts.index.words
        self.filling = self.filling and not (fills and lag == 0)
        return StageStatus(
            name, lag, not waits_for, waits_for, loop.meter.took, loop.meter.dead, filling=fills and self.filling
        )

    async def lag(self, stage: str, sources: Sequence[Topic]) -> int:
        """Entries that the stage, wherever it runs, has not finished."""
        return sum([await self.parts.log.lag(stage, topic) for topic in sources])

    def begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run beside the stages; what it raises ends the process."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def every(self, seconds: float, do: Callable[[], Awaitable[object]]) -> None:
        self.begin(self._repeat(seconds, do))

    async def _repeat(self, seconds: float, do: Callable[[], Awaitable[object]]) -> None:
        while not self.stopping.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self.stopping.wait()
            except TimeoutError:
                await do()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or self.failed.done():
            return
        error = task.exception()
        if error is not None:
            log().error("stopped", reason=str(error), kind=type(error).__name__)
            self.failed.set_exception(error)

    async def _beat(self) -> None:
        self._beat_s = time.monotonic()

    async def _tend_index(self) -> None:
        """Let the index build its graphs when nobody has asked it for a while."""
        try:
            await self.parts.store.maintain()
        except Transient as error:
            log().warning("index maintenance waits", cause=error.cause)
