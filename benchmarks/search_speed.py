"""How long a search takes over 50,000 chunks in the embedded store, embedding of the question included.

Run: python -m benchmarks.search_speed [--chunks 50000]
Passages are sentences of real English texts put together anew, with real vectors moved a little; the store is as its
own maintenance leaves it. Beside it, in the same run, the bare engine on the same files and the embedder alone.
"""

import argparse
import asyncio
import random
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import qdrant_edge as edge

from benchmarks.search_texts import CachedEmbedder, chunked, english_folder, english_texts, minilm
from benchmarks.synthetic import table
from chunking.chunker import Chunker
from folio.ids import chunk_id, doc_of, sha256
from folio.questions import Filters, Question
from folio.records import BlockKind, Box, Chunk, ChunkSet, PageBox
from indexer import sparse
from indexer.edge import EdgeStore
from indexer.embedding import ModelEmbedder, Vectors, open_embedder
from indexer.giving import give_vectors
from indexer.search import CANDIDATES, Searcher
from indexer.store import LEXICAL
from indexer.swap import swap

P95_MS_MAX = 50.0
EACH = 200
"""Chunks of one document."""
DEPARTMENTS = ("finance", "law", "sales", "research", "care", "press", "works", "tax")
NOISE = 0.6
QUESTIONS = 100
FIRST = 20
"""Questions that only warm what a server has warm."""
WAYS: dict[str, dict[str, Any]] = {
    "hybrid": {},
    "dense": {"mode": "dense"},
    "lexical": {"mode": "lexical"},
    "hybrid, explained": {"explain": True},
    "hybrid, in 1 of 250 documents": {"filters": Filters(documents=("report-7.pdf",))},
    "hybrid, tables only (1 in 10)": {"filters": Filters(kinds=(BlockKind.TABLE,))},
    "hybrid, metadata (1 in 8)": {"filters": Filters(metadata={"department": "law"})},
    "hybrid, pages 1 to 5": {"filters": Filters(page_first=1, page_last=5)},
    "hybrid, added since (1 in 2)": {"filters": Filters(since_ms=125_000)},
    "hybrid, three filters": {
        "filters": Filters(kinds=(BlockKind.TABLE,), metadata={"department": "law"}, page_last=30)
    },
    "hybrid, 2 neighbours": {"neighbours": 2},
    "hybrid, whole section": {"section": True},
}

Times = list[float]


async def passages(embedder: CachedEmbedder) -> tuple[list[str], Vectors]:
    """Real passages and their real vectors."""
    chunker = Chunker(embedder.tokenizer, tokens_max=embedder.tokens_max, context_tokens_max=48, model=embedder.name)
    sets = [chunked(chunker, name, text) for name, text in english_texts().items()]
    texts = [chunk.embedded_text for of in sets for chunk in of.chunks]
    return texts, await embedder.documents(texts)


