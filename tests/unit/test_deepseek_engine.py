"""The engine around a small honest stand-in for vLLM: it reads pixels from the arena when it is told of a page."""

import asyncio
import io
import threading
import time
from dataclasses import replace

import pytest
from PIL import Image, ImageDraw

from folio.errors import Cause, FolioError, Permanent, StageStopped, Transient
from ocr_stage.deepseek.arena import Arena
from ocr_stage.deepseek.engine import DeepSeekModel
from ocr_stage.deepseek.fast import Ahead, FastConfig
from ocr_stage.deepseek.launch import GIB, EngineSettings, engine_arguments, graph_sizes, small
from ocr_stage.deepseek.tickets import Ticket
from ocr_stage.model import Ask, Finish
from ocr_stage.modes import Mode

LONG_S = 60
SETTINGS = EngineSettings(model="none", sequences=4, ahead=2, slots=3, renderers=2)


class Dead(Exception):
    pass


class Answer:
    def __init__(self, request_id):
        self.request_id = request_id
        self.outcome = asyncio.get_running_loop().create_future()

    async def get(self):
        return await asyncio.shield(self.outcome)


class Stand:
    """Talk and AsyncLLM in one. Pages are read when `reads` is set; what they say is the colour of their pixels."""

    lends = True

    def __init__(self, settings, arena, *, reads=True, fails=None):
        self.engine, self.arena, self.errored = self, arena, False
        self.reads = asyncio.Event()
        if reads:
            self.reads.set()
        self.fails = fails
        self.running, self.most, self.aborted, self.closed, self.verified = {}, 0, [], False, 0

    def prompt(self, ticket, ask):
        return ticket

    def params(self, ask, prompt):
        return ask

    async def add_request(self, request_id, ticket, ask):
        if self.errored:
            raise Dead("gone")
        answer = self.running[request_id] = Answer(request_id)
        self.most = max(self.most, len(self.running))
        asyncio.get_running_loop().create_task(self._read(answer, ticket, ask))
        return answer

    async def _read(self, answer, ticket, ask):
        await asyncio.sleep(0.01)
        colour = tuple(int(part) for part in self.arena.slot(ticket.slot)[:3])
        self.arena.encoded(ticket.slot, ticket.number)
        await self.reads.wait()
        if answer.request_id in self.running and not answer.outcome.done():
            del self.running[answer.request_id]
            answer.outcome.set_result((str(colour), [1, 2, 3], "length" if ask.tokens_max else "stop"))

    async def abort(self, request_id, internal):
        self.aborted.append(request_id)
        del self.running[request_id]

    def die(self):
        self.errored = True
        for answer in self.running.values():
            answer.outcome.set_exception(Dead("gone"))

    def answer(self, output):
        return output

    def is_dead(self, error):
        return isinstance(error, Dead)

    async def verify(self):
        self.verified += 1
        if self.fails:
            raise self.fails

    def shutdown(self):
        self.closed = True


class World:
    def __init__(self, settings=SETTINGS, *, page_seconds_max=LONG_S, **stand):
        self.stand = None
        self.starts = 0
        self._how = stand
        self.model = DeepSeekModel(settings, page_seconds_max=page_seconds_max, talk=self._talk)

    def _talk(self, settings, arena):
        self.starts += 1
        self.loop.call_soon_threadsafe(self._made.set_result, Stand(settings, arena, **self._how))
        return asyncio.run_coroutine_threadsafe(self._wait(), self.loop).result(LONG_S)

    async def _wait(self):
        self.stand = await self._made
        return self.stand

    async def __aenter__(self):
        self.loop = asyncio.get_running_loop()
        self._made = self.loop.create_future()
        return self

    async def __aexit__(self, *_):
        await self.model.close()


def page(colour, size=(700, 990)):
    """One colour, and a little ink in its corner."""
    picture = Image.new("RGB", size, colour)
    ImageDraw.Draw(picture).rectangle((300, 300, 600, 600), fill="black")
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


COLOURS = [(250, 250 - 20 * at, 120 + 10 * at) for at in range(8)]


async def until(true):
    async with asyncio.timeout(LONG_S):
        while not true():
            await asyncio.sleep(0.01)


