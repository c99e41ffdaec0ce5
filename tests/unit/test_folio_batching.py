"""Many callers, one call: who travels together, who waits, and what each is told."""

import asyncio
import gc
import time
from collections.abc import Sequence
from contextlib import suppress

import pytest

from folio.batching import Batcher, has_answer


class Calls:
    """Doubles what it gets, and remembers what came together."""

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.batches: list[list[int]] = []
        self._seconds = seconds

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        await asyncio.sleep(self._seconds)
        if 13 in items:
            raise ValueError("thirteen")
        return [item * 2 for item in items]


async def test_what_arrives_during_a_call_travels_together_in_order() -> None:
    calls = Calls(seconds=0.01)
    batcher = Batcher(calls, items_max=3)
    first = batcher(1)
    await asyncio.sleep(0)
    assert await asyncio.gather(first, *(batcher(item) for item in range(2, 7))) == [2, 4, 6, 8, 10, 12]
    assert calls.batches == [[1], [2, 3, 4], [5, 6]]


async def test_one_that_comes_alone_waits_for_nobody_and_those_that_follow_do() -> None:
    calls = Calls()
    batcher = Batcher(calls, linger_s=1.0)
    began = time.monotonic()
    await batcher(1)
    assert time.monotonic() - began < 0.5
    second = batcher(2)
    await asyncio.sleep(0.01)
    assert not has_answer(second)
    await asyncio.gather(second, batcher(3))
    assert calls.batches == [[1], [2, 3]]
    assert time.monotonic() - began >= 1.0


async def test_an_error_is_told_to_all_of_its_batch_and_to_nobody_else() -> None:
    calls = Calls(seconds=0.01)
    batcher = Batcher(calls)
    first = batcher(1)
    await asyncio.sleep(0)
    second, third = batcher(13), batcher(4)
    assert await first == 2
    for answer in (second, third):
        with pytest.raises(ValueError, match="thirteen"):
            await answer
    assert not has_answer(third)
    assert await batcher(5) == 10


async def test_the_end_of_a_process_is_told_to_its_batch_and_not_again_by_asyncio() -> None:
    class End(BaseException): ...

    async def call(items: Sequence[int]) -> Sequence[int]:
        raise End

    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, facts: told.append(facts))
    batcher = Batcher(call)
    with suppress(End):  # pytest.raises would keep the error, and with it the task that is looked for
        await batcher(1)
    await batcher.drain()
    batcher._running = None
    gc.collect()
    assert told == []