def documents(texts: Sequence[str], chunks: int) -> Iterator[ChunkSet]:
    """Each chunk is made of sentences of two passages, so that words are as frequent as they are in English."""
    rng = random.Random(0)
    sentences = [re.split(r"(?<=[.!?])\s+", text) for text in texts]
    for number in range(-(-chunks // EACH)):
        doc = doc_of("default", f"report-{number}.pdf")
        made = [_chunk(doc, _mixed(sentences, rng), order) for order in range(min(EACH, chunks - number * EACH))]
        facts = {"department": DEPARTMENTS[number % len(DEPARTMENTS)], "year": 2000 + number % 25}
        yield ChunkSet(
            doc=doc,
            version=(number + 1) * 1_000_000,
            revision=1,
            name=f"report-{number}.pdf",
            metadata=facts,
            chunks=tuple(made),
        )


def _mixed(sentences: Sequence[Sequence[str]], rng: random.Random) -> str:
    one, other = rng.choice(sentences), rng.choice(sentences)
    return " ".join([*rng.sample(one, -(-len(one) // 2)), *rng.sample(other, -(-len(other) // 2))])


def _chunk(doc: Any, body: str, order: int) -> Chunk:
    page = order // 3 + 1
    boxes = tuple(PageBox(page=page, box=Box(x0=0.1, y0=y / 10, x1=0.9, y1=y / 10 + 0.1)) for y in range(3))
    return Chunk(
        chunk_id=chunk_id(doc, body, order),
        embed_hash=sha256(f"{order}{body}".encode()),
        body=body,
        kind=BlockKind.TABLE if order % 10 == 0 else BlockKind.PARAGRAPH,
        headings=("Annual report", f"Part {order // 8}"),
        pages=(page,),
        boxes=boxes,
        order=order,
        section=order // 8,
    )


class Moved:
    """An embedder of ready vectors, each moved a little in a direction of its own."""

    name, tokens_max, tokenizer = "moved", 256, "words"

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self._rng = np.random.default_rng(0)
        self.dimension = vectors.shape[1]

    async def documents(self, texts: Sequence[str]) -> Vectors:
        rows = self._vectors[self._rng.integers(0, len(self._vectors), len(texts))]
        moved = rows + NOISE * self._rng.standard_normal(rows.shape, np.float32) / np.float32(self.dimension**0.5)
        unit: Vectors = moved / np.linalg.norm(moved, axis=1, keepdims=True)
        return unit

    async def query(self, text: str) -> Vectors:
        raise AssertionError("questions are embedded by the real model")

    async def warm(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to end."""


def questions() -> list[str]:
    import csv

    with (english_folder() / "questions_df.csv").open(encoding="utf-8") as file:
        return [line["question"] for line in csv.DictReader(file)][: QUESTIONS + FIRST]


async def timed(ask: Callable[[str], Awaitable[Any]], asked: Sequence[str]) -> Times:
    took = []
    for question in asked:
        began = time.perf_counter()
        await ask(question)
        took.append((time.perf_counter() - began) * 1000)
    return sorted(took[FIRST:])


async def measure(store: EdgeStore, asked: Sequence[str]) -> list[tuple[str, ...]]:
    """Every way to search, each with an embedder that has not seen the questions."""
    rows = []
    embedder = open_embedder("minilm", threads=0, batch_tokens=2048)
    assert isinstance(embedder, ModelEmbedder)
    await embedder.warm()
    processes = [psutil.Process(), psutil.Process(store.pid), psutil.Process(embedder.pid)]
    try:
        rows.append(_row("embedding the question alone", await timed(embedder.query, asked), 0.0))
        for way, options in WAYS.items():
            searcher = Searcher(store, embedder)

            async def ask(question: str, searcher: Searcher = searcher, options: dict[str, Any] = options) -> None:
                assert await searcher.search(Question(question=question, **options))

            before = _cpu(processes)
            took = await timed(ask, asked)
            rows.append(_row(way, took, (_cpu(processes) - before) * 1000 / len(asked)))
    finally:
        await embedder.close()
    return rows


def raw(folder: Path, vectors: Vectors, asked: Sequence[str]) -> list[tuple[str, ...]]:
    """The engine on the same files, in this process: two queries, payloads included, nothing around them."""
    dense = edge.EdgeVectorParams(size=vectors.shape[1], distance=edge.Distance.Cosine)
    words = {LEXICAL: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)}
    shard = edge.EdgeShard.load(str(folder / "points"), edge.EdgeConfig(vectors=dense, sparse_vectors=words))
    took: dict[str, Times] = {"bare engine, dense": [], "bare engine, sparse": []}
    for number, question in enumerate(asked):
        made = (
            edge.Query.Nearest(vectors[number].tolist()),
            edge.Query.Nearest(edge.SparseVector(*sparse.query_vector(question)), using=LEXICAL),
        )
        for times, query in zip(took.values(), made, strict=True):
            began = time.perf_counter()
            shard.query(edge.QueryRequest(limit=CANDIDATES, query=query, with_payload=True))
            times.append((time.perf_counter() - began) * 1000)
    shard.close()
    return [_row(way, sorted(times[FIRST:]), 0.0) for way, times in took.items()]


def _cpu(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _row(way: str, took: Times, cpu_ms: float) -> tuple[str, ...]:
    at = [took[int(len(took) * share)] for share in (0.5, 0.95, 0.99)]
    return (way, *(f"{ms:.1f}" for ms in at), f"{cpu_ms:.1f}" if cpu_ms else "")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=50_000)
    parser.add_argument("--keep", type=Path, help="build the index here once, and use it again")
    given = parser.parse_args()
    async with minilm() as real:
        texts, vectors = await passages(real)
        asked = questions()
        looked_for = np.stack([await real.query(question) for question in asked])
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary) / "index"
        store = EdgeStore(folder, dimension=vectors.shape[1])
        try:
            if not (await store.totals()).points:
                await build(store, Moved(vectors), documents(texts, given.chunks))
            began = time.perf_counter()
            await store.maintain(quiet_s=0)
            print(f"maintained in {time.perf_counter() - began:.0f} s", flush=True)
            rows = await measure(store, asked)
            points = (await store.totals()).points
        finally:
            await store.close()
        rows += raw(folder, looked_for, asked)
    table([(f"{points:,} chunks, ms", "p50", "p95", "p99", "CPU"), *rows])
    slow = [way for way, _, p95, *_ in rows if float(p95) > P95_MS_MAX]
    print(f"\np95 at most {P95_MS_MAX:.0f} ms: {'NOT reached: ' + ', '.join(slow) if slow else 'reached'}")
    if slow:
        raise SystemExit(1)


async def build(store: EdgeStore, embedder: Moved, sets: Iterator[ChunkSet]) -> None:
    began = time.perf_counter()
    for of in sets:
        await swap(store, of)
        await give_vectors(store, embedder, of.doc)
    await store.flush()
    print(f"written in {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
