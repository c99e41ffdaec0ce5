"""`folio page --reread` on the bundled scans: every mode and every prompt, on the real `vllm serve`, as a person asks;
and the CPU engine beside them. `pytest -s` prints what came of it as a table.

Each mode with one prompt and each prompt with one mode, of the photo one pair; FOLIO_TEST_EVERY_PAIR=1 asks all 42
pairs of each (10 minutes in all).

The small checkpoint says nothing that makes sense. What must be right is what was asked for it, by vLLM's own count of
tokens, and what a person is told: mode, prompt, tokens, what was tried, and the cause.
"""

import asyncio
import json
import os
import re
from collections.abc import Iterator
from itertools import product, starmap
from pathlib import Path
from typing import Any

import pytest

from ocr_stage.modes import Mode, tokens
from ocr_stage.prompts import SPECIAL, Prompt, prompt
from tests.acceptance import conftest as desks
from tests.acceptance.conftest import Desk, desk_at, running
from tests.http_faults import Proxy
from tests.unit.test_ocr_remote import picture_in

ROOT = Path(__file__).parents[2]
FOLIO = ROOT / ".venv" / "bin" / "folio"
LETTER, PHOTO = (ROOT / "examples" / "documents" / name for name in ("scanned-letter.pdf", "invoice-photo.jpg"))
pytestmark = [
    pytest.mark.timeout(1500),  # the first test waits for the server
    pytest.mark.skipif(not FOLIO.exists(), reason="folio's own environment is not here: make setup"),
]
PROMPTS = ("markdown", "text", "ocr", "figure", "describe", "locate: the <|ref|>signature", "free: Who wrote this?")
MODES = (*Mode, "auto")
EVERY = [*product(MODES, PROMPTS)]
FEW = {LETTER: [pair for pair in EVERY if Mode.SMALL in pair or PROMPTS[0] in pair], PHOTO: [("auto", PROMPTS[0])]}
WORDS = {LETTER: "Permit BM-4471 is granted.", PHOTO: "| 2 | KX-204-B2 | Lower bearing, bronze | 11 | 74.90 | 823.90 |"}
"""What the CPU engine reads on each."""
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
    """An owner that has the scans; who reads again is another process, with an engine of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desks, "FOLIO", str(FOLIO))
        patch.delenv("PYTHONPATH", raising=False)  # has the small model's plugin, for vLLM's processes
        made = desk_at(tmp_path_factory.mktemp("desk"), FOLIO_OCR__ENGINE="scripted", FOLIO_OCR__SECOND="none")
        with running(made):
            made.ok("add", str(LETTER), str(PHOTO))
            yield made


def shown(*columns: object) -> None:
    print(f"| {' | '.join(map(str, columns))} |")


async def told(desk: Desk, meter: Meter, scan: Path, mode: str, asked: str) -> str:
    """What `folio page --reread` says on stderr of the page that it gave up."""
    there = Desk(desk.data, desk.environment | {"FOLIO_REMOTE__URL": meter.url})
    again = ("--reread", "--engine", "remote", "--mode", mode, "--prompt", asked)
    ran = await asyncio.to_thread(there.folio, "page", scan.name, "1", *again)
    assert ran.code == 1, ran
    return ran.err


def words_of(wanted: Prompt) -> int:
    """The small checkpoint's tokens of a prompt: one for a byte, and for a special one."""
    return len(SPECIAL.sub("x", wanted.text).encode()) + BEGIN_AND_LINE


def check(said: str, wanted: Prompt, first: dict[str, Any]) -> None:
    """What a person is told, and what was asked first."""
    picture, text = first["messages"][0]["content"]
    assert text["text"] == wanted.text, said
    assert picture["type"] == "image_url"
    read_by = READ_BY.search(said)
    assert read_by is not None, said
    assert read_by[2] == wanted.name, said
    assert "tried: " in said, said
    assert "could not be read: ocr_" in said, said
    assert "ocr_mismatch" not in said, said
    assert ("not trained" in said) is bool(wanted.warning), said


@pytest.mark.parametrize("scan", FEW, ids=lambda scan: scan.stem)
async def test_every_mode_and_every_prompt_is_asked_and_told_as_it_was(desk: Desk, serving: Any, scan: Path) -> None:
    await serving.ready()
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(mode: str, asked: str) -> None:
        wanted, meter = prompt(asked), Meter(serving.port)
        async with turns, meter.running():
            said = await told(desk, meter, scan, mode, asked)
        check(said, wanted, meter.pages[0][0])
        first, counted = meter.pages[0]
        chosen, size = Mode(first["mm_processor_kwargs"]["mode"]), picture_in(first).size
        assert mode in {chosen, "auto"}, said
        assert counted == tokens(chosen, *size) + words_of(wanted), said
        assert ("picture mended: perspective" in said) is (scan is PHOTO), said
        cause = said.rpartition("could not be read: ")[2].partition(":")[0]
        mode = f"auto: {chosen}" if mode == "auto" else mode
        shown(scan.name, "remote", mode, asked, "{} x {}".format(*size), tokens(chosen, *size), counted, cause)

    await asyncio.gather(*starmap(one, EVERY if os.environ.get("FOLIO_TEST_EVERY_PAIR") else FEW[scan]))


@pytest.mark.parametrize("scan", FEW, ids=lambda scan: scan.stem)
def test_the_cpu_engine_reads_what_the_model_is_asked_about(desk: Desk, scan: Path) -> None:
    ran = desk.ok("page", scan.name, "1", "--reread", "--engine", "rapid")
    assert WORDS[scan] in ran.out
    assert re.search(r"^read by rapidocr, in [\d.]+ s$", ran.err, re.MULTILINE), ran.err
    assert ("picture mended: perspective" in ran.err) is (scan is PHOTO)
    shown(scan.name, "rapid", "-", "-", "-", "-", "-", f"{len(ran.out.split())} words")
