"""The stage `index-GENERATION`: a Document becomes chunks, they take their predecessors' place, a Receipt says so.

They are found by their words from then on; `embed-GENERATION` gives those that are new their vectors.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial

from folio.blobs import Blobs
from folio.errors import Cause, Gone, Permanent
from folio.faults import effect
from folio.ids import Doc
from folio.log import Entry, Record
from folio.outputs import Output
from folio.records import REVISION, ChunkSet, Receipt, revision_of
from folio.stage import Stage
from folio.topics import DOCUMENTS, RECEIPTS
from indexer.store import Store
from indexer.swap import Swapped, swap, take_back

BLOB_HEADER = "folio-blob"
PREFIX = "index-"

ToChunks = Callable[[bytes], Awaitable[ChunkSet]]


def index_stage(
    store: Store,
    *,
    chunk: ToChunks,
    generation: str,
    documents_at_once: int,
    blobs: Blobs | None = None,
) -> Stage:
    """Compose chunking with the swap; `blobs` holds the documents that are too large for the log."""
    return Stage(
        name=PREFIX + generation,
        sources=(DOCUMENTS,),
        process=partial(_index, store, partial(_chunked, chunk, blobs), generation),
        key_order=True,
        entries_max=documents_at_once,
        undo=partial(_take_back, store),
    )


async def _index(
    store: Store,
    chunked: Callable[[Entry], Awaitable[ChunkSet]],
    generation: str,
    entry: Entry,
) -> AsyncGenerator[Output, None]:
    """The receipt is appended only after the store has said that the swap survives a power cut."""
    chunks = await chunked(entry)
    swapped = await swap(store, chunks)
    with effect("indexer.flush"):
        await store.flush()
    receipt = _receipt(chunks, swapped, generation)
    yield RECEIPTS, receipt_record(receipt)


def receipt_record(receipt: Receipt) -> Record:
    """The revision in a header, so that a dead letter about it can be told from one about another revision."""
    return Record(key=receipt.doc, value=receipt.encode(), headers={REVISION: str(receipt.revision)})


async def _chunked(chunk: ToChunks, blobs: Blobs | None, entry: Entry) -> ChunkSet:
    sha256 = entry.headers.get(BLOB_HEADER)
    if not sha256:
        return await chunk(entry.value)
    if blobs is None:
        raise Permanent(Cause.SCHEMA_INVALID, f"the document lies in blob {sha256}, and this stage has no blobs")
    try:
        return await chunk(await blobs.get(sha256))
    except Gone as error:
        raise Permanent(Cause.SCHEMA_INVALID, f"the document's blob {sha256} is gone") from error


async def _take_back(store: Store, entry: Entry) -> None:
    """The header tells the revision: what is in the record may be what killed us."""
    if revision := revision_of(entry):
        await take_back(store, Doc(entry.key), revision)


def _receipt(chunks: ChunkSet, swapped: Swapped, generation: str) -> Receipt:
    return Receipt(
        doc=chunks.doc,
        version=chunks.version,
        revision=chunks.revision,
        generation=generation,
        chunks=swapped.chunks,
        lacking=swapped.lacking,
        manifest=swapped.manifest,
        outcome=swapped.outcome,
        complete=chunks.complete,
        indexed_ms=time.time_ns() // 1_000_000,
    )
