"""Which engine reads pages, by the settings."""

import pytest
import structlog

from folio.errors import SettingsError
from folio.settings import load
from infra.engines import open_engine, open_model, pages_at_once
from ocr_stage.ladder import Ladder


def settings(**sections):
    return load(overrides=sections, environment={})


async def test_a_server_is_read_through_the_ladder() -> None:
    asked = settings(ocr={"engine": "remote"}, remote={"url": "http://gpu:8000/v1", "model": "m", "pages_at_once": 7})
    engine = open_engine(asked)
    assert isinstance(engine, Ladder)
    assert engine.name == "remote m"
    assert pages_at_once(asked) == 7
    await engine.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [("", r"needs remote\.url"), ("gpu:8000/v1", "not 'gpu:8000/v1'"), ("ftp://gpu", "not 'ftp://gpu'")],
)
def test_a_server_without_an_address_is_said_before_anything_starts(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        open_model(settings(ocr={"engine": "remote"}, remote={"url": url}))


@pytest.mark.parametrize("engine", ["rapid", "scripted", "remote"])
@pytest.mark.parametrize(
    ("asked", "says"),
    [("markdwon", "did you mean markdown"), ("free: " + "x" * 100_000, "at most 2000"), ("free:", "empty")],
)
def test_a_prompt_that_cannot_be_is_said_whoever_reads(engine: str, asked: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        open_engine(settings(ocr={"engine": engine, "prompt": asked}, remote={"url": "http://gpu:8000/v1"}))


async def test_a_prompt_of_one_s_own_comes_with_a_warning() -> None:
    asked = settings(ocr={"engine": "remote", "prompt": "free: Which year?"}, remote={"url": "http://gpu:8000/v1"})
    with structlog.testing.capture_logs() as logs:
        engine = open_engine(asked)
    await engine.close()
    assert [entry["prompt"] for entry in logs] == ["Which year?"]
