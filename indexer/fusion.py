"""Two lists become one by reciprocal rank, and each hit can say how it came to its place."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from folio.questions import Explanation
from indexer.payload import words_of
from indexer.sparse import shared_terms
from indexer.store import Found, Scored

RRF_K = 60
"""Of reciprocal rank fusion: how little the first places differ from those after them."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How much a place in each list counts; the default was chosen with MiniLM (benchmarks/hybrid_search.py --tune)."""

    dense: float = 1.0
    lexical: float = 2.0


@dataclass(frozen=True, slots=True)
class Ranked:
    """A point with its place (from 1) in each list that has it."""

    point: Scored
    score: float
    dense: tuple[int, float] | None = None
    lexical: tuple[int, float] | None = None

    def explanation(self, question: str, payload: Mapping[str, Any]) -> Explanation:
        dense_rank, dense_score = self.dense or (None, None)
        lexical_rank, lexical_score = self.lexical or (None, None)
        return Explanation(
            dense_rank=dense_rank,
            dense_score=dense_score,
            lexical_rank=lexical_rank,
            lexical_score=lexical_score,
            terms=shared_terms(question, words_of(payload)),
        )


def fused(found: Found, weights: Weights, *, both: bool) -> list[Ranked]:
    """Best first. Of a single list the places and scores are its own; of `both` the sum of the weighted reciprocals."""
    places = {"dense": _places(found.dense), "lexical": _places(found.lexical)}
    if not both:
        return [
            Ranked(point, point.score, places["dense"].get(point.id), places["lexical"].get(point.id))
            for point in found.every
        ]
    points = {point.id: point for point in found.every}
    ranked = []
    for name, point in points.items():
        dense, lexical = places["dense"].get(name), places["lexical"].get(name)
        score = sum(_shares(((weights.dense, dense), (weights.lexical, lexical))))
        ranked.append(Ranked(point, score, dense, lexical))
    return sorted(ranked, key=lambda one: -one.score)


def _shares(of: Sequence[tuple[float, tuple[int, float] | None]]) -> Iterator[float]:
    return (weight / (RRF_K + place[0]) for weight, place in of if place)


def _places(points: Sequence[Scored]) -> dict[str, tuple[int, float]]:
    return {point.id: (rank, point.score) for rank, point in enumerate(points, start=1)}
