"""The engine of a worker on the real vLLM: pages drawn by children, shared memory, tickets, guard, parser."""

import asyncio
import io
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from folio import topics
from folio.errors import Cause, Permanent
from folio.ids import doc_of
from folio.log import Record
from folio.records import Page, PageText
from folio.stage import StageLoop
from ocr_stage.deepseek.engine import DeepSeekModel
from ocr_stage.deepseek.launch import EngineSettings
from ocr_stage.engine import Reading
from ocr_stage.model import Ask, Finish, Guard, ModelOutput
from ocr_stage.modes import Mode
from ocr_stage.prompts import SPECIAL, prompt
from ocr_stage.stage import OcrStage
from tests.memory_log import MemoryLog
from tests.vllm.test_engine import page

pytestmark = pytest.mark.timeout(1500)  # the first test waits for the engine
TEXT = prompt("text")


@pytest.fixture(scope="module")
def model(checkpoint: Path, beside: Any, serving: Any) -> Iterator[DeepSeekModel]:
    settings = EngineSettings(
        model=str(checkpoint),
        load_format="dummy",
        dtype="float32",
        sequences=8,
        ahead=4,
        batch_tokens=2048,
        tokens_max=2048,
        eager=True,
        slots=12,
        renderers=1,
        group=2,
        hold=2,
    )
    one = DeepSeekModel(settings, page_seconds_max=300)
    beside.run(one.warm(), seconds_max=600)
    yield one
    beside.run(one.close())


def png(picture: Image.Image) -> bytes:
    kept = io.BytesIO()
    picture.save(kept, "PNG")
    return kept.getvalue()


def test_a_batch_of_all_modes_with_bad_pages_among_them(model: DeepSeekModel, beside: Any) -> None:
    """Each page ends as it does alone, whatever shares its steps: read, blank, corrupt, too large or cancelled."""
    pages = {(mode, number): png(page(f"{mode} {number}")) for number in range(2) for mode in Mode}

    def ask(mode: Mode, **more: Any) -> Ask:
        return Ask(mode=mode, prompt=TEXT, **{"tokens_max": 8, **more})

    async def all_at_once() -> tuple[list[Any], list[ModelOutput]]:
        bad = [b"\xff\xd8\xff\xe0 torn", png(Image.new("1", (20_000, 4_000)))]
        endless = asyncio.create_task(model.ask(png(page("endless")), ask(Mode.BASE, tokens_max=1500)))
        asked = [
            *(model.ask(picture, ask(mode)) for (mode, _), picture in pages.items()),
            *(model.ask(picture, ask(Mode.TINY)) for picture in bad),
            model.ask(png(Image.new("RGB", (600, 800), "white")), ask(Mode.GUNDAM)),
        ]
        together = await asyncio.gather(*asked, return_exceptions=True)
        endless.cancel()
        await asyncio.wait({endless})
        return together, [await model.ask(picture, ask(mode)) for (mode, _), picture in pages.items()]

    together, alone = beside.run(all_at_once())
    read, (corrupt, large, blank) = together[: len(pages)], together[len(pages) :]
    assert [output.text[:4] for output in read] == [output.text[:4] for output in alone]
    assert [output.mode for output in read] == [mode for mode, _ in pages]
    assert len({output.text for output in read}) == len(pages)
    assert {output.finish for output in read} <= {Finish.LENGTH, Finish.STOP}
    assert isinstance(corrupt, Permanent)
    assert corrupt.cause is Cause.CORRUPT
    assert isinstance(large, Permanent)
    assert large.cause is Cause.PIXEL_LIMIT
    assert (blank.text, blank.tokens) == ("", 0)


def test_its_text_becomes_a_page(model: DeepSeekModel, beside: Any) -> None:
    output = beside.run(model.ask(png(page("hot")), Ask(mode=Mode.TINY, temperature=2.0, tokens_max=300)))
    assert not SPECIAL.search(Reading.of(output).markdown)


