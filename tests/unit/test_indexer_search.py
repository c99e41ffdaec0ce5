"""Search: what is asked for, what comes back, and never a mix; and our payload as the chatbot libraries read it."""

import math

import pytest

from folio.errors import Cause, FolioError
from folio.ids import Doc, chunk_id
from folio.questions import Filters, Question
from folio.records import BlockKind, Box, Chunk, ChunkSet, PageBox
from indexer.context import SECTION_CHARS_MAX
from indexer.embedding import HashEmbedder, Unembeddable, open_embedder
from indexer.fusion import Weights, fused
from indexer.memory import MemoryStore
from indexer.payload import plain
from indexer.search import Searcher
from indexer.sparse import query_vector
from indexer.store import Asked, Found, Head, Point, Scored, Where
from tests.indexed import indexed

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


def ask(words: str, *, k: int = 5, mode: str = "hybrid", **filters) -> Question:
    return Question(question=words, k=k, mode=mode, filters=Filters(**filters))


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
    await indexed(store, EMBEDDER, document(REPORT, "heating costs 900", "staff", gaps={9: Cause.CORRUPT}))
    hit, _ = await searcher.search(ask("what are the heating costs"))
    assert (hit.text, hit.document, hit.version, hit.pages) == ("heating costs 900", "report.pdf", 7, (3, 4))
    assert hit.boxes == (PageBox(page=3, box=Box(x0=0.1, y0=0.2, x1=0.9, y1=1)),)
    assert hit.headings == ("Annual report", "Costs")
    assert hit.flags == ("table_split", "gap:9:corrupt")
    assert (hit.kind, hit.chunk_id) == (BlockKind.TABLE, chunk_id(REPORT, "heating costs 900", 0))
    assert 0 < hit.score <= 1.0001


async def test_hits_come_best_first_and_no_more_than_asked_for(store, searcher):
    await indexed(store, EMBEDDER, document(REPORT, "red apple", "red apple tree", "red car", "blue sea"))
    hits = await searcher.search(ask("red apple", k=3))
    assert hits[0].text == "red apple"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len(hits) == 3


async def test_a_tenant_and_a_document_see_only_their_own(store, searcher):
    await indexed(store, EMBEDDER, document(REPORT, "secret"))
    await indexed(store, EMBEDDER, document(Doc("default/other.pdf"), "secret too"))
    await indexed(store, EMBEDDER, document(Doc("rival/report.pdf"), "secret of theirs"))
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
    await indexed(store, EMBEDDER, document(REPORT, "red apple"))
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

    await indexed(store, EMBEDDER, document(REPORT, "red apple"))
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
    await indexed(store, EMBEDDER, document(REPORT, "red apple"))
    for searches in (2, 3, 4):
        await searcher.search(ask("red"))
        assert counting.searches == searches
    await indexed(store, EMBEDDER, document(REPORT, "green apple", revision=2))
    assert [hit.text for hit in await searcher.search(ask("apple"))] == ["green apple"]
    assert counting.searches == 6


async def test_a_producers_metadata_is_kept_and_replaces_nothing_of_ours(store):
    metadata = {"department": "R&D", "page": 99, "title": "The title", "huge": 1 << 80, "odd": [math.nan, {"x": None}]}
    await indexed(store, EMBEDDER, document(REPORT, "text", metadata=metadata, name="Report 2026.pdf", uri="file:///r"))
    asked = await EMBEDDER.query("text")
    (found,) = (await store.search(Asked(asked), Where("default"), limit=1)).dense
    facts = (await store.payloads([found.id]))[found.id]["metadata"]
    assert (facts["department"], facts["page"], facts["title"]) == ("R&D", 3, "The title")
    assert (facts["source"], facts["uri"], facts["doc_id"]) == ("Report 2026.pdf", "file:///r", "report.pdf")
    assert (facts["huge"], facts["odd"]) == (str(1 << 80), ["nan", {"x": None}])


