"""The window of two lanes: its bounds, who goes first, and that nobody who gives up takes a turn away."""

import asyncio
import random
from contextlib import nullcontext

import pytest

from ocr_stage.lanes import Window, in_bulk, is_bulk, shared_window


def lane(*, bulk: bool):
    return in_bulk() if bulk else nullcontext()


@pytest.mark.parametrize(("size", "bulk"), [(1, 1), (2, 1), (3, 2), (4, 3), (8, 6), (100, 75)])
def test_a_quarter_of_the_window_is_never_bulks(size: int, bulk: int) -> None:
    assert shared_window(size).bulk_max == bulk


async def test_urgency_is_what_the_task_was_made_with() -> None:
    async def urgent() -> bool:
        await asyncio.sleep(0)
        return is_bulk()

    with in_bulk():
        task = asyncio.create_task(urgent())
    assert await task
    assert not await urgent()


async def settled() -> None:
    """Every task has gone as far as it can."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_who_is_urgent_goes_first_and_bulk_keeps_its_bound() -> None:
    window = Window(4, bulk_max=3)
    order: list[str] = []
    release = asyncio.Event()

    async def read(name: str, *, bulk: bool) -> None:
        with lane(bulk=bulk):
            async with window.turn():
                order.append(name)
                await release.wait()

    tasks = [asyncio.create_task(read(f"bulk{n}", bulk=True)) for n in range(6)]
    await settled()
    assert order == ["bulk0", "bulk1", "bulk2"]
    tasks += [asyncio.create_task(read(f"page{n}", bulk=False)) for n in range(3)]
    await settled()
    assert order[3:] == ["page0"]
    release.set()
    await asyncio.gather(*tasks)
    assert order[4:6] == ["page1", "page2"]
    assert len(order) == 9


@pytest.mark.parametrize("seed", range(20))
async def test_turns_are_never_lost_nor_given_twice(seed: int) -> None:
    chance = random.Random(seed)
    window = Window(5, bulk_max=3)
    inside = {True: 0, False: 0}

    async def read(*, bulk: bool) -> None:
        with lane(bulk=bulk):
            async with window.turn():
                inside[bulk] += 1
                assert inside[True] <= 3
                assert sum(inside.values()) <= 5
                try:
                    await asyncio.sleep(chance.random() / 500)
                finally:
                    inside[bulk] -= 1

    tasks = [asyncio.create_task(read(bulk=chance.random() < 0.6)) for _ in range(200)]
    for task in chance.sample(tasks, 60):
        await asyncio.sleep(chance.random() / 1000)
        task.cancel()
    await asyncio.wait(tasks)
    assert [task.exception() for task in tasks if not task.cancelled()] == [None] * len(
        [task for task in tasks if not task.cancelled()]
    )
    async with asyncio.timeout(30):
        async with window.turn(), window.turn(), window.turn(), window.turn(), window.turn():
            pass
