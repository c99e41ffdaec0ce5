"""Search: what is asked for, what comes back, and never a mix; and our payload as the chatbot libraries read it."""

import math

import pytest

from folio.errors import Cause, FolioError
from folio.ids import Doc, chunk_id
from folio.records import BlockKind, Box, Chunk, ChunkSet, Filters, PageBox, Question
from indexer.embedding import HashEmbedder
from indexer.memory import MemoryStore
from indexer.payload import plain
from indexer.search import Searcher
from indexer.store import Asked, Head, Point, Where
from indexer.swap import swap

EMBEDDER = HashEmbedder()
REPORT = Doc("default/report.pdf")


def document(doc: Doc, *bodies: str, revision: int = 1, **facts) -> ChunkSet:
    chunks = tuple(
        Chunk(
            chunk_id=chunk_id(doc, body, 0),
            embed_hash=f"{doc}{body}",
            body=body,
            kind=BlockKind.TABLE,
            headings=("Annual report", "Costs"),
            pages=(3, 4),
            boxes=(PageBox(page=3, box=Box(x0=0.1, y0=0.2, x1=0.9, y1=1)),),
            order=order,
            flags=("table_split",),
        )
        for order, body in enumerate(bodies)
    )
    return ChunkSet(doc=doc, version=7, revision=revision, chunks=chunks, **facts)


def ask(words: str, *, k: int = 5, **filters) -> Question:
    return Question(question=words, k=k, filters=Filters(**filters))


@pytest.fixture
async def store():
    store = MemoryStore(dimension=EMBEDDER.dimension)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def searcher(store):
    return Searcher(store, EMBEDDER)


async def test_a_hit_names_document_version_pages_boxes_headings_and_gaps(store, searcher):
    await swap(store, EMBEDDER, document(REPORT, "heating costs 900", "staff", gaps={9: Cause.CORRUPT}))
    hit, _ = await searcher.search(ask("what are the heating costs"))
    assert (hit.text, hit.document, hit.version, hit.pages) == ("heating costs 900", "report.pdf", 7, (3, 4))
    assert hit.boxes == (PageBox(page=3, box=Box(x0=0.1, y0=0.2, x1=0.9, y1=1)),)
    assert hit.headings == ("Annual report", "Costs")
    assert hit.flags == ("table_split", "gap:9:corrupt")
    assert 0 < hit.score <= 1.0001


async def test_hits_come_best_first_and_no_more_than_asked_for(store, searcher):
    await swap(store, EMBEDDER, document(REPORT, "red apple", "red apple tree", "red car", "blue sea"))
    hits = await searcher.search(ask("red apple", k=3))
    assert hits[0].text == "red apple"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len(hits) == 3


async def test_a_tenant_and_a_document_see_only_their_own(store, searcher):
    await swap(store, EMBEDDER, document(REPORT, "secret"))
    await swap(store, EMBEDDER, document(Doc("default/other.pdf"), "secret too"))
    await swap(store, EMBEDDER, document(Doc("rival/report.pdf"), "secret of theirs"))
    assert {hit.text for hit in await searcher.search(ask("secret"))} == {"secret", "secret too"}
    assert {hit.text for hit in await searcher.search(ask("secret"), tenant="rival")} == {"secret of theirs"}
    assert {hit.text for hit in await searcher.search(ask("secret", documents=["report.pdf"]))} == {"secret"}
    assert await searcher.search(ask("secret", documents=["no such.pdf"])) == []


async def test_an_empty_index_answers_nothing(searcher):
    assert await searcher.search(ask("anything")) == []


async def test_what_cannot_be_asked_is_refused_in_words(searcher):
    with pytest.raises(FolioError, match="empty") as refused:
        await searcher.search(ask(" \n"))
    assert isinstance(refused.value, ValueError)


async def test_points_that_are_not_visible_yet_take_nobodys_place(store, searcher):
    await swap(store, EMBEDDER, document(REPORT, "red apple"))
    for n in range(5):
        rows = await EMBEDDER.documents(["red apple"])
        unborn = {
            "page_content": "unborn",
            "doc": "default/new.pdf",
            "tenant": "default",
            "revision": 1,
            "metadata": {},
        }
        await store.upsert([Point(f"00000000-0000-0000-0000-00000000000{n}", rows[0], unborn)])
    assert [hit.text for hit in await searcher.search(ask("red apple", k=2))] == ["red apple"]


