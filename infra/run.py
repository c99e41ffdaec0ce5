"""The owner: every stage, the ledger's emitter and the housekeeping of one data folder, in one process."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from folio.errors import Transient
from folio.ids import TENANT_DEFAULT, doc_of
from folio.questions import Hit, Question
from folio.records import Document, PageText
from folio.settings import Settings
from folio.stage import StageLoop
from folio.telemetry import log
from folio.topics import DOCUMENTS
from infra.intake import Intake, Unknown
from infra.lock import owning
from infra.pictures import Pictures
from infra.places import INCOMING, LEDGER_FILE
from infra.wiring import Parts, check_folder, open_parts
from ledger import audit
from ledger.shown import document_of, shown, text_of

HOUSEKEEP_EVERY_S = 60.0
FORGET_EVERY_S = 1.0
LOOKED_EVERY_S = 0.2
"""How often those who search look how far behind the index is."""


@dataclass(frozen=True, slots=True)
class StageStatus:
    """What a stage is doing: entries not committed, and what it waits for, if it does.

    `filling`: it fills an index that was empty when its owner began, so that much that is known is not found yet.
    """

    stage: str
    lag: int
    ready: bool
    waits_for: str
    took: int
    dead: int
    filling: bool = False


class Owner:
    """The open data folder. Methods are what the doors offer; `failed` resolves when a stage cannot go on."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self.settings = settings
        self.parts = parts
        self.ledger_file = settings.data / LEDGER_FILE
        self.intake = Intake(
            parts.log,
            parts.blobs,
            self.ledger_file,
            file_bytes_max=settings.ingest.file_bytes_max,
            passwords=parts.passwords,
        )
        self.pictures = Pictures(self.ledger_file, parts.blobs, parts.sandbox)
        self.filling = False
        """The index was empty when we began, and not all that the log holds for it is in it yet."""
        self._behind = 0
        self._looked_s = -LOOKED_EVERY_S
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loops = [StageLoop(stage, parts.log) for stage in parts.stages]
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._warming: asyncio.Task[None] | None = None

    def start(self) -> None:
        stop, parts = self._stop, self.parts
        for loop in self._loops:
            self._begin(loop.run(stop))
        self._begin(parts.ledger.run(stop))
        self._begin(parts.ocr.follow(parts.log, stop))
        self._begin(self._keep_house())
        self._begin(self._forget_passwords())

    def warm(self) -> None:
        """Start early what takes seconds to start: the embedder."""
        self._warming = self._begin(self._warm())

    async def stop(self) -> None:
        """Finish what runs (each stage within its grace), commit, leave."""
        self._stop.set()
        if self._warming is not None:
            self._warming.cancel()  # loading a model takes many seconds, and nobody needs it any more
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def search(self, question: Question) -> list[Hit]:
        if time.monotonic() - self._looked_s > LOOKED_EVERY_S:
            self._looked_s = time.monotonic()
            self._behind = await self.parts.log.lag(self.parts.indexing.name, DOCUMENTS)
        return await self.parts.searcher.search(question)

    @property
    def search_note(self) -> str:
        """What whoever reads the answers should know about the index; empty when there is nothing to say."""
        notes = [self.parts.searcher.note]
        if self._behind and self.filling:
            notes.append(
                f"the index for the embedder {self.parts.embedder.name} is being filled (waiting documents:"
                f" {self._behind:,}): ask again, or with the setting indexer.embedder that they were added with"
            )
        elif self._behind:
            notes.append(f"what was just read is not all in the index yet (waiting: {self._behind:,}): ask again")
        return "; ".join(note for note in notes if note)

    async def page(self, document: str, page: int) -> PageText:
        """One page as it is shown. Raises Unknown when there is none, Gone when its text is not kept."""
        doc = doc_of(TENANT_DEFAULT, document)
        one = await asyncio.to_thread(shown, self.ledger_file, doc, page)
        if one is not None:
            return await text_of(self.parts.log, self.parts.blobs, one)
        status = audit.summary(self.ledger_file, doc)
        if status is None:
            raise Unknown(f"there is no document {document!r}: folio status lists what there is")
        raise Unknown(f"page {page} of {document}: {_why_no_page(status, page)}")

    async def document(self, document: str) -> Document:
        """All pages as they were last emitted. Raises Unknown when there are none, Gone when they are not kept."""
        doc = doc_of(TENANT_DEFAULT, document)
        found = await document_of(self.ledger_file, self.parts.log, self.parts.blobs, doc)
        if found is None:
            status = audit.summary(self.ledger_file, doc)
            raise Unknown(f"{document}: {_why_no_document(status)}")
        return found

    async def stages(self) -> list[StageStatus]:
        statuses = []
        for loop in self._loops:
            name = loop.stage.name
            lag = sum([await self.parts.log.lag(name, topic) for topic in loop.stage.sources])
            waits_for = loop.waits_for.sentence if loop.waits_for else ""
            indexes = loop.stage is self.parts.indexing
            if indexes and not lag:
                self.filling = False
            filling = indexes and self.filling
            statuses.append(StageStatus(name, lag, loop.ready, waits_for, loop.meter.took, loop.meter.dead, filling))
        return statuses

    async def idle(self) -> bool:
        """True when every entry of every topic was handled and nothing is due to be emitted."""
        if any(status.lag for status in await self.stages()):
            return False
        counts = audit.counts(self.ledger_file)
        return counts["settled"] == counts["documents"]

    def _begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or self.failed.done():
            return
        error = task.exception()
        if error is not None:
            log().error("stopped", reason=str(error), kind=type(error).__name__)
            self.failed.set_exception(error)

    async def _warm(self) -> None:
        try:
            await self.parts.embedder.warm()
        except Transient as error:
            log().warning("warming waits", cause=error.cause)

    async def _keep_house(self) -> None:
        """Retention, compaction, and blobs that nothing refers to any more."""
        while not self._stop.is_set():
            try:
                async with asyncio.timeout(HOUSEKEEP_EVERY_S):
                    await self._stop.wait()
            except TimeoutError:
                await self.housekeep()
                await self._tend_index()

    async def _forget_passwords(self) -> None:
        while not self._stop.is_set():
            if self.parts.passwords:
                await asyncio.to_thread(self.parts.passwords.forget_read, self.ledger_file)
            with suppress(TimeoutError):
                async with asyncio.timeout(FORGET_EVERY_S):
                    await self._stop.wait()

    async def _tend_index(self) -> None:
        """Let the index build its graphs when nobody has asked it for a while."""
        try:
            await self.parts.store.maintain()
        except Transient as error:
            log().warning("index maintenance waits", cause=error.cause)

    async def housekeep(self) -> int:
        """One round; returns how many blobs were swept. A full disk waits for the next round."""
        try:
            await self.parts.log.housekeep()
            keep = await self.parts.log.referenced_blobs()
            keep |= await asyncio.to_thread(audit.live_blobs, self.ledger_file)
            return await self.parts.blobs.sweep(keep, older_than_s=self.settings.retention.blob_grace_s)
        except Transient as error:
            log().warning("housekeeping waits", cause=error.cause)
            return 0


