"""Pages in the arena: who holds a slot, what is drawn, and what bad pictures end with."""

import asyncio
import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from folio.errors import Cause, FolioError, Permanent
from ocr_stage.deepseek.arena import Arena, Gauge, Slots
from ocr_stage.deepseek.feed import Feed
from ocr_stage.deepseek.render import SLOT_BYTES, draw
from ocr_stage.modes import PADDING, TILE, Mode, view

LONG_S = 60


@pytest.fixture
def arena():
    made = Arena.create(3, 10_000)
    yield made
    made.unlink()


def picture(width=900, height=1270, text=True):
    page = Image.new("RGB", (width, height), "white")
    if text:
        pen = ImageDraw.Draw(page)
        for y in range(40, height - 40, 24):
            pen.rectangle((40, y, width - 40, y + 9), fill=(y % 200, 0, 0))
    return page


def png(page):
    out = io.BytesIO()
    page.save(out, "PNG")
    return out.getvalue()


def test_what_one_process_writes_another_sees(arena):
    other = Arena(arena.path, arena.slots, arena.slot_bytes)
    arena.slot(1)[:3] = (7, 8, 9)
    other.encoded(1, 42)
    other.show(Gauge.RUNNING, 5)
    other.count(Gauge.STEPS)
    other.count(Gauge.STEPS, 2)
    assert list(other.slot(1)[:3]) == [7, 8, 9]
    assert arena.encoded_last(1) == 42
    assert (arena.gauges["running"], arena.gauges["steps"]) == (5, 3)


def test_slots_do_not_overlap(arena):
    for slot in range(arena.slots):
        arena.slot(slot)[:] = slot + 1
    assert [set(arena.slot(slot).tolist()) for slot in range(arena.slots)] == [{1}, {2}, {3}]
    assert arena.encoded_last(0) == 0, "pixels never reach the header"


def test_an_arena_that_does_not_fit_names_what_to_do():
    with pytest.raises(FolioError, match="shm-size"):
        Arena.create(400, 1 << 40)


async def test_a_lent_slot_comes_back_when_its_own_ticket_is_encoded(arena):
    slots = Slots(arena)
    taken = [await slots.take() for _ in range(3)]
    slots.lend(taken[0], 10)
    waiting = asyncio.create_task(slots.take())
    arena.encoded(taken[0], 9)
    await asyncio.sleep(0.05)
    assert not waiting.done(), "an older page's word counts for nothing"
    arena.encoded(taken[0], 10)
    assert await asyncio.wait_for(waiting, LONG_S) == taken[0]


async def test_whoever_waits_first_is_served_first(arena):
    slots = Slots(arena)
    for _ in range(3):
        await slots.take()
    order = []

    async def wait(name):
        await slots.take()
        order.append(name)

    tasks = []
    for name in "abc":
        tasks.append(asyncio.create_task(wait(name)))
        await asyncio.sleep(0)
    for slot in range(3):
        slots.put(slot)
    await asyncio.wait_for(asyncio.gather(*tasks), LONG_S)
    assert order == ["a", "b", "c"]


@pytest.mark.parametrize("mode", list(Mode))
def test_pixels_are_the_model_s_own(mode):
    page = picture()
    seen = view(mode, *page.size)
    into = np.zeros(SLOT_BYTES, np.uint8)
    draw(page, seen, into)
    side = mode.canvas
    canvas = into[: 3 * side**2].reshape(side, side, 3)
    wanted = page.resize((side, side)) if mode.squashes else ImageOps.pad(page, (side, side), color=PADDING)
    assert np.array_equal(canvas, np.asarray(wanted))
    mosaic = np.asarray(page.resize(seen.mosaic)) if mode is Mode.GUNDAM else np.zeros((0, 0, 3))
    for index, (x0, y0, x1, y1) in enumerate(seen.tiles):
        at = 3 * side**2 + index * 3 * TILE**2
        assert np.array_equal(into[at : at + 3 * TILE**2].reshape(TILE, TILE, 3), mosaic[y0:y1, x0:x1])


@pytest.fixture
async def feed():
    made = Feed(processes=1, slots=2, pixels_max=2_000_000, page_seconds_max=LONG_S)
    yield made
    await made.close()
    assert not made.arena.path.exists()


async def test_pages_of_the_pool_are_drawn_and_numbered(feed):
    async with feed.drawn(png(picture()), Mode.GUNDAM) as one, feed.drawn(png(picture()), Mode.TINY) as other:
        assert one.ticket.number != other.ticket.number
        assert one.ticket.slot != other.ticket.slot
        assert (one.ticket.grid, other.ticket.grid) == ((2, 3), (1, 1))
        assert feed.arena.slot(one.ticket.slot)[: 3 * 1024**2].any()
    assert feed.slots_free == 2, "nobody told the engine, so both are free again"


async def test_a_page_that_the_engine_knows_of_keeps_its_slot(feed):
    async with feed.drawn(png(picture()), Mode.TINY) as page:
        feed.lend(page)
    assert feed.slots_free == 1
    feed.arena.encoded(page.ticket.slot, page.ticket.number)
    assert feed.slots_free == 2


async def test_a_blank_page_says_so(feed):
    async with feed.drawn(png(picture(text=False)), Mode.GUNDAM) as page:
        assert page.blank


@pytest.mark.parametrize(
    ("image", "cause"),
    [
        (b"no picture", Cause.CORRUPT),
        (png(picture())[:2000], Cause.CORRUPT),
        (png(Image.new("L", (20000, 200))), Cause.PIXEL_LIMIT),
    ],
)
async def test_bad_pictures_end_with_their_cause_and_give_their_slot_back(feed, image, cause):
    with pytest.raises(Permanent) as failed:
        async with feed.drawn(image, Mode.GUNDAM):
            pass
    assert failed.value.cause is cause
    assert feed.slots_free == 2


async def test_a_cancelled_page_gives_its_slot_back(feed):
    await feed.warm()
    drawing = asyncio.create_task(feed.drawn(png(picture()), Mode.GUNDAM).__aenter__())
    await asyncio.sleep(0.01)
    drawing.cancel()
    await asyncio.wait({drawing}, timeout=LONG_S)
    if drawing.cancelled():
        assert feed.slots_free == 2
    async with feed.drawn(png(picture()), Mode.TINY) as page:
        assert not page.blank
