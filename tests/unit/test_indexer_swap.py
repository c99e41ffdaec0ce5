"""The swap against real stores: one writer, then many that meet, die and repeat while somebody reads."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from folio.errors import Cause, FolioError, Permanent
from folio.ids import Doc, chunk_id, sha256
from folio.questions import Filters, Question
from folio.records import BlockKind, Box, Chunk, ChunkSet, PageBox
from indexer.edge import EdgeStore
from indexer.embedding import HashEmbedder
from indexer.memory import MemoryStore
from indexer.payload import payload_of, stored_id
from indexer.search import Searcher
from indexer.store import Asked, Found, Head, Point, Scored, Store, Totals, Where
from indexer.swap import swap
from tests.indexed import indexed

DOC = Doc("default/a.pdf")
EMBEDDER = HashEmbedder()


def chunk_set(*bodies: str, revision: int, doc: Doc = DOC, ordered: bool = False, **facts: Any) -> ChunkSet:
    chunks = tuple(
        Chunk(
            chunk_id=chunk_id(doc, body, 0),
            embed_hash=sha256(body.encode()),
            body=body,
            kind=BlockKind.PARAGRAPH,
            pages=(1,),
            boxes=(PageBox(page=1, box=Box(x0=0, y0=0, x1=1, y1=0.5)),),
            order=order if ordered else 0,
        )
        for order, body in enumerate(bodies)
    )
    return ChunkSet(**{"doc": doc, "version": 1, "revision": revision, "chunks": chunks, **facts})


BOTH = pytest.mark.parametrize("store", ["edge", "memory"], indirect=True)
"""What depends on the store's own timing and deletes runs on both; tests/contracts holds them to the same promises."""


@pytest.fixture
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store: Store
    if getattr(request, "param", "memory") == "edge":
        store = EdgeStore(tmp_path / "index", dimension=EMBEDDER.dimension)
    else:
        store = MemoryStore(dimension=EMBEDDER.dimension)
    await store.open()
    yield store
    await store.close()


async def shown(store: Store, doc: Doc = DOC) -> set[str]:
    asked = Asked(await EMBEDDER.query("a"))
    found = await Searcher(store, EMBEDDER).nearest(asked, Where("default", (doc,)), limit=100)
    return await texts_behind(store, found.dense)


async def texts_behind(store: Store, hits: Sequence[Scored]) -> set[str]:
    payloads = await store.payloads([hit.id for hit in hits])
    return {payload["page_content"] for payload in payloads.values()}


class Counting(HashEmbedder):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    async def documents(self, texts):
        self.texts += texts
        return await super().documents(texts)


async def test_a_first_revision_becomes_visible(store: Store):
    swapped = await indexed(store, EMBEDDER, chunk_set("a", "b", revision=5))
    assert (swapped.outcome, swapped.chunks, swapped.lacking) == ("visible", 2, 2)
    assert await shown(store) == {"a", "b"}
    assert (await store.heads([DOC]))[DOC] == Head(DOC, 5, 5, swapped.manifest, chunks=2, version=1)


@BOTH
async def test_only_what_changed_is_embedded_again(store: Store):
    embedder = Counting()
    await indexed(store, embedder, chunk_set("a", "b", revision=1))
    embedder.texts.clear()
    swapped = await indexed(store, embedder, chunk_set("new", "a", "b", revision=2))
    assert (swapped.outcome, swapped.lacking, embedder.texts) == ("visible", 1, ["new"])
    assert await shown(store) == {"new", "a", "b"}
    assert await store.totals() == Totals(points=3, heads=1)


async def test_a_copied_vector_is_the_vector_that_was_made(store: Store):
    await indexed(store, EMBEDDER, chunk_set("a word", revision=1))
    await indexed(store, EMBEDDER, chunk_set("a word", "more", revision=2))
    made = (await EMBEDDER.documents(["a word"]))[0]
    assert np.allclose((await store.vectors(DOC))[sha256(b"a word")], made, atol=1e-6)


async def test_the_same_again_changes_nothing_and_is_visible(store: Store):
    first = await indexed(store, EMBEDDER, chunk_set("a", revision=1))
    again = await indexed(store, EMBEDDER, chunk_set("a", revision=1))
    assert (again.outcome, again.lacking, again.manifest) == ("visible", 0, first.manifest)


async def test_a_revision_that_changes_nothing_is_seen_not_written_also_when_it_comes_twice(store: Store):
    await indexed(store, EMBEDDER, chunk_set("a", revision=1))
    for _ in range(2):
        assert (await indexed(store, EMBEDDER, chunk_set("a", revision=2))).outcome == "unchanged"
    head = (await store.heads([DOC]))[DOC]
    assert (head.revision, head.seen) == (1, 2)


async def test_an_older_revision_leaves_no_trace(store: Store):
    await indexed(store, EMBEDDER, chunk_set("new", revision=9))
    assert (await indexed(store, EMBEDDER, chunk_set("old", "older", revision=3))).outcome == "outdated"
    assert await shown(store) == {"new"}
    assert await store.totals() == Totals(points=1, heads=1)


