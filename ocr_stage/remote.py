"""Pages read over HTTP by any server that speaks OpenAI's protocol: `vllm serve` with folio's plugin, or stock."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from folio.child import Child, ChildDied, ChildTimeout
from folio.errors import Cause, Permanent, Transient
from folio.ids import sha256
from folio.telemetry import log
from ocr_stage.deepseek.asking import extra_args, repetition_arguments
from ocr_stage.engine import started
from ocr_stage.model import Ask, Finish, ModelOutput
from ocr_stage.modes import Mode
from ocr_stage.modes import tokens as tokens_of
from ocr_stage.remote_http import Refused, Server, Unanswered
from ocr_stage.remote_stream import Answer, Listening
from ocr_stage.remote_survey import COMPLETIONS, Abilities, chat, picture_url, said_of, survey

LOOK = "ocr_stage.remote_page:PageLook"
EDGE_PIXELS = 4096
"""Longest edge that is sent: the largest mosaic of tiles has 3840."""
LOOK_S = 60.0
TRIES = 6
"""A page that was sent so often without an answer, while others were read meanwhile, is at fault itself."""
REMEMBERED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSettings:
    """`model` '' is the server's only one. `dialect`: deepseek, or plain for engines that answer in Markdown."""

    url: str
    model: str = ""
    api_key: str = ""
    dialect: Literal["deepseek", "plain"] = "deepseek"
    prompt: str = ""
    connections_max: int = 64
    page_seconds_max: float = 120
    pixels_max: int = 64_000_000
    processes: int = 2