async def test_a_hit_carries_the_producers_metadata_and_nothing_of_ours(store, searcher):
    metadata = {"department": "R&D", "page": 99, "title": "The title"}
    await indexed(store, EMBEDDER, document(REPORT, "text", metadata=metadata, name="Report 2026.pdf", uri="file:///r"))
    (hit,) = await searcher.search(ask("text"))
    assert hit.metadata == metadata
    assert (hit.source, hit.uri, hit.pages) == ("Report 2026.pdf", "file:///r", (3, 4))


async def test_filters_are_what_may_be_found(store, searcher):
    for number, team in enumerate(("law", "sales"), start=1):
        facts = {"metadata": {"team": team}, "name": f"{team}.pdf", "version": number * 1_000_000}
        one = document(Doc(f"default/{team}"), f"text of {team}").model_copy(update=facts)
        await indexed(store, EMBEDDER, one)
    for filters in (
        {"metadata": {"team": "law"}},
        {"sources": ["law.pdf"]},
        {"until_ms": 1500},
        {"documents": ["law"]},
    ):
        assert [hit.text for hit in await searcher.search(ask("text", **filters))] == ["text of law"], filters
    assert await searcher.search(ask("text", kinds=["code"])) == []
    assert len(await searcher.search(ask("text", kinds=["table"], page_first=4, since_ms=1000))) == 2


# Dense, lexical, both -----------------------------------------------------------------------------------


class Blind(HashEmbedder):
    """Sees no difference between texts: whatever is found is found by its words."""

    def _embed(self, text):
        return super()._embed("the same for all")


async def test_words_find_what_the_vectors_do_not_see(store):
    many = [f"text {n} of many" for n in range(70)]
    await indexed(store, Blind(), document(REPORT, *many[:35], "part INV-2024-001", "保修期两年", *many[35:]))
    searcher = Searcher(store, Blind())
    for question, text in (("inv-2024-001", "part INV-2024-001"), ("保修期多久", "保修期两年")):
        assert (await searcher.search(ask(question)))[0].text == text
        assert (await searcher.search(ask(question, mode="lexical")))[0].text == text
        assert text not in [hit.text for hit in await searcher.search(ask(question, mode="dense"))]


class Brief(HashEmbedder):
    """Reads questions of a few words only."""

    async def query(self, text: str):
        if len(text.split()) > 5:
            raise Unembeddable(0, "too long")
        return await super().query(text)


async def test_a_question_longer_than_the_model_reads_is_answered_by_its_words(store):
    await indexed(store, EMBEDDER, document(REPORT, "part INV-2024-001", "other text"))
    searcher = Searcher(store, Brief())
    long = "which of the many parts in the store is inv-2024-001"
    assert (await searcher.search(ask(long)))[0].text == "part INV-2024-001"
    with pytest.raises(Unembeddable):
        await searcher.search(ask(long, mode="dense"))


async def test_what_both_lists_have_comes_first_and_says_why(store, searcher):
    await indexed(store, EMBEDDER, document(REPORT, "green apple tree", "apple", "a pump seal", "sea"))
    best, *_ = await searcher.search(ask("green apple?").model_copy(update={"explain": True}))
    why = best.explanation
    assert (best.text, why.dense_rank, why.lexical_rank, why.terms) == ("green apple tree", 1, 1, ("green", "apple"))
    assert best.score == pytest.approx(3 / 61), "first in both lists, of which the lexical one counts twice"
    assert 0 < why.dense_score < 1 < why.lexical_score
    last = (await searcher.search(ask("green apple?").model_copy(update={"explain": True})))[-1].explanation
    assert (last.lexical_rank, last.lexical_score, last.terms) == (None, None, ())
    assert last.dense_rank == 4