@BOTH
async def test_a_deletion_outlives_a_replay_of_what_came_before(store: Store):
    await indexed(store, EMBEDDER, chunk_set("a", revision=1))
    gone = chunk_set(revision=2, deleted=True)
    assert [(await indexed(store, EMBEDDER, gone)).outcome for _ in range(2)] == ["deleted", "deleted"]
    assert (await indexed(store, EMBEDDER, chunk_set("a", revision=1))).outcome == "outdated"
    assert await store.totals() == Totals(points=0, heads=1)
    assert (await indexed(store, EMBEDDER, chunk_set("back", revision=3))).outcome == "visible"
    assert await shown(store) == {"back"}


async def test_a_document_without_text_is_not_a_deleted_one(store: Store):
    await indexed(store, EMBEDDER, chunk_set(revision=1, deleted=True))
    assert (await indexed(store, EMBEDDER, chunk_set(revision=2))).outcome == "visible"
    assert not (await store.heads([DOC]))[DOC].deleted


async def test_a_new_version_with_the_same_text_is_cited_as_the_new_version_without_embedding(store: Store):
    await indexed(store, EMBEDDER, chunk_set("a", revision=1))
    swapped = await indexed(store, EMBEDDER, chunk_set("a", revision=2, version=2))
    assert (swapped.outcome, swapped.lacking) == ("visible", 0)
    assert (await Searcher(store, EMBEDDER).search(Question(question="a")))[0].version == 2


@BOTH
async def test_a_replay_repairs_what_was_lost(store: Store):
    chunks = chunk_set("a", "b", revision=4)
    await indexed(store, EMBEDDER, chunks)
    await store.sweep(Head(DOC, revision=0, seen=4))
    assert await shown(store) == set()
    await indexed(store, EMBEDDER, chunks)
    assert await shown(store) == {"a", "b"}
    await store.sweep(Head(DOC, revision=0, seen=4))
    assert (await indexed(store, EMBEDDER, chunk_set("a", "b", revision=5))).outcome == "visible"
    assert await shown(store) == {"a", "b"}


@BOTH
async def test_many_points_are_written_in_several_requests(store: Store):
    swapped = await indexed(store, EMBEDDER, chunk_set(*(f"text {n}" for n in range(700)), revision=1))
    assert (swapped.chunks, (await store.totals()).points) == (700, 700)


async def test_two_chunks_with_one_id_are_refused(store: Store):
    with pytest.raises(Permanent) as refused:
        await indexed(store, EMBEDDER, chunk_set("a", "a", revision=1))
    assert refused.value.cause is Cause.SCHEMA_INVALID


async def test_a_revision_that_is_never_whole_is_an_error_not_a_loop(store: Store):
    class Forgetful:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def count(self, doc: Doc, revision: int, *, lacking: bool = False) -> int:
            return 99

    with pytest.raises(FolioError, match="never found whole"):
        await swap(Forgetful(), chunk_set("a", revision=1))


# Many writers and a reader, one request at a time in a random order. ------------------------------------


