"""The remote engine in front of servers that can more or less, and of everything that goes wrong on the way."""

import asyncio
import base64
import io
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from PIL import Image, ImageDraw

from folio.errors import Cause, Permanent, Transient
from ocr_stage import remote_http
from ocr_stage.model import Ask, Finish
from ocr_stage.modes import Mode, tokens
from ocr_stage.prompts import prompt
from ocr_stage.remote import TRIES, RemoteModel, RemoteSettings, Stubborn
from ocr_stage.remote_http import Server, Unanswered
from ocr_stage.remote_stream import ANSWER_CHARS_MAX
from tests.http_faults import Proxy

WORDS = 7
"""Tokens of any prompt here, beside the image's."""
LETTER, CELL, CELL_END = 5, 8, 9


class Scripted(Proxy):
    """Answers chat completions as vLLM does, with folio's plugin (`modes`) and a guard that is on (`guard`) or not."""

    def __init__(self, *, modes: bool = True, guard: bool = True, vllm: bool = True) -> None:
        super().__init__(lambda _: "")
        self.modes, self.guard, self.vllm = modes, guard, vllm
        self.models = ["small"]
        self.status = 200
        self.other: Any = {}
        """What an answer about a page says instead."""
        self.pieces = ["# a", " ", "stream"]
        """Of an answer that comes in events."""
        self.asked: list[dict[str, Any]] = []
        self.heads: list[bytes] = []

    async def _forwarded(self, head: bytes, body: bytes) -> bytes:
        self.heads.append(head)
        path = head.split(b" ")[1].decode()
        if path == "/v1/models":
            owner = "vllm" if self.vllm else "somebody"
            return answered({"data": [{"id": name, "owned_by": owner} for name in self.models]})
        asked = json.loads(body)
        if path == "/tokenize":
            return answered({"tokens": {"a": [LETTER], "<td>": [CELL], "</td>": [CELL_END]}[asked["prompt"]]})
        assert path == "/v1/chat/completions"
        self.asked.append(asked)
        if self.status != 200 and asked.get("max_tokens") != 1 and "logit_bias" not in asked:
            return answered({"error": "no such thing"}, self.status)
        if asked.get("stream"):
            return events([self.other]) if self.other else streamed(self.pieces)
        return answered(self._said(asked) | (self.other if asked in self.pages else {}))

    def _said(self, asked: dict[str, Any]) -> dict[str, Any]:
        mode = Mode((asked.get("mm_processor_kwargs") or {}).get("mode", "gundam")) if self.modes else Mode.GUNDAM
        picture = picture_in(asked)
        run = 30 if self.guard else asked.get("max_tokens", 0)
        ids = [LETTER] * run + [6] * (asked.get("max_tokens", run) - run) if "logit_bias" in asked else []
        return {
            "choices": [{"message": {"content": f"# {picture.size}"}, "finish_reason": "stop", "token_ids": ids}],
            "usage": {"prompt_tokens": tokens(mode, *picture.size) + WORDS, "completion_tokens": 3},
        }

    @property
    def pages(self) -> list[dict[str, Any]]:
        """What was asked about pages, without what was asked to know the server."""
        return [asked for asked in self.asked if picture_in(asked).size != (64, 64)]


def picture_in(asked: dict[str, Any]) -> Image.Image:
    url = asked["messages"][0]["content"][0]["image_url"]["url"]
    return Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))


def answered(content: Any, status: int = 200) -> bytes:
    body = json.dumps(content).encode()
    return b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


def streamed(pieces: Sequence[str], end: str = "stop") -> bytes:
    deltas = [{"delta": {"content": piece}} for piece in pieces] + [{"delta": {}, "finish_reason": end}]
    said = [{"choices": [delta]} for delta in deltas if end or "content" in delta["delta"]]
    return events(said, *(["[DONE]"] if end else []))


def events(said: Sequence[Any], *more: str) -> bytes:
    body = "".join(f"data: {one}\n\n" for one in [*map(json.dumps, said), *more]).encode()
    return b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def page(*, ink: bool = True, size: tuple[int, int] = (300, 400), **saved: Any) -> bytes:
    picture = Image.new("RGB", size, "white")
    if ink:
        ImageDraw.Draw(picture).rectangle((60, 60, 200, 200), fill="black")
    kept = io.BytesIO()
    picture.save(kept, **{"format": "JPEG", **saved})
    return kept.getvalue()


async def asked_of(server: Scripted, *asks: Ask, image: bytes | None = None, **settings: Any) -> list[Any]:
    """Outputs, or what was raised."""
    async with server.running():
        model = RemoteModel(RemoteSettings(url=server.url, processes=1, page_seconds_max=60, **settings))
        try:
            return await asyncio.gather(*(model.ask(image or page(), ask) for ask in asks), return_exceptions=True)
        finally:
            await model.close()


