"""The Store port's promises, the same for every adapter: embedded, memory, and a server where one answers."""

import os
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from folio.errors import Permanent
from folio.ids import Doc, point_id, tenant_of
from folio.questions import Filters
from folio.records import BlockKind
from indexer.conditions import facts_of
from indexer.edge import EdgeStore
from indexer.memory import MemoryStore
from indexer.qdrant import QdrantStore
from indexer.store import Asked, Head, Point, Scored, Store, Stretch, Totals, Where

A, B = Doc("default/a"), Doc("default/b")
OTHER = Doc("other/a")
DIMENSION = 4
FILTERED: list[tuple[dict[str, Any], str]] = [
    ({"sources": ("a.pdf",)}, "ab"),
    ({"sources": ("file:///c", "a.pdf")}, "abc"),
    ({"page_first": 2}, "bc"),
    ({"page_last": 1}, "ab"),
    ({"page_first": 2, "page_last": 2}, "b"),
    ({"page_first": 5}, ""),
    ({"kinds": (BlockKind.TABLE, BlockKind.CODE)}, "bc"),
    ({"since_ms": 2000}, "bc"),
    ({"until_ms": 2000}, "ab"),
    ({"since_ms": 1001, "until_ms": 2999}, "b"),
    ({"metadata": {"team": "R&D"}}, "ab"),
    ({"metadata": {"year": "2024"}}, "a"),
    ({"metadata": {"year": 2025.0}}, "b"),
    ({"metadata": {"deep.inner key": "x"}}, "c"),
    ({"metadata": {"tags": "two", "team": "R&D"}}, "a"),
    ({"metadata": {"done": True}}, "c"),
    ({"metadata": {"no such": 1}}, ""),
    ({"kinds": (BlockKind.TABLE,), "page_last": 3, "metadata": {"team": "R&D"}}, "b"),
]


def server(dimension: int = DIMENSION) -> QdrantStore:
    url = os.environ.get("FOLIO_QDRANT_URL")
    if not url:
        pytest.skip("not run: FOLIO_QDRANT_URL names no server")
    from qdrant_client import QdrantClient

    return QdrantStore(QdrantClient(url=url), collection=f"contract-{uuid.uuid4().hex[:8]}", dimension=dimension)


async def dropped(store: QdrantStore) -> None:
    for collection in (store.collection, f"{store.collection}__heads"):
        store.client.delete_collection(collection)
    await store.close()


def vector(*numbers: float) -> np.ndarray:
    row = np.zeros(DIMENSION, np.float32)
    row[: len(numbers)] = numbers
    return row / np.linalg.norm(row)


def point(doc: Doc, chunk: str, revision: int, *numbers: float, text: str = "", **facts: Any) -> Point:
    payload = {
        "page_content": text or f"text of {chunk} 正文",
        "metadata": {"page": 1, "pages": [1], "boxes": [[1, 0.0, 0.1, 0.5, 1.0]], "nothing": None, **facts},
        "facts": facts_of(facts),
        "doc": doc,
        "tenant": tenant_of(doc),
        "revision": revision,
        "chunk_id": chunk,
        "embed_hash": f"hash of {chunk}",
    }
    return Point(point_id(f"{doc}{chunk}", revision), vector(*(numbers or (1.0,))), payload)


def bare(whole: Point) -> Point:
    """Without its vector."""
    return replace(whole, vector=None)


async def chunks_of(store: Store, hits: Sequence[Scored]) -> list[str]:
    """The chunks behind hits, in their order."""
    kept = await store.payloads([hit.id for hit in hits])
    return [kept[hit.id]["chunk_id"] for hit in hits]


