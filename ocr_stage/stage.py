"""From a page image on the log to its text: checks what came, keeps the picture, has it read, names what failed."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from folio import topics
from folio.blobs import Blobs
from folio.errors import Cause, Permanent, Transient
from folio.faults import effect
from folio.ids import Doc, sha256
from folio.log import Entry, Log, Reader, Record
from folio.outputs import Output
from folio.records import Page, PageText, Source
from folio.stage import MIB, Stage
from ocr_stage.engine import Engine, Reading, Warms
from ocr_stage.ladder import Unread
from ocr_stage.lanes import in_bulk, shared_window
from ocr_stage.versions import Versions

STARTS = "The OCR engine starts."
WARM_AGAIN_S = 1.0
VERIFY_AT_ONCE = 1
"""One reader is enough for what nobody waits for; each that starts takes two seconds and 400 MB."""
READ = ("markdown", "blocks", "mode", "prompt", "steps", "rungs", "tokens", "finish", "flags")
"""What a page's text has from its reading, word for word."""
UNWANTED = frozenset({Cause.CANCELLED, Cause.SUPERSEDED})


class OcrStage:
    """Three lanes over one engine: `stage` for what somebody waits for; `bulk` for a tenant's many, which go on beside
    it, in their part of the window and after it in line; `verify` for comparisons, one at a time while `quiet` says so.

    Pages to be compared are read by `verifier`, where there is one: they were born digital, no model is bothered.
    `follow` runs beside them, so that pages nobody wants any more are dropped or let go.
    """

    def __init__(
        self,
        engine: Engine,
        blobs: Blobs,
        *,
        keep_images: bool,
        pages_at_once: int,
        quiet: Callable[[], Awaitable[bool]] | None = None,
        verifier: Engine | None = None,
    ) -> None:
        self.stage = Stage(
            name="ocr",
            sources=(topics.PAGES,),
            process=self.process,
            entries_max=pages_at_once,
            bytes_max=max(64, pages_at_once) * MIB,
            uncommitted_max=max(1024, 2 * pages_at_once),
            linger_s=0.02,
        )
        self.warming = STARTS if isinstance(engine, Warms) else ""
        """Why pages would wait now, as a sentence; empty once the engine has started."""
        self._window = shared_window(pages_at_once)
        bulk_max = self._window.bulk_max
        self.bulk = replace(self.stage, name="ocr-bulk", sources=(topics.PAGES_BULK,), entries_max=bulk_max)
        self.verify = replace(
            self.stage, name="ocr-verify", sources=(topics.PAGES_VERIFY,), entries_max=VERIFY_AT_ONCE, may_take=quiet
        )
        self._engine = engine
        self._verifier = verifier or engine
        self._blobs = blobs
        self._keep_images = keep_images
        self._versions = Versions()
        self._running: defaultdict[Doc, dict[asyncio.Task[Reading], int]] = defaultdict(dict)

    def let_end(self, grace_s: float) -> None:
        """Pages in flight may end so long after a stop; what has not is read again by whoever comes next."""
        self.stage = replace(self.stage, grace_s=grace_s)
        self.bulk = replace(self.bulk, grace_s=grace_s)
        self.verify = replace(self.verify, grace_s=grace_s)

    async def process(self, entry: Entry) -> AsyncGenerator[Output, None]:
        """One page in, its PageText out: also when it failed, so that its document still completes."""
        page = Page.of(entry)
        image = ""
        try:
            self._check(page, entry.value)
            image = await self._keep(entry.value)
            reading = await self._read(page, entry.value, bulk=entry.position.topic != topics.PAGES.name)
        except Permanent as error:
            yield _output(page, self._failed(page, error, image))
            if error.cause not in UNWANTED:
                raise
            return
        yield _output(page, self._text(page, reading, image))

    async def warm(self, stop: asyncio.Event) -> None:
        """Start the engine, so that no page waits for it; one that is away is tried again until `stop`."""
        await _until(stop, self._warm())

    async def _warm(self) -> None:
        while isinstance(self._engine, Warms) and self.warming:
            try:
                await self._engine.warm()
                self.warming = ""
            except Permanent:
                self.warming = ""  # waiting does not mend it: each page says why it was refused
            except Transient as error:
                self.warming = error.cause.sentence
                await asyncio.sleep(WARM_AGAIN_S)

    async def follow(self, log: Log, stop: asyncio.Event) -> None:
        """Read `uploads` from its start until `stop`; versions that it replaces or cancels are not read any more."""
        async with log.reader((topics.UPLOADS,), None) as reader:
            await _until(stop, self._learn_for_ever(reader))

    async def _learn_for_ever(self, reader: Reader) -> None:
        while True:
            try:
                entries = await reader.read(entries_max=1000, bytes_max=4 * MIB, wait_s=5.0)
            except Transient:
                await asyncio.sleep(1.0)
                continue
            for entry in entries:
                self.learn(entry)

    def learn(self, entry: Entry) -> None:
        """Take in one entry of `uploads` and let go of the readings that it makes pointless."""
        doc = self._versions.learn(entry)
        if doc is None:
            return
        for task, version in self._running.get(doc, {}).items():
            if self._versions.unwanted(doc, version):
                task.cancel()

    def _check(self, page: Page, image: bytes) -> None:
        unwanted = self._versions.unwanted(page.doc, page.version)
        if unwanted:
            raise Permanent(unwanted)
        if page.sha256 and page.sha256 != sha256(image):
            raise Permanent(Cause.CORRUPT, "the image is not the one that folio-sha256 names")

    async def _keep(self, image: bytes) -> str:
        if not self._keep_images:
            return ""
        with effect("ocr.keep_image"):
            return await self._blobs.put(image)

    async def _read(self, page: Page, image: bytes, *, bulk: bool) -> Reading:
        """The engine's reading; given up with its cause when the version is no longer wanted."""
        with in_bulk() if bulk else nullcontext():
            task = asyncio.create_task(self._read_in_turn(self._verifier if page.verify else self._engine, image))
        self._running[page.doc][task] = page.version
        try:
            await asyncio.wait({task})
        finally:
            self._forget(page.doc, task)
            if task.cancel():
                await asyncio.wait({task})
        if task.cancelled():
            raise Permanent(self._versions.unwanted(page.doc, page.version) or Cause.CANCELLED)
        return task.result()

    async def _read_in_turn(self, engine: Engine, image: bytes) -> Reading:
        async with self._window.turn():
            return await engine.read(image)

    def _forget(self, doc: Doc, task: "asyncio.Task[Reading]") -> None:
        del self._running[doc][task]
        if not self._running[doc]:
            del self._running[doc]

    def _text(self, page: Page, reading: Reading, image: str) -> PageText:
        return text_of(page, reading, engine=self._name(page), image=image)

    def _failed(self, page: Page, error: Permanent, image: str) -> PageText:
        return failed_text(page, error, engine=self._name(page), image=image)

    def _name(self, page: Page) -> str:
        return (self._verifier if page.verify else self._engine).name


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Until the work ends, and raises what it raises, or `stop`: then nothing of it is left running."""
    stopping, working = asyncio.create_task(stop.wait()), asyncio.create_task(work)
    try:
        await asyncio.wait({stopping, working}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.wait({stopping, working})


def text_of(page: Page, reading: Reading, *, engine: str, image: str = "") -> PageText:
    """What was read on a page. `engine` is who was asked: a reading that names another one was made by that."""
    said = {name: getattr(reading, name) for name in READ}
    return PageText(
        doc=page.doc,
        version=page.version,
        page=page.page,
        page_count=page.page_count,
        name=page.name,
        verify=page.verify,
        source=Source.OCR,
        engine=reading.engine or engine,
        image=image,
        read_ms=int(time.time() * 1000),
        seconds=round(reading.seconds, 3),
        **said,
    )


def failed_text(page: Page, error: Permanent, *, engine: str, image: str = "") -> PageText:
    """With the text that was won before it failed: shown to people, never searched."""
    reading = error.reading if isinstance(error, Unread) else Reading(markdown="")
    text = text_of(page, reading, engine=engine, image=image)
    return text.model_copy(update={"status": "failed", "cause": error.cause, "detail": error.detail})


def _output(page: Page, text: PageText) -> Output:
    headers = {"traceparent": page.traceparent} if page.traceparent else {}
    return topics.TEXTS, Record(key=page.doc, value=text.encode(), headers=headers)