async def test_with_folios_plugin_each_page_is_read_in_its_own_mode() -> None:
    server = Scripted()
    outputs = await asked_of(server, *(Ask(mode=mode, prompt=prompt("text")) for mode in Mode))
    assert [output.mode for output in outputs] == list(Mode)
    assert {(output.text, output.finish, output.tokens) for output in outputs} == {("# (300, 400)", Finish.STOP, 3)}
    assert {asked["mm_processor_kwargs"]["mode"] for asked in server.pages} == set(Mode)
    for asked in server.pages:
        assert asked["vllm_xargs"] == {"ngram_size": 30, "window_size": 90, "whitelist_token_ids": [CELL, CELL_END]}
        assert asked["skip_special_tokens"] is False
        assert asked["messages"][0]["content"][1]["text"] == "Free OCR."


async def test_a_stock_server_reads_gundam_and_is_told_nothing_that_could_end_it(capsys) -> None:
    server = Scripted(modes=False, guard=False)
    (output,) = await asked_of(server, Ask(mode=Mode.TINY))
    assert output.mode == Mode.GUNDAM
    assert "mm_processor_kwargs" not in server.pages[0]
    sent = [asked["mm_processor_kwargs"] for asked in server.asked if "mm_processor_kwargs" in asked]
    assert sent == [{"mode": "tiny"}]  # to find out; no argument that stock vLLM knows
    said = capsys.readouterr()
    assert "every page is read in Gundam" in said.out + said.err
    assert "no n-gram guard" in said.out + said.err


@pytest.mark.parametrize("settings", [{}, {"dialect": "plain", "prompt": "OCR:"}])
async def test_another_engine_is_sent_only_what_every_server_understands(settings: dict[str, str]) -> None:
    server = Scripted(vllm=False)
    (output,) = await asked_of(server, Ask(tokens_max=100), **settings)
    (asked,) = server.pages
    assert asked.keys() == {"model", "messages", "temperature", "max_tokens", "stream"}
    assert (output.mode, output.text, output.finish, output.tokens) == ("", "# a stream", Finish.STOP, 3)
    expected = settings.get("prompt", "<|grounding|>Convert the document to markdown.")
    assert asked["messages"][0]["content"][1]["text"] == expected


LONG = prompt("free: " + "What is it? " * 100)


@pytest.mark.parametrize(
    ("size", "asked", "counted"),
    [
        ((1700, 2200), Ask(mode=Mode.GUNDAM), tokens(Mode.SMALL, 1700, 2200) + WORDS),  # the page, in another mode
        ((1700, 2200), Ask(mode=Mode.SMALL), tokens(Mode.GUNDAM, 1700, 2200) + WORDS),
        ((1700, 2200), Ask(mode=Mode.GUNDAM), tokens(Mode.GUNDAM, 1700, 1700) + WORDS),  # a page of another shape
        ((600, 600), Ask(mode=Mode.GUNDAM), tokens(Mode.GUNDAM, 700, 1000) + WORDS),  # a larger page
        ((1700, 2200), Ask(mode=Mode.BASE), tokens(Mode.BASE, 1, 1)),  # the page without what was asked
        ((1700, 2200), Ask(mode=Mode.BASE, prompt=LONG), tokens(Mode.SMALL, 1, 1) + 100),
        ((1700, 2200), Ask(mode=Mode.BASE), 10**30),
        ((1700, 2200), Ask(mode=Mode.BASE), -1),
    ],
)
async def test_an_engine_that_returns_another_page_s_length(size: tuple[int, int], asked: Ask, counted: int) -> None:
    server = Scripted()
    server.other = {"usage": {"prompt_tokens": counted, "completion_tokens": 3}}
    (refused,) = await asked_of(server, asked, image=page(size=size))
    assert isinstance(refused, Permanent)
    assert refused.cause is Cause.OCR_MISMATCH
    assert f"{counted} tokens" in refused.detail


@pytest.mark.parametrize("size", [(640, 640), (1700, 2200), (5000, 300)])
async def test_its_own_length_is_no_other_page_s(size: tuple[int, int]) -> None:
    asks = [Ask(mode=mode, prompt=asked) for mode in Mode for asked in (prompt("text"), LONG)]
    outputs = await asked_of(Scripted(), *asks, image=page(size=size))
    assert [output.finish for output in outputs] == [Finish.STOP] * len(asks)


