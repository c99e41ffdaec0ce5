"""Hybrid search beside dense search alone, with MiniLM: questions in English, known items in Chinese.

Run: python -m benchmarks.hybrid_search (once 10 CPU minutes for vectors, which are kept in a temporary folder)
English: the 472 questions of chunking_evaluation over its five corpora; found when one of the first five passages
overlaps a span that answers. Chinese: fragments with a wrong character, and titles, over articles and reviews.
Weights were chosen on every other question; what must be reached is judged on the other half.
"""

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from benchmarks.search_texts import (
    Asking,
    CachedEmbedder,
    chinese_articles,
    chinese_questions,
    chunked,
    english_questions,
    english_texts,
    minilm,
)
from benchmarks.synthetic import table
from chunking.chunker import Chunker
from folio.questions import Question
from indexer.edge import EdgeStore
from indexer.fusion import Weights, fused
from indexer.giving import give_vectors
from indexer.search import CANDIDATES, Searcher
from indexer.store import Asked, Found, Where
from indexer.swap import swap

K = 5
GAIN_MIN = 0.30
WORSE_MAX = 0.02
"""English: hybrid may be worse by this at the lower end of the interval, which chance alone would give."""
DRAWS = 10_000
MODES = ("dense", "lexical", "hybrid")
GRID = [Weights(1.0, lexical) for lexical in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)]

Hits = dict[str, np.ndarray]


@asynccontextmanager
async def indexed(embedder: CachedEmbedder, texts: dict[str, str]) -> AsyncIterator[tuple[Searcher, EdgeStore, dict]]:
    """The texts, chunked as the product chunks them, in a store of the product; with the passages of each."""
    chunker = Chunker(embedder.tokenizer, tokens_max=embedder.tokens_max, context_tokens_max=48, model=embedder.name)
    with tempfile.TemporaryDirectory() as folder:
        store = EdgeStore(Path(folder) / "index", dimension=embedder.dimension)
        passages = {}
        try:
            for name, text in texts.items():
                chunks = chunked(chunker, name, text)
                passages[name] = [chunk.body for chunk in chunks.chunks]
                await swap(store, chunks)
                await give_vectors(store, embedder, chunks.doc)
            yield Searcher(store, embedder), store, passages
        finally:
            await store.close()


async def measured(searcher: Searcher, askings: Sequence[Asking]) -> Hits:
    """For every question and mode, whether one of the first five passages answers."""
    return {mode: np.array([await _is_hit(searcher, asking, mode) for asking in askings]) for mode in MODES}


async def _is_hit(searcher: Searcher, asking: Asking, mode: str) -> bool:
    hits = await searcher.search(Question(question=asking.question, k=K, mode=mode))
    return any(asking.answers(hit.document, hit.text) for hit in hits)


async def lists(searcher: Searcher, embedder: CachedEmbedder, askings: Sequence[Asking]) -> list[Found]:
    found = []
    for asking in askings:
        asked = Asked(await embedder.query(asking.question), asking.question)
        found.append(await searcher.nearest(asked, Where("default"), limit=CANDIDATES))
    return found


async def with_weights(store: EdgeStore, found: Sequence[Found], askings: Sequence[Asking], weights: Weights) -> float:
    hits = 0
    for one, asking in zip(found, askings, strict=True):
        best = await store.payloads([ranked.point.id for ranked in fused(one, weights, both=True)[:K]])
        answers = [asking.answers(of["metadata"]["doc_id"], of["page_content"]) for of in best.values()]
        hits += any(answers)
    return hits / len(askings)


def interval(differences: np.ndarray) -> tuple[float, float]:
    """95 % of what the mean could be, by drawing the questions again and again."""
    draws = np.random.default_rng(0).integers(0, len(differences), (DRAWS, len(differences)))
    low, high = np.quantile(differences[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def row(name: str, hits: Hits) -> tuple[tuple[str, ...], float, float]:
    """A line of the table, the paired difference of hybrid and dense, and the lower end of its interval."""
    difference = hits["hybrid"].astype(float) - hits["dense"]
    low, high = interval(difference)
    shares = [f"{100 * hits[mode].mean():.1f}" for mode in MODES]
    gain = f"{100 * difference.mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    return (name, str(len(difference)), *shares, gain), float(difference.mean()), low


async def of_language(
    embedder: CachedEmbedder, name: str, *, tune: bool
) -> tuple[list[tuple[str, ...]], list[tuple[float, float]]]:
    texts, titles = (english_texts(), {}) if name == "English" else chinese_articles()
    rows, judged = [], []
    async with indexed(embedder, texts) as (searcher, store, passages):
        print(f"{name}: {(await store.totals()).points:,} passages", flush=True)
        if name == "English":
            kinds = {"questions": english_questions(texts, passages)}
        else:
            kinds = dict(zip(("fragments", "titles"), chinese_questions(titles, passages), strict=True))
        for kind, askings in kinds.items():
            if tune:
                found = await lists(searcher, embedder, askings[::2])
                shares = [await with_weights(store, found, askings[::2], weights) for weights in GRID]
                _print_grid(f"{name} {kind}", shares)
            for half, part in (("all", askings), ("judged half", askings[1::2])):
                line, gain, low = row(f"{name} {kind}, {half}", await measured(searcher, part))
                rows.append(line)
                if half != "all":
                    judged.append((gain, low))
    return rows, judged


def _print_grid(name: str, shares: Sequence[float]) -> None:
    each = ", ".join(f"{weights.lexical:g}: {100 * share:.1f}" for weights, share in zip(GRID, shares, strict=True))
    print(f"{name}, choosing half, hit@{K} by weight of the lexical list (dense 1): {each}", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tune", action="store_true", help="also what other weights give on the choosing half")
    asked = parser.parse_args()
    async with minilm() as embedder:
        english, (judged_english,) = await of_language(embedder, "English", tune=asked.tune)
        chinese, judged_chinese = await of_language(embedder, "Chinese", tune=asked.tune)
    print()
    table([(f"hit@{K}, %", "questions", *MODES, "hybrid - dense [95 %]"), *english, *chinese])
    not_worse = judged_english[0] >= 0 or judged_english[1] >= -WORSE_MAX
    gains = judged_chinese[0][1] >= GAIN_MIN
    print(f"\nEnglish not worse: {'reached' if not_worse else 'NOT reached'}")
    print(f"Chinese fragments at least +{100 * GAIN_MIN:.0f} points: {'reached' if gains else 'NOT reached'}")
    if not (not_worse and gains):
        raise SystemExit(1)


if __name__ == "__main__":
    asyncio.run(main())