class StoreContract:
    """What swap.py and search.py rely on."""

    async def test_an_unknown_document_has_no_head(self, store: Store):
        assert await store.heads([A]) == {}
        assert await store.heads([]) == {}

    async def test_a_head_is_read_as_it_was_written(self, store: Store):
        head = Head(A, 3, 3, manifest="m", chunks=7, version=1_790_000_000_000_123, deleted=True)
        await store.raise_head(head)
        assert await store.heads([A, B]) == {A: head}

    async def test_a_head_only_rises(self, store: Store):
        await store.raise_head(Head(A, 5, 5))
        for lower in (4, 5):
            await store.raise_head(Head(A, lower, lower, manifest="late"))
        assert await store.heads([A]) == {A: Head(A, 5, 5)}
        await store.raise_head(Head(A, 6, 6))
        assert (await store.heads([A]))[A].revision == 6

    async def test_seen_rises_only_over_the_head_that_was_compared(self, store: Store):
        await store.raise_head(Head(A, 5, 5))
        await store.raise_head(Head(A, 4, 9), over=4)
        assert (await store.heads([A]))[A] == Head(A, 5, 5)
        await store.raise_head(Head(A, 5, 9), over=5)
        assert (await store.heads([A]))[A] == Head(A, 5, 9)
        await store.raise_head(Head(A, 7, 7))
        assert (await store.heads([A]))[A] == Head(A, 5, 9)

    async def test_heads_are_of_documents_not_of_ids_alone(self, store: Store):
        await store.raise_head(Head(A, 1, 1))
        await store.raise_head(Head(OTHER, 2, 2))
        assert {doc: head.revision for doc, head in (await store.heads([A, OTHER])).items()} == {A: 1, OTHER: 2}
        assert {head.doc async for head in store.all_heads()} == {A, OTHER}

    async def test_writing_the_same_point_again_changes_nothing(self, store: Store):
        for _ in range(2):
            await store.upsert([point(A, "x", 1), point(A, "y", 1), point(A, "x", 2), point(B, "x", 1)])
        assert [await store.count(A, 1), await store.count(A, 2), await store.count(A, 3)] == [2, 1, 0]
        assert await store.totals() == Totals(points=4, heads=0)
        await store.upsert([])

    async def test_vectors_are_found_by_their_hash_in_any_revision(self, store: Store):
        await store.upsert([point(A, "x", 1, 1.0, 2.0), point(A, "y", 2, 0.0, 1.0), point(B, "z", 1)])
        found = await store.vectors(A)
        assert set(found) == {"hash of x", "hash of y"}
        assert np.allclose(found["hash of x"], vector(1.0, 2.0), atol=1e-6)
        assert found["hash of x"].dtype == np.float32
        assert await store.vectors(Doc("default/none")) == {}

    async def test_vectors_of_a_long_document_all_come(self, store: Store):
        for start in range(0, 2100, 210):
            await store.upsert([point(A, str(n), 1, 1.0, n) for n in range(start, start + 210)])
        assert len(await store.vectors(A)) == 2100

    async def test_a_point_without_a_vector_is_found_by_its_words_and_said_to_lack_it(self, store: Store):
        await store.upsert([point(A, "x", 1), bare(point(A, "y", 1, text="red apple")), bare(point(A, "y", 2))])
        assert [await store.count(A, 1), await store.count(A, 1, lacking=True)] == [2, 1]
        found = await store.search(Asked(vector(1.0), "apple"), Where("default"), limit=9)
        assert await chunks_of(store, found.dense) == ["x"]
        assert await chunks_of(store, found.lexical) == ["y"]
        assert set(await store.vectors(A)) == {"hash of x"}
        lacking = await store.lacking(A, 1, limit=9)
        assert list(lacking) == [point(A, "y", 1).id]
        one = lacking[point(A, "y", 1).id]
        assert (one["page_content"], one["embed_hash"], one["chunk_id"]) == ("red apple", "hash of y", "y")
        assert one["metadata"]["pages"] == [1]
        assert await store.lacking(A, 3, limit=9) == await store.lacking(B, 1, limit=9) == {}

    async def test_vectors_are_given_to_points_that_are_there_and_to_no_others(self, store: Store):
        await store.upsert([bare(point(A, name, 1, text=f"{name} word")) for name in "xyz"])
        gone = point(A, "gone", 1).id
        given = {
            gone: vector(1.0),
            **{point(A, name, 1).id: vector(0.0, 1.0) for name in "xy"},
            point_id("no", 1): vector(1.0),
        }
        for _ in range(2):
            await store.set_vectors(given)
            assert await store.totals() == Totals(points=3, heads=0)
            assert await store.count(A, 1, lacking=True) == 1
        found = await store.search(Asked(vector(0.0, 1.0), "word"), Where("default"), limit=9)
        assert sorted(await chunks_of(store, found.dense)) == ["x", "y"]
        assert len(found.lexical) == 3
        assert found.dense[0].score == pytest.approx(1.0, abs=1e-5)
        assert np.allclose((await store.vectors(A))["hash of x"], vector(0.0, 1.0), atol=1e-6)
        await store.set_vectors({gone: vector(1.0)})
        await store.set_vectors({})
        assert await store.totals() == Totals(points=3, heads=0)

    async def test_a_writer_without_vectors_takes_none_away_and_brings_back_what_was_lost(self, store: Store):
        await store.upsert([point(A, "x", 1, 0.0, 1.0)])
        await store.upsert([bare(point(A, "x", 1)), bare(point(A, "y", 1))])
        assert [await store.count(A, 1), await store.count(A, 1, lacking=True)] == [2, 1]
        assert np.allclose((await store.vectors(A))["hash of x"], vector(0.0, 1.0), atol=1e-6)
        await store.upsert([point(A, "y", 1)])
        assert await store.count(A, 1, lacking=True) == 0

    async def test_what_lacks_vectors_comes_a_few_at_a_time(self, store: Store):
        await store.upsert([bare(point(A, str(n), 1)) for n in range(5)])
        seen: set[str] = set()
        while some := await store.lacking(A, 1, limit=2):
            assert len(some) <= 2
            assert not seen & some.keys()
            seen |= some.keys()
            await store.set_vectors(dict.fromkeys(some, vector(1.0)))
        assert len(seen) == 5

    async def test_a_sweep_takes_what_can_never_be_visible_again(self, store: Store):
        await store.upsert([point(A, "x", revision) for revision in (1, 2, 3, 4)] + [point(B, "x", 1)])
        await store.sweep(Head(A, 2, 3))
        assert [await store.count(A, revision) for revision in (1, 2, 3, 4)] == [0, 1, 0, 1]
        assert await store.count(B, 1) == 1

    async def test_a_search_answers_the_nearest_first(self, store: Store):
        await store.upsert([point(A, "far", 1, 0.0, 1.0), point(A, "near", 1, 1.0, 0.1), point(B, "exact", 1, 1.0)])
        found = (await store.search(Asked(vector(1.0)), Where("default"), limit=2)).dense
        assert await chunks_of(store, found) == ["exact", "near"]
        assert found[0].score == pytest.approx(1.0, abs=1e-5)
        assert (found[0].doc, found[0].revision) == (B, 1)
        kept = await store.payloads([found[0].id, point_id("gone", 1)])
        assert kept == {found[0].id: point(B, "exact", 1).payload}
        assert await store.payloads([]) == {}

    async def test_a_search_stays_in_its_tenant_and_document(self, store: Store):
        await store.upsert([point(A, "x", 1), point(B, "x", 1), point(OTHER, "x", 1)])
        everything = (await store.search(Asked(vector(1.0)), Where("default"), limit=10)).dense
        assert {hit.doc for hit in everything} == {A, B}
        assert {
            hit.doc for hit in (await store.search(Asked(vector(1.0)), Where("default", (B,)), limit=10)).dense
        } == {B}
        assert (await store.search(Asked(vector(1.0)), Where("default", (OTHER,)), limit=10)).dense == []

    async def test_a_pinned_document_appears_as_that_revision_only(self, store: Store):
        await store.upsert([point(A, "x", 1), point(A, "x", 2), point(B, "x", 1), point(B, "x", 2)])
        found = (await store.search(Asked(vector(1.0)), Where("default", pins={A: 2}), limit=10)).dense
        assert sorted((hit.doc, hit.revision) for hit in found) == [(A, 2), (B, 1), (B, 2)]
        assert (await store.search(Asked(vector(1.0)), Where("default", (A,), pins={A: 9}), limit=10)).dense == []

    async def test_the_best_by_words_come_beside_the_nearest(self, store: Store):
        await store.upsert(
            [point(A, "x", 1, text="invoice INV-2024-001 for a pump"), point(B, "x", 1, text="a 税务发票")]
        )
        await store.upsert([point(B, "y", 1, text="the pump is old")])
        for words, chunks in (
            ("inv-2024-001", [A]),
            ("发票", [B]),
            ("pump 发票", [B, B, A]),
            ("nothing", []),
            ("?", []),
        ):
            found = await store.search(Asked(words=words), Where("default"), limit=5)
            assert sorted(hit.doc for hit in found.lexical) == sorted(chunks), words
            assert list(found.dense) == []
        both = await store.search(Asked(vector(1.0), "税务"), Where("default"), limit=5)
        assert (len(both.dense), len(both.lexical)) == (3, 1)
        assert both.lexical[0].id in {hit.id for hit in both.dense}
        assert both.lexical[0].score > 0

    async def test_a_rare_word_counts_more_than_a_frequent_one(self, store: Store):
        await store.upsert([point(A, str(n), 1, text="common words here") for n in range(20)])
        await store.upsert([point(B, "x", 1, text="rare words here")])
        found = await store.search(Asked(words="common rare"), Where("default"), limit=3)
        assert found.lexical[0].doc == B

    async def test_a_search_looks_only_at_what_the_filters_allow(self, store: Store):
        a = {"source": "a.pdf", "pages": [1], "kind": "paragraph", "added_ms": 1000, "team": "R&D", "year": 2024}
        b = {"source": "a.pdf", "pages": [1, 2], "kind": "table", "added_ms": 2000, "team": "R&D", "year": 2025}
        c = {"source": "c.pdf", "uri": "file:///c", "pages": [3, 4], "kind": "code", "added_ms": 3000, "done": True}
        await store.upsert(
            [
                point(A, "a", 1, **a, tags=["one", "two"]),
                point(A, "b", 1, **b),
                point(B, "c", 1, **c, deep={"inner key": "x"}),
            ]
        )
        for filters, chunks in FILTERED:
            where = Where("default", filters=Filters(**filters))
            found = await store.search(Asked(vector(1.0), "text"), where, limit=9)
            for hits in (found.dense, found.lexical):
                assert "".join(sorted(await chunks_of(store, hits))) == chunks, filters

    async def test_pins_and_filters_hold_in_both_lists(self, store: Store):
        await store.upsert([point(doc, "x", revision, kind="table") for doc in (A, B) for revision in (1, 2)])
        await store.upsert([point(A, "y", 2, kind="code")])
        where = Where("default", (A,), Filters(kinds=(BlockKind.TABLE,)), {A: 2})
        found = await store.search(Asked(vector(1.0), "text"), where, limit=9)
        for hits in (found.dense, found.lexical):
            assert [(hit.doc, hit.revision) for hit in hits] == [(A, 2)]

    async def test_neighbours_come_in_order_of_one_revision_and_one_section(self, store: Store):
        await store.upsert([point(A, f"{r}{n}", r, order=n, section=n // 4) for r in (1, 2) for n in (3, 0, 2, 1, 4)])
        await store.upsert([point(B, "x", 2, order=2, section=0)])
        asked = [Stretch(A, 2, 1, 4), Stretch(A, 2, 0, 9, section=0), Stretch(A, 3, 0, 9), Stretch(B, 2, 0, 2)]
        found = await store.passages(asked)
        chunks = [[payload["chunk_id"] for payload in payloads] for payloads in found]
        assert chunks == [["21", "22", "23", "24"], ["20", "21", "22", "23"], [], ["x"]]
        assert await store.passages([]) == []

    async def test_an_empty_store_answers_nothing(self, store: Store):
        assert (await store.search(Asked(vector(1.0)), Where("default"), limit=10)).dense == []
        assert await store.totals() == Totals(0, 0)
        await store.flush()
        await store.sweep(Head(A, 1, 1))

    async def test_opening_again_changes_nothing(self, store: Store):
        await store.upsert([point(A, "x", 1)])
        await store.open()
        assert await store.count(A, 1) == 1


class LexicalContract:
    """What holds for a store without dense vectors, besides: whatever is asked, words are what is found by."""

    async def test_points_have_no_vector_and_are_found_by_their_words(self, lexical: Store):
        await lexical.upsert([bare(point(A, "x", 1, text="the red apple")), bare(point(B, "y", 1, text="blue sea"))])
        found = await lexical.search(Asked(words="apple"), Where("default"), limit=5)
        assert (await chunks_of(lexical, found.lexical), list(found.dense)) == (["x"], [])
        assert await lexical.vectors(A) == {}
        assert [await lexical.count(A, 1), await lexical.count(A, 1, lacking=True)] == [1, 0]
        assert await lexical.lacking(A, 1, limit=9) == {}
        await lexical.sweep(Head(A, 2, 2))
        assert (await lexical.totals()).points == 1


class TestEdge(StoreContract, LexicalContract):
    @pytest.fixture
    async def lexical(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = EdgeStore(tmp_path / "lexical", dimension=0)
        await store.open()
        yield store
        await store.close()

    async def test_a_folder_of_another_tokenizer_is_refused_in_words(self, store: Store, tmp_path: Path):
        await store.close()
        about = tmp_path / "index" / "about.json"
        about.write_text(about.read_text().replace("bm25", "bm24"))
        again = EdgeStore(tmp_path / "index", dimension=DIMENSION)
        with pytest.raises(Permanent, match=r"made for tokenizer bm24.* this folio has bm25"):
            await again.open()
        await again.close()
        about.unlink()
        older = EdgeStore(tmp_path / "index", dimension=DIMENSION)
        with pytest.raises(Permanent, match="tokenizer unknown"):
            await older.open()
        await older.close()

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = EdgeStore(tmp_path / "index", dimension=DIMENSION)
        await store.open()
        yield store
        await store.close()


class TestMemory(StoreContract, LexicalContract):
    @pytest.fixture
    async def lexical(self) -> AsyncIterator[Store]:
        store = MemoryStore(dimension=0)
        await store.open()
        yield store
        await store.close()

    async def test_a_collection_of_another_tokenizer_or_dimension_is_refused_in_words(self, store: MemoryStore):
        other = QdrantStore(store.client, collection=store.collection, dimension=8, inline=True)
        with pytest.raises(Permanent, match=r"collection folio was made for dimension 4, and this folio has 8"):
            await other.open()

    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = MemoryStore(dimension=DIMENSION)
        await store.open()
        yield store
        await store.close()


@pytest.mark.qdrant_server
class TestServer(StoreContract, LexicalContract):
    @pytest.fixture
    async def lexical(self) -> AsyncIterator[Store]:
        store = server(dimension=0)
        await store.open()
        yield store
        await dropped(store)

    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = server()
        await store.open()
        yield store
        await dropped(store)
