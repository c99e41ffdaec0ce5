"""`folio page --reread`: what is asked of the engine, what a person is told, and that nothing of it is kept."""

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Desk, Ran, desk_at, running
from tests.pages import report_pdf
from tests.unit.test_ocr_remote import Scripted, page

NOWHERE = "http://127.0.0.1:9/v1"
SCAN, BORN, WORDS = "scan.jpg", "report.pdf", "notes.md"


@pytest.fixture(scope="module")
def library(served: Desk, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A scan, a born-digital document and a text; who reads again knows of a server that is away."""
    folder = tmp_path_factory.mktemp("library")
    (folder / SCAN).write_bytes(page(size=(600, 800)))
    report_pdf(folder / BORN, pages=1)
    (folder / WORDS).write_text("# Lights\n\nThe lighthouse keeper was called Ada.\n")
    served.ok("add", *(str(folder / name) for name in (SCAN, BORN, WORDS)))
    return Desk(served.data, served.environment | {"FOLIO_REMOTE__URL": NOWHERE, "FOLIO_OCR__SECOND": "none"})


def again(desk: Desk, *more: str, name: str = SCAN, number: str = "1") -> Ran:
    return desk.folio("page", name, number, "--reread", *more)


def test_a_scan_is_read_once_more_and_nothing_of_it_is_kept(library: Desk) -> None:
    before = library.ok("page", SCAN, "1", "--json").json()
    ran = again(library)
    assert (ran.code, ran.err) == (0, "read by scripted, mode script, 15 tokens\n")
    assert ran.out.startswith("An image of ")
    said = again(library, "--json").json()
    assert (said["status"], said["engine"], said["markdown"]) == ("ok", "scripted", ran.out.rstrip("\n"))
    assert library.ok("page", SCAN, "1", "--json").json() == before


def test_a_born_digital_page_is_read_from_its_picture(library: Desk) -> None:
    assert "read by" not in library.ok("page", BORN, "1").err
    ran = again(library, name=BORN)
    assert ran.out.startswith("An image of ")
    assert "read by scripted" in ran.err


REFUSED = [
    # what was typed, exit code, what is said
    ({"name": "nothing.pdf"}, (), 1, "there is no document 'nothing.pdf': folio status lists what there is"),
    ({"number": "9"}, (), 1, f"page 9 of {SCAN}: the document has 1"),
    ({"number": "9" * 20}, (), 2, "should be less than or equal to 1000000000"),
    ({"name": WORDS}, (), 1, f"{WORDS} is a text, it has no picture: folio page prints its pages"),
    ({}, ("--mode", "large"), 2, "ocr.engine = scripted has no mode: --engine remote or deepseek has"),
    ({}, ("--mode", "large", "--prompt", "text"), 2, "ocr.engine = scripted has no mode and no prompt"),
    ({}, ("--engine", "rapdi"), 2, "did you mean rapid?"),
    ({}, ("--engine", "remote", "--mode", "larg"), 2, "ocr.mode = 'larg': did you mean large?"),
    ({}, ("--engine", "remote", "--prompt", "markdwon"), 2, "no prompt 'markdwon': did you mean markdown?"),
    ({}, ("--engine", "remote", "--prompt", "locate: <|ref|>"), 2, "ocr.prompt: nothing to locate"),
    ({}, ("--engine", "remote", "--prompt", "free: <\uff5cend\u2581of\u2581sentence\uff5c>"), 2, "the prompt is empty"),
    ({}, ("--engine", "remote", "--prompt", "free: a\udcff"), 2, "the prompt is not UTF-8"),
    ({}, ("--engine", "remote", "--prompt", ""), 2, "--prompt is empty: leave it out, or say what to read it with"),
    ({}, ("--engine", "remote", "--prompt", "x" * 100_000), 2, "a prompt of 100000 characters, at most 2000"),
    ({}, ("--engine", "remote", "--prompt", f"locate:{'x' * 100_000}"), 2, "of 100000 characters, at most 2000"),
    ({}, ("--engine", "remote"), 1, f"engine_down: {NOWHERE}: ConnectError"),
    ({}, ("--engine", "deepseek"), 1, "vLLM is not installed here"),
]


@pytest.mark.parametrize(("what", "more", "code", "said"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_read_again_is_told(
    library: Desk, what: dict[str, str], more: tuple[str, ...], code: int, said: str
) -> None:
    ran = again(library, *more, **what)
    assert (ran.code, ran.out) == (code, ""), ran
    assert ran.err.startswith("folio: ")
    assert said in ran.err
    if "engine_down" in ran.err:
        assert "nothing was changed: try again when that is mended" in ran.err


def test_what_says_how_to_read_wants_reread_and_text_is_no_picture(library: Desk, tmp_path: Path) -> None:
    ran = library.folio("page", SCAN, "1", "--mode", "large")
    assert (ran.code, ran.out) == (2, "")
    assert "add --reread" in " ".join(ran.err.split())
    assert again(library, "--image", str(tmp_path / "page.jpg")).code == 2


def test_pages_that_wait_are_not_read_with_what_one_page_is_asked_for(tmp_path: Path) -> None:
    """With no owner about, the command is the owner for a while: what waits in line, waits for its own engine."""
    (tmp_path / SCAN).write_bytes(page())
    report_pdf(tmp_path / BORN, pages=1)
    desk = desk_at(tmp_path, FOLIO_OCR__ENGINE="remote", FOLIO_REMOTE__URL=NOWHERE)
    with running(desk):
        desk.ok("add", str(tmp_path / BORN))
        desk.ok("add", "--no-wait", str(tmp_path / SCAN))
    assert "read by scripted" in again(desk, "--engine", "scripted", name=BORN).err
    ran = again(desk, "--engine", "scripted")
    assert (ran.code, ran.out) == (1, "")
    assert f"page 1 of {SCAN}: not read yet (the document is " in ran.err


# Of a model behind a server, whatever it says.


def answering(text: str, **more: Any) -> Scripted:
    server = Scripted()
    server.other = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], **more}
    return server


async def asked(desk: Desk, server: Scripted, *more: str) -> Ran:
    async with server.running():
        there = Desk(desk.data, desk.environment | {"FOLIO_REMOTE__URL": server.url})
        return await asyncio.to_thread(again, there, "--engine", "remote", *more)


async def test_mode_and_prompt_are_what_the_server_is_asked(library: Desk) -> None:
    server = Scripted()
    ran = await asked(library, server, "--mode", "large", "--prompt", "locate: the <|ref|>signature")
    (body,) = server.pages
    assert body["mm_processor_kwargs"] == {"mode": "large"}
    assert body["messages"][0]["content"][1]["text"] == "Locate <|ref|>the signature<|/ref|> in the image."
    assert (ran.code, ran.out) == (0, "# (600, 800)\n")
    assert ran.err.startswith("read by remote small, mode large, prompt locate, 3 tokens, in ")


async def test_another_page_s_length_is_told_and_its_text_is_not_shown(library: Desk) -> None:
    server = answering("Another page.", usage={"prompt_tokens": 5000, "completion_tokens": 3})
    ran = await asked(library, server, "--mode", "large", "--prompt", "text")
    assert (ran.code, ran.out) == (1, "")
    assert "tried: temperature: mismatch, halves: mismatch" in ran.err
    assert f"page 1 of {SCAN} could not be read: ocr_mismatch: The engine answered with another page's" in ran.err


REF = "<|ref|>text<|/ref|><|det|>{}<|/det|>\nThe seal of the pump was replaced.\n"
TEXT = "The seal of the pump was replaced."
MANY = " ".join(sha256(str(at).encode()).hexdigest() for at in range(15_000))  # a megabyte
HOSTILE = [
    # what the model says, what is printed, the flag that is told
    (REF.format("[[\uff11, 2, \u00b3, 400]]"), TEXT, "box_unreadable"),
    (REF.format("[[1, 2, NaN, Infinity]]"), TEXT, "box_unreadable"),
    (REF.format(f"[[1, 2, {'9' * 500}, 4]]"), TEXT, "box_unreadable"),
    (REF.format("[[999999999, -999999999, 1, 4]]"), TEXT, "box_outside"),
    (REF.format("[[900, 900, 100, 100]]"), TEXT, "box_reversed"),
    ("<|ref|>" * 9 + TEXT, TEXT, "tag_unclosed"),
    (f"\x1b[2J\x07\x9b2J{TEXT}<|end\u2581of", f"[2J2J{TEXT}\n", "token_stray"),
    (f"<|ref|>table<|/ref|>[[1, 2, 300, 400]]\n<table><tr><td><|ref|>{TEXT}<|/ref|>", TEXT, "table_unclosed"),
    (MANY, MANY.split()[-1], ""),
]  # fmt: skip


@pytest.mark.parametrize(("said", "shown", "flag"), HOSTILE, ids=range(len(HOSTILE)))
async def test_whatever_a_model_says_is_shown_as_text_with_what_was_wrong(
    library: Desk, said: str, shown: str, flag: str
) -> None:
    ran = await asked(library, answering(said))
    assert ran.code == 0, ran.err
    assert shown in ran.out
    assert "<|" not in ran.out
    assert not [sign for sign in ran.out if ord(sign) < 32 and sign != "\n"]
    assert flag in ran.err


async def test_a_page_on_which_the_model_loops_is_told_with_what_was_won_and_tried(library: Desk) -> None:
    ran = await asked(library, answering("It starts well. " + "<|ref|>again and again<|/ref|> " * 5000))
    assert (ran.code, ran.out) == (1, "It starts well.\n\nagain and again\n")
    assert "tried: guard: repetition, mode: repetition, temperature: repetition, halves: repetition" in ran.err
    assert f"folio: page 1 of {SCAN} could not be read: ocr_loop: The engine repeated itself" in ran.err


# Kept where that is asked for.


async def test_a_reading_that_replaces_is_shown_found_and_kept_with_its_picture(library: Desk) -> None:
    before = library.ok("page", SCAN, "1", "--json").json()
    server = answering("# Tide tables\n\nThe gauge of Halvorsund is read at noon.")
    ran = await asked(library, server, "--mode", "large", "--replace")
    assert ran.code == 0, ran
    assert ran.err.endswith("it is the text of page 1 from now on; folio status shows when it is indexed\n")
    after = library.ok("page", SCAN, "1", "--json").json()
    assert after["markdown"] == "# Tide tables\n\nThe gauge of Halvorsund is read at noon.\n".strip()
    assert (after["engine"], after["mode"], after["prompt"]) == ("remote small", "large", "markdown")
    assert {name: after[name] for name in ("doc", "version", "page", "page_count", "name", "image")} == {
        name: before[name] for name in ("doc", "version", "page", "page_count", "name", "image")
    }
    library.until(lambda: bool(library.search("gauge of Halvorsund", "--mode", "lexical")))
    assert library.search(before["markdown"].split()[-1].strip("."), "--mode", "lexical") == []


async def test_what_would_not_be_shown_replaces_nothing(library: Desk) -> None:
    for name, more, said in (
        (BORN, (), "page 1 has text of its own, which goes before what OCR reads: nothing to replace"),
        (SCAN, ("--engine", "remote"), "engine_down"),
    ):
        before = library.ok("page", name, "1").out
        ran = again(library, *more, "--replace", name=name)
        assert ran.code == 1
        assert said in ran.err
        assert library.ok("page", name, "1").out == before
    before = library.ok("page", SCAN, "1").out
    ran = await asked(library, answering(""), "--replace")
    assert ran.code == 1
    assert "ocr_empty" in ran.err
    assert library.ok("page", SCAN, "1").out == before
    assert "add --reread" in " ".join(library.folio("page", SCAN, "1", "--replace").err.split())