@pytest.mark.parametrize("usage", [{}, None, {"prompt_tokens": "many"}])
async def test_a_length_that_is_not_said_is_nobody_s(usage: Any) -> None:
    server = Scripted()
    server.other = {"usage": usage}
    (output,) = await asked_of(server, Ask())
    assert (output.finish, output.tokens) == (Finish.STOP, 0)


@pytest.mark.parametrize("vllm", [True, False])
async def test_an_engine_that_answers_two_pages_at_once(vllm: bool) -> None:
    server = Scripted(vllm=vllm)
    choice = {"message": {"content": "x"}, "delta": {"content": "x"}, "finish_reason": "stop"}
    server.other = {"choices": [choice, choice]}
    (refused,) = await asked_of(server, Ask())
    assert isinstance(refused, Permanent)
    assert (refused.cause, refused.detail) == (Cause.OCR_MISMATCH, "2 answers to one page")


async def test_without_a_guard_there_a_loop_is_heard_and_hung_up_on() -> None:
    server = Scripted(vllm=False)
    server.pieces = ["Once", " upon", " a", " time,", *[" and", " then", " again,"] * 3000]
    (output,) = await asked_of(server, Ask())
    assert output.finish is Finish.REPETITION
    assert 10 < output.tokens < 200
    server.pieces = ["|", " 1", " |", " 2", " |", "\n"] * 8  # equal rows of a small table are none
    (output,) = await asked_of(server, Ask())
    assert output.finish is Finish.STOP


async def test_an_answer_larger_than_any_page_is_cut_and_nobody_waits_for_it() -> None:
    server = Scripted(vllm=False)
    server.pieces = ["".join(f"<td>{number * 7919 % 100_003}</td>" for number in range(200_000))]
    waits: list[float] = []

    async def others() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            waits.append(time.monotonic() - began)

    beside = asyncio.create_task(others())
    (output,) = await asked_of(server, Ask())
    beside.cancel()
    assert (output.finish, len(output.text)) == (Finish.LENGTH, ANSWER_CHARS_MAX)
    assert max(waits) < 5, "it took the loop minutes"
    whole = Scripted()
    whole.other = {"choices": [{"message": {"content": "a" * 1_100_000}, "finish_reason": "stop"}]}
    (output,) = await asked_of(whole, Ask())
    assert (output.finish, len(output.text)) == (Finish.LENGTH, ANSWER_CHARS_MAX)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b'data: "' + b"x" * (1 << 20), "an answer without end"),
        (b"data: {}\n\n" * 30_000, "an answer without end"),
        (b"data: " + b"[" * 200_000 + b"\n\n", "RecursionError"),
        (b"data: {\n\n", "JSONDecodeError"),
    ],
)
async def test_events_that_are_none_or_never_end_are_the_servers_fault(
    said: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_http, "EVENTS_BYTES_MAX", 1 << 18)
    monkeypatch.setattr(remote_http, "ANSWER_BYTES_MAX", 1 << 19)
    server = Scripted(vllm=False)
    real = server._forwarded

    async def hostile(head: bytes, body: bytes) -> bytes:
        return b"HTTP/1.1 200 X\r\n\r\n" + said if b'"stream"' in body else await real(head, body)

    server._forwarded = hostile  # type: ignore[method-assign]
    (failed,) = await asked_of(server, Ask())
    assert isinstance(failed, Transient)
    assert (failed.cause, why in failed.detail, server.url in failed.detail) == (Cause.ENGINE_DOWN, True, True)


async def test_a_stream_that_breaks_off_is_asked_for_again() -> None:
    server = Scripted(vllm=False)

    async def broken(head: bytes, body: bytes) -> bytes:
        return streamed(["half"], end="") if body else await Scripted._forwarded(server, head, body)

    server._forwarded = broken  # type: ignore[method-assign]
    (failed,) = await asked_of(server, Ask())
    assert isinstance(failed, Transient)
    assert "broke off" in failed.detail


async def test_a_model_that_is_not_there_names_those_that_are() -> None:
    server = Scripted()
    server.models = ["one", "two"]
    (unsure,) = await asked_of(server, Ask())
    assert "one, two" in str(unsure)
    (wrong,) = await asked_of(server, Ask(), model="three")
    assert "one, two" in str(wrong)
    assert isinstance(unsure, Transient)
    (right,) = await asked_of(server, Ask(), model="two")
    assert right.tokens == 3


async def test_pages_that_need_no_server_reach_none() -> None:
    server = Scripted()
    (blank,) = await asked_of(server, Ask(), image=page(ink=False))
    assert blank.text == ""
    (corrupt,) = await asked_of(server, Ask(), image=b"no picture")
    assert corrupt.cause is Cause.CORRUPT
    (large,) = await asked_of(server, Ask(), pixels_max=1000)
    assert large.cause is Cause.PIXEL_LIMIT
    assert not server.asked