def test_a_page_may_ask_for_another_guard_than_its_neighbours(model: DeepSeekModel, beside: Any) -> None:
    """The closest there is, by which no pair of tokens comes twice; and the usual one, by which some do."""
    pages = [png(page(f"loop {number}")) for number in range(6)]
    asks = [
        Ask(mode=Mode.TINY, prompt=TEXT, guard=guard, tokens_max=150) for guard in (Guard(ngram=2, window=400), Guard())
    ]

    async def both() -> list[ModelOutput]:
        return await asyncio.gather(*(model.ask(picture, ask) for ask in asks for picture in pages))

    outputs = beside.run(both())
    close, usual = outputs[: len(pages)], outputs[len(pages) :]
    assert [output.text for output in close if again(output.text)] == []
    assert any(again(output.text) for output in usual)


def again(text: str) -> bool:
    """Whether two of this vocabulary's words come one after the other twice; rows of tables may."""
    pieces = re.findall(r"w1\d{3}|w[2-9]\d{2}|.", text, re.DOTALL)
    pairs = [pair for pair in pairwise(pieces) if len(pair[0]) > 3 and len(pair[1]) > 3]
    return len(set(pairs)) < len(pairs)


ENDLESS = 1
"""Of the pages below."""


class Mine:
    """The model as an engine; one page goes on and on while `endless`: its context is soon full on a quiet machine."""

    name = "deepseek-ocr"

    def __init__(self, one: DeepSeekModel, pages: list[bytes], *, endless: bool) -> None:
        self.model, self.pages, self.endless = one, pages, endless
        self.begun = 0

    async def read(self, image: bytes) -> Reading:
        self.begun += 1
        while self.endless and image == self.pages[ENDLESS]:
            await self.model.ask(image, Ask(mode=Mode.TINY, prompt=TEXT, tokens_max=1800))
        return Reading.of(await self.model.ask(image, Ask(mode=Mode.TINY, prompt=TEXT, tokens_max=24)))

    async def close(self) -> None:
        return


async def texts(log: MemoryLog) -> set[int]:
    async with log.reader((topics.TEXTS,), None) as reader:
        found = await reader.read(entries_max=100, bytes_max=1 << 20, wait_s=0)
    return {PageText.decode(entry.value).page for entry in found}


def test_a_stop_lets_pages_end_aborts_the_rest_and_the_next_worker_reads_them(
    model: DeepSeekModel, beside: Any
) -> None:
    async def stopped_in_the_middle() -> None:
        log, doc = MemoryLog(), doc_of("default", "stop")
        pages = [png(page(f"stop {number}")) for number in range(4)]
        for number, image in enumerate(pages):
            one = Page(doc=doc, version=5, page=number + 1, page_count=len(pages))
            await log.append(topics.PAGES, [Record(key=doc, value=image, headers=one.headers())])
        engine, stop = Mine(model, pages, endless=True), asyncio.Event()
        ocr = OcrStage(engine, None, keep_images=False, pages_at_once=8)  # type: ignore[arg-type]
        ocr.let_end(6.0)
        running = asyncio.create_task(StageLoop(ocr.stage, log).run(stop))
        unfinished = model._talk.engine.output_processor.has_unfinished_requests  # type: ignore[union-attr]
        async with asyncio.timeout(60):
            while engine.begun < len(pages) or not unfinished():
                await asyncio.sleep(0.01)
        stop.set()
        await asyncio.wait_for(running, 60)
        others = set(range(1, len(pages) + 1)) - {ENDLESS + 1}
        assert await texts(log) == others, "three ended within the grace; the endless one said nothing"
        assert not unfinished(), "it was aborted"
        assert await log.lag("ocr", topics.PAGES) > 0, "it was not committed"
        again = OcrStage(Mine(model, pages, endless=False), None, keep_images=False, pages_at_once=8)  # type: ignore[arg-type]
        await StageLoop(again.stage, log).run_until_idle()
        assert await texts(log) == others | {ENDLESS + 1}
        assert await log.lag("ocr", topics.PAGES) == 0

    beside.run(stopped_in_the_middle())
