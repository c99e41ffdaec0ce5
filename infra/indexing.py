"""The index as one part: embedder, store and chunker, built from settings, and the stages that feed them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from chunking.lanes import Lanes
from chunking.revision import REVISION
from folio.blobs import Blobs
from folio.errors import FolioError
from folio.log import Log
from folio.records import ChunkSet
from folio.settings import Chunking, Settings
from folio.stage import Stage
from folio.topics import DOCUMENTS
from indexer.edge import EdgeStore
from indexer.embed_stage import embed_stage
from indexer.embedding import Embedder, open_embedder
from indexer.fusion import Weights
from indexer.generations import collection_name, generation_name
from indexer.search import Searcher
from indexer.sparse import VERSION as TOKENIZER
from indexer.stage import index_stage
from indexer.store import Store
from infra.places import INDEX_FOLDER


@dataclass(frozen=True, kw_only=True)
class Indexing:
    """One generation: the stages that write it, words first and then vectors, and what searches it."""

    generation: str
    embedder: Embedder
    store: Store
    searcher: Searcher
    words: Stage
    vectors: tuple[Stage, ...]
    """None where nothing has a vector."""
    opening: "asyncio.Task[None]"
    """Of the store. Await it before anything is asked of it: raises at once for an index that cannot be used."""


@asynccontextmanager
async def open_indexing(settings: Settings, blobs: Blobs) -> AsyncIterator[Indexing]:
    """The store opens meanwhile, in a process of its own if it is embedded."""
    at_once = settings.indexer.documents_at_once
    async with AsyncExitStack() as stack:
        embedder = open_indexer_embedder(settings)
        generation = generation_name(chunker_name(settings), embedder.name, TOKENIZER)
        store = open_store(settings, generation, embedder.dimension)
        chunker = open_chunker(settings, embedder)
        for closing in (embedder, store, chunker):
            stack.push_async_callback(closing.close)
        opening = asyncio.create_task(store.open())
        stack.push_async_callback(_ended, opening)
        words = index_stage(
            store, chunk=chunked_by(chunker), generation=generation, documents_at_once=at_once, blobs=blobs
        )
        vectors = embed_stage(store, embedder, generation=generation, documents_at_once=at_once)
        yield Indexing(
            generation=generation,
            embedder=embedder,
            store=store,
            searcher=Searcher(store, embedder, Weights(lexical=settings.indexer.lexical_weight)),
            words=words,
            vectors=(vectors,) if embedder.dimension else (),
            opening=opening,
        )


async def _ended(opening: "asyncio.Task[None]") -> None:
    """Before the store is closed; what it raised is for whoever awaited it."""
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)


async def refill_empty(indexing: Indexing, log: Log) -> bool:
    """An index without a single head is new, or was lost: either way it is filled from the start of `documents`.

    True when there is something to fill it with. While another worker feeds this index, that one has seen to it.
    """
    if (await indexing.store.totals()).heads:
        return False
    try:
        await log.rewind(indexing.words.name, DOCUMENTS, 0)
    except FolioError:
        return False
    return await log.lag(indexing.words.name, DOCUMENTS) > 0


def chunked_by(chunker: Lanes) -> Callable[[bytes], Awaitable[ChunkSet]]:
    """Chunking in its own processes. Their death under a document is that one's doing: the loop retries it alone."""

    async def chunk(value: bytes) -> ChunkSet:
        return ChunkSet.decode(await chunker.chunk(value))

    return chunk


def open_indexer_embedder(settings: Settings) -> Embedder:
    indexer = settings.indexer
    return open_embedder(indexer.embedder, threads=indexer.threads, batch_tokens=indexer.batch_tokens)


def open_store(settings: Settings, generation: str, dimension: int) -> Store:
    """A server, this process's memory, or the embedded index in a process of its own."""
    collection = collection_name(generation)
    if settings.indexer.url:
        from qdrant_client import QdrantClient  # takes 0.8 s to import

        from indexer.qdrant import QdrantStore

        client = QdrantClient(settings.indexer.url, api_key=settings.indexer.api_key or None)
        return QdrantStore(client, collection=collection, dimension=dimension, address=settings.indexer.url)
    if settings.indexer.store == "memory":
        from indexer.memory import MemoryStore

        return MemoryStore(dimension=dimension)
    return EdgeStore(settings.data / INDEX_FOLDER / collection, dimension=dimension)


def chunker_name(settings: Settings) -> str:
    """A chunker that cuts otherwise is another one, whose generation fills itself from `documents`."""
    chunking, usual = settings.chunking, Chunking()
    sizes = (chunking.tokens_max, chunking.context_tokens_max)
    is_usual = sizes == (usual.tokens_max, usual.context_tokens_max)
    return REVISION if is_usual else f"{REVISION} {sizes[0]} {sizes[1]}"


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
