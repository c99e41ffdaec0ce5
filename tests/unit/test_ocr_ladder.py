"""The ladder on a model that follows a script: what is tried, in which order, and how a page ends."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from folio.errors import Cause, Permanent, StageStopped, Transient
from folio.records import PageText
from folio.telemetry import OCR_RUNGS
from ocr_stage.engine import Reading
from ocr_stage.ladder import WIDE, Ladder, Rung, Trouble, Unread, is_garbled, judged
from ocr_stage.model import Ask, Finish, ModelOutput
from ocr_stage.modes import Mode
from ocr_stage.repetition import loop_in
from ocr_stage.sight import Sighted
from ocr_stage.stage import OcrStage
from ocr_stage.transform import Transform
from tests.unit.test_ocr_stage import MemoryBlobs, outputs_of, page_entry

GOOD = "The pump station was inspected twice."
LOOP = "It starts well. " + "The seal was replaced again and again by the team. " * 40
CUT = "A long page that ends in the middle of a"
NOISE = "%&@}{§$)(/" * 20


def output(text, finish=Finish.STOP, ask=None, **facts):
    return ModelOutput(text=text, finish=finish, mode=ask.mode if ask else "", tokens=len(text) // 4, **facts)


class ScriptedModel:
    """Answers each call with the next line of its script; the last one is said for ever."""

    name = "scripted"

    def __init__(self, *script):
        self.script = list(script)
        self.asks = []

    async def ask(self, image, ask):
        self.asks.append((image, ask))
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(said, BaseException):
            raise said
        if callable(said):
            return said(image, ask)
        text, finish = said if isinstance(said, tuple) else (said, Finish.STOP)
        return output(text, finish, ask)

    async def close(self):
        return


class PlainSight:
    """Pages are bytes: `blank` has no ink, and what has a bar in it falls into halves there."""

    async def see(self, image):
        return Sighted(image)

    async def has_ink(self, image):
        return image != b"blank"

    async def halves(self, page):
        parts = page.image.split(b"|")
        if len(parts) < 2:
            return [page]
        whole = page.transform.then(Transform.whole(100, 100))
        return [Sighted(parts[0], whole.cropped((0, 0, 100, 50))), Sighted(parts[1], whole.cropped((0, 50, 100, 100)))]

    async def close(self):
        return


class OtherEngine:
    name = "other"

    def __init__(self, answer=GOOD):
        self.answer = answer
        self.reads = 0

    async def read(self, image):
        self.reads += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        return Reading(markdown=self.answer)

    async def close(self):
        return


def ladder(model, **facts):
    return Ladder(model, PlainSight(), Ask(mode=Mode.GUNDAM), **facts)


async def failed(climbing, image=b"page"):
    with pytest.raises(Unread) as error:
        await climbing.read(image)
    return error.value


async def test_a_good_answer_is_taken_at_once():
    model = ScriptedModel(GOOD)
    reading = await ladder(model).read(b"page")
    assert (reading.markdown, reading.rungs, reading.prompt, len(model.asks)) == (GOOD, (), "markdown", 1)


async def test_a_loop_gets_a_wider_guard_then_another_mode_then_warmth():
    model = ScriptedModel((LOOP, Finish.REPETITION), LOOP, (LOOP, Finish.LENGTH), GOOD)
    reading = await ladder(model).read(b"page")
    first, guard, mode, warm = (ask for _, ask in model.asks)
    assert reading.markdown == GOOD
    assert reading.rungs == ("guard: repetition", "mode: repetition", "temperature: repetition")
    assert guard == replace(first, guard=WIDE)
    assert mode == replace(guard, mode=Mode.LARGE)
    assert warm.temperature == pytest.approx(0.2)


async def test_what_is_too_long_is_read_in_halves_and_boxes_return_to_the_page():
    def half(image, ask):
        return output(f"<|ref|>text<|/ref|><|det|>[[0, 0, 999, 999]]<|/det|>\n{image.decode()}", ask=ask)

    model = ScriptedModel((CUT, Finish.LENGTH), (CUT, Finish.LENGTH), half)
    reading = await ladder(model).read(b"upper text|lower text")
    assert reading.markdown == "upper text\n\nlower text"
    assert [reading.markdown[block.start : block.end] for block in reading.blocks] == ["upper text", "lower text"]
    assert [(block.box.y0, block.box.y1) for block in reading.blocks] == [(0, 0.5), (0.5, 1)]
    assert reading.rungs[-1] == "halves: length"


async def test_a_blank_half_is_no_failure():
    model = ScriptedModel((CUT, Finish.LENGTH), (CUT, Finish.LENGTH), GOOD, "")
    assert (await ladder(model).read(b"upper|blank")).markdown == GOOD


async def test_the_last_rung_is_another_engine_and_the_page_says_which():
    other = OtherEngine()
    reading = await ladder(ScriptedModel(""), other=other).read(b"page")
    assert (reading.markdown, reading.engine, other.reads) == (GOOD, "other", 1)
    assert reading.rungs == ("mode: empty", "temperature: empty", "halves: empty", "engine: empty")


@pytest.mark.parametrize(
    ("said", "cause", "partial"),
    [
        ((LOOP, Finish.STOP), Cause.OCR_LOOP, "It starts well."),
        ((CUT, Finish.LENGTH), Cause.OCR_TRUNCATED, CUT),
        ("", Cause.OCR_EMPTY, ""),
        (NOISE, Cause.OCR_EMPTY, "%&@"),
        (Permanent(Cause.OCR_TIMEOUT), Cause.OCR_TIMEOUT, ""),
        (Permanent(Cause.OCR_MISMATCH), Cause.OCR_MISMATCH, ""),
    ],
    ids=["loop", "truncated", "empty", "garbled", "timeout", "another page's length"],
)
async def test_a_page_that_nothing_helps_fails_with_its_cause_and_the_text_that_was_won(said, cause, partial):
    error = await failed(ladder(ScriptedModel(said), other=OtherEngine(Permanent(Cause.OCR_EMPTY))), b"upper|lower")
    assert error.cause is cause
    assert error.reading.markdown.startswith(partial)
    assert loop_in(error.reading.markdown) is None
    assert "engine" in error.detail


async def test_a_page_that_got_another_page_s_answer_is_asked_about_once_more():
    model = ScriptedModel(Permanent(Cause.OCR_MISMATCH), GOOD)
    reading = await ladder(model).read(b"page")
    assert (reading.markdown, reading.rungs) == (GOOD, ("temperature: mismatch",))


async def test_an_empty_answer_on_a_page_without_ink_is_the_right_one():
    model = ScriptedModel("")
    reading = await ladder(model).read(b"blank")
    assert (reading.markdown, len(model.asks)) == ("", 1)


async def test_a_model_with_one_mode_is_not_asked_in_another():
    model = ScriptedModel(lambda _image, _ask: replace(output(LOOP), mode="fixed"))
    error = await failed(ladder(model))
    assert not any("mode" in rung for rung in error.reading.rungs)


async def test_a_rung_that_is_refused_loses_nothing_and_the_next_is_tried():
    refused = Permanent(Cause.ENGINE_REFUSED, "no such mode here")
    reading = await ladder(ScriptedModel((LOOP, Finish.REPETITION), LOOP, refused, GOOD)).read(b"page")
    assert reading.markdown == GOOD
    page = await failed(ladder(ScriptedModel((CUT, Finish.LENGTH), refused)), b"one|two")
    assert (page.cause, page.reading.markdown) == (Cause.OCR_TRUNCATED, CUT)


async def test_rungs_that_a_model_cannot_climb_are_left_out():
    model = ScriptedModel(LOOP)
    error = await failed(ladder(model, rungs=frozenset({Rung.TEMPERATURE})))
    assert error.reading.rungs == ("temperature: repetition",)
    assert len(model.asks) == 2


@pytest.mark.parametrize("death", [Transient(Cause.ENGINE_DOWN), StageStopped("it died")], ids=["away", "dead"])
async def test_a_model_that_goes_away_in_the_middle_blames_no_page(death):
    with pytest.raises(type(death)):
        await ladder(ScriptedModel(LOOP, death), other=OtherEngine()).read(b"page")


async def test_a_lower_half_is_not_asked_about_when_the_upper_one_is_no_good():
    model = ScriptedModel((CUT, Finish.LENGTH))
    error = await failed(ladder(model), b"upper|lower")
    assert [image for image, _ in model.asks] == [b"upper|lower", b"upper|lower", b"upper"]
    assert error.reading.markdown == CUT


async def test_a_model_that_goes_away_between_the_halves_blames_no_page():
    model = ScriptedModel((CUT, Finish.LENGTH), (CUT, Finish.LENGTH), GOOD, Transient(Cause.ENGINE_DOWN))
    with pytest.raises(Transient):
        await ladder(model, other=OtherEngine()).read(b"upper|lower")


async def test_a_page_that_is_cancelled_on_a_rung_leaves_nothing_behind_and_its_neighbours_go_on():
    climbing = asyncio.Event()

    class Slow(ScriptedModel):
        async def ask(self, image, ask):
            if image != b"other" and ask.guard == WIDE:
                climbing.set()
                await asyncio.Event().wait()
            return await super().ask(image, ask)

    engine = ladder(Slow(lambda image, ask: output(GOOD if image == b"other" else LOOP, ask=ask)))
    stuck = asyncio.create_task(engine.read(b"page"))
    await climbing.wait()
    stuck.cancel()
    neighbours = await asyncio.gather(*(engine.read(b"other") for _ in range(5)))
    with pytest.raises(asyncio.CancelledError):
        await stuck
    assert {reading.markdown for reading in neighbours} == {GOOD}


async def test_a_picture_that_nobody_can_open_is_not_tried_again():
    model = ScriptedModel(Permanent(Cause.CORRUPT))
    with pytest.raises(Permanent) as error:
        await ladder(model, other=OtherEngine()).read(b"page")
    assert (error.value.cause, len(model.asks)) == (Cause.CORRUPT, 1)


async def test_every_rung_is_counted():
    count = OCR_RUNGS.labels("guard", "repetition")
    before = count._value.get()
    await ladder(ScriptedModel(LOOP, GOOD)).read(b"page")
    assert count._value.get() == before + 1


async def test_the_page_on_the_log_says_what_was_tried_and_a_failed_one_keeps_its_text():
    stage = OcrStage(ladder(ScriptedModel(LOOP, GOOD)), MemoryBlobs(), keep_images=False, pages_at_once=1)
    [text], _ = await outputs_of(stage, page_entry(b"page"))
    assert (text.rungs, text.mode, text.prompt) == (("guard: repetition",), "gundam", "markdown")
    stage = OcrStage(ladder(ScriptedModel((CUT, Finish.LENGTH))), MemoryBlobs(), keep_images=False, pages_at_once=1)
    [text], error = await outputs_of(stage, page_entry(b"page"))
    assert (text.status, text.cause, text.markdown) == ("failed", Cause.OCR_TRUNCATED, CUT)
    assert text.rungs == ("guard: length", "halves: length")
    assert isinstance(error, Permanent)
    assert PageText.decode(text.encode()) == text


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "第一章 泵站每年检查两次",
        "3.14",
        "| 1 | 2 |\n|---|---|\n| 3 | 4 |",
        r"\[ \int_0^1 x^2 \, dx = \frac{1}{3} \]",
        "· · · · ·",
    ],
)
def test_text_of_any_language_and_tables_and_formulas_are_not_garbled(text):
    assert not is_garbled(text * 5)


def test_what_a_model_said_is_judged_by_what_it_says_too():
    troubles = Counter(judged(output(text)).trouble for text in (GOOD, LOOP, "", NOISE))
    assert troubles == Counter([None, Trouble.REPETITION, Trouble.EMPTY, Trouble.GARBLED])
