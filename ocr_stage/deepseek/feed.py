"""Pictures become pages in the arena: a pool of child processes draws them, and each page gets a ticket."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from folio.child import Child, ChildDied, ChildTimeout
from folio.errors import Cause, Permanent
from ocr_stage.deepseek.arena import Arena, Slots
from ocr_stage.deepseek.render import SLOT_BYTES
from ocr_stage.deepseek.tickets import Ticket
from ocr_stage.engine import ONE_THREAD, started
from ocr_stage.modes import Mode

FACTORY = "ocr_stage.deepseek.render:PageRenderer"
TRIES = 2
"""A page whose child died gets one more: the first may have been another's doing (memory, an operator)."""


@dataclass(slots=True)
class Drawn:
    """A page in the arena. `blank`: there is nothing on it. `lent`: the engine was told, and its slot comes back."""

    ticket: Ticket
    blank: bool = False
    lent: bool = False


class Feed:
    """Draws pages, as many at once as there are processes, while a slot is free: that bounds the memory."""

    def __init__(self, *, processes: int, slots: int, pixels_max: int, page_seconds_max: float) -> None:
        self.arena = Arena.create(slots, SLOT_BYTES)
        self._slots = Slots(self.arena)
        self._page_seconds_max = page_seconds_max
        settings = {"arena": str(self.arena.path), "slots": slots, "pixels_max": pixels_max}
        self._children = [Child(FACTORY, settings, environment=ONE_THREAD) for _ in range(processes)]
        self._idle: asyncio.LifoQueue[Child] = asyncio.LifoQueue()
        for child in self._children:
            self._idle.put_nowait(child)
        self._tickets = itertools.count(1)
        self.seconds = {"decode": 0.0, "draw": 0.0}
        """CPU-seconds in the children so far."""

    @property
    def slots_free(self) -> int:
        return self._slots.free

    async def warm(self) -> None:
        """Start all children. Raises Transient when one does not."""
        await asyncio.gather(*(started(child, "drawing pages") for child in self._children))

    @asynccontextmanager
    async def drawn(self, image: bytes, mode: Mode) -> AsyncIterator[Drawn]:
        """The page in a slot, until the end of the block, or, where the engine was told of it, until it is encoded.

        Raises Permanent(corrupt | pixel_limit | render_timeout | render_crash), Transient(engine_down).
        """
        slot = await self._slots.take()
        page = None
        try:
            page = await self._draw(image, slot, mode)
            yield page
        finally:
            if page is None or not page.lent:
                self._slots.put(slot)

    def lend(self, page: Drawn) -> None:
        """The engine knows of it."""
        page.lent = True
        self._slots.lend(page.ticket.slot, page.ticket.number)

    async def close(self) -> None:
        await asyncio.gather(*(child.close() for child in self._children))
        self.arena.unlink()

    async def _draw(self, image: bytes, slot: int, mode: Mode) -> Drawn:
        for _ in range(TRIES):
            child = await self._idle.get()
            try:
                remote = await started(child, "drawing pages")
                answer = await remote.call("render", image, slot, mode.value, seconds_max=self._page_seconds_max)
            except ChildTimeout:
                raise Permanent(Cause.RENDER_TIMEOUT, f"not drawn after {self._page_seconds_max:g} s") from None
            except ChildDied:
                continue
            finally:
                self._idle.put_nowait(child)
            self.seconds["decode"] += float(answer["decode_s"])
            self.seconds["draw"] += float(answer["draw_s"])
            across, down = (int(count) for count in answer["grid"])
            ticket = Ticket(slot, next(self._tickets), mode.canvas, (across, down))
            return Drawn(ticket, blank=bool(answer["blank"]))
        raise Permanent(Cause.RENDER_CRASH, f"its process died {TRIES} times")
