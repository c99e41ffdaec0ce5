"""RapidOCR on the CPU: one thread a child process, a page to whichever child is free, and a deadline for each page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from folio.child import Child, ChildDied, ChildTimeout, Remote, cores
from folio.errors import Cause, Permanent
from folio.records import Block
from ocr_stage.engine import ONE_THREAD, Reading, started
from ocr_stage.lanes import Window
from ocr_stage.plans import AUTO, Plan

FACTORY = "ocr_stage.rapid_process:RapidReader"
PAGES_MAX = 500
"""After so many pages a child is replaced, two seconds in half an hour: what else grows in foreign code, ends there."""
TRIES = 2
"""A page whose child died gets one more: the first may have been another's doing (memory, an operator)."""


class RapidEngine:
    """Children start at the first page that finds none free. `processes` 0 means one a core.

    `preprocess` is checked here and now: raises SettingsError.
    """

    name = "rapidocr"

    def __init__(
        self,
        *,
        processes: int,
        edge_pixels: int,
        page_seconds_max: float,
        pixels_max: int = 64_000_000,
        layout: bool = True,
        preprocess: str = AUTO,
    ) -> None:
        Plan.of(preprocess)
        self._page_seconds_max = page_seconds_max
        settings = {"edge_pixels": edge_pixels, "pixels_max": pixels_max, "layout": layout, "preprocess": preprocess}
        self._children = [Child(FACTORY, settings, environment=ONE_THREAD) for _ in range(processes or cores())]
        self._pages = dict.fromkeys(self._children, 0)
        self._free = list(self._children)
        """The last one used is the first to be used again: the others may never have to start."""
        self._turns = Window(len(self._children))

    async def read(self, image: bytes) -> Reading:
        """Raises Permanent: corrupt, pixel_limit, ocr_empty, ocr_timeout or ocr_crash; Transient(engine_down)."""
        for _ in range(TRIES):
            async with self._child() as child:
                remote = await self._fresh(child)
                try:
                    answer = await remote.call("read", image, seconds_max=self._page_seconds_max)
                except ChildTimeout:
                    raise Permanent(Cause.OCR_TIMEOUT, f"no text after {self._page_seconds_max:g} s") from None
                except ChildDied:
                    continue
                return _reading(answer)
        raise Permanent(Cause.OCR_CRASH, f"its process died {TRIES} times")

    async def close(self) -> None:
        await asyncio.gather(*(child.close() for child in self._children))

    @property
    def pids(self) -> list[int]:
        """The processes that run now, for whoever measures them."""
        return [child.pid for child in self._children if child.pid is not None]

    async def _fresh(self, child: Child) -> Remote:
        if self._pages[child] >= PAGES_MAX:
            await child.close()
            self._pages[child] = 0
        self._pages[child] += 1
        return await started(child, "RapidOCR")

    @asynccontextmanager
    async def _child(self) -> AsyncIterator[Child]:
        async with self._turns.turn():
            child = self._free.pop()
            try:
                yield child
            finally:
                self._free.append(child)


def _reading(answer: dict[str, Any]) -> Reading:
    """What a process says that has opened foreign bytes is data: it is validated."""
    return Reading(
        markdown=str(answer["markdown"]),
        blocks=tuple(Block.model_validate(block) for block in answer["blocks"]),
        seconds=float(answer["seconds"]),
        finish="stop",
        steps=tuple(map(str, answer.get("prepared", ()))),
    )