async def test_pictures_are_sent_upright_and_in_a_format_that_every_server_reads() -> None:
    for saved, kind, size in (
        ({}, "jpeg", (300, 400)),
        ({"format": "PNG"}, "png", (300, 400)),
        ({"format": "TIFF"}, "jpeg", (300, 400)),
        ({"exif": exif(6)}, "jpeg", (400, 300)),
    ):
        server = Scripted()
        await asked_of(server, Ask(), image=page(**saved))
        (asked,) = server.pages
        assert asked["messages"][0]["content"][0]["image_url"]["url"].startswith(f"data:image/{kind};")
        assert picture_in(asked).size == size
        assert not picture_in(asked).getexif()


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


async def test_what_the_server_refuses_is_this_pages_fault_and_not_the_settings() -> None:
    server = Scripted()
    server.status = 400
    (refused,) = await asked_of(server, Ask())
    assert isinstance(refused, Permanent)
    assert refused.cause is Cause.ENGINE_REFUSED
    assert "no such thing" in refused.detail
    server.status = 401
    (key,) = await asked_of(server, Ask(), api_key="wrong")
    assert isinstance(key, Transient)
    assert "remote.api_key" in key.detail
    assert all(b"authorization: bearer wrong" in head.lower() for head in server.heads[-2:])


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("busy", Cause.QUOTA),
        ("broken", Cause.ENGINE_DOWN),
        ("silent", Cause.ENGINE_DOWN),
        ("half", Cause.ENGINE_DOWN),
        ("garbage", Cause.ENGINE_DOWN),
    ],
)
async def test_a_server_in_trouble_is_waited_for(fault: str, cause: Cause) -> None:
    proxy = Scripted()
    async with proxy.running():
        server = Server(proxy.url)
        proxy.fault = lambda _: fault
        with pytest.raises(Transient) as raised:
            await server.post("chat/completions", {"messages": []}, seconds_max=0.5 if fault == "silent" else 60)
        assert raised.value.cause is cause
        await server.close()


async def test_nobody_asks_again_before_the_server_said_so() -> None:
    proxy = Scripted()
    faults = iter(["busy"])
    proxy.fault = lambda _: next(faults, "")
    async with proxy.running():
        server = Server(proxy.url)
        began = time.monotonic()
        with pytest.raises(Transient):
            await server.post("/tokenize", {"prompt": "a"}, seconds_max=60)
        assert await server.post("/tokenize", {"prompt": "a"}, seconds_max=60) == {"tokens": [LETTER]}
        assert time.monotonic() - began > 0.9
        await server.close()


async def test_a_port_where_nobody_listens() -> None:
    server = Server("http://127.0.0.1:9/v1")
    with pytest.raises(Transient, match="ConnectError"):
        await server.get("models", seconds_max=5)
    await server.close()


async def test_a_cancelled_page_hangs_up_so_that_the_server_stops_too() -> None:
    proxy = Scripted()
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        proxy.seen.append("asked")
        while await reader.read(1000):
            pass
        gone.set()
        writer.close()

    proxy._serve = serve  # type: ignore[method-assign]
    async with proxy.running():
        server = Server(proxy.url)
        asking = asyncio.create_task(server.post("chat/completions", {}, seconds_max=60))
        await until(lambda: proxy.seen)
        asking.cancel()
        await asyncio.wait({asking})
        async with asyncio.timeout(30):
            await gone.wait()
        await server.close()


async def until(condition: Callable[[], object]) -> None:
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")


def test_a_page_that_fails_while_others_are_read_is_at_fault_and_a_dead_server_is_not() -> None:
    stubborn = Stubborn()
    assert [stubborn.failed("a") for _ in range(10)] == [False] * 10  # nobody was read in between
    found = []
    for _ in range(TRIES - 1):
        stubborn.read("b")
        found.append(stubborn.failed("a"))
    assert found == [*[False] * (TRIES - 2), True]


@pytest.mark.parametrize(("fault", "is_blamed"), [("busy", False), ("broken", True), ("half", True), ("silent", True)])
async def test_a_page_is_blamed_only_for_what_came_of_sending_it(fault: str, is_blamed: bool) -> None:
    proxy = Scripted()
    proxy.fault = lambda _: fault
    async with proxy.running():
        server = Server(proxy.url)
        with pytest.raises(Transient) as raised:
            await server.post("chat/completions", {"messages": []}, seconds_max=0.5 if fault == "silent" else 60)
        assert isinstance(raised.value, Unanswered) is is_blamed
        await server.close()
