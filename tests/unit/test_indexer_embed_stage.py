"""Words first, vectors after: whatever dies, comes twice or comes between, nothing is lost and nothing is orphaned."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from folio.errors import Cause, FolioError, Permanent, Transient
from folio.ids import Doc
from folio.log import Entry, Position
from folio.questions import Question
from folio.records import ChunkSet, Receipt
from folio.topics import RECEIPTS
from indexer.edge import EdgeStore
from indexer.embed_stage import embed_stage
from indexer.embedding import HashEmbedder, Unembeddable
from indexer.giving import give_vectors
from indexer.memory import MemoryStore
from indexer.payload import stored_id
from indexer.search import Searcher
from indexer.store import POINTS_MAX, Head, Store, Totals
from indexer.swap import Swapped, swap
from tests.unit.test_indexer_swap import DOC, chunk_set

EMBEDDER = HashEmbedder()
OTHER = Doc("default/other.pdf")
BOTH = pytest.mark.parametrize("store", ["edge", "memory"], indirect=True)


@pytest.fixture
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = MemoryStore(dimension=EMBEDDER.dimension)
    if getattr(request, "param", "memory") == "edge":
        made = EdgeStore(tmp_path / "index", dimension=EMBEDDER.dimension)
    await made.open()
    yield made
    await made.close()


class Around:
    """A store with something that happens just before, or just after, one of its calls."""

    def __init__(self, store: Store, method: str, happens: Callable[[], Any], *, after: bool = False) -> None:
        self._store, self._method, self._happens, self._after = store, method, happens, after

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if name != self._method:
            return real

        async def around(*args: Any, **options: Any) -> Any:
            if not self._after:
                await self._happens()
            answer = await real(*args, **options)
            if self._after:
                await self._happens()
            return answer

        return around


class Killed(BaseException):
    """The process ends here."""


async def dies() -> None:
    raise Killed


def once(then: Callable[[], Any]) -> Callable[[], Any]:
    left = [then]

    async def happens() -> None:
        if left:
            await left.pop()()

    return happens


def entry(chunks: ChunkSet, swapped: Swapped, *, generation: str = "g1") -> Entry:
    receipt = Receipt(
        doc=chunks.doc, version=chunks.version, revision=chunks.revision, generation=generation,
        chunks=swapped.chunks, lacking=swapped.lacking, manifest=swapped.manifest, outcome=swapped.outcome,
        complete=True, indexed_ms=7,
    )  # fmt: skip
    return Entry(Position(RECEIPTS.name, 0, 0), chunks.doc, receipt.encode(), {}, appended_ms=1)


async def written(store: Store, *texts: str, revision: int = 1, **facts: Any) -> Entry:
    chunks = chunk_set(*texts, revision=revision, **facts)
    return entry(chunks, await swap(store, chunks))


async def run(store: Any, given: Entry, embedder: Any = EMBEDDER) -> list[Receipt]:
    stage = embed_stage(store, embedder, generation="g1", documents_at_once=3)
    receipts = []
    async for topic, record in stage.process(given):
        assert (topic, record.key) == (RECEIPTS, given.key)
        receipts.append(Receipt.decode(record.value))
        assert record.headers == {"folio-revision": str(receipts[-1].revision)}
    return receipts


async def found(store: Store, words: str, *, mode: str) -> list[str]:
    asked = Question(question=words, mode=mode)  # type: ignore[arg-type]  # one of the modes
    return [hit.text for hit in await Searcher(store, EMBEDDER).search(asked)]


@BOTH
async def test_a_document_is_found_by_its_words_at_once_and_by_its_meaning_after_its_receipt(store: Store):
    first = await written(store, "red apple", "blue sea")
    assert Receipt.decode(first.value).lacking == 2
    assert await found(store, "apple", mode="hybrid") == await found(store, "apple", mode="lexical") == ["red apple"]
    assert await found(store, "apple", mode="dense") == []
    (receipt,) = await run(store, first)
    assert (receipt.doc, receipt.revision, receipt.outcome) == (DOC, 1, "visible")
    assert (receipt.chunks, receipt.embedded, receipt.lacking, receipt.complete) == (2, 2, 0, True)
    assert receipt.indexed_ms > 7
    assert (await found(store, "apple", mode="dense"))[0] == "red apple"


async def test_what_is_embedded_is_context_and_text_as_the_chunker_counted_them(store: Store):
    class Hearing(HashEmbedder):
        heard: tuple[str, ...] = ()

        async def documents(self, texts):
            self.heard += tuple(texts)
            return await super().documents(texts)

    one = chunk_set("a", "b", revision=1)
    chunks = one.model_copy(update={"chunks": (one.chunks[0].model_copy(update={"context": "Part 1"}), one.chunks[1])})
    embedder = Hearing()
    await run(store, entry(chunks, await swap(store, chunks)), embedder)
    assert sorted(embedder.heard) == sorted(chunk.embedded_text for chunk in chunks.chunks)


async def test_receipts_of_others_and_of_what_lacks_nothing_are_passed_over(store: Store):
    chunks = chunk_set("a", revision=1)
    swapped = await swap(store, chunks)
    assert await run(store, entry(chunks, swapped, generation="g2")) == []
    assert await store.count(DOC, 1, lacking=True) == 1
    assert len(await run(store, entry(chunks, swapped))) == 1
    assert await run(store, entry(chunks, replace(swapped, lacking=0))) == []


@BOTH
@pytest.mark.parametrize("method", ["heads", "lacking", "set_vectors", "flush"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_around_any_request_is_followed_by_what_is_left_of_the_work(
    store: Store, method: str, after: bool
):
    first = await written(store, *(f"text {n}" for n in range(5)))
    with pytest.raises(Killed):
        await run(Around(store, method, dies, after=after), first)
    assert len(await found(store, "text", mode="lexical")) == 5
    (receipt,) = await run(store, first)
    assert (receipt.embedded, receipt.lacking) == (5, 0)
    assert await store.count(DOC, 1, lacking=True) == 0
    assert await store.totals() == Totals(points=5, heads=1)


async def test_the_same_receipt_twice_embeds_nothing_twice(store: Store):
    class Counting(HashEmbedder):
        texts = 0

        async def documents(self, texts):
            self.texts += len(texts)
            return await super().documents(texts)

    first, embedder = await written(store, "a", "b"), Counting()
    for _ in range(2):
        (receipt,) = await run(store, first, embedder)
        assert (receipt.embedded, receipt.lacking) == (2, 0)
    assert embedder.texts == 2


@BOTH
@pytest.mark.parametrize("method", ["lacking", "set_vectors", "flush"])
async def test_a_revision_that_comes_in_between_is_given_its_vectors_and_the_old_one_no_receipt(
    store: Store, method: str
):
    first = await written(store, "a", "b")

    async def next_revision() -> None:
        await written(store, "b", "c", revision=2)

    receipts = await run(Around(store, method, once(next_revision)), first)
    assert receipts[-1].revision == 2
    assert await store.totals() == Totals(points=2, heads=1)
    assert await store.count(DOC, 2, lacking=True) == 0
    assert set(await found(store, "b c", mode="dense")) == {"b", "c"}


async def test_a_superseded_receipt_is_about_what_is_visible_now(store: Store):
    first = await written(store, "a")
    second = await written(store, "b", revision=2)
    (receipt,) = await run(store, first)
    assert (receipt.revision, receipt.chunks, receipt.embedded) == (2, 1, 1)
    (again,) = await run(store, second)
    assert (again.revision, again.embedded, again.complete) == (2, 1, True)


async def test_a_receipt_that_came_too_late_brings_the_vectors_of_what_is_visible(store: Store):
    """The log keeps one record a document: a late one must carry what the one before it said."""
    await written(store, "new", revision=9)
    late = await written(store, "old", revision=3)
    assert (Receipt.decode(late.value).outcome, Receipt.decode(late.value).lacking) == ("outdated", 1)
    (receipt,) = await run(store, late)
    assert (receipt.revision, receipt.outcome, receipt.lacking) == (9, "visible", 0)


async def test_a_revision_that_changed_nothing_has_its_own_receipt(store: Store):
    await written(store, "a")
    same = await written(store, "a", revision=2)
    (receipt,) = await run(store, same)
    assert (receipt.revision, receipt.outcome, receipt.lacking) == (2, "unchanged", 0)


@BOTH
@pytest.mark.parametrize("method", ["lacking", "set_vectors"])
async def test_a_document_deleted_in_between_has_no_receipt_and_no_orphans(store: Store, method: str):
    first = await written(store, "a", "b")

    async def deleted() -> None:
        await written(store, revision=2, deleted=True)

    assert await run(Around(store, method, once(deleted)), first) == []
    assert await store.totals() == Totals(points=0, heads=1)
    assert await run(store, first) == []


async def test_nothing_at_all_there_is_nothing_to_do(store: Store):
    chunks = chunk_set("a", revision=1)
    assert await run(store, entry(chunks, Swapped("visible", 1, 1, "m"))) == []


@BOTH
async def test_a_late_writer_of_the_same_revision_takes_no_vector_away(store: Store):
    chunks = chunk_set("a", "b", revision=1)
    late = Around(store, "upsert", once(lambda: _first_then_vectors(store, chunks)))
    swapped = await swap(late, chunks)
    assert (swapped.outcome, swapped.lacking) == ("visible", 0)
    assert await store.totals() == Totals(points=2, heads=1)


async def _first_then_vectors(store: Store, chunks: ChunkSet) -> None:
    await swap(store, chunks)
    await give_vectors(store, EMBEDDER, chunks.doc)


async def test_what_a_power_cut_took_is_written_and_embedded_again(store: Store):
    chunks = chunk_set("a", "b", revision=4)
    await _first_then_vectors(store, chunks)
    await store.sweep(Head(DOC, revision=0, seen=4))
    again = await swap(store, chunks)
    assert (again.outcome, again.lacking) == ("visible", 2)
    assert len(await run(store, entry(chunks, again))) == 1
    assert await store.count(DOC, 4, lacking=True) == 0


async def test_while_the_embedder_is_away_words_are_found_and_nothing_is_given_up(store: Store):
    class Away(HashEmbedder):
        async def documents(self, texts):
            raise Transient(Cause.EMBEDDER_DOWN)

    first = await written(store, "red apple")
    with pytest.raises(Transient):
        await run(store, first, Away())
    assert await found(store, "apple", mode="lexical") == ["red apple"]
    assert len(await run(store, first)) == 1


@pytest.mark.parametrize("method", ["heads", "lacking", "set_vectors", "flush"])
async def test_a_store_that_is_away_is_waited_for(store: Store, method: str):
    async def away() -> None:
        raise Transient(Cause.STORE_DOWN)

    first = await written(store, "a")
    with pytest.raises(Transient):
        await run(Around(store, method, away), first)
    assert len(await run(store, first)) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
async def test_a_chunk_that_cannot_be_embedded_is_named_and_all_others_have_their_vectors(store: Store, bad: float):
    class Broken(HashEmbedder):
        async def documents(self, texts):
            rows = await super().documents(texts)
            rows[[text == "broken" for text in texts]] = bad
            return rows

    chunks = chunk_set("fine", "broken", "well", revision=1)
    with pytest.raises(Permanent, match=rf"{chunks.chunks[1].chunk_id} on page 1.*words only") as refused:
        await run(store, entry(chunks, await swap(store, chunks)), Broken())
    assert refused.value.cause is Cause.EMBEDDING_INVALID
    assert list(await store.lacking(DOC, 1, limit=9)) == [
        stored_id({"chunk_id": chunks.chunks[1].chunk_id}, chunks.revision)
    ]
    assert await found(store, "broken", mode="lexical") == ["broken"]


async def test_an_embedder_that_refuses_everything_ends(store: Store):
    class Refusing(HashEmbedder):
        async def documents(self, texts):
            raise Unembeddable(0, "no")

    first = await written(store, "a", "b", "c")
    with pytest.raises(Permanent, match="and 2 more chunks"):
        await run(store, first, Refusing())


async def test_vectors_that_do_not_stay_are_an_error_not_a_loop(store: Store):
    class Forgetful:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def set_vectors(self, vectors: Any) -> None:
            """Says that it did."""

    first = await written(store, "a")
    with pytest.raises(FolioError, match="just written"):
        await run(Forgetful(), first)


@BOTH
async def test_a_long_document_is_given_its_vectors_in_several_requests(store: Store):
    count = 2 * POINTS_MAX + 3
    (receipt,) = await run(store, await written(store, *(f"text {n}" for n in range(count))))
    assert receipt.embedded == count
    assert await store.count(DOC, 1, lacking=True) == 0


def test_the_stage_keeps_the_order_of_a_documents_receipts_and_is_its_own_group(store: Store):
    stage = embed_stage(store, EMBEDDER, generation="g1", documents_at_once=3)
    assert (stage.name, stage.sources, stage.key_order, stage.entries_max) == ("embed-g1", (RECEIPTS,), True, 3)
