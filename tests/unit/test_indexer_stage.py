"""The index stage: a Document in, a Receipt out, whatever lies where."""

from contextlib import asynccontextmanager

import pytest

from folio.errors import Cause, Gone, Permanent, Transient
from folio.ids import Doc, chunk_id, sha256
from folio.log import Entry, Position
from folio.records import Chunk, ChunkSet, Document, PageText, Receipt, Source
from folio.topics import DOCUMENTS, RECEIPTS
from indexer.embedding import HashEmbedder
from indexer.memory import MemoryStore
from indexer.stage import index_stage
from indexer.store import Head

DOC = Doc("default/a.pdf")
EMBEDDER = HashEmbedder()


class Shelf:
    """Blobs in a dictionary."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = {sha256(content): content for content in contents}

    async def get(self, sha256: str) -> bytes:
        try:
            return self.contents[sha256]
        except KeyError:
            raise Gone(sha256) from None


async def a_chunk_a_page(value: bytes) -> ChunkSet:
    document = Document.unpack(value)
    chunks = tuple(
        Chunk(
            chunk_id=chunk_id(document.doc, page.markdown, 0),
            embed_hash=sha256(page.markdown.encode()),
            body=page.markdown,
            pages=(page.page,),
        )
        for page in document.pages
    )
    facts = document.model_dump(include={"doc", "version", "revision", "complete", "deleted"})
    return ChunkSet(**facts, chunks=chunks)


def document(*texts: str, revision: int = 1, deleted: bool = False) -> bytes:
    pages = tuple(
        PageText(doc=DOC, version=5, page=number, source=Source.OCR, markdown=text)
        for number, text in enumerate(texts, start=1)
    )
    return Document(doc=DOC, version=5, revision=revision, pages=pages, complete=True, deleted=deleted).pack()


def entry(value: bytes, **headers: str) -> Entry:
    named = {name.replace("_", "-"): header for name, header in headers.items()}
    return Entry(Position(DOCUMENTS.name, 0, 0), DOC, value, named, appended_ms=1)


@asynccontextmanager
async def stage_with(store=None, *, blobs=None):
    used = store or MemoryStore(dimension=EMBEDDER.dimension)
    await used.open()
    yield index_stage(used, chunk=a_chunk_a_page, generation="g1", documents_at_once=3, blobs=blobs)
    await used.close()


async def run(stage, given: Entry) -> Receipt:
    outputs = [output async for output in stage.process(given)]
    ((topic, record),) = outputs
    assert (topic, record.key) == (RECEIPTS, DOC)
    return Receipt.decode(record.value)


async def test_a_document_gives_a_receipt_that_says_what_was_done():
    async with stage_with() as stage:
        receipt = await run(stage, entry(document("one", "two")))
        assert (receipt.doc, receipt.version, receipt.revision, receipt.generation) == (DOC, 5, 1, "g1")
        assert (receipt.outcome, receipt.chunks, receipt.lacking, receipt.complete) == ("visible", 2, 2, True)
        assert len(receipt.manifest) == 64
        assert receipt.indexed_ms > 1_700_000_000_000
        again = await run(stage, entry(document("one", "two", revision=2)))
        assert (again.outcome, again.lacking, again.manifest) == ("unchanged", 2, receipt.manifest)
        gone = await run(stage, entry(document(revision=3, deleted=True)))
        assert (gone.outcome, gone.chunks) == ("deleted", 0)


async def test_the_stage_keeps_the_order_of_a_documents_revisions_and_is_its_own_group():
    async with stage_with() as stage:
        assert (stage.name, stage.sources, stage.key_order, stage.entries_max) == ("index-g1", (DOCUMENTS,), True, 3)


async def test_a_document_too_large_for_the_log_is_read_from_its_blob():
    value = document("one", "two")
    async with stage_with(blobs=Shelf(value)) as stage:
        assert (await run(stage, entry(b"", folio_blob=sha256(value)))).chunks == 2


class Torn(MemoryStore):
    """Takes points, and never the head that would make them visible."""

    torn = True

    async def raise_head(self, head: Head, *, over: int | None = None) -> None:
        if self.torn:
            raise Permanent(Cause.INTERNAL, "torn")
        await super().raise_head(head, over=over)


async def test_a_revision_that_is_given_up_leaves_no_points_and_can_be_put_in_again():
    store = Torn(dimension=EMBEDDER.dimension)
    async with stage_with(store) as stage:
        store.torn = False
        await run(stage, entry(document("one", "two")))
        store.torn = True
        given = entry(document("three", "four", revision=2), folio_revision="2")
        with pytest.raises(Permanent):
            await run(stage, given)
        assert (await store.totals()).points == 4
        assert stage.undo is not None
        await stage.undo(given)
        assert (await store.totals()).points == 2
        assert await store.count(DOC, 1) == 2
        await stage.undo(entry(b"", folio_revision="none"))
        store.torn = False
        assert (await run(stage, given)).outcome == "visible"
        assert (await store.totals()).points == 2


@pytest.mark.parametrize("blobs", [None, Shelf()])
async def test_a_blob_that_is_not_there_is_a_named_failure(blobs):
    async with stage_with(blobs=blobs) as stage:
        with pytest.raises(Permanent) as refused:
            await run(stage, entry(b"", folio_blob=sha256(b"elsewhere")))
        assert refused.value.cause is Cause.SCHEMA_INVALID


async def test_no_receipt_before_the_store_has_flushed():
    class Unflushed(MemoryStore):
        async def flush(self) -> None:
            raise Transient(Cause.DISK_FULL)

    async with stage_with(Unflushed(dimension=EMBEDDER.dimension)) as stage:
        with pytest.raises(Transient):
            await run(stage, entry(document("one")))
