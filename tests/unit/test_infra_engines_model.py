"""From settings to an engine: a model behind a real HTTP server gets its mode, prompt and ladder; born-digital none."""

import io
from contextlib import asynccontextmanager

import pytest
from PIL import Image, ImageDraw, ImageFont

from folio.errors import SettingsError
from folio.settings import load
from infra.engines import open_engine, open_verifier
from ocr_stage.ladder import Ladder
from ocr_stage.modes import Mode
from ocr_stage.prompts import PRESETS
from ocr_stage.rapid import RapidEngine
from tests.unit.test_ocr_remote import Scripted

LOOP = "The seal was replaced again and again by the team. " * 40


def picture(*, size=24, rows=12) -> bytes:
    page, font = Image.new("RGB", (800, 1100), "white"), ImageFont.load_default(size)
    for row in range(rows):
        ImageDraw.Draw(page).text((60, 60 + row * 1.7 * size), "The pump station was inspected twice.", "black", font)
    out = io.BytesIO()
    page.save(out, "PNG")
    return out.getvalue()


class Looping(Scripted):
    """Repeats itself for as long as the usual guard is on."""

    def _said(self, asked):
        answer = super()._said(asked)
        if asked.get("vllm_xargs", {}).get("window_size", 400) < 400:
            answer["choices"][0]["message"]["content"] = LOOP
        return answer


def settings_of(server, **ocr):
    ours = {"engine": "remote", "processes": 1, "second": "none", **ocr}
    return load(overrides={"ocr": ours, "remote": {"url": server.url if server else "http://x/v1"}}, environment={})


@asynccontextmanager
async def served(kind=Scripted, **ocr):
    server = kind()
    async with server.running():
        engine = open_engine(settings_of(server, **ocr))
        try:
            yield engine, server
        finally:
            await engine.close()


@pytest.mark.parametrize("mode", [*Mode, "auto"])
async def test_a_page_is_read_in_the_mode_that_was_set_and_auto_chooses_one(mode):
    async with served(mode=mode) as (engine, server):
        reading = await engine.read(picture())
    assert reading.mode == ("base" if mode == "auto" else mode)
    assert server.pages[-1]["mm_processor_kwargs"] == {"mode": reading.mode}


@pytest.mark.parametrize("name", PRESETS)
async def test_every_preset_is_asked_word_for_word_and_named_with_the_page(name):
    async with served(prompt=name) as (engine, server):
        reading = await engine.read(picture())
    assert reading.prompt == name
    assert PRESETS[name].text in str(server.pages[-1]["messages"])


async def test_a_loop_over_http_is_asked_again_with_a_wider_guard():
    async with served(Looping) as (engine, _):
        reading = await engine.read(picture())
    assert reading.rungs == ("guard: repetition",)
    assert reading.markdown.startswith("# (")


async def test_born_digital_pages_reach_no_model_unless_it_is_asked_for():
    remote = settings_of(None)
    verifier = open_verifier(remote)
    assert isinstance(verifier, RapidEngine)
    assert isinstance(open_engine(remote), Ladder)
    assert open_verifier(settings_of(None, verify="engine")) is None
    assert open_verifier(load(overrides={}, environment={})) is None


@pytest.mark.parametrize(
    ("ocr", "said"),
    [
        ({"preprocess": "sharpn"}, "did you mean sharpen"),
        ({"prompt": "markdwn"}, "did you mean markdown"),
        ({"router": "no-such-table.json"}, "cannot be read"),
    ],
)
def test_what_does_not_exist_is_said_before_anything_starts(ocr, said):
    with pytest.raises(SettingsError, match=said):
        open_engine(settings_of(None, **ocr))