def _why_no_page(status: audit.DocumentStatus, page: int) -> str:
    if status.page_count is not None and page > status.page_count:
        return f"the document has {status.page_count:,}"
    if status.state in audit.UNSETTLED:
        return f"not read yet (the document is {status.state})"
    return f"nothing was read: {_why_no_document(status)}"


def _why_no_document(status: audit.DocumentStatus | None) -> str:
    """Why nothing of it can be shown, and what to do."""
    if status is None:
        return "there is no such document: folio status lists what there is"
    if status.state in audit.UNSETTLED:
        return f"it is {status.state}: ask again when it has been read"
    if status.state == "deleted":
        return "it was deleted: folio add puts it in again"
    why = status.detail or status.sentence
    return f"it is {status.state}{f': {why}' if why else ''}: add it again when that is mended"


async def _refill_empty_index(parts: Parts) -> bool:
    """An index without a single head is new, or was lost: either way it is filled from the start of `documents`.

    True when there is something to fill it with.
    """
    if (await parts.store.totals()).heads:
        return False
    await parts.log.rewind(parts.indexing.name, DOCUMENTS, 0)
    return await parts.log.lag(parts.indexing.name, DOCUMENTS) > 0


def _sweep_incoming(folder: Path) -> None:
    """Uploads that a killed owner had not acknowledged."""
    for path in folder.glob(f"{INCOMING}*"):
        path.unlink(missing_ok=True)


@asynccontextmanager
async def open_owner(settings: Settings) -> AsyncIterator[Owner]:
    """Own the data folder for as long as the context lasts. Raises Owned when somebody does already."""
    check_folder(settings.data)
    with owning(settings.data):
        _sweep_incoming(settings.data)
        async with open_parts(settings) as parts:
            await parts.ledger.rebuild(parts.log)
            filling = await _refill_empty_index(parts)
            owner = Owner(settings, parts)
            owner.filling = filling
            owner.start()
            try:
                yield owner
            finally:
                await owner.stop()
                if owner.failed.done():
                    owner.failed.exception()  # looked at: the door that waits for it reports it
