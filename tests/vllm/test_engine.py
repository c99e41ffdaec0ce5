"""The real vLLM on a small checkpoint: modes, pages that can be told apart, the guard, and what goes wrong."""

import asyncio
import random
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image, ImageDraw
from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind

from folio.errors import FolioError
from ocr_stage.deepseek.asking import probe_arguments, repetition, verify_guard, was_cut
from ocr_stage.engine import Reading
from ocr_stage.model import Guard, ModelOutput
from ocr_stage.modes import Mode, tokens
from ocr_stage.prompts import MARKDOWN, SPECIAL, prompt

pytestmark = pytest.mark.timeout(1500)  # the first test waits for the engine
TEXT = prompt("text")
A = 68
"""The token that the loops here are made of."""


def page(words: str, size: tuple[int, int] = (640, 900)) -> Image.Image:
    """Blocks of grey where the words say; two pages that differ in a word look nothing alike."""
    chance = random.Random(words)
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y = chance.randrange(size[0]), chance.randrange(size[1])
        draw.rectangle((x, y, x + size[0] // 4, y + size[1] // 4), fill=tuple(chance.randbytes(3)))
    return picture


class Engine:
    """Asks vLLM as a worker does, and remembers what it asked."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    async def read(self, picture: Image.Image | None, mode: str = "tiny", **asked: Any) -> Any:
        request = {"prompt": TEXT.whole if picture else "a"}
        if picture:
            request |= {"multi_modal_data": {"image": picture}, "mm_processor_kwargs": {"mode": mode}}
        usual = {"temperature": 0.0, "max_tokens": 16, "ignore_eos": True, "skip_special_tokens": False}
        params = SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY, **{**usual, **asked})
        async for output in self.engine.generate(request, params, uuid.uuid4().hex):
            found = output
        return found

    async def answer(self, arguments: dict[str, Any]) -> Sequence[int]:
        return (await self.read(None, **arguments)).outputs[0].token_ids


@pytest.fixture
def vllm(engine: Any) -> Engine:
    return Engine(engine)


def said(output: Any) -> list[int]:
    return list(output.outputs[0].token_ids)


def test_five_modes_in_one_batch_read_what_each_page_says_alone(vllm: Engine, beside: Any) -> None:
    """Two pages of each mode, all different: none is read with another's picture, whatever shares its step."""
    asked = [(page(f"{mode} {number}"), mode) for number in range(2) for mode in Mode]

    async def both() -> tuple[list[Any], list[Any]]:
        together = await asyncio.gather(*(vllm.read(*one) for one in asked))
        return together, [await vllm.read(*one) for one in asked]

    together, alone = beside.run(both())
    for output, (picture, mode) in zip(together, asked, strict=True):
        text = len(output.prompt_token_ids) - tokens(mode, *picture.size)
        assert text == len(f"\n{TEXT.text}") + 1  # the begin, and a token for each byte
    firsts = [tuple(said(output)[:4]) for output in together]
    assert firsts == [tuple(said(output)[:4]) for output in alone]
    assert len({tuple(said(output)) for output in together}) == len(asked)


@pytest.mark.parametrize("size", [(300, 200), (640, 640), (641, 640), (1300, 640), (200, 1400), (1000, 1000)])
def test_every_grid_takes_the_tokens_that_modes_says(vllm: Engine, beside: Any, size: tuple[int, int]) -> None:
    output = beside.run(vllm.read(page("grid", size), Mode.GUNDAM, max_tokens=1))
    assert len(output.prompt_token_ids) - len(f"\n{TEXT.text}") - 1 == tokens(Mode.GUNDAM, *size)


@pytest.mark.parametrize("asked", [{"mode": "huge"}, {"base_size": 512}, {"crop_mode": False, "mode": "base"}])
def test_a_request_that_chooses_what_it_may_not_is_refused_alone(vllm: Engine, beside: Any, asked: dict) -> None:
    async def beside_another() -> Any:
        request = {"prompt": TEXT.whole, "multi_modal_data": {"image": page("x")}, "mm_processor_kwargs": asked}
        good = asyncio.create_task(vllm.read(page("good")))
        with pytest.raises(ValueError):
            async for _ in vllm.engine.generate(request, SamplingParams(max_tokens=2), uuid.uuid4().hex):
                pass
        return await good

    assert len(said(beside.run(beside_another()))) == 16


def test_the_guard_is_on_and_the_probe_sees_when_it_is_not(vllm: Engine, beside: Any) -> None:
    beside.run(verify_guard(vllm.answer, token=A))

    async def without(arguments: dict[str, Any]) -> Sequence[int]:
        return await vllm.answer(arguments | {"extra_args": {"ngram_size": 0}})

    with pytest.raises(FolioError, match="guard is off"):
        beside.run(verify_guard(without, token=A))


def test_a_page_that_loops_is_cut_and_the_pages_beside_it_are_not(vllm: Engine, beside: Any) -> None:
    """Each with its own setting: without a guard, the usual one that nobody asked for, and a close one."""
    loop = {"logit_bias": {A: 100.0}, "max_tokens": 80}

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(
            vllm.read(page("loop"), **loop, extra_args={"ngram_size": 0}),
            vllm.read(page("loop"), **loop),
            vllm.read(page("loop"), **loop, extra_args={"ngram_size": 4, "window_size": 20}),
            vllm.read(
                page("loop"), **loop, extra_args={"ngram_size": 4, "window_size": 20, "whitelist_token_ids": [A]}
            ),
            vllm.read(page("other")),
        )

    free, usual, close, let_off, other = map(said, beside.run(all_at_once()))
    assert free == let_off == [A] * 80
    assert usual[:30] == [A] * 30
    assert usual[30] != A
    assert close[:4] == [A] * 4
    assert was_cut(close, A, Guard(ngram=4, window=20))
    assert other == said(beside.run(vllm.read(page("other"))))


def test_a_whitelist_in_one_text_is_refused(vllm: Engine, beside: Any) -> None:
    with pytest.raises(ValueError, match="token ids"):
        beside.run(vllm.read(None, extra_args={"whitelist_token_ids": "[1, 2]"}))


def test_vllms_own_detection_ends_what_the_guard_lets_through(vllm: Engine, beside: Any) -> None:
    asked = probe_arguments(A, Guard(), []) | {"extra_args": {"ngram_size": 0}, "max_tokens": 200}
    output = beside.run(vllm.read(page("loop"), repetition_detection=repetition(), **asked))
    assert output.outputs[0].finish_reason == "repetition"
    assert len(said(output)) < 30


def test_a_page_without_end_stops_at_its_limit(vllm: Engine, beside: Any) -> None:
    output = beside.run(vllm.read(page("long"), max_tokens=120))
    assert output.outputs[0].finish_reason == "length"
    assert len(said(output)) == 120


def test_a_cancelled_page_leaves_the_engine_and_its_neighbours_alone(vllm: Engine, beside: Any) -> None:
    async def cancel() -> Any:
        endless = asyncio.create_task(vllm.read(page("endless"), Mode.BASE, max_tokens=1500))
        good = asyncio.create_task(vllm.read(page("good")))
        await asyncio.sleep(0.5)
        endless.cancel()
        await asyncio.wait({endless})
        finished = await good
        for _ in range(300):
            if not vllm.engine.output_processor.has_unfinished_requests():
                return finished
            await asyncio.sleep(0.1)
        raise AssertionError("the cancelled page is still being read")

    assert said(beside.run(cancel())) == said(beside.run(vllm.read(page("good"))))


def test_a_blank_page_is_read_like_any_other(vllm: Engine, beside: Any) -> None:
    output = beside.run(vllm.read(Image.new("RGB", (640, 900), "white"), Mode.GUNDAM))
    assert len(said(output)) == 16


def test_whatever_the_model_says_the_parser_makes_a_page_of_it(vllm: Engine, beside: Any) -> None:
    """Hot enough to say all its special tokens, in any order; none is left in the text."""
    asked = {"temperature": 2.0, "max_tokens": 200, "seed": 3}

    async def several() -> list[Any]:
        return await asyncio.gather(*(vllm.read(page(f"hot {number}"), **asked) for number in range(8)))

    texts = [output.outputs[0].text for output in beside.run(several())]
    assert any(SPECIAL.search(text) for text in texts)
    for text in texts:
        reading = Reading.of(ModelOutput(text=text, prompt=MARKDOWN.name))
        assert not SPECIAL.search(reading.markdown)
