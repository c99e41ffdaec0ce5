"""How fast chunks become searchable with ready vectors: the bare engine beside our store and our swap, in one run.

Run: python benchmarks/index_speed.py [--chunks 10000] [--document 200] [--minilm]
Per CPU second of all processes, so that a busy machine does not decide.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import qdrant_edge as edge
from rich.console import Console
from rich.table import Table

from folio.ids import Doc, chunk_id, sha256
from folio.questions import Question
from folio.records import Box, Chunk, ChunkSet, PageBox
from indexer import sparse
from indexer.edge import EdgeStore
from indexer.edge_process import INDEXED
from indexer.embedding import HashEmbedder, ModelEmbedder, Vectors, open_embedder
from indexer.giving import give_vectors
from indexer.payload import payload_of, stored_id, words_of
from indexer.search import Searcher
from indexer.store import LEXICAL, POINTS_MAX, Point
from indexer.swap import swap

DIMENSION = 384
WORDS = [
    "invoice",
    "total",
    "report",
    "table",
    "measure",
    "section",
    "river",
    "engine",
    "light",
    "page",
    "board",
    "note",
]


class ReadyEmbedder(HashEmbedder):
    """Answers with vectors that were there before: what is measured is everything but embedding."""

    def __init__(self) -> None:
        super().__init__(dimension=DIMENSION)
        self._pool = np.random.default_rng(0).standard_normal((4096, DIMENSION), np.float32)

    async def documents(self, texts: Sequence[str]) -> Vectors:
        return self._pool[np.arange(len(texts)) % len(self._pool)]


def documents(chunks: int, each: int) -> list[ChunkSet]:
    """Chunks of about 40 words, as pages give them."""
    rng = random.Random(0)
    return [
        _document(Doc(f"default/report-{n}.pdf"), min(each, chunks - n * each), rng) for n in range(-(-chunks // each))
    ]


def _document(doc: Doc, count: int, rng: random.Random) -> ChunkSet:
    made = []
    for order in range(count):
        body = " ".join(rng.choices(WORDS, k=40)) + f" {order}"
        on = PageBox(page=order // 3 + 1, box=Box(x0=0.1, y0=0.2, x1=0.9, y1=0.4))
        facts = {"headings": ("Annual report", "Costs"), "pages": (on.page,), "boxes": (on,), "order": order}
        made.append(Chunk(chunk_id=chunk_id(doc, body, 0), embed_hash=sha256(body.encode()), body=body, **facts))
    return ChunkSet(doc=doc, version=1, revision=1, name=doc, chunks=tuple(made))


def points_of(sets: Sequence[ChunkSet], vectors: Vectors) -> list[Point]:
    payloads = [payload_of(of, chunk) for of in sets for chunk in of.chunks]
    return [
        Point(stored_id(payload, 1), vectors[n % len(vectors)], {**payload, "revision": 1})
        for n, payload in enumerate(payloads)
    ]


def raw(folder: Path, points: Sequence[Point]) -> None:
    """The engine alone, in this process: the same vectors, words and payload indexes, batches, one flush at the end."""
    dense = edge.EdgeVectorParams(size=len(points[0].vector), distance=edge.Distance.Cosine)
    words = {LEXICAL: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)}
    folder.mkdir()
    shard = edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors=dense, sparse_vectors=words, wal_enabled=True))
    for name, kind in INDEXED.items():
        shard.update(edge.UpdateOperation.create_field_index(name, kind))
    for start in range(0, len(points), POINTS_MAX):
        some = [_as_edge(point) for point in points[start : start + POINTS_MAX]]
        shard.update(edge.UpdateOperation.upsert_points(some))
    shard.flush()
    shard.close()


def _as_edge(point: Point) -> "edge.Point":
    words = edge.SparseVector(*sparse.document_vector(words_of(point.payload)))
    return edge.Point(point.id, {LEXICAL: words, "": point.vector.tolist()}, point.payload)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[EdgeStore]:
    store = EdgeStore(folder, dimension=DIMENSION)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def spent(work: Callable[[], Awaitable[None]], *, pid: int | None) -> tuple[float, float]:
    """CPU seconds of this process and of `pid`, and seconds by the clock."""
    processes = [psutil.Process(), *([psutil.Process(pid)] if pid else [])]
    before, began = sum(_cpu(p) for p in processes), time.perf_counter()
    await work()
    return sum(_cpu(p) for p in processes) - before, time.perf_counter() - began


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def measure_writes(folder: Path, sets: Sequence[ChunkSet]) -> dict[str, tuple[float, float]]:
    """One round: the engine, our store with the same points, our whole swap, and the swap of what is there already."""
    embedder = ReadyEmbedder()
    points = points_of(sets, embedder._pool)

    async def bare() -> None:
        raw(folder / "raw", points)

    async def stored() -> None:
        for start in range(0, len(points), POINTS_MAX):
            await store.upsert(points[start : start + POINTS_MAX])
        await store.flush()

    async def swapped() -> None:
        for of in sets:
            await swap(store, of)
        await store.flush()

    async def given() -> None:
        for of in sets:
            await give_vectors(store, embedder, of.doc)
        await store.flush()

    took = {"raw engine": await spent(bare, pid=None)}
    async with opened(folder / "store") as store:
        took["EdgeStore.upsert"] = await spent(stored, pid=store.pid)
    async with opened(folder / "swap") as store:
        took["swap, words"] = await spent(swapped, pid=store.pid)
        took["their vectors"] = await spent(given, pid=store.pid)
        took["swap, replayed"] = await spent(swapped, pid=store.pid)
    return took


async def measure_search(folder: Path, sets: Sequence[ChunkSet]) -> list[tuple[str, str]]:
    """Questions to our Searcher over IPC with heads read, embedded by hashing."""
    embedder = HashEmbedder(dimension=DIMENSION)
    async with opened(folder / "search") as store:
        for of in sets:
            await swap(store, of)
            await give_vectors(store, embedder, of.doc)
        searcher, rng, took = Searcher(store, embedder), random.Random(1), []
        for _ in range(300):
            question = " ".join(rng.choices(WORDS, k=5))
            began = time.perf_counter()
            assert await searcher.search(Question(question=question))
            took.append((time.perf_counter() - began) * 1000)
        rss = psutil.Process(store.pid).memory_info().rss >> 20
    steady = sorted(took[50:])
    return [
        ("search p50, p95", f"{statistics.median(steady):.1f} ms, {steady[int(len(steady) * 0.95)]:.1f} ms"),
        ("index process", f"{rss} MiB"),
    ]


async def measure_model() -> list[tuple[str, str]]:
    embedder = open_embedder("minilm", threads=0, batch_tokens=1024)
    assert isinstance(embedder, ModelEmbedder)
    rng = random.Random(2)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(10, 200))) for _ in range(300)]
    began = time.perf_counter()
    await embedder.warm()
    start = time.perf_counter() - began

    async def embed() -> None:
        await embedder.documents(texts)

    cpu, wall = await spent(embed, pid=embedder.pid)
    rss = psutil.Process(embedder.pid).memory_info().rss >> 20
    await embedder.close()
    return [
        ("minilm", f"{len(texts) / cpu:.0f} texts/cpu-s, {len(texts) / wall:.0f} texts/s (10 to 200 words)"),
        ("minilm process", f"starts in {start:.1f} s, {rss} MiB"),
    ]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--document", type=int, default=200, help="chunks of one document")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--minilm", action="store_true", help="also the real embedder")
    asked = parser.parse_args()
    sets = documents(asked.chunks, asked.document)
    best: dict[str, tuple[float, float]] = {}
    facts: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as place:
        for number in range(asked.rounds):
            folder = Path(place) / f"{number}-{uuid.uuid4().hex[:6]}"
            folder.mkdir()
            for way, took in (await measure_writes(folder, sets)).items():
                best[way] = min(best.get(way, took), took)
        facts += await measure_search(Path(place), sets)
    facts += await measure_model() if asked.minilm else []
    show(asked.chunks, best, facts)


def show(chunks: int, best: dict[str, tuple[float, float]], facts: list[tuple[str, str]]) -> None:
    table = Table(title=f"{chunks:,} chunks, {DIMENSION} numbers each, best round")
    for column in ("way", "points/cpu-s", "points/s", "x raw CPU"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for way, (cpu, wall) in best.items():
        table.add_row(way, f"{chunks / cpu:,.0f}", f"{chunks / wall:,.0f}", f"{cpu / best['raw engine'][0]:.2f}")
    console = Console()
    console.print(table)
    for name, figure in facts:
        console.print(f"{name}: {figure}")


if __name__ == "__main__":
    asyncio.run(main())