async def test_a_single_list_keeps_its_own_scores(store, searcher):
    await indexed(store, EMBEDDER, document(REPORT, "green apple", "apple pie"))
    dense = await searcher.search(ask("green apple", mode="dense"))
    lexical = await searcher.search(ask("green apple", mode="lexical").model_copy(update={"explain": True}))
    assert dense[0].score == pytest.approx(1, abs=1e-5)
    assert dense[0].explanation is None
    assert [hit.explanation.lexical_rank for hit in lexical] == [1, 2]
    assert lexical[0].explanation.dense_rank is None


async def test_weights_decide_between_the_lists(store):
    a, b, c = (Scored(name, 0.5, REPORT, 1) for name in "abc")
    found = Found([a, b], [b, c])
    orders = {w: "".join(one.point.id for one in fused(found, Weights(1, w), both=True)) for w in (0.0, 1.0, 9.0)}
    assert orders == {0.0: "abc", 1.0: "bac", 9.0: "bca"}


async def test_without_an_embedder_words_are_enough_and_meaning_is_refused_in_words():
    store, none = MemoryStore(dimension=0), open_embedder("none", threads=0, batch_tokens=1)
    await store.open()
    swapped = await indexed(store, none, document(REPORT, "heating costs 900", "staff"))
    assert (swapped.outcome, swapped.chunks, swapped.lacking) == ("visible", 2, 0)
    searcher = Searcher(store, none)
    for mode in ("hybrid", "lexical"):
        assert [hit.text for hit in await searcher.search(ask("the heating", mode=mode))] == ["heating costs 900"]
    with pytest.raises(FolioError, match=r"no vectors.*hybrid or lexical"):
        await searcher.search(ask("costs", mode="dense"))
    assert "by their words" in searcher.note
    assert (await indexed(store, none, document(REPORT, "staff", revision=2))).outcome == "visible"
    assert await searcher.search(ask("heating")) == []
    await store.close()


async def test_the_same_question_is_embedded_once(store):
    class Counting(HashEmbedder):
        questions = 0

        async def query(self, text):
            self.questions += 1
            return await super().query(text)

    embedder = Counting()
    await indexed(store, embedder, document(REPORT, "red apple"))
    searcher = Searcher(store, embedder)
    for _ in range(3):
        assert await searcher.search(ask("red apple"))
    assert embedder.questions == 1
    await searcher.search(ask("apple", mode="lexical"))
    assert embedder.questions == 1


# What stands around a hit --------------------------------------------------------------------------------


