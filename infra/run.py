"""The owner: a process that people and programs talk to, about the documents of one data folder."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TypeVar

from folio.errors import Cause, FolioError, SettingsError, Transient
from folio.ids import TENANT_DEFAULT, doc_of
from folio.questions import Hit, Question
from folio.records import Document, PageText
from folio.settings import Settings
from folio.telemetry import log
from folio.topics import DOCUMENTS, PAGES, PAGES_BULK, PAGES_VERIFY, UPLOADS, Topic
from infra.dead import DeadLetters
from infra.intake import Intake, Unknown
from infra.lock import in_line, owning
from infra.pictures import Pictures
from infra.places import INCOMING, LEDGER_LOCK, REPLAYS_FOLDER
from infra.replays import Replays, reader_of
from infra.roles import ALL, INDEX, LEDGER
from infra.turn import GROUP as TURN_GROUP
from infra.wiring import Parts, check_folder, open_parts
from infra.working import StageStatus, Worker
from ledger import audit
from ledger.shown import document_of, shown, text_of

W = TypeVar("W", bound=Worker)
BEFORE_THE_LEDGER: dict[str, Sequence[Topic]] = {
    "ingest": (UPLOADS,),
    "ocr": (PAGES,),
    "ocr-bulk": (PAGES_BULK,),
    "ocr-verify": (PAGES_VERIFY,),
}
JOINING_S = 10.0
"""Once those that were killed are missed, joining takes a few seconds."""
ANOTHER_INDEX = (
    "another process writes an embedded index from this log, and each would get a part of the documents:"
    " stop that one, or set indexer.url to a Qdrant server that they share"
)
ANSWER_S = 5.0
"""How long the log may take to say what waits."""
FORGET_EVERY_S = 1.0
LOOKED_EVERY_S = 0.2
"""How often those who search look how far behind the index is."""
LOOK_S = 1.0
"""For so long the first of them waits for a log that does not say it."""


class Owner(Worker):
    """A worker with doors: its methods are what the API offers."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        super().__init__(settings, parts)
        assert parts.ledger is not None, "the API answers from a ledger"
        self.ledger_file = parts.ledger_file
        self.intake = Intake(
            parts.log,
            parts.blobs,
            self.ledger_file,
            group=parts.ledger.stage.name,
            file_bytes_max=settings.ingest.file_bytes_max,
            passwords=parts.passwords,
        )
        self.pictures = Pictures(self.ledger_file, parts.blobs, parts.sandbox)
        self.dead = DeadLetters(parts.log)
        self.replays = Replays(
            parts.log, settings.data / REPLAYS_FOLDER, partial(reader_of, parts.stages), pages_ocr=self._pages_ocr
        )
        self._behind = self._lacking = 0
        self._looked_s = -LOOKED_EVERY_S
        self._looking: asyncio.Task[None] | None = None
        self._unheard = False
        self._warming: asyncio.Task[None] | None = None

    def start(self) -> None:
        super().start()
        self.every(FORGET_EVERY_S, self._forget_passwords)
        self.replays.take_up()

    def warm(self) -> None:
        """Start early what takes seconds to start: the embedder."""
        self._warming = self.begin(self._warm())

    async def stop(self) -> None:
        if self._warming is not None:
            self._warming.cancel()  # loading a model takes many seconds, and nobody needs it any more
        if self._looking is not None:
            self._looking.cancel()
        await self.replays.close()
        await super().stop()

    async def stages(self) -> list[StageStatus]:
        """Those of other processes too, in the order of a page's way. Transient when the log does not say in time."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._stages()
        except TimeoutError:
            why = f"the log has not said within {ANSWER_S:.0f} s what waits; folio goes on by itself when it answers"
            raise Transient(Cause.LOG_DOWN, why) from None

    async def _stages(self) -> list[StageStatus]:
        here = {status.stage: status for status in await super().stages()}
        index = self.parts.indexing
        known = BEFORE_THE_LEDGER | {stage.name: stage.sources for stage in (index.words, *index.vectors)}
        elsewhere = {name: sources for name, sources in known.items() if name not in here}
        found = here | {name: await self._elsewhere(name, sources) for name, sources in elsewhere.items()}
        if LEDGER not in self.parts.roles:
            found[LEDGER] = await self._elsewhere(LEDGER, ())
        order = [*BEFORE_THE_LEDGER, *sorted(found.keys() - known.keys()), *known]
        return [found[name] for name in dict.fromkeys(order)]

    async def _elsewhere(self, name: str, sources: Sequence[Topic]) -> StageStatus:
        """A stage of other processes: one for which something waits, and that nobody runs, waits for a person."""
        lag = await self.lag(name, sources)
        group = TURN_GROUP if name == LEDGER else name
        missing = (lag > 0 or name == LEDGER) and not await self.parts.log.is_read(group)
        role = name.partition("-")[0]
        waits_for = f"no {role} process is at work: start folio run {role} (one that begins takes seconds)"
        return StageStatus(name, lag, ready=not missing, waits_for=waits_for if missing else "", here=False)

    async def search(self, question: Question) -> list[Hit]:
        await self._look()
        return await self.parts.indexing.searcher.search(question)

    async def _look(self) -> None:
        """How far the index is behind. A log that is away holds no answer up."""
        if self._looking is None and time.monotonic() - self._looked_s > LOOKED_EVERY_S:
            self._looking = asyncio.create_task(self._look_behind())
        if self._looking is not None:
            done, _ = await asyncio.wait({self._looking}, timeout=0 if self._unheard else LOOK_S)
            self._unheard = self._unheard or not done

    async def _look_behind(self) -> None:
        try:
            self._lacking = await asyncio.to_thread(audit.lacking, self.ledger_file, self.parts.indexing.generation)
            self._behind = await self.parts.log.lag(self.parts.indexing.words.name, DOCUMENTS)
            self._unheard = False
        except FolioError:
            self._unheard = True
        finally:
            self._looked_s, self._looking = time.monotonic(), None

    @property
    def search_note(self) -> str:
        """What whoever reads the answers should know about the index; empty when there is nothing to say."""
        notes = [self.parts.indexing.searcher.note]
        if self._unheard:
            notes.append("the log does not answer: what was put in of late may be missing")
        elif self._behind and self.filling:
            notes.append(
                f"the index for the embedder {self.parts.embedder.name} is being filled (waiting documents:"
                f" {self._behind:,}): ask again, or with the setting indexer.embedder that they were added with"
            )
        elif self._behind:
            notes.append(f"what was just read is not all in the index yet (waiting: {self._behind:,}): ask again")
        if self._lacking:
            chunks = "1 chunk is" if self._lacking == 1 else f"{self._lacking:,} chunks are"
            notes.append(f"{chunks} found by words only until embedded")
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

    async def idle(self) -> bool:
        """True when every entry of every topic was handled and nothing is due to be emitted."""
        if any(status.lag for status in await self.stages()):
            return False
        counts = audit.counts(self.ledger_file)
        return counts["settled"] == counts["documents"]

    def _pages_ocr(self, doc: str) -> int:
        status = audit.summary(self.ledger_file, doc)
        return status.pages_ocr if status is not None else 0

    async def _warm(self) -> None:
        try:
            await self.parts.embedder.warm()
        except Transient as error:
            log().warning("warming waits", cause=error.cause)

    async def _forget_passwords(self) -> None:
        if self.parts.passwords:
            await asyncio.to_thread(self.parts.passwords.forget_read, self.ledger_file)


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
    why = (status.detail or status.sentence).rstrip(".")
    return f"it is {status.state}{f': {why}' if why else ''}: add it again when that is mended"


def _sweep_incoming(folder: Path) -> None:
    """Uploads that a killed owner had not acknowledged."""
    for path in folder.glob(f"{INCOMING}*"):
        path.unlink(missing_ok=True)


@asynccontextmanager
async def open_owner(
    settings: Settings, roles: frozenset[str] = ALL, *, meanwhile: Callable[[], object] | None = None
) -> AsyncIterator[Owner]:
    """Own the data folder for as long as the context lasts. Raises Owned when somebody does already.

    `meanwhile` is called on another thread while the index opens and the log says whose turn it is.
    """
    check_folder(settings.data)
    with owning(settings.data):
        _sweep_incoming(settings.data)
        async with open_parts(settings, roles) as parts, _at_work(Owner(settings, parts), meanwhile) as owner:
            yield owner


@asynccontextmanager
async def open_worker(settings: Settings, roles: frozenset[str]) -> AsyncIterator[Worker]:
    """Stages alone, with no doors. Of ledgers over one folder each waits here until the one before has ended."""
    check_folder(settings.data)
    async with (
        in_line(settings.data / LEDGER_LOCK) if LEDGER in roles else nullcontext(),
        open_parts(settings, roles) as parts,
        _at_work(Worker(settings, parts)) as worker,
    ):
        yield worker


@asynccontextmanager
async def _at_work(worker: W, meanwhile: Callable[[], object] | None = None) -> AsyncIterator[W]:
    try:
        await _prepare(worker, meanwhile)
        worker.start()
        yield worker
    finally:
        await worker.stop()
        if worker.failed.done():
            worker.failed.exception()  # looked at: the door that waits for it reports it


async def _prepare(worker: Worker, meanwhile: Callable[[], object] | None) -> None:
    """What must be settled before the first entry is read."""
    parts = worker.parts
    if parts.index_turn is not None:
        worker.begin(parts.index_turn.run(worker.stopping))
    if meanwhile is not None:
        await asyncio.to_thread(meanwhile)
    if parts.index is not None:
        await parts.index.opening
    if parts.ledger is not None:
        await parts.ledger.rebuild(parts.log)
    if parts.index_turn is not None:
        session_s = worker.settings.kafka.session_timeout_s
        # One killed while it joined is taken in when the one killed before it is missed, and missed after that.
        if not await parts.index_turn.comes_within(2 * session_s + JOINING_S, otherwise=ANOTHER_INDEX):
            raise SettingsError(ANOTHER_INDEX)
        patience_s = session_s + JOINING_S
        worker.begin(parts.index_turn.keep(worker.stopping, patience_s=patience_s, otherwise=ANOTHER_INDEX))
    if INDEX in parts.roles:
        from infra.indexing import refill_empty  # imported by now, where it is needed

        worker.filling = await refill_empty(parts.indexing, parts.log)
