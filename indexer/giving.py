"""Vectors for what is found by its words only: a document's visible revision, whichever that is once they are made."""

from collections.abc import Mapping
from typing import Any

from folio.errors import Cause, FolioError, Permanent
from folio.faults import effect
from folio.ids import Doc
from indexer.embedding import Embedder, Unembeddable, verified
from indexer.payload import embedded_text_of
from indexer.store import POINTS_MAX, Head, Store, Vector

Payloads = Mapping[str, Mapping[str, Any]]


async def give_vectors(store: Store, embedder: Embedder, doc: Doc) -> int:
    """All that the document lacks; returns how many were made. Raises Permanent when a chunk cannot have one."""
    giving = Giving(store, embedder, doc)
    await giving.whole()
    giving.raise_refused()
    return giving.made


class Giving:
    """One document's. It asks the store what is lacking until nothing is, and keeps no other memory than this run's."""

    def __init__(self, store: Store, embedder: Embedder, doc: Doc) -> None:
        self._store = store
        self._embedder = embedder
        self._doc = doc
        self._known: dict[str, Vector] = {}
        """Those made last, by embed_hash: a revision that came in between has most of them, and not yet here."""
        self._refused: dict[str, str] = {}
        """Why a chunk has no vector, by embed_hash."""
        self.made = 0

    async def whole(self) -> Head | None:
        """The visible head once it lacks nothing that can be made; None when there is nothing visible."""
        written: set[str] = set()
        while (head := await self._head()) is not None:
            lacking = await self._store.lacking(self._doc, head.revision, limit=POINTS_MAX + len(self._refused))
            asked = {point: one for point, one in lacking.items() if one["embed_hash"] not in self._refused}
            if not asked and await self._head() == head:
                return head
            if written & asked.keys():
                raise FolioError(f"{self._doc}: {len(asked)} chunks lack the vectors that were just written")
            written |= await self._give(asked)
        return None

    def raise_refused(self) -> None:
        """Raises Permanent for chunks that have no vector; all others have theirs."""
        if self._refused:
            more = f", and {len(self._refused) - 1} more chunks" if len(self._refused) > 1 else ""
            first = next(iter(self._refused.values()))
            raise Permanent(Cause.EMBEDDING_INVALID, f"{first}{more}: found by words only")

    async def _head(self) -> Head | None:
        head = (await self._store.heads([self._doc])).get(self._doc)
        return None if head is None or head.deleted else head

    async def _give(self, points: Payloads) -> set[str]:
        """Returns the points that were given theirs."""
        unknown = {one["embed_hash"]: one for one in points.values() if one["embed_hash"] not in self._known}
        asked = {one["embed_hash"] for one in points.values()}
        kept = {one: vector for one, vector in self._known.items() if one in asked}
        self._known = kept | await self._make(unknown)
        hashes = {point: one["embed_hash"] for point, one in points.items()}
        vectors = {point: self._known[one] for point, one in hashes.items() if one in self._known}
        with effect("indexer.set_vectors"):
            await self._store.set_vectors(vectors)
        return set(vectors)

    async def _make(self, chunks: Payloads) -> dict[str, Vector]:
        """By embed_hash. A chunk that the embedder refuses is left out, and the others are asked for again."""
        left = dict(chunks)
        while left:
            try:
                made = await self._embedder.documents([embedded_text_of(one) for one in left.values()])
                verified(made, count=len(left), dimension=self._embedder.dimension)
            except Unembeddable as error:
                refused = list(left)[error.index]
                self._refused[refused] = _why(left.pop(refused), error.detail)
            else:
                self.made += len(left)
                return dict(zip(left, made, strict=True))
        return {}


def _why(chunk: Mapping[str, Any], detail: str) -> str:
    pages = ", ".join(str(page) for page in chunk["metadata"]["pages"])
    return f"chunk {chunk['chunk_id']} on page {pages}: {detail}"