async def test_neighbours_and_the_section_come_with_a_hit(store, searcher):
    one = document(REPORT, "alpha", "beta", "gamma", "delta", "epsilon")
    sections = tuple(chunk.model_copy(update={"section": chunk.order // 3}) for chunk in one.chunks)
    await indexed(store, EMBEDDER, one.model_copy(update={"chunks": sections}))
    await indexed(store, EMBEDDER, document(Doc("default/other"), "elsewhere"))

    async def found(word, **asked):
        return (await searcher.search(ask(word, k=1).model_copy(update=asked)))[0]

    plain = await found("gamma")
    assert (plain.before, plain.after, plain.section) == ("", "", "")
    near = await found("gamma", neighbours=1)
    assert (near.before, near.text, near.after, near.section) == ("beta", "gamma", "delta", "")
    both = await found("gamma", neighbours=9, section=True)
    assert (both.before, both.after, both.section) == ("alpha\n\nbeta", "delta\n\nepsilon", "alpha\n\nbeta\n\ngamma")
    first, last = await found("alpha", neighbours=2), await found("epsilon", section=True)
    assert (first.before, first.after, last.section) == ("", "beta\n\ngamma", "delta\n\nepsilon")


async def test_a_long_section_is_bounded_around_its_hit(store, searcher):
    await indexed(
        store, EMBEDDER, document(REPORT, *(f"{n} " + "word " * 300 for n in range(40)), "needle", "after it")
    )
    (hit,) = await searcher.search(ask("needle", k=1).model_copy(update={"section": True}))
    assert SECTION_CHARS_MAX / 2 < len(hit.section) <= SECTION_CHARS_MAX
    assert hit.section.endswith("needle\n\nafter it")


async def test_every_hit_has_its_own_neighbours(store, searcher):
    for name in ("a", "b", "c"):
        await indexed(
            store, EMBEDDER, document(Doc(f"default/{name}"), f"before {name}", f"needle {name}", f"after {name}")
        )
    hits = await searcher.search(
        ask("needle", k=3, mode="lexical").model_copy(update={"neighbours": 1, "section": True})
    )
    assert sorted((hit.document, hit.before, hit.after) for hit in hits) == [
        (name, f"before {name}", f"after {name}") for name in ("a", "b", "c")
    ]
    assert all(f"before {hit.document}" in hit.section for hit in hits)


async def test_a_document_that_moves_while_its_neighbours_are_fetched_is_asked_for_again(store):
    class Moving:
        moves = 1

        def __getattr__(self, name):
            return getattr(store, name)

        async def passages(self, stretches):
            if self.moves:
                self.moves -= 1
                await indexed(store, EMBEDDER, document(REPORT, "new before", "needle", "new after", revision=2))
            return await store.passages(stretches)

    await indexed(store, EMBEDDER, document(REPORT, "old before", "needle", "old after"))
    searcher = Searcher(Moving(), EMBEDDER)
    (hit,) = await searcher.search(ask("needle", k=1).model_copy(update={"neighbours": 1}))
    assert (hit.before, hit.after) == ("new before", "new after")


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

    await indexed(store, EMBEDDER, document(REPORT, "heating costs 900", "staff"))
    reader = QdrantVectorStore(client=store.client, collection_name=store.collection, embedding=Ours())
    on_page = models.Filter(
        must=[models.FieldCondition(key="metadata.page", match=models.MatchValue(value=3))],
    )
    found = reader.similarity_search("heating costs", k=1, filter=on_page)
    assert found[0].page_content == "heating costs 900"
    assert found[0].metadata["source"] == "report.pdf"
    assert found[0].metadata["page"] == 3
    assert found[0].metadata["boxes"] == [[3, 0.1, 0.2, 0.9, 1.0]]


async def test_langchain_searches_both_lists_of_the_collection(store):
    from langchain_core.embeddings import Embeddings
    from langchain_qdrant import QdrantVectorStore, RetrievalMode, SparseEmbeddings, SparseVector

    class Ours(Embeddings):
        def embed_documents(self, texts):
            return [Blind()._embed(text).tolist() for text in texts]

        def embed_query(self, text):
            return Blind()._embed(text).tolist()

    class OurWords(SparseEmbeddings):
        def embed_documents(self, texts):
            return [self.embed_query(text) for text in texts]

        def embed_query(self, text):
            indices, values = query_vector(text)
            return SparseVector(indices=indices, values=values)

    await indexed(store, Blind(), document(REPORT, *(f"text {n}" for n in range(20)), "invoice INV-2024-001"))
    reader = QdrantVectorStore(
        client=store.client,
        collection_name=store.collection,
        embedding=Ours(),
        sparse_embedding=OurWords(),
        sparse_vector_name="bm25",
        retrieval_mode=RetrievalMode.HYBRID,
    )
    assert reader.similarity_search("inv-2024-001", k=1)[0].page_content == "invoice INV-2024-001"


async def test_llama_index_reads_the_collection_with_its_text_key(store):
    from llama_index.core.vector_stores import VectorStoreQuery
    from llama_index.vector_stores.qdrant import QdrantVectorStore

    await indexed(store, EMBEDDER, document(REPORT, "heating costs 900", "staff"))
    reader = QdrantVectorStore(
        collection_name=store.collection, client=store.client, text_key="page_content", dense_vector_name=""
    )
    asked = (await EMBEDDER.query("heating costs")).tolist()
    found = reader.query(VectorStoreQuery(query_embedding=asked, similarity_top_k=1))
    assert found.nodes[0].get_content() == "heating costs 900"
    assert found.nodes[0].metadata["metadata"]["page"] == 3
