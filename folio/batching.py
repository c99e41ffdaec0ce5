"""Many callers, one call: items that arrive while a batch is under way travel together in the next one."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class Batcher(Generic[In, Out]):
    """Coalesce concurrent awaits of one item into calls of many (group commit, batched upserts).

    `call` gets the items in the order they arrived and answers one output per item; if it raises, every
    item of that batch raises the same. One call is under way at a time, so order is kept. A call that follows
    another within `linger_s` waits that long for company: each costs a thread's turn and a disk's, however little it
    carries. After a pause it goes at once: who comes alone waits for nobody.
    """

    def __init__(
        self, call: Callable[[Sequence[In]], Awaitable[Sequence[Out]]], *, items_max: int = 1024, linger_s: float = 0.0
    ) -> None:
        self._call = call
        self._items_max = items_max
        self._linger_s = linger_s
        self._waiting: deque[tuple[In, asyncio.Future[Out]]] = deque()
        self._running: asyncio.Task[None] | None = None
        self._ended_s = -math.inf

    def __call__(self, item: In) -> "asyncio.Future[Out]":
        """Queue one item; the future resolves when the call that carried it has returned."""
        answer: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
            self._running.add_done_callback(looked_at)  # whoever waits for an answer has its error
        return answer

    async def drain(self) -> None:
        """Wait until nothing is queued or under way."""
        while self._running is not None and not self._running.done():
            await asyncio.wait({self._running})

    async def _run(self) -> None:
        while self._waiting:
            if self._linger_s and time.monotonic() - self._ended_s < self._linger_s:
                await asyncio.sleep(self._linger_s)
            batch = [self._waiting.popleft() for _ in range(min(self._items_max, len(self._waiting)))]
            answers = [answer for _, answer in batch]
            try:
                outputs = await self._call([item for item, _ in batch])
                for answer, output in zip(answers, outputs, strict=True):
                    _resolve(answer, output)
            except BaseException as error:
                _fail(answers, error)
                if not isinstance(error, Exception):
                    raise
            self._ended_s = time.monotonic()


def _resolve(answer: "asyncio.Future[Out]", output: Out) -> None:
    if not answer.done():
        answer.set_result(output)


def _fail(answers: "Sequence[asyncio.Future[Out]]", error: BaseException) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)


def has_answer(future: "asyncio.Future[Out]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def looked_at(future: "asyncio.Future[Out]") -> None:
    """Look at a future's error so that asyncio does not report it: somebody else acts on it."""
    if not future.cancelled():
        future.exception()
