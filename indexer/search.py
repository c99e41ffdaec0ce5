"""Search that never shows a mix: every document in an answer appears as exactly one whole revision."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count

from folio.errors import Cause, FolioError, Transient
from folio.ids import TENANT_DEFAULT, Doc, doc_of
from folio.questions import Hit, Question
from indexer.context import order_of, stretches_of, with_context
from indexer.embedding import Embedder, Unembeddable, Vectors, verified
from indexer.fusion import Ranked, Weights, fused
from indexer.payload import hit_of
from indexer.store import Asked, Found, Scored, Store, Where

CANDIDATES = 50
"""Of each list, before they become one."""
ROUNDS_MAX = 8
REMEMBERED_MAX = 100_000
QUESTIONS_MAX = 1024
"""Questions whose vectors are remembered: the same ones come again, page by page and user by user."""


class BadQuestion(FolioError, ValueError):
    """What was asked cannot be searched for."""


class Searcher:
    """Answers questions from one generation.

    A revision is whole in the store from the moment it is visible until it is not. So a document's hits are right
    when its head named their revision before the search began and still does after it, in whichever list they are
    and in however many requests those were made. Heads are remembered from search to search; only a document that
    is met for the first time, or has moved, costs a second round.
    """

    def __init__(self, store: Store, embedder: Embedder, weights: Weights | None = None) -> None:
        self._store = store
        self._embedder = embedder
        self._weights = weights or Weights()
        self._clock = count(1)
        self._known: dict[Doc, tuple[int, int]] = {}
        self._vectors: dict[str, Vectors] = {}

    @property
    def note(self) -> str:
        """What a reader of the answers should know about this index; empty when there is nothing to say."""
        if self._embedder.dimension:
            return ""
        return "no embedder (indexer.embedder = none): passages are found by their words only"

    async def search(self, question: Question, *, tenant: str = TENANT_DEFAULT) -> list[Hit]:
        """The `k` best passages, best first; empty when nothing is indexed. Raises BadQuestion."""
        asked = await self._asked(question)
        docs = tuple(doc_of(tenant, document) for document in question.filters.documents)
        where = Where(tenant, docs, question.filters)
        both = asked.vector is not None and bool(asked.words)
        for _ in range(ROUNDS_MAX):
            found = await self.nearest(asked, where, limit=max(CANDIDATES, question.k) if both else question.k)
            best = fused(found, self._weights, both=both)[: question.k]
            hits = await self._hits(question, best)
            if hits is not None:
                return hits
        raise Transient(Cause.STORE_DOWN, "what was found changed each time before it was read: ask again")

    async def nearest(self, asked: Asked, where: Where, *, limit: int) -> Found:
        """The best points of visible revisions, each document as one revision in both lists."""
        for _ in range(ROUNDS_MAX):
            began = next(self._clock)
            found = await self._store.search(asked, where, limit=limit)
            before = dict(where.pins)
            at = await self._heads({*where.pins, *(hit.doc for hit in found.every)})
            before |= {doc: at[doc] for doc in at if doc not in before and self._knew(doc, at[doc], began)}
            if before == at and all(hit.revision == at[hit.doc] for hit in found.every):
                break
            where = replace(where, pins=at)

        def is_right(hit: Scored) -> bool:
            return before.get(hit.doc) == at[hit.doc] == hit.revision

        return Found(list(filter(is_right, found.dense)), list(filter(is_right, found.lexical)))

    async def _asked(self, question: Question) -> Asked:
        words, is_hybrid = question.question.strip(), question.mode == "hybrid"
        if not words:
            raise BadQuestion("the question is empty: ask for something")
        if question.mode == "dense" and not self._embedder.dimension:
            raise BadQuestion("this index has no vectors (indexer.embedder = none): ask with mode hybrid or lexical")
        if question.mode == "lexical" or not self._embedder.dimension:
            return Asked(words=words)
        try:
            return Asked(await self._vector(words), words if is_hybrid else "")
        except Unembeddable:
            if not is_hybrid:
                raise
            return Asked(words=words)  # longer than the model reads: its words can still be looked for

    async def _vector(self, words: str) -> Vectors:
        vector = self._vectors.pop(words, None)
        if vector is None:
            vector = await self._embedder.query(words)
            verified(vector.reshape(1, -1), count=1, dimension=self._embedder.dimension)
        self._vectors[words] = vector  # the last one asked for goes last
        while len(self._vectors) > QUESTIONS_MAX:
            del self._vectors[next(iter(self._vectors))]
        return vector

    async def _hits(self, question: Question, best: Sequence[Ranked]) -> list[Hit] | None:
        """With what was asked for beside the passages; None when a document moved while they were fetched."""
        kept = await self._store.payloads([one.point.id for one in best])
        if len(kept) < len(best):
            return None
        payloads = [kept[one.point.id] for one in best]
        asked = stretches_of(question, payloads)
        fetched = await self._store.passages(asked) if asked else []
        at = await self._heads({one.point.doc for one in best}) if asked else {}
        if any(one.point.revision != at[one.point.doc] for one in best if asked):
            return None
        hits = []
        for index, (one, payload) in enumerate(zip(best, payloads, strict=True)):
            hit = hit_of(payload, one.score)
            if asked:
                beside = fetched[index :: len(best)]
                hit = with_context(hit, question, order=order_of(payload), fetched=beside)
            if question.explain:
                hit = hit.model_copy(update={"explanation": one.explanation(question.question, payload)})
            hits.append(hit)
        return hits

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