async def test_each_page_is_read_with_its_own_pixels():
    """More pages than slots, all modes at once: slots are used again and again, and never too early."""
    async with World() as world:
        asks = [(colour, mode) for mode in (Mode.TINY, Mode.SMALL) for colour in COLOURS]
        texts = await asyncio.gather(*(world.model.ask(page(colour), Ask(mode=mode)) for colour, mode in asks))
        assert [text.text for text in texts] == [str(colour) for colour, _ in asks]
        assert {text.mode for text in texts} == {"tiny", "small"}
        assert world.model.feed.slots_free == SETTINGS.slots
        assert world.stand.most <= SETTINGS.pages_at_once
        assert world.starts == 1


async def test_it_is_ready_only_after_a_page_and_the_probe():
    async with World() as world:
        await world.model.warm()
        assert world.stand.verified == 1
        assert world.stand.most == 1


async def test_a_guard_that_is_off_stops_the_start():
    async with World(fails=FolioError("the guard is off")) as world:
        with pytest.raises(FolioError, match="guard"):
            await world.model.warm()


async def test_an_engine_that_does_not_start_is_away_and_leaves_nothing():
    def talk(settings, arena):
        kept.append(arena.path)
        raise RuntimeError("no card")

    kept = []
    model = DeepSeekModel(SETTINGS, page_seconds_max=LONG_S, talk=talk)
    with pytest.raises(Transient) as failed:
        await model.warm()
    assert failed.value.cause is Cause.ENGINE_DOWN
    assert not kept[0].exists()
    await model.close()


@pytest.mark.parametrize("fails", [Permanent(Cause.RENDER_TIMEOUT), ValueError("vLLM is not what it was")])
async def test_a_start_whose_first_page_fails_is_no_pages_fault_and_leaves_nothing(fails):
    async with World(fails=fails) as world:
        with pytest.raises(Transient):
            await world.model.ask(page(COLOURS[0]), Ask(mode=Mode.TINY))
        assert world.stand.closed
        assert not world.stand.arena.path.exists()


async def test_a_page_cancelled_while_the_engine_starts_leaves_one_engine_for_the_others():
    async with World(reads=False) as world:
        first = asyncio.create_task(world.model.ask(page(COLOURS[0]), Ask(mode=Mode.TINY)))
        await until(lambda: world.stand and world.stand.running)
        first.cancel()
        await asyncio.wait({first})
        second = asyncio.create_task(world.model.ask(page(COLOURS[1]), Ask(mode=Mode.TINY)))
        world.stand.reads.set()
        assert (await second).text == str(COLOURS[1])
        assert world.starts == 1


async def test_a_dead_engine_stops_the_stage():
    """StageStopped ends the loop with nothing committed; whoever comes later hears the same."""
    async with World() as world:
        await world.model.warm()
        world.stand.reads.clear()
        asking = [asyncio.create_task(world.model.ask(page(COLOURS[0]), Ask(mode=Mode.TINY))) for _ in range(2)]
        await until(lambda: len(world.stand.running) == 2)
        world.stand.die()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(one) for one in found] == [StageStopped, StageStopped]
        with pytest.raises(StageStopped, match="start this worker again"):
            await world.model.ask(page(COLOURS[0]), Ask())


async def test_a_cancelled_page_is_aborted_and_the_others_are_read():
    async with World() as world:
        await world.model.warm()
        world.stand.reads.clear()
        asking = [asyncio.create_task(world.model.ask(page(colour), Ask(mode=Mode.TINY))) for colour in COLOURS[:3]]
        await until(lambda: len(world.stand.running) == 3)
        asking[1].cancel()
        await asyncio.wait({asking[1]})
        assert asking[1].cancelled()
        assert len(world.stand.aborted) == 1
        world.stand.reads.set()
        assert [(await asking[at]).text for at in (0, 2)] == [str(COLOURS[at]) for at in (0, 2)]
        await until(lambda: world.model.feed.slots_free == SETTINGS.slots)


async def test_a_page_that_never_ends_ends_with_its_cause():
    async with World(page_seconds_max=3) as world:
        await world.model.warm()
        world.stand.reads.clear()
        with pytest.raises(Permanent) as failed:
            await world.model.ask(page(COLOURS[0]), Ask(mode=Mode.TINY))
        assert failed.value.cause is Cause.OCR_TIMEOUT
        assert len(world.stand.aborted) == 1


