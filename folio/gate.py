"""Work that shares the stage, and work that must be alone in it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Gate:
    """Many may be in `shared`, or exactly one in `alone`; one that waits to be alone holds new ones back.

    Leaving never waits, so a task that is cancelled twice leaves all the same.
    """

    def __init__(self) -> None:
        self._sharing = 0
        self._alone = False
        self._waiting = 0
        self._waiters: list[asyncio.Future[None]] = []

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        await self._until(lambda: not self._alone and not self._waiting)
        self._sharing += 1
        try:
            yield
        finally:
            self._sharing -= 1
            self._wake()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        self._waiting += 1
        try:
            await self._until(lambda: not self._alone and not self._sharing)
        finally:
            self._waiting -= 1
            self._wake()
        self._alone = True
        try:
            yield
        finally:
            self._alone = False
            self._wake()

    async def _until(self, is_free: Callable[[], bool]) -> None:
        while not is_free():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
