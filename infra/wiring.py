"""Settings become objects, those that the roles of one process need: the only module that knows every class."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from folio.blobs import OWNER, Blobs
from folio.errors import FolioError, SettingsError
from folio.log import Log
from folio.settings import Settings
from folio.stage import Stage
from folio.topics import DEAD, PAGES, PAGES_BULK, PAGES_VERIFY, TEXTS
from infra.folder_blobs import FolderBlobs
from infra.passwords import Passwords
from infra.places import BLOBS_FOLDER, INCOMING, LEDGER_APART_FILE, LEDGER_FILE, LOG_FILE, LOG_OF_FILE, SCRATCH_FOLDER
from infra.quiet import Quiet
from infra.roles import ALL, API, EMBED, INDEX, INGEST, LEDGER, OCR
from infra.sqlite_log import SqliteLog
from infra.turn import INDEX_GROUP, Turn, in_turn
from ingest.announced import announcing
from ingest.fetch import Allowed, Fetcher
from ingest.lanes import Backlog
from ingest.sandbox import Limits, Sandbox
from ingest.stage import ingest_stage
from ledger.following import never
from ledger.rules import Timings
from ledger.stage import NAME, ONLY, Ledger, Role
from ledger.store import LedgerStore

if TYPE_CHECKING:  # imported when a role needs it: a second that the others do not wait for
    from indexer.embedding import Embedder
    from indexer.store import Store
    from infra.indexing import Indexing
    from infra.kafka_log import KafkaLog
    from ocr_stage.stage import OcrStage

LIMITS = frozenset(field.name for field in fields(Limits))


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What one process has open for its roles. What none of them needs is None."""

    roles: frozenset[str]
    log: Log
    blobs: Blobs
    sandbox: Sandbox
    passwords: Passwords
    ledger_file: Path
    ledger: Ledger | None
    turn: Turn | None
    """Where several ledgers may be, and this process would emit."""
    index_turn: Turn | None
    """Where several processes may be, and this one has an embedded index."""
    ocr: "OcrStage | None"
    index: "Indexing | None"
    stages: tuple[Stage, ...]
    """Those that this process runs."""

    @property
    def indexing(self) -> "Indexing":
        assert self.index is not None, "no role of this process has an index"
        return self.index

    @property
    def store(self) -> "Store":
        return self.indexing.store

    @property
    def embedder(self) -> "Embedder":
        return self.indexing.embedder

    @property
    def generation(self) -> str:
        return self.indexing.generation


@asynccontextmanager
async def open_parts(settings: Settings, roles: frozenset[str] = ALL) -> AsyncIterator[Parts]:
    """Build what these roles need; close it in the opposite order."""
    ledger_file = settings.data / (LEDGER_FILE if API in roles else LEDGER_APART_FILE)
    async with AsyncExitStack() as stack:
        blobs = await open_blobs(settings)
        _check_log_of(settings)
        index = await _open_index(stack, settings, blobs) if roles & {INDEX, EMBED, API} else None
        log = await open_log(stack, settings, blobs)
        ours = f"data folder {settings.data.resolve()}" if isinstance(log, SqliteLog) else await log.identity()
        if not isinstance(log, SqliteLog):
            _keep_log_of(settings, ours)
        if settings.blobs.url or settings.kafka.servers:
            await _claim(blobs, settings, ours)  # a folder inside of the data folder is nobody else's
        sandbox, passwords = Sandbox(limits(settings)), Passwords(are_read_here=INGEST in roles)
        stack.push_async_callback(sandbox.close)
        turn = Turn(log) if settings.kafka.servers and LEDGER in roles else None
        ledger = await _open_ledger(stack, settings, ledger_file, (log, blobs), turn) if roles & {LEDGER, API} else None
        index_turn = None
        if index is not None and INDEX in roles and settings.kafka.servers and not settings.indexer.url:
            index_turn = Turn(log, INDEX_GROUP + index.generation)
            index = _in_turn(index, index_turn)
        quiet = Quiet(log, rest_s=settings.ocr.quiet_s)
        ocr = _open_ocr(stack, settings, blobs, quiet) if OCR in roles else None
        reading = _ingest(settings, log, sandbox, blobs, passwords) if INGEST in roles else None
        people_wait_for = [
            *([reading] if reading else []),
            *([ocr.stage, ocr.bulk] if ocr else []),
            *([ledger.stage] if ledger else []),
            *([index.words] if index and INDEX in roles else []),
            *(index.vectors if index and EMBED in roles else ()),
        ]
        quiet.stages = people_wait_for
        yield Parts(
            roles=roles,
            log=log,
            blobs=blobs,
            sandbox=sandbox,
            passwords=passwords,
            ledger_file=ledger_file,
            ledger=ledger,
            turn=turn,
            index_turn=index_turn,
            ocr=ocr,
            index=index,
            stages=(*people_wait_for, *([ocr.verify] if ocr else [])),
        )


async def open_log(stack: AsyncExitStack, settings: Settings, blobs: Blobs) -> "SqliteLog | KafkaLog":
    if settings.kafka.servers:
        await asyncio.to_thread(import_module, "infra.kafka_log")  # a third of a second, while an index opens
        from infra.kafka_cluster import Cluster
        from infra.kafka_log import KafkaLog

        log = await stack.enter_async_context(KafkaLog.open(Cluster(**settings.kafka.model_dump())))
        await log.check()
        return log
    return await stack.enter_async_context(SqliteLog.open(settings.data / LOG_FILE, blobs, keep_s=kept_s(settings)))


