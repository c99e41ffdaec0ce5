"""`folio page --reread` on a bundled scan: every mode and every prompt, on the real `vllm serve`, as a person asks.

Each mode with one prompt and each prompt with one mode; FOLIO_TEST_EVERY_PAIR=1 asks all 35 pairs (7 minutes).

The small checkpoint says nothing that makes sense. What must be right is what was asked for it, by vLLM's own count of
tokens, and what a person is told: mode, prompt, tokens, what was tried, and the cause.
"""

import asyncio
import json
import os
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from ocr_stage.modes import Mode, tokens
from ocr_stage.prompts import SPECIAL, prompt
from tests.acceptance import conftest as desks
from tests.acceptance.conftest import Desk, desk_at, running
from tests.http_faults import Proxy
from tests.unit.test_ocr_remote import picture_in

ROOT = Path(__file__).parents[2]
FOLIO = ROOT / ".venv" / "bin" / "folio"
SCAN = ROOT / "examples" / "documents" / "scanned-letter.pdf"
pytestmark = [
    pytest.mark.timeout(1500),  # the first test waits for the server
    pytest.mark.skipif(not FOLIO.exists(), reason="folio's own environment is not here: make setup"),
]
PROMPTS = ("markdown", "text", "ocr", "figure", "describe", "locate: the <|ref|>signature", "free: Who wrote this?")
PAIRS = [
    (mode, asked)
    for mode, asked in product(Mode, PROMPTS)
    if os.environ.get("FOLIO_TEST_EVERY_PAIR") or mode is Mode.SMALL or asked == PROMPTS[0]
]
AT_ONCE = 4
ANSWER_TOKENS = 8
"""Every answer is cut there, so that every page climbs its ladder to the end."""
BEGIN_AND_LINE = 2
READ_BY = re.compile(r"read by remote small, mode (\w+), prompt (\w+), (\d+) tokens?, in [\d.]+ s")


class Meter(Proxy):
    """Cuts answers about pages short; keeps what was asked and how many tokens vLLM counted."""

    def __init__(self, port: int) -> None:
        super().__init__(lambda _: "")
        self.behind = port
        self.pages: list[tuple[dict[str, Any], int]] = []

    async def _forwarded(self, head: bytes, body: bytes) -> bytes:
        asked = json.loads(body) if body else {}
        if "messages" not in asked or "max_tokens" in asked:  # how the server is asked what it can
            return await super()._forwarded(head, body)
        body = json.dumps(asked | {"max_tokens": ANSWER_TOKENS}).encode()
        head = re.sub(rb"(?i)(content-length: *)\d+", rb"\g<1>%d" % len(body), head)
        answer = await super()._forwarded(head, body)
        self.pages.append((asked, json.loads(answer.partition(b"\r\n\r\n")[2])["usage"]["prompt_tokens"]))
        return answer


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """An owner that has the scan; who reads again is another process, with an engine of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desks, "FOLIO", str(FOLIO))
        patch.delenv("PYTHONPATH", raising=False)  # has the small model's plugin, for vLLM's processes
        made = desk_at(tmp_path_factory.mktemp("desk"), FOLIO_OCR__ENGINE="scripted", FOLIO_OCR__SECOND="none")
        with running(made):
            made.ok("add", str(SCAN))
            yield made


async def told(desk: Desk, meter: Meter, mode: str, asked: str) -> str:
    """What `folio page --reread` says on stderr of the page that it gave up."""
    there = Desk(desk.data, desk.environment | {"FOLIO_REMOTE__URL": meter.url})
    again = ("--reread", "--engine", "remote", "--mode", mode, "--prompt", asked)
    ran = await asyncio.to_thread(there.folio, "page", SCAN.name, "1", *again)
    assert ran.code == 1, ran
    return ran.err


async def test_every_mode_and_every_prompt_is_asked_and_told_as_it_was(desk: Desk, serving: Any) -> None:
    await serving.ready()
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(mode: Mode, asked: str) -> None:
        wanted, meter = prompt(asked), Meter(serving.port)
        async with turns, meter.running():
            said = await told(desk, meter, mode, asked)
        first, counted = meter.pages[0]
        picture, text = first["messages"][0]["content"]
        assert first["mm_processor_kwargs"] == {"mode": mode}, said
        assert text["text"] == wanted.text, said
        words = len(SPECIAL.sub("x", wanted.text).encode()) + BEGIN_AND_LINE
        assert counted == tokens(mode, *picture_in(first).size) + words, said
        assert picture["type"] == "image_url"
        read_by = READ_BY.search(said)
        assert read_by is not None, said
        assert read_by[2] == wanted.name, said
        assert "tried: " in said, said
        assert "could not be read: ocr_" in said, said
        assert ("not trained" in said) is bool(wanted.warning), said

    await asyncio.gather(*(one(mode, asked) for mode, asked in PAIRS))
