"""The remote engine and a real `vllm serve`, through a network that does its worst, and over the server's restart."""

import asyncio
import io
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from PIL import Image

from folio import topics
from folio.errors import Transient
from folio.ids import Doc
from folio.log import Record
from folio.records import Page, PageText
from folio.stage import StageLoop
from ocr_stage.engine import Reading
from ocr_stage.model import Ask, Guard
from ocr_stage.modes import Mode
from ocr_stage.prompts import prompt
from ocr_stage.remote import RemoteModel, RemoteSettings
from ocr_stage.remote_survey import COMPLETIONS, picture_url
from ocr_stage.stage import OcrStage
from tests.http_faults import Proxy
from tests.memory_log import MemoryLog
from tests.vllm.test_engine import Engine, page

pytestmark = pytest.mark.timeout(1500)  # the first test waits for the server
PAGES = 50
FAULTS = ("busy", "broken", "slow", "silent", "half", "garbage", "half", "garbage", "broken", "busy")
SECONDS_MAX = 30.0
SIZE = (320, 450)


def picture(words: str) -> bytes:
    kept = io.BytesIO()
    page(words, SIZE).save(kept, "PNG")
    return kept.getvalue()


class Asking:
    """An engine of the stage: every page in Tiny or Base, twelve tokens."""

    name = "remote"

    def __init__(self, model: RemoteModel) -> None:
        self._model = model
        self._modes = itertools.cycle([Mode.TINY, Mode.TINY, Mode.BASE])

    async def read(self, image: bytes) -> Reading:
        ask = Ask(mode=next(self._modes), prompt=prompt("text"), tokens_max=12)
        return Reading.of(await self._model.ask(image, ask))

    async def close(self) -> None:
        return


@pytest.fixture
async def proxy(serving: Any) -> AsyncIterator[Proxy]:
    await serving.ready()
    between = Proxy(lambda _: "")
    between.behind = serving.port
    async with between.running():
        yield between


@pytest.fixture
async def model(proxy: Proxy) -> AsyncIterator[RemoteModel]:
    remote = RemoteModel(RemoteSettings(url=proxy.url, page_seconds_max=SECONDS_MAX, processes=1))
    yield remote
    await remote.close()


async def test_the_server_is_found_to_have_modes_and_a_guard_that_is_on(model: RemoteModel) -> None:
    await model.warm()
    able = model._abilities
    assert able is not None
    assert (able.model, able.vllm, able.modes, able.guard, len(able.allowed)) == ("small", True, True, True, 2)
    assert model.name == "remote small"


async def test_every_mode_over_http_beside_each_other(model: RemoteModel) -> None:
    asks = [Ask(mode=mode, prompt=prompt("text"), tokens_max=8) for mode in Mode]
    outputs = await asyncio.gather(*(model.ask(picture(f"mode {ask.mode}"), ask) for ask in asks))
    assert [output.mode for output in outputs] == list(Mode)
    assert all(output.tokens > 0 for output in outputs)
    again = await model.ask(picture(f"mode {Mode.BASE}"), asks[2])
    assert again.text == outputs[2].text


async def test_the_prompt_over_http_is_the_one_that_a_worker_makes(
    model: RemoteModel, engine: Any, beside: Any
) -> None:
    """Begin, the image, a new line, what is asked: token for token, and so the same answer."""
    await model.warm()
    able, asked = model._abilities, Ask(mode=Mode.TINY, prompt=prompt("text"), tokens_max=8)
    assert able is not None
    body = model._body(able, asked, picture_url(picture("same"))) | {"return_token_ids": True}
    over_http = await model._server.post(COMPLETIONS, body, seconds_max=60)
    worker = beside.run(Engine(engine).read(page("same", SIZE), "tiny", max_tokens=8, ignore_eos=False))
    assert over_http["prompt_token_ids"] == worker.prompt_token_ids
    assert over_http["choices"][0]["token_ids"] == list(worker.outputs[0].token_ids)


async def test_a_guard_wider_than_the_usual_one_may_be_asked_for(model: RemoteModel) -> None:
    output = await model.ask(picture("wide"), Ask(guard=Guard(ngram=35, window=1024), tokens_max=8))
    assert output.tokens > 0


async def test_fifty_pages_through_the_worst_of_networks_and_a_restart_with_nothing_lost(
    model: RemoteModel, proxy: Proxy, serving: Any
) -> None:
    """Every third answer goes wrong at first, each in its way; in the middle the server is killed and started again."""
    log, document = MemoryLog(), Doc("default/book")
    records = [
        Record(
            key=f"{document}/{number}",
            value=picture(f"page {number}"),
            headers=Page(doc=document, version=1, page=number, page_count=PAGES).headers(),
        )
        for number in range(1, PAGES + 1)
    ]
    await log.append(topics.PAGES, records)
    stage = OcrStage(Asking(model), None, keep_images=False, pages_at_once=8)
    loop = StageLoop(stage.stage, log)
    stop = asyncio.Event()
    running = asyncio.create_task(loop.run(stop))
    await model.warm()
    faults = itertools.chain.from_iterable((fault, "", "") for fault in FAULTS)
    proxy.fault = lambda body: next(faults, "") if b'"temperature"' in body and b"logit_bias" not in body else ""

    async def until(count: int) -> None:
        async with asyncio.timeout(400):
            while len(log.entries.get((topics.TEXTS.name, 0), [])) < count:
                assert not running.done()
                await asyncio.sleep(0.05)

    await until(PAGES // 3)
    await asyncio.to_thread(serving.kill)
    await asyncio.sleep(1)
    assert len(log.entries[topics.TEXTS.name, 0]) < PAGES
    serving.start()
    await serving.ready()
    await until(PAGES)
    stop.set()
    await running
    texts = [PageText.decode(entry.value) for entry in log.entries[topics.TEXTS.name, 0]]
    assert sorted(text.page for text in texts) == list(range(1, PAGES + 1))
    assert [(text.page, text.cause, text.detail) for text in texts if text.status != "ok"] == []
    assert not log.entries.get((topics.DEAD.name, 0))
    assert set(FAULTS) <= set(proxy.seen)


async def test_a_server_that_is_gone_is_waited_for(proxy: Proxy) -> None:
    proxy.behind = 9
    remote = RemoteModel(RemoteSettings(url=proxy.url, processes=1))
    with pytest.raises(Transient):
        await remote.ask(picture("gone"), Ask())
    await remote.close()


async def test_an_image_that_is_none_is_its_own_pages_fault(model: RemoteModel) -> None:
    with pytest.raises(Exception, match="corrupt"):
        await model.ask(b"\xff\xd8\xff\xe0 not really a JPEG", Ask())
    blank = io.BytesIO()
    Image.new("L", (300, 400), 255).save(blank, "PNG")
    assert (await model.ask(blank.getvalue(), Ask())).text == ""