async def test_a_page_at_its_limit_says_so():
    async with World() as world:
        output = await world.model.ask(page(COLOURS[0]), Ask(mode=Mode.TINY, tokens_max=3))
        assert (output.finish, output.tokens) == (Finish.LENGTH, 3)


async def test_bad_pictures_end_alone():
    async with World() as world:
        good = world.model.ask(page(COLOURS[1]), Ask(mode=Mode.TINY))
        bad = [world.model.ask(b"junk", Ask()), world.model.ask(page("white", (20000, 4000)), Ask())]
        found = await asyncio.gather(good, *bad, return_exceptions=True)
        assert found[0].text == str(COLOURS[1])
        assert [one.cause for one in found[1:]] == [Cause.CORRUPT, Cause.PIXEL_LIMIT]


async def test_a_blank_page_never_reaches_the_engine():
    async with World() as world:
        await world.model.warm()
        blank = Image.new("RGB", (700, 990), "white")
        out = io.BytesIO()
        blank.save(out, "PNG")
        seen = world.stand.most
        output = await world.model.ask(out.getvalue(), Ask())
        assert (output.text, output.tokens, world.stand.most) == ("", 0, seen)


async def test_closing_ends_the_engine_and_frees_the_memory():
    async with World() as world:
        await world.model.warm()
        path = world.model.feed.arena.path
        await world.model.close()
        assert world.stand.closed
        assert not path.exists()


# The encoder's thread, as it runs inside vLLM's process.


class Encoder:
    def __init__(self):
        self.groups, self.go = [], threading.Event()

    def fit(self, count):
        return max(size for size in (1, 2, 4) if size <= count)

    def encode(self, pages, pixels):
        assert self.go.wait(LONG_S)
        self.groups.append([one.number for one in pages])
        return [[int(one[0])] * page.places for page, one in zip(pages, pixels, strict=True)]


@pytest.fixture
def ahead():
    pytest.importorskip("torch")
    arena = Arena.create(8, 1000)
    encoder, ready, failed = Encoder(), [], threading.Event()
    config = FastConfig(arena=str(arena.path), slots=8, slot_bytes=1000, group=4, wait_s=0.05)
    thread = Ahead(arena, config, lambda: encoder, ready=ready.append, failed=failed.set)
    thread.arena, thread.encoder, thread.ready_requests, thread.has_failed = arena, encoder, ready, failed
    yield thread
    arena.unlink()


def wait_for(true):
    end = time.monotonic() + LONG_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_requests_go_on_when_their_page_is_encoded(ahead):
    for number in range(1, 6):
        ahead.arena.slot(number)[:] = 10 * number
        ahead.add(Ticket(number, number, 1024, (2, 3)), f"r{number}", f"request {number}")
    ahead.encoder.go.set()
    ahead.start()
    wait_for(lambda: len(ahead.ready_requests) == 5)
    assert [ahead.embedding(number)[0] for number in range(1, 6)] == [10, 20, 30, 40, 50]
    assert [ahead.arena.encoded_last(number) for number in range(1, 6)] == [1, 2, 3, 4, 5]
    assert ahead.encoder.groups[0] == [1, 2, 3, 4]
    assert ahead.arena.gauges["encoded"] == 5


def test_an_embedding_stays_until_its_request_has_finished(ahead):
    """A request that is preempted asks for it a second time."""
    ahead.add(Ticket(0, 7, 512, (1, 1)), "r", "request")
    ahead.encoder.go.set()
    ahead.start()
    wait_for(lambda: ahead.has(7))
    assert ahead.embedding(7) == ahead.embedding(7)
    ahead.forget(7)
    ahead.forget(7)
    assert not ahead.has(7)
    assert len(ahead) == 0


def test_a_cancelled_page_is_let_go_and_its_slot_with_it(ahead):
    for number in (1, 2):
        ahead.add(Ticket(number, number, 512, (1, 1)), f"r{number}", number)
    ahead.cancel("r1")
    ahead.encoder.go.set()
    ahead.start()
    wait_for(lambda: ahead.ready_requests)
    wait_for(lambda: ahead.arena.encoded_last(1) == 1)
    assert ahead.ready_requests == [2]
    assert not ahead.has(1)