async def _open_ledger(
    stack: AsyncExitStack, settings: Settings, file: Path, over: tuple[Log, Blobs], turn: Turn | None
) -> Ledger:
    """With the embedded log there is one. Else each file follows the log by itself, and one has the turn to emit."""
    store = LedgerStore(file)
    stack.push_async_callback(store.close)
    role = ONLY
    if settings.kafka.servers:
        role = Role(f"{NAME}-{await store.name()}", turn.is_ours if turn else never, follows=True)
    return Ledger(store, *over, Timings(**settings.ledger.model_dump()), role=role)


async def _open_index(stack: AsyncExitStack, settings: Settings, blobs: Blobs) -> "Indexing":
    from infra.indexing import open_indexing

    return await stack.enter_async_context(open_indexing(settings, blobs))


def _in_turn(index: "Indexing", turn: Turn) -> "Indexing":
    """Of several processes that have an embedded index one writes; its turn is for whoever runs it to watch over."""
    vectors = tuple(in_turn(stage, turn) for stage in index.vectors)
    return replace(index, words=in_turn(index.words, turn), vectors=vectors)


def _open_ocr(stack: AsyncExitStack, settings: Settings, blobs: Blobs, quiet: Quiet) -> "OcrStage":
    from infra.engines import open_engine, open_verifier, pages_at_once
    from ocr_stage.stage import OcrStage

    engine, verifier = open_engine(settings), open_verifier(settings)
    for closing in (engine, verifier):
        if closing is not None:
            stack.push_async_callback(closing.close)
    ocr = OcrStage(
        engine,
        blobs,
        keep_images=settings.ocr.keep_images,
        pages_at_once=pages_at_once(settings),
        quiet=quiet,
        verifier=verifier,
    )
    if settings.ocr.engine == "deepseek":
        ocr.let_end(settings.gpu.grace_s)
    return ocr


def _ingest(settings: Settings, log: Log, sandbox: Sandbox, blobs: Blobs, passwords: Passwords) -> Stage:
    backlog = Backlog(lambda: log.lag(OCR, PAGES), pages_max=settings.ingest.lane_pages_max)
    reading = ingest_stage(
        sandbox,
        blobs,
        verify_share=settings.ingest.verify_share,
        documents_at_once=settings.ingest.documents_at_once,
        password_of=passwords.of,
        lane_of=backlog.lane_of,
    )
    return announcing(reading, _fetcher(settings), blobs)


def _fetcher(settings: Settings) -> Fetcher | None:
    allowed = settings.ingest.fetch_allow
    if not allowed:
        return None
    bytes_max = settings.ingest.file_bytes_max
    return Fetcher(allowed=Allowed(allowed), bytes_max=bytes_max, folder=settings.data, prefix=INCOMING)


async def open_blobs(settings: Settings) -> Blobs:
    """A folder, here or on a shared disk, or an object store. Raises SettingsError when that one refuses us."""
    url = urlsplit(settings.blobs.url)
    if not url.scheme:
        return FolderBlobs(settings.data / BLOBS_FOLDER)
    if url.scheme == "file":
        return FolderBlobs(Path(unquote(url.path)))
    from infra.object_blobs import ObjectBlobs

    blobs = ObjectBlobs.at(settings.blobs.url, settings.data / SCRATCH_FOLDER)
    await blobs.check()
    return blobs


def _check_log_of(settings: Settings) -> None:
    """Raises SettingsError where the folder's ledger and index were made from a log of the other kind."""
    data, record = settings.data, settings.data / LOG_OF_FILE
    if settings.kafka.servers and (data / LOG_FILE).exists():
        raise SettingsError(
            f"{data} is the data folder of an embedded folio, whose documents Kafka does not have: choose another"
            " --data folder (FOLIO_DATA) for this one"
        )
    if not settings.kafka.servers and record.exists():
        raise SettingsError(
            f"{data} is a data folder of {record.read_text()}: set kafka.servers, or choose another --data folder"
        )


def _keep_log_of(settings: Settings, ours: str) -> None:
    """Raises SettingsError where the folder's ledger and index were made from another cluster or prefix."""
    record = settings.data / LOG_OF_FILE
    known = record.read_text() if record.exists() else ""
    if known and known != ours:
        raise SettingsError(
            f"{settings.data} is a data folder of {known}, and this is {ours}: choose another --data folder, or"
            " correct kafka.servers and kafka.prefix"
        )
    if not known:
        record.write_text(ours)


async def _claim(blobs: Blobs, settings: Settings, ours: str) -> None:
    """Raises SettingsError when the store is another folio's: each would sweep what only the other still needs."""
    found = await blobs.claim(ours)
    if found != ours:
        raise SettingsError(
            f"{settings.blobs.url or settings.data / BLOBS_FOLDER} keeps the files and pictures of another folio"
            f" ({found}), and each would delete what only the other needs: give this one ({ours}) a blobs.url of its"
            f" own, or delete the object {OWNER!r} there if that one is gone for good"
        )


def limits(settings: Settings) -> Limits:
    return Limits(**settings.ingest.model_dump(include=set(LIMITS)))


def kept_s(settings: Settings) -> dict[str, float]:
    kept = settings.retention
    images = {topic.name: kept.pages_s for topic in (PAGES, PAGES_BULK, PAGES_VERIFY)}
    return images | {TEXTS.name: kept.texts_s, DEAD.name: kept.dead_s}


def check_folder(folder: Path) -> None:
    """Raises FolioError when state cannot live there."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)  # an existing one is somebody's decision
    except OSError as error:
        raise FolioError(f"{folder}: cannot keep state here ({error.strerror}): choose another --data folder") from None
    if not os.access(folder, os.W_OK):
        raise FolioError(f"{folder}: not writable by this user: choose another --data folder")