class RemoteModel:
    """Asked about many pages at once. What the server can is found out before the first page, and when it was away."""

    def __init__(self, settings: RemoteSettings) -> None:
        self._settings = settings
        self._server = Server(settings.url, api_key=settings.api_key, connections_max=settings.connections_max)
        self._abilities: Abilities | None = None
        self._surveyed_at = 0
        self._surveying = asyncio.Lock()
        self._stubborn = Stubborn()
        look = {"edge_pixels": EDGE_PIXELS, "pixels_max": settings.pixels_max}
        self._children: asyncio.LifoQueue[Child] = asyncio.LifoQueue()
        self._all = [Child(LOOK, look) for _ in range(settings.processes)]
        for child in self._all:
            self._children.put_nowait(child)

    @property
    def name(self) -> str:
        model = self._abilities.model if self._abilities else self._settings.model
        return f"remote {model}".strip()

    async def warm(self) -> None:
        """Find out what the server can. Raises Transient when it is away."""
        await self._known()

    async def ask(self, image: bytes, ask: Ask) -> ModelOutput:
        """Raises Permanent: corrupt, pixel_limit, render_*, ocr_timeout, ocr_mismatch, engine_refused.

        Transient when the server is away.
        """
        began = time.monotonic()
        seen = await self._looked(image)
        if seen["blank"]:
            return ModelOutput(text="", mode=ask.mode, prompt=ask.prompt.name)
        able = await self._known()
        body = self._body(able, ask, picture_url(seen["picture"] or image, str(seen["kind"])))
        answer = await self._said(sha256(image), body, streamed=not able.guard)
        self._check_length(able, ask, seen["size"], answer)
        return ModelOutput(
            text=answer.text,
            finish=_finish(answer.finish),
            tokens=answer.tokens,
            mode=_mode(able, ask),
            prompt=ask.prompt.name,
            seconds=time.monotonic() - began,
        )

    async def close(self) -> None:
        await self._server.close()
        await asyncio.gather(*(child.close() for child in self._all))

    def _check_length(self, able: Abilities, ask: Ask, size: tuple[int, int], answer: Answer) -> None:
        """What the server counted must fit this page in this mode, its prompt taking at most a token a byte."""
        if not able.modes or not answer.prompt_tokens:
            return
        fewest = tokens_of(ask.mode, *size)
        most = fewest + able.words + len((self._settings.prompt or ask.prompt.text).encode())
        if not fewest < answer.prompt_tokens <= most:
            counted = f"{answer.prompt_tokens} tokens, {ask.mode} takes {fewest} to {most} for this page"
            raise Permanent(Cause.OCR_MISMATCH, f"{self._server.url} counted {counted}")

    async def _said(self, page: str, body: Mapping[str, Any], *, streamed: bool) -> Answer:
        """`streamed` where only listening shows that an answer has run into a loop."""
        try:
            said = await (self._heard(body) if streamed else self._answered(body))
        except Refused as refused:
            raise Permanent(Cause.ENGINE_REFUSED, f"{self._server.url}: {refused}") from None
        except ValueError as error:
            raise Transient(Cause.ENGINE_DOWN, f"{self._server.url}: {error}") from None
        except Unanswered as error:
            if self._stubborn.failed(page):
                raise Permanent(
                    Cause.OCR_TIMEOUT, f"{TRIES} times, while other pages were read: {error.detail}"
                ) from None
            raise
        self._stubborn.read(page)
        return said

    async def _answered(self, body: Mapping[str, Any]) -> Answer:
        return said_of(await self._server.post(COMPLETIONS, body, seconds_max=self._settings.page_seconds_max))

    async def _heard(self, body: Mapping[str, Any]) -> Answer:
        listening, streamed = Listening(), {**body, "stream": True}
        await self._server.listen(COMPLETIONS, streamed, listening, seconds_max=self._settings.page_seconds_max)
        return listening.said()

    def _body(self, able: Abilities, ask: Ask, image: str) -> dict[str, Any]:
        """Nothing that a client of folio says gets here but through `Ask`."""
        body = {**chat(able.model, image, self._settings.prompt or ask.prompt.text), "temperature": ask.temperature}
        if ask.tokens_max is not None:
            body["max_tokens"] = ask.tokens_max
        if able.vllm:
            body["skip_special_tokens"] = False
            body["vllm_xargs"] = extra_args(ask.guard, able.allowed)
            body["repetition_detection"] = repetition_arguments()
        if able.modes:
            body["mm_processor_kwargs"] = {"mode": ask.mode.value}
        return body

    async def _known(self) -> Abilities:
        """As it was found out; a server that was away since may be another one."""
        async with self._surveying:
            if self._abilities is None or self._surveyed_at != self._server.lost:
                lost = self._server.lost
                deepseek = self._settings.dialect == "deepseek"
                able = await survey(self._server, self._settings.model, deepseek=deepseek)
                if able != self._abilities:
                    _tell(self._server.url, able, deepseek=deepseek)
                self._abilities, self._surveyed_at = able, lost
            return self._abilities

    async def _looked(self, image: bytes) -> dict[str, Any]:
        child = await self._children.get()
        try:
            remote = await started(child, "looking at pages")
            return dict(await remote.call("look", image, seconds_max=LOOK_S))
        except ChildTimeout:
            raise Permanent(Cause.RENDER_TIMEOUT, f"not decoded after {LOOK_S:g} s") from None
        except ChildDied:
            raise Permanent(Cause.RENDER_CRASH, "the process that looked at it died") from None
        finally:
            self._children.put_nowait(child)


class Stubborn:
    """Tells a page that no server answers from a server that answers no page."""

    def __init__(self) -> None:
        self._read = 0
        self._failed: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def read(self, page: str) -> None:
        self._read += 1
        self._failed.pop(page, None)

    def failed(self, page: str) -> bool:
        """Whether it has failed TRIES times, and another page was read between one failure and the next."""
        times, read_before = self._failed.pop(page, (0, -1))
        times = times + 1 if self._read > read_before else times
        self._failed[page] = (times, self._read)
        while len(self._failed) > REMEMBERED:
            self._failed.popitem(last=False)
        return times >= TRIES and self._failed.pop(page) is not None


def _tell(url: str, able: Abilities, *, deepseek: bool) -> None:
    log().info("remote engine", url=url, model=able.model, modes=able.modes, guard=able.guard)
    for warning in able.warnings if deepseek else ():
        log().warning("remote engine", url=url, warning=warning)


def _mode(able: Abilities, ask: Ask) -> str:
    """Stock vLLM knows one mode, other servers none."""
    if not able.vllm:
        return ""
    return ask.mode if able.modes else Mode.GUNDAM


def _finish(said: str) -> Finish:
    return Finish(said) if said in set(Finish) else Finish.STOP
