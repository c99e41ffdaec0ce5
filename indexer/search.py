"""Search that never shows a mix: every document in an answer appears as exactly one whole revision."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import count

from folio.errors import FolioError
from folio.ids import TENANT_DEFAULT, Doc, doc_of
from folio.records import Hit, Question
from indexer.embedding import Embedder, verified
from indexer.payload import hit_of
from indexer.store import Scored, Store, Vector, Where

ROUNDS_MAX = 8
REMEMBERED_MAX = 100_000


class BadQuestion(FolioError, ValueError):
    """What was asked cannot be searched for."""


class Searcher:
    """Answers questions from one generation.

    A revision is whole in the store from the moment it is visible until it is not. So a document's hits are right
    when its head named their revision before the search began and still does after it. Heads are remembered from
    search to search; only a document that is met for the first time, or has moved, costs a second round.
    """

    def __init__(self, store: Store, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder
        self._clock = count(1)
        self._known: dict[Doc, tuple[int, int]] = {}

    async def search(self, question: Question, *, tenant: str = TENANT_DEFAULT) -> list[Hit]:
        """The `k` best passages, best first; empty when nothing is indexed. Raises BadQuestion."""
        if not question.question.strip():
            raise BadQuestion("the question is empty: ask for something")
        vector = await self._embedder.query(question.question)
        verified(vector.reshape(1, -1), count=1, dimension=self._embedder.dimension)
        where = Where(tenant, tuple(doc_of(tenant, document) for document in question.filters.documents))
        return [hit_of(found.payload, found.score) for found in await self.nearest(vector, where, limit=question.k)]

    async def nearest(self, vector: Vector, where: Where, *, limit: int) -> list[Scored]:
        """The nearest points of visible revisions, each document as one revision."""
        for _ in range(ROUNDS_MAX):
            began = next(self._clock)
            found = await self._store.search(vector, where, limit=limit)
            before = dict(where.pins)
            at = await self._heads({*where.pins, *(hit.doc for hit in found)})
            before |= {doc: at[doc] for doc in at if doc not in before and self._knew(doc, at[doc], began)}
            if before == at and all(hit.revision == at[hit.doc] for hit in found):
                break
            where = replace(where, pins=at)
        return [hit for hit in found if before.get(hit.doc) == at[hit.doc] == hit.revision]

    async def _heads(self, docs: Iterable[Doc]) -> dict[Doc, int]:
        """The visible revision of each, 0 for none yet; remembered with the time at which it was first known."""
        asked = list(docs)
        heads = await self._store.heads(asked) if asked else {}
        at = {doc: heads[doc].revision if doc in heads else 0 for doc in asked}
        now = next(self._clock)
        for doc, revision in at.items():
            if self._known.get(doc, (None, 0))[0] != revision:
                self._known.pop(doc, None)
                self._known[doc] = (revision, now)
        while len(self._known) > REMEMBERED_MAX:
            del self._known[next(iter(self._known))]
        return at

    def _knew(self, doc: Doc, revision: int, began: int) -> bool:
        """Whether that revision was known to be visible before the search that `began` then."""
        known = self._known.get(doc)
        return known is not None and known[0] == revision and known[1] < began
