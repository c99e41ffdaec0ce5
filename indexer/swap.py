"""The swap: one revision of a document takes the place of another in one moment, whatever else is running.

A point belongs to one revision. The head names the visible one (`revision`) and the highest handled one (`seen`).
Writers may be many, die anywhere and repeat; `seen` only rises, so each of them finds out what became of its revision.
What is not `revision` and not above `seen` can never be visible again: whoever reads that may sweep it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from folio.errors import Cause, FolioError, Permanent
from folio.faults import effect
from folio.records import Chunk, ChunkSet
from indexer.embedding import Embedder, Unembeddable, verified
from indexer.payload import manifest_of, payload_of, stored_id
from indexer.store import POINTS_MAX, Head, Point, Store, Vector

ROUNDS_MAX = 8
"""A round is repeated when another writer came between; more than this is no coincidence."""


@dataclass(frozen=True, slots=True)
class Swapped:
    """What became of a revision. `embedded` counts the vectors that had to be made."""

    outcome: Literal["visible", "unchanged", "outdated", "deleted"]
    chunks: int
    embedded: int
    manifest: str


async def swap(store: Store, embedder: Embedder, chunks: ChunkSet) -> Swapped:
    """Make one revision visible, or find that it need not or must not be. Safe to repeat at any time.

    Raises Permanent when a chunk cannot be embedded, Transient when the store or the embedder is away.
    """
    if len({chunk.chunk_id for chunk in chunks.chunks}) != len(chunks.chunks):
        raise Permanent(Cause.SCHEMA_INVALID, f"{chunks.doc}: two chunks with one id")
    return await _Swap(store, embedder, chunks).run()


class _Swap:
    """One writer of one revision. Between any two requests of the store anything may happen."""

    def __init__(self, store: Store, embedder: Embedder, chunks: ChunkSet) -> None:
        self._store = store
        self._embedder = embedder
        self._set = chunks
        self._payloads = [payload_of(chunks, chunk) for chunk in chunks.chunks]
        self._own = Head(
            doc=chunks.doc,
            revision=chunks.revision,
            seen=chunks.revision,
            manifest=manifest_of(self._payloads, deleted=chunks.deleted),
            chunks=len(self._payloads),
            version=chunks.version,
            deleted=chunks.deleted,
        )
        self._vectors: dict[str, Vector] | None = None
        self._embedded = 0

    async def run(self) -> Swapped:
        own = self._own
        for _ in range(ROUNDS_MAX):
            head = await self._head()
            ours = head.revision == own.revision
            same = head.seen < own.seen and head.manifest == own.manifest
            if (ours or same) and await self._whole(head):
                if ours:
                    return await self._sweep(head)
                await self._mark_seen(head)
                continue
            if head.seen >= own.seen and not ours:
                return await self._sweep(head)
            await self._write()
            if await self._whole(own):
                await self._raise()
                return await self._sweep(await self._head())
        raise FolioError(f"{own.doc}: revision {own.revision} was never found whole after it was written")

    async def _head(self) -> Head:
        heads = await self._store.heads([self._own.doc])
        return heads.get(self._own.doc) or Head(self._own.doc, revision=0, seen=0)

    async def _whole(self, head: Head) -> bool:
        """Whether every point that the head promises is there; what was lost is written again by a replay."""
        return await self._store.count(head.doc, head.revision) == head.chunks

    async def _mark_seen(self, head: Head) -> None:
        """This revision changed nothing: conditional on the head that was compared."""
        with effect("indexer.mark_seen"):
            await self._store.raise_head(replace(head, seen=self._own.seen), over=head.revision)

    async def _raise(self) -> None:
        """The moment in which this revision becomes visible, unless a higher one was handled."""
        with effect("indexer.raise_head"):
            await self._store.raise_head(self._own)

    async def _sweep(self, head: Head) -> Swapped:
        """Older revisions when ours is visible, ours when it is not, and what crashed writers left."""
        with effect("indexer.sweep"):
            await self._store.sweep(head)
        outcome: Literal["visible", "unchanged", "outdated", "deleted"] = "outdated"
        if head.deleted and head.manifest == self._own.manifest:
            outcome = "deleted"
        elif head.revision == self._own.revision:
            outcome = "visible"
        elif head.manifest == self._own.manifest:
            outcome = "unchanged"
        return Swapped(outcome, len(self._payloads), self._embedded, self._own.manifest)

    async def _write(self) -> None:
        """All points, a few at a time: vectors that were made before a crash are found again in the store."""
        if self._vectors is None:
            self._vectors = await self._store.vectors(self._own.doc) if self._payloads else {}
        for start in range(0, len(self._payloads), POINTS_MAX):
            some = slice(start, start + POINTS_MAX)
            vectors = await self._vectors_of(self._set.chunks[some], self._vectors)
            points = [self._point(*pair) for pair in zip(self._payloads[some], vectors, strict=True)]
            with effect("indexer.upsert"):
                await self._store.upsert(points)

    def _point(self, payload: dict[str, Any], vector: Vector | None) -> Point:
        revision = self._own.revision
        return Point(stored_id(payload, revision), vector, {**payload, "revision": revision})

    async def _vectors_of(self, chunks: Sequence[Chunk], known: dict[str, Vector]) -> Sequence[Vector | None]:
        """Copied from a live point with the same embed_hash; only the rest is embedded. None without an embedder."""
        if not self._embedder.dimension:
            return [None] * len(chunks)
        missing = {chunk.embed_hash: chunk for chunk in chunks if chunk.embed_hash not in known}
        known.update(await self._embed(missing))
        return [known[chunk.embed_hash] for chunk in chunks]

    async def _embed(self, missing: dict[str, Chunk]) -> dict[str, Vector]:
        if not missing:
            return {}
        try:
            made = await self._embedder.documents([chunk.embedded_text for chunk in missing.values()])
            verified(made, count=len(missing), dimension=self._embedder.dimension)
        except Unembeddable as error:
            chunk = list(missing.values())[error.index]
            pages = ", ".join(str(page) for page in chunk.pages)
            raise Permanent(error.cause, f"chunk {chunk.chunk_id} on page {pages}: {error.detail}") from None
        self._embedded += len(missing)
        return dict(zip(missing, made, strict=True))