async def test_a_head_that_never_rests_still_gets_an_answer_without_a_mix(store):
    class Restless:
        revision = 1

        def __getattr__(self, name):
            return getattr(store, name)

        async def heads(self, docs):
            self.revision += 1
            return {doc: Head(doc, self.revision, self.revision) for doc in docs}

    await swap(store, EMBEDDER, document(REPORT, "red apple"))
    asked = await EMBEDDER.query("red apple")
    assert (await Searcher(Restless(), EMBEDDER).nearest(Asked(asked, "apple"), Where("default"), limit=5)).every == []


async def test_a_quiet_document_costs_one_search_after_the_first_time(store):
    class Counting:
        searches = 0

        def __getattr__(self, name):
            return getattr(store, name)

        async def search(self, *args, **options):
            self.searches += 1
            return await store.search(*args, **options)

    counting = Counting()
    searcher = Searcher(counting, EMBEDDER)
    await swap(store, EMBEDDER, document(REPORT, "red apple"))
    for searches in (2, 3, 4):
        await searcher.search(ask("red"))
        assert counting.searches == searches
    await swap(store, EMBEDDER, document(REPORT, "green apple", revision=2))
    assert [hit.text for hit in await searcher.search(ask("apple"))] == ["green apple"]
    assert counting.searches == 6


async def test_a_producers_metadata_is_kept_and_replaces_nothing_of_ours(store):
    metadata = {"department": "R&D", "page": 99, "title": "The title", "huge": 1 << 80, "odd": [math.nan, {"x": None}]}
    await swap(store, EMBEDDER, document(REPORT, "text", metadata=metadata, name="Report 2026.pdf", uri="file:///r"))
    asked = await EMBEDDER.query("text")
    (found,) = (await store.search(Asked(asked), Where("default"), limit=1)).dense
    facts = found.payload["metadata"]
    assert (facts["department"], facts["page"], facts["title"]) == ("R&D", 3, "The title")
    assert (facts["source"], facts["uri"], facts["doc_id"]) == ("Report 2026.pdf", "file:///r", "report.pdf")
    assert (facts["huge"], facts["odd"]) == (str(1 << 80), ["nan", {"x": None}])


def test_plain_keeps_what_every_store_can_hold():
    assert plain({"a": (1, True, 0.5, None, "x"), 2: 1 << 63}) == {"a": [1, True, 0.5, None, "x"], "2": str(1 << 63)}


# The libraries that chatbots are built with, reading our collection as it stands. ----------------------


async def test_langchain_reads_the_collection_as_it_stands(store):
    from langchain_core.embeddings import Embeddings
    from langchain_qdrant import QdrantVectorStore
    from qdrant_client import models

    class Ours(Embeddings):
        def embed_documents(self, texts):
            return [EMBEDDER._embed(text).tolist() for text in texts]

        def embed_query(self, text):
            return EMBEDDER._embed(text).tolist()

    await swap(store, EMBEDDER, document(REPORT, "heating costs 900", "staff"))
    reader = QdrantVectorStore(client=store.client, collection_name=store.collection, embedding=Ours())
    on_page = models.Filter(
        must=[models.FieldCondition(key="metadata.page", match=models.MatchValue(value=3))],
    )
    found = reader.similarity_search("heating costs", k=1, filter=on_page)
    assert found[0].page_content == "heating costs 900"
    assert found[0].metadata["source"] == "report.pdf"
    assert found[0].metadata["page"] == 3
    assert found[0].metadata["boxes"] == [[3, 0.1, 0.2, 0.9, 1.0]]


async def test_llama_index_reads_the_collection_with_its_text_key(store):
    from llama_index.core.vector_stores import VectorStoreQuery
    from llama_index.vector_stores.qdrant import QdrantVectorStore

    await swap(store, EMBEDDER, document(REPORT, "heating costs 900", "staff"))
    reader = QdrantVectorStore(
        collection_name=store.collection, client=store.client, text_key="page_content", dense_vector_name=""
    )
    asked = (await EMBEDDER.query("heating costs")).tolist()
    found = reader.query(VectorStoreQuery(query_embedding=asked, similarity_top_k=1))
    assert found.nodes[0].get_content() == "heating costs 900"
    assert found.nodes[0].metadata["metadata"]["page"] == 3
