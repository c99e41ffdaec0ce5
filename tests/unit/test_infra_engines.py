"""Which engine reads pages, by the settings."""

import pytest

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


def test_a_server_without_an_address_is_said_before_anything_starts() -> None:
    for url in ("", "gpu:8000/v1"):
        with pytest.raises(SettingsError, match=r"remote\.url"):
            open_model(settings(ocr={"engine": "remote"}, remote={"url": url}))
