"""What is on its way to a broker: bounded in bytes, sliced, and answered once for many records."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from folio.log import Offset, Record


class Room:
    """Bytes under way: the library's producer takes everything it is given, so the bound is ours."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._bytes = 0
        self._left = asyncio.Event()

    async def enter(self, size: int) -> Callable[[object], None]:
        """Wait until there is room; what is returned gives it back, and may be called on any thread."""
        while self._bytes and self._bytes + size > self.bytes_max:
            self._left.clear()
            await self._left.wait()
        self._bytes += size
        return partial(self._leave_from_thread, asyncio.get_running_loop(), size)

    def _leave_from_thread(self, loop: asyncio.AbstractEventLoop, size: int, _: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._leave, size)

    def _leave(self, size: int) -> None:
        self._bytes -= size
        self._left.set()


class Answer:
    """The positions of records that were sent together; the library's threads call back in any order."""

    def __init__(self, count: int, then: Callable[[object], None]) -> None:
        self.all: Future[list[tuple[int, Offset]]] = Future()
        self.all.set_running_or_notify_cancel()  # whoever waits may go away; what was sent is sent
        self.all.add_done_callback(then)
        self._found: list[tuple[int, Offset]] = [(-1, -1)] * count
        self._missing = count
        self._error: Exception | None = None
        self._lock = threading.Lock()

    def came(self, index: int, metadata: Any) -> None:
        self._found[index] = (metadata.partition, metadata.offset)
        self._one_less()

    def refused(self, index: int, error: Exception) -> None:
        self._error = self._error or error
        self._one_less()

    def _one_less(self) -> None:
        with self._lock:
            self._missing -= 1
            if self._missing:
                return
        if self._error is not None:
            self.all.set_exception(self._error)
        else:
            self.all.set_result(self._found)


def parts_of(records: Sequence[Record], bytes_max: int) -> list[tuple[list[Record], int]]:
    """Slices of at most `bytes_max`, or of one record, with their sizes."""
    parts: list[tuple[list[Record], int]] = []
    for record in records:
        size = len(record.value) + len(record.key) + 128
        if parts and parts[-1][1] + size <= bytes_max:
            parts[-1] = ([*parts[-1][0], record], parts[-1][1] + size)
        else:
            parts.append(([record], size))
    return parts
