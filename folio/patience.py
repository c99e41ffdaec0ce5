"""Waiting for a dependency that is away: repeat with growing pauses, and say for whom one waits."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Any, TypeVar

from folio.errors import Cause, Transient
from folio.telemetry import READY, RETRIES, log

T = TypeVar("T")
LOG_AGAIN_S = 1.0
"""A log is asked again at least so often: its clients pause by themselves, and nothing goes on without it."""


class Patience:
    """Repeats calls that raise Transient. `waits` names, by task, what is waited for; `over` ends all waiting."""

    def __init__(self, stage: str, pauses_s: Sequence[float]) -> None:
        self.waits: dict[asyncio.Task[Any] | None, Cause] = {}
        self.over = False
        self._stage = stage
        self._pauses_s = pauses_s

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        """The answer of the first call that is not Transient; cancels its task when it is over."""
        with self._noting() as task:
            for pause_s in chain(self._pauses_s, repeat(self._pauses_s[-1])):
                try:
                    answer = await call()
                except Transient as error:
                    if self.over:
                        raise asyncio.CancelledError from error
                    self._wait_for(error, task)
                    again_s = min(pause_s, LOG_AGAIN_S) if error.cause is Cause.LOG_DOWN else pause_s
                else:
                    if self.waits.keys() == {task}:
                        log().warning("goes on", stage=self._stage, cause=self.waits[task])
                    return answer
                await asyncio.sleep(again_s)
        raise AssertionError("pauses never end")

    @contextmanager
    def _noting(self) -> "Iterator[asyncio.Task[Any] | None]":
        task = asyncio.current_task()
        try:
            yield task
        finally:
            if self.waits.pop(task, None):
                READY.labels(self._stage).set(not self.waits)

    def _wait_for(self, error: Transient, task: "asyncio.Task[Any] | None") -> None:
        if not self.waits:
            log().warning("waiting", stage=self._stage, cause=error.cause, detail=error.detail)
        self.waits[task] = error.cause
        RETRIES.labels(self._stage, error.cause).inc()
        READY.labels(self._stage).set(0)
