"""The Store port's promises, the same for every adapter: embedded, memory, and a server where one answers."""

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from folio.ids import Doc, point_id, tenant_of
from indexer.edge import EdgeStore
from indexer.memory import MemoryStore
from indexer.qdrant import QdrantStore
from indexer.store import Asked, Head, Point, Store, Totals, Where

A, B = Doc("default/a"), Doc("default/b")
OTHER = Doc("other/a")
DIMENSION = 4


def server() -> QdrantStore:
    url = os.environ.get("FOLIO_QDRANT_URL")
    if not url:
        pytest.skip("not run: FOLIO_QDRANT_URL names no server")
    from qdrant_client import QdrantClient

    return QdrantStore(QdrantClient(url=url), collection=f"contract-{uuid.uuid4().hex[:8]}", dimension=DIMENSION)


def vector(*numbers: float) -> np.ndarray:
    row = np.zeros(DIMENSION, np.float32)
    row[: len(numbers)] = numbers
    return row / np.linalg.norm(row)


def point(doc: Doc, chunk: str, revision: int, *numbers: float) -> Point:
    payload = {
        "page_content": f"text of {chunk} 正文",
        "metadata": {"page": 1, "boxes": [[1, 0.0, 0.1, 0.5, 1.0]], "nothing": None},
        "doc": doc,
        "tenant": tenant_of(doc),
        "revision": revision,
        "chunk_id": chunk,
        "embed_hash": f"hash of {chunk}",
    }
    return Point(point_id(f"{doc}{chunk}", revision), vector(*(numbers or (1.0,))), payload)


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

    async def test_a_sweep_takes_what_can_never_be_visible_again(self, store: Store):
        await store.upsert([point(A, "x", revision) for revision in (1, 2, 3, 4)] + [point(B, "x", 1)])
        await store.sweep(Head(A, 2, 3))
        assert [await store.count(A, revision) for revision in (1, 2, 3, 4)] == [0, 1, 0, 1]
        assert await store.count(B, 1) == 1

    async def test_a_search_answers_the_nearest_first(self, store: Store):
        await store.upsert([point(A, "far", 1, 0.0, 1.0), point(A, "near", 1, 1.0, 0.1), point(B, "exact", 1, 1.0)])
        found = (await store.search(Asked(vector(1.0)), Where("default"), limit=2)).dense
        assert [hit.payload["chunk_id"] for hit in found] == ["exact", "near"]
        assert found[0].score == pytest.approx(1.0, abs=1e-5)
        assert (found[0].doc, found[0].revision) == (B, 1)
        assert found[0].payload == point(B, "exact", 1).payload

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

    async def test_an_empty_store_answers_nothing(self, store: Store):
        assert (await store.search(Asked(vector(1.0)), Where("default"), limit=10)).dense == []
        assert await store.totals() == Totals(0, 0)
        await store.flush()
        await store.sweep(Head(A, 1, 1))

    async def test_opening_again_changes_nothing(self, store: Store):
        await store.upsert([point(A, "x", 1)])
        await store.open()
        assert await store.count(A, 1) == 1


class TestEdge(StoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = EdgeStore(tmp_path / "index", dimension=DIMENSION)
        await store.open()
        yield store
        await store.close()


class TestMemory(StoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = MemoryStore(dimension=DIMENSION)
        await store.open()
        yield store
        await store.close()


@pytest.mark.qdrant_server
class TestServer(StoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = server()
        await store.open()
        yield store
        for collection in (store.collection, f"{store.collection}__heads"):
            store.client.delete_collection(collection)
        await store.close()