class Schedule:
    """Lets actors go one request at a time, in an order of its own choosing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asking: dict[asyncio.Task[Any], asyncio.Future[None]] = {}
        self.tasks: set[asyncio.Task[Any]] = set()

    def start(self, actor: Callable[[Any], Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(actor(self))
        self.tasks.add(task)
        return task

    async def search(self, asked: Asked, where: Where, *, limit: int) -> Found:
        """Each list in a request of its own: anything may happen between the two."""
        one, other = Asked(asked.vector), Asked(words=asked.words)
        dense = await self.__getattr__("search")(one, where, limit=limit)
        lexical = await self.__getattr__("search")(other, where, limit=limit)
        return Found(dense.dense, lexical.lexical)

    async def upsert(self, points: Sequence[Point]) -> None:
        """Each point in a request of its own: a server shows some of a batch before the rest."""
        for point in points:
            await self.__getattr__("upsert")([point])

    def __getattr__(self, name: str) -> Any:
        async def in_turn(*args: Any, **options: Any) -> Any:
            turn = asyncio.get_running_loop().create_future()
            task = asyncio.current_task()
            assert task is not None
            self._asking[task] = turn
            await turn
            return await getattr(self._store, name)(*args, **options)

        return in_turn

    async def asking(self) -> list[asyncio.Task[Any]]:
        """Everybody who wants to go on, once nobody is under way."""
        while {task for task in self.tasks if not task.done()} - set(self._asking):
            await asyncio.sleep(0)
        return [task for task in self._asking if not task.done()]

    def let(self, task: asyncio.Task[Any]) -> None:
        self._asking.pop(task).set_result(None)

    async def kill(self, task: asyncio.Task[Any]) -> None:
        del self._asking[task]
        self.tasks.discard(task)
        task.cancel()
        await asyncio.wait({task})


READERS = 3
QUESTION = "one " * 5 + "two " * 4 + "three " * 3 + "four " * 2 + "five"
"""Every text of the pool is at another distance from it, so the best few are never a tie."""


def texts_of(rng: random.Random, revisions: int) -> dict[int, list[str]]:
    pool = ["alpha one", "beta two", "gamma three", "delta four", "epsilon five"]
    sets = [rng.sample(pool, rng.randint(0, 4)) for _ in range(revisions)]
    return {number: rng.choice([texts, sets[0]]) for number, texts in enumerate(sets, start=1)}


async def read_once(searcher: Searcher, doc: Doc, sets: dict[int, ChunkSet], *, limit: int) -> None:
    """Whatever is being written: the best hits of exactly one revision."""
    contents = {revision: [chunk.body for chunk in of.chunks] for revision, of in sets.items()}
    asked = await EMBEDDER.query(QUESTION)
    found = await searcher.nearest(Asked(asked, QUESTION), Where("default", (doc,)), limit=limit)
    revisions = {hit.revision for hit in found.every}
    assert len(revisions) <= 1
    best = {}
    for number, texts in contents.items():
        rows = await EMBEDDER.documents(texts)
        best[number] = {texts[index] for index in np.argsort(-(rows @ asked), kind="stable")[:limit]}
    known = {stored_id(payload_of(of, chunk), r): chunk.body for r, of in sets.items() for chunk in of.chunks}
    bodies = {known[hit.id] for hit in found.dense}
    # By meaning those that have their vector by then; by words all of them.
    assert any(bodies <= set(contents[n]) for n in revisions or contents), (bodies, revisions, contents)
    of_words = {known[hit.id] for hit in found.lexical}
    assert any(of_words <= set(contents[n]) and len(of_words) == len(best[n]) for n in revisions or contents)
    await read_with_context(searcher, doc, contents)


async def read_with_context(searcher: Searcher, doc: Doc, contents: dict[int, list[str]]) -> None:
    """A hit and all that stands around it: one whole revision, in its order."""
    filters = Filters(documents=(doc.partition("/")[2],))
    for hit in await searcher.search(Question(question=QUESTION, k=1, neighbours=5, section=True, filters=filters)):
        whole = "\n\n".join(part for part in (hit.before, hit.text, hit.after) if part)
        assert whole.split("\n\n") in contents.values()
        assert hit.section == whole


async def run_schedule(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    doc = Doc(f"default/{seed}")
    contents = texts_of(rng, 4)
    sets = {r: chunk_set(*texts, revision=r, doc=doc, ordered=True) for r, texts in contents.items()}
    await indexed(store, EMBEDDER, sets[1])
    schedule, crashes = Schedule(store), rng.randint(0, 3)
    limit = rng.choice([1, 2, 9])
    searcher = Searcher(schedule, EMBEDDER)
    writers = {}
    for revision in [4, *rng.choices([1, 2, 3, 4], k=rng.randint(1, 3))]:
        writers[schedule.start(lambda to, r=revision: indexed(to, EMBEDDER, sets[r]))] = revision
    reading = lambda _: read_once(searcher, doc, sets, limit=limit)  # noqa: E731  # as short as what it stands for
    readers = [schedule.start(reading) for _ in range(READERS)]
    while asking := await schedule.asking():
        task = rng.choice(asking)
        if task in writers and crashes and rng.random() < 0.1:
            crashes -= 1
            await schedule.kill(task)
            again = writers.pop(task)
            writers[schedule.start(lambda to, r=again: indexed(to, EMBEDDER, sets[r]))] = again
            continue
        schedule.let(task)
        for reader in [reader for reader in readers if reader.done() and not all(map(asyncio.Task.done, writers))]:
            reader.result()
            readers.remove(reader)
            readers.append(schedule.start(reading))
    for task in [*readers, *writers]:
        task.result()
    head = (await store.heads([doc]))[doc]
    assert head.seen == 4
    assert set(contents[head.revision]) == set(contents[4])
    assert await shown(store, doc) == set(contents[4])
    assert [await store.count(doc, r) for r in contents] == [
        len(contents[4]) if r == head.revision else 0 for r in contents
    ]


@BOTH
@pytest.mark.parametrize("of", range(2))
async def test_writers_that_meet_die_and_repeat_never_show_a_mix_and_leave_nothing(store: Store, of: int):
    for seed in range(of * 20, of * 20 + 20):
        await run_schedule(store, seed)


async def test_unchanged_payloads_make_the_same_manifest_in_any_order(store: Store):
    forwards = await indexed(store, EMBEDDER, chunk_set("a", "b", revision=1))
    backwards = await indexed(store, EMBEDDER, chunk_set("b", "a", revision=2))
    assert (forwards.manifest, backwards.outcome) == (backwards.manifest, "unchanged")


def test_a_payload_does_not_carry_its_revision():
    one, two = (chunk_set("a", revision=revision) for revision in (1, 2))
    assert payload_of(one, one.chunks[0]) == payload_of(two, two.chunks[0])