def test_a_page_cancelled_while_it_is_encoded_leaves_no_embedding(ahead):
    ahead.add(Ticket(1, 1, 512, (1, 1)), "r1", 1)
    ahead.start()
    wait_for(ahead.is_alive)
    time.sleep(0.1)
    ahead.cancel("r1")
    ahead.encoder.go.set()
    wait_for(lambda: ahead.arena.encoded_last(1) == 1)
    assert ahead.ready_requests == []
    assert not ahead.has(1)


def test_an_encoder_that_fails_ends_the_engine(ahead):
    def broken(pages, pixels):
        raise RuntimeError("out of memory")

    ahead.encoder.encode = broken
    ahead.add(Ticket(1, 1, 512, (1, 1)), "r1", 1)
    ahead.start()
    assert ahead.has_failed.wait(LONG_S)
    assert ahead.ready_requests == []


@pytest.mark.parametrize(
    "answered",
    [
        lambda pages: [[0] * page.places for page in reversed(pages)],  # another page's
        lambda pages: [[0] * page.places for page in pages[:-1]],
        lambda pages: [[0] * page.places for page in (*pages, pages[0])],
        lambda pages: [[0] * (page.places - 1) for page in pages],
        lambda pages: [[] for _ in pages],
    ],
)
def test_an_encoder_that_returns_another_page_s_length_ends_the_engine(ahead, caplog, answered):
    """Two pages of as many tiles, one upright and one across; one embedding that is wrong makes all of them so."""
    ahead.encoder.encode = lambda pages, _: answered(pages)
    ahead.encoder.fit = lambda count: count
    for number, grid in ((1, (2, 3)), (2, (3, 2))):
        ahead.add(Ticket(number, number, 1024, grid), f"r{number}", number)
    ahead.start()
    assert ahead.has_failed.wait(LONG_S)
    assert (ahead.ready_requests, len(ahead)) == ([], 0)
    assert "another page's length" in caplog.text or "zip()" in caplog.text


# What vLLM is started with.


def test_the_largest_batch_has_a_graph_of_its_own():
    for sequences in (8, 100, 512, 528, 1024):
        settings = replace(SETTINGS, sequences=sequences)
        assert sequences in graph_sizes(settings)


def test_what_is_asked_of_vllm():
    arguments = engine_arguments(replace(SETTINGS, fp8=True), {"arena": "x"}, 80 * GIB)
    assert arguments["enable_prefix_caching"] is False
    assert arguments["mm_processor_cache_gb"] == 0
    assert arguments["kv_cache_dtype"] == "fp8"
    assert arguments["additional_config"] == {"folio": {"arena": "x"}}
    assert arguments["compilation_config"]["cudagraph_capture_sizes"][-1] >= arguments["max_num_seqs"]
    assert engine_arguments(SETTINGS, None, 80 * GIB)["kv_cache_dtype"] == "auto"


def test_a_smaller_card_gets_a_smaller_engine():
    cards = [small(SETTINGS, gigabytes * GIB) for gigabytes in (8, 12, 16)]
    assert [card.sequences for card in cards] == [8, 32, 64]
    assert [card.tokens_max for card in cards] == [4096, 8192, 8192]
    assert all(card.group == 1 for card in cards)


def test_a_card_without_room_for_the_encoder_says_so():
    with pytest.raises(FolioError, match="small"):
        engine_arguments(replace(SETTINGS, memory_bytes=GIB, group=8), None, 80 * GIB)


def test_settings_become_an_engine():
    from folio.settings import Settings
    from infra.engines import gpu_settings, open_model, pages_at_once

    settings = Settings.model_validate({"ocr": {"engine": "deepseek"}, "gpu": {"model": "there", "fp8_cache": True}})
    assert isinstance(open_model(settings), DeepSeekModel)
    assert (gpu_settings(settings).model, gpu_settings(settings).fp8) == ("there", True)
    assert pages_at_once(settings) == 896
    card = Settings.model_validate({"ocr": {"engine": "deepseek"}, "gpu": {"card_gb": 8, "sequences": 3}})
    assert (gpu_settings(card).sequences, gpu_settings(card).group) == (3, 1)
