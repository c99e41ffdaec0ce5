"""Two lanes, one engine: a page that somebody waits for goes first, and those in bulk never fill the window.

How urgent a page is travels in its task's context, so that an engine may ask for it at any depth (`is_bulk`).
"""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

BULK_SHARE = 0.75
_bulk: ContextVar[bool] = ContextVar("bulk", default=False)


def is_bulk() -> bool:
    """Whether the page that this task reads may wait for those that somebody waits for."""
    return _bulk.get()


@contextmanager
def in_bulk() -> Iterator[None]:
    """What begins here, and every task made here, is bulk."""
    token = _bulk.set(True)
    try:
        yield
    finally:
        _bulk.reset(token)


class Window:
    """`size` turns at once, at most `bulk_max` of them for bulk. Who is urgent comes before any bulk that waits."""

    def __init__(self, size: int, *, bulk_max: int | None = None) -> None:
        self.bulk_max = size if bulk_max is None else bulk_max
        self._free = size
        self._free_for_bulk = self.bulk_max
        self._order = itertools.count()
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        bulk = is_bulk()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (bulk, next(self._order), turn))
        self._hand_out()
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._free += 1
                self._free_for_bulk += bulk
            turn.cancel()
            self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self._free > 0:
            bulk, _, turn = self._waiting[0]
            if bulk and self._free_for_bulk <= 0 and not turn.done():
                return  # all that follow are bulk too
            heapq.heappop(self._waiting)
            if turn.done():
                continue
            self._free -= 1
            self._free_for_bulk -= bulk
            turn.set_result(None)


def shared_window(size: int) -> Window:
    """The window of both lanes: a quarter of it, at least one turn where there are two, is never bulk's."""
    return Window(size, bulk_max=max(1, min(int(size * BULK_SHARE), size - 1)) if size > 1 else size)
