"""Settings become objects: the only module that knows every class."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from chunking.chunker import REVISION
from chunking.lanes import Lanes
from folio.child import cores
from folio.errors import FolioError
from folio.records import ChunkSet
from folio.settings import Settings
from folio.stage import Stage
from folio.topics import DEAD, PAGES, PAGES_BULK, TEXTS
from indexer.edge import EdgeStore
from indexer.embed_stage import embed_stage
from indexer.embedding import Embedder, open_embedder
from indexer.fusion import Weights
from indexer.generations import collection_name, generation_name
from indexer.search import Searcher
from indexer.sparse import VERSION as TOKENIZER
from indexer.stage import index_stage
from indexer.store import Store
from infra.folder_blobs import FolderBlobs
from infra.passwords import Passwords
from infra.places import BLOBS_FOLDER, INDEX_FOLDER, LEDGER_FILE, LOG_FILE
from infra.quiet import Quiet
from infra.sqlite_log import SqliteLog
from ingest.sandbox import Limits, Sandbox
from ingest.stage import ingest_stage
from ledger.rules import Timings
from ledger.stage import Ledger
from ledger.store import LedgerStore
from ocr_stage.engine import Engine, ScriptedEngine
from ocr_stage.rapid import RapidEngine
from ocr_stage.stage import OcrStage

LIMITS = frozenset(field.name for field in fields(Limits))


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything that runs in one owner process, open and ready."""

    log: SqliteLog
    blobs: FolderBlobs
    sandbox: Sandbox
    ledger: Ledger
    ocr: OcrStage
    embedder: Embedder
    store: Store
    searcher: Searcher
    generation: str
    passwords: Passwords
    indexing: Stage
    stages: tuple[Stage, ...]


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Build all parts for one data folder; close them in the opposite order."""
    folder = settings.data
    async with AsyncExitStack() as stack:
        blobs = FolderBlobs(folder / BLOBS_FOLDER)
        log = await stack.enter_async_context(SqliteLog.open(folder / LOG_FILE, blobs, keep_s=kept_s(settings)))
        sandbox = Sandbox(limits(settings))
        engine = open_engine(settings)
        embedder = open_indexer_embedder(settings)
        generation = generation_name(REVISION, embedder.name, TOKENIZER)
        store = open_store(settings, generation, embedder.dimension)
        ledger_store = LedgerStore(folder / LEDGER_FILE)
        chunker = open_chunker(settings, embedder)
        for closing in (sandbox, engine, embedder, store, ledger_store, chunker):
            stack.push_async_callback(closing.close)
        await store.open()  # an index that cannot be used is said at once, not at the first chunk
        ledger = Ledger(ledger_store, log, blobs, Timings(**settings.ledger.model_dump()))
        quiet = Quiet(log, rest_s=settings.ocr.quiet_s)
        ocr = open_ocr(settings, engine, blobs, quiet)
        passwords = Passwords()
        reading = ingest_stage(
            sandbox,
            blobs,
            verify_share=settings.ingest.verify_share,
            documents_at_once=settings.ingest.documents_at_once,
            password_of=passwords.of,
        )
        indexing = index_stage(
            store,
            chunk=chunked_by(chunker),
            generation=generation,
            documents_at_once=settings.indexer.documents_at_once,
            blobs=blobs,
        )
        embedding = open_embedding(settings, store, embedder, generation)
        quiet.stages = (reading, ocr.stage, ledger.stage, indexing, *embedding)
        yield Parts(
            log=log,
            blobs=blobs,
            sandbox=sandbox,
            ledger=ledger,
            ocr=ocr,
            embedder=embedder,
            store=store,
            searcher=Searcher(store, embedder, Weights(lexical=settings.indexer.lexical_weight)),
            generation=generation,
            passwords=passwords,
            indexing=indexing,
            stages=(reading, ocr.stage, ocr.bulk, ledger.stage, indexing, *embedding),
        )


def open_embedding(settings: Settings, store: Store, embedder: Embedder, generation: str) -> tuple[Stage, ...]:
    """The stage that gives chunks their vectors; none where nothing has one."""
    if not embedder.dimension:
        return ()
    at_once = settings.indexer.documents_at_once
    return (embed_stage(store, embedder, generation=generation, documents_at_once=at_once),)


def chunked_by(chunker: Lanes) -> Callable[[bytes], Awaitable[ChunkSet]]:
    """Chunking in its own processes. Their death under a document is that one's doing: the loop retries it alone."""

    async def chunk(value: bytes) -> ChunkSet:
        return ChunkSet.decode(await chunker.chunk(value))

    return chunk


def open_indexer_embedder(settings: Settings) -> Embedder:
    indexer = settings.indexer
    return open_embedder(indexer.embedder, threads=indexer.threads, batch_tokens=indexer.batch_tokens)


def limits(settings: Settings) -> Limits:
    return Limits(**settings.ingest.model_dump(include=set(LIMITS)))


def kept_s(settings: Settings) -> dict[str, float]:
    kept = settings.retention
    return {PAGES.name: kept.pages_s, PAGES_BULK.name: kept.pages_s, TEXTS.name: kept.texts_s, DEAD.name: kept.dead_s}


def open_ocr(settings: Settings, engine: Engine, blobs: FolderBlobs, quiet: Quiet) -> OcrStage:
    at_once = 2 * ocr_processes(settings)
    return OcrStage(engine, blobs, keep_images=settings.ocr.keep_images, pages_at_once=at_once, quiet=quiet)


def ocr_processes(settings: Settings) -> int:
    return settings.ocr.processes or cores()


def open_engine(settings: Settings) -> Engine:
    if settings.ocr.engine == "scripted":
        return ScriptedEngine()
    return RapidEngine(
        processes=ocr_processes(settings),
        edge_pixels=settings.ocr.edge_pixels,
        page_seconds_max=settings.ocr.page_seconds_max,
        layout=settings.ocr.layout,
    )


def open_store(settings: Settings, generation: str, dimension: int) -> Store:
    if settings.indexer.store == "memory":
        from indexer.memory import MemoryStore  # takes 0.8 s to import

        return MemoryStore(dimension=dimension)
    return EdgeStore(settings.data / INDEX_FOLDER / collection_name(generation), dimension=dimension)


def open_chunker(settings: Settings, embedder: Embedder) -> Lanes:
    return Lanes(
        {
            "tokenizer": embedder.tokenizer,
            "tokens_max": min(settings.chunking.tokens_max, embedder.tokens_max),
            "context_tokens_max": settings.chunking.context_tokens_max,
            "model": embedder.name,
        },
        seconds_max=settings.chunking.document_seconds_max,
    )


def check_folder(folder: Path) -> None:
    """Raises FolioError when state cannot live there."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)  # an existing one is somebody's decision
    except OSError as error:
        raise FolioError(f"{folder}: cannot keep state here ({error.strerror}): choose another --data folder") from None
    if not os.access(folder, os.W_OK):
        raise FolioError(f"{folder}: not writable by this user: choose another --data folder")
