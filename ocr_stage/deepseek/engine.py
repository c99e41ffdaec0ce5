"""DeepSeek-OCR in vLLM beside us, one engine for one card: pages are drawn, encoded and read as they come."""

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from folio.batching import looked_at
from folio.child import cores
from folio.errors import Cause, FolioError, Permanent, StageStopped, Transient
from folio.telemetry import log
from ocr_stage.deepseek.arena import Arena
from ocr_stage.deepseek.feed import Drawn, Feed
from ocr_stage.deepseek.launch import EngineSettings
from ocr_stage.deepseek.tickets import Ticket
from ocr_stage.model import Ask, Finish, ModelOutput
from ocr_stage.modes import Mode

NAME = "deepseek-ocr"


class Llm(Protocol):
    """What we use of vLLM's AsyncLLM."""

    @property
    def errored(self) -> bool: ...

    async def add_request(self, request_id: str, prompt: Any, params: Any) -> Any:
        """Answers with a queue that gets the finished output."""
        ...

    async def abort(self, request_id: str, internal: bool) -> None: ...

    def shutdown(self) -> None: ...


class Talk(Protocol):
    """vLLM's words for what we say, so that nothing here imports it. See `ocr_stage.deepseek.talk.VllmTalk`."""

    @property
    def engine(self) -> Llm: ...

    @property
    def lends(self) -> bool:
        """The engine reads pages from the arena itself; else their pixels are in the prompt."""
        ...

    def prompt(self, ticket: Ticket, ask: Ask) -> Any: ...

    def params(self, ask: Ask, prompt: Any) -> Any: ...

    def answer(self, output: Any) -> tuple[str, Sequence[int], str]:
        """(text with special tokens, its tokens, why it ended)"""
        ...

    def is_dead(self, error: BaseException) -> bool: ...

    async def verify(self) -> None:
        """Raises FolioError when the n-gram guard is off."""
        ...


class DeepSeekModel:
    """Reads many pages at once, bounded by `settings.pages_at_once`; starts with the first page, or with `warm`.

    When the engine's process dies, `ask` raises StageStopped: the loop ends, nothing is committed, and the worker's
    process exits for its supervisor to start it again.
    """

    name = NAME

    def __init__(
        self,
        settings: EngineSettings,
        *,
        page_seconds_max: float,
        pixels_max: int = 64_000_000,
        talk: Callable[[EngineSettings, Arena], Talk] | None = None,
    ) -> None:
        self.settings = settings
        self._page_seconds_max = page_seconds_max
        self._pixels_max = pixels_max
        self._open_talk = talk or _vllm
        self._feed: Feed | None = None
        self._talk: Talk | None = None
        self._starting: asyncio.Task[None] | None = None
        self._places = asyncio.Semaphore(settings.pages_at_once)
        self._ids = itertools.count(1)
        self._dead = ""

    async def warm(self) -> None:
        """Start the engine, read one page, and see that the guard is on. Raises Transient when it does not start."""
        await self._ready()

    async def ask(self, image: bytes, ask: Ask) -> ModelOutput:
        """Raises Permanent(corrupt | pixel_limit | render_* | ocr_timeout), StageStopped when the engine has died."""
        feed, talk = await self._ready()
        began = time.monotonic()
        async with self._places, feed.drawn(image, ask.mode) as page:
            if page.blank:
                return ModelOutput(text="", mode=ask.mode, prompt=ask.prompt.name, seconds=time.monotonic() - began)
            try:
                async with asyncio.timeout(self._page_seconds_max):
                    text, tokens, finish = talk.answer(await self._generate(feed, talk, page, ask))
            except TimeoutError:
                raise Permanent(Cause.OCR_TIMEOUT, f"no text after {self._page_seconds_max:g} s") from None
        return ModelOutput(
            text=text,
            finish=Finish(finish),
            tokens=len(tokens),
            mode=ask.mode,
            prompt=ask.prompt.name,
            seconds=time.monotonic() - began,
        )

    async def close(self) -> None:
        if self._starting is not None:
            await asyncio.wait({self._starting})
        talk, self._talk, feed, self._feed = self._talk, None, self._feed, None
        await _end(feed, talk)

    @property
    def gauges(self) -> dict[str, int]:
        """What the engine's process shows of itself; empty before it has started."""
        return {} if self._feed is None else self._feed.arena.gauges

    @property
    def feed(self) -> Feed | None:
        return self._feed

    async def _ready(self) -> tuple[Feed, Talk]:
        if self._dead:
            raise StageStopped(self._dead)
        if self._talk is None or self._feed is None:
            if self._starting is None or self._starting.done():
                self._starting = asyncio.create_task(self._start())
                self._starting.add_done_callback(looked_at)
            await asyncio.shield(self._starting)  # the page may be cancelled: the others wait for the same engine
        assert self._feed is not None
        assert self._talk is not None
        return self._feed, self._talk

    async def _start(self) -> None:
        """Leaves nothing behind when it fails, on the card least of all. No page is to blame for that."""
        began = time.monotonic()
        feed = Feed(
            processes=self.settings.renderers or max(1, cores() - 2),
            slots=self.settings.slots,
            pixels_max=self._pixels_max,
            page_seconds_max=self._page_seconds_max,
        )
        talk, warmed = await asyncio.gather(
            asyncio.to_thread(self._open_talk, self.settings, feed.arena), feed.warm(), return_exceptions=True
        )
        try:
            if isinstance(talk, BaseException):
                raise talk
            if warmed is not None:
                raise warmed
            await self._try_out(feed, talk)
        except BaseException as error:
            await _end(feed, None if isinstance(talk, BaseException) else talk)
            if isinstance(error, Exception) and (isinstance(error, Permanent) or not isinstance(error, FolioError)):
                raise Transient(Cause.ENGINE_DOWN, f"vLLM does not start: {error}") from error
            raise
        self._feed, self._talk = feed, talk
        log().info("engine ready", engine=NAME, seconds=round(time.monotonic() - began, 1))

    async def _try_out(self, feed: Feed, talk: Talk) -> None:
        """The first page pays for what is compiled and captured; and a guard that is off must be seen now."""
        async with feed.drawn(_test_page(), Mode.GUNDAM) as page:
            await self._generate(feed, talk, page, Ask(tokens_max=8))
        await talk.verify()

    async def _generate(self, feed: Feed, talk: Talk, page: Drawn, ask: Ask) -> Any:
        """The finished output of one page. A cancelled call aborts it, wherever it is."""
        prompt = talk.prompt(page.ticket, ask)
        params = talk.params(ask, prompt)
        request_id = f"{os.getpid()}-{next(self._ids)}"

        async def submit() -> Any:
            answer = await talk.engine.add_request(request_id, prompt, params)
            if talk.lends:
                feed.lend(page)
            return answer

        submitted = asyncio.create_task(submit())
        try:
            answer = await asyncio.shield(submitted)
            return await answer.get()
        except asyncio.CancelledError:
            with suppress(Exception):
                await talk.engine.abort((await submitted).request_id, internal=True)
            raise
        except Exception as error:
            if talk.is_dead(error) or talk.engine.errored:
                self._dead = f"the engine's process has died ({error}): nothing was committed, start this worker again"
                raise StageStopped(self._dead) from error
            raise


async def _end(feed: Feed | None, talk: Talk | None) -> None:
    if talk is not None:
        await asyncio.to_thread(talk.engine.shutdown)
    if feed is not None:
        await feed.close()


def _vllm(settings: EngineSettings, arena: Arena) -> Talk:
    try:
        import vllm  # noqa: F401  # asked for before what needs it
    except ModuleNotFoundError:
        raise Transient(Cause.ENGINE_DOWN, "vLLM is not installed here: docs/gpu.md says how") from None
    from ocr_stage.deepseek.talk import VllmTalk

    return VllmTalk(settings, arena)


def _test_page() -> bytes:
    """A page with ink, large enough for tiles."""
    import io

    from PIL import Image, ImageDraw

    page = Image.new("RGB", (900, 1272), "white")
    pen = ImageDraw.Draw(page)
    for y in range(100, 1200, 30):
        pen.rectangle((90, y, 810, y + 12), fill="black")
    kept = io.BytesIO()
    page.save(kept, "JPEG")
    return kept.getvalue()
