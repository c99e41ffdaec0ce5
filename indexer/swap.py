"""The swap: one revision of a document takes the place of another in one moment, whatever else is running.

A point belongs to one revision. The head names the visible one (`revision`) and the highest handled one (`seen`).
Writers may be many, die anywhere and repeat; `seen` only rises, so each of them finds out what became of its revision.
What is not `revision` and not above `seen` can never be visible again: whoever reads that may sweep it.
Nobody waits for a model here: a point whose vector is not known yet is found by its words until it has one.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from folio.errors import Cause, FolioError, Permanent
from folio.faults import effect
from folio.ids import Doc
from folio.records import ChunkSet
from indexer.payload import manifest_of, payload_of, stored_id
from indexer.store import POINTS_MAX, Head, Point, Store, Vector

ROUNDS_MAX = 8
"""A round is repeated when another writer came between; more than this is no coincidence."""


@dataclass(frozen=True, slots=True)
class Swapped:
    """What became of a revision. `lacking` counts the chunks of the visible one that still lack their vector."""

    outcome: Literal["visible", "unchanged", "outdated", "deleted"]
    chunks: int
    lacking: int
    manifest: str


async def swap(store: Store, chunks: ChunkSet) -> Swapped:
    """Make one revision visible, or find that it need not or must not be. Safe to repeat at any time.

    Raises Transient when the store is away.
    """
    if len({chunk.chunk_id for chunk in chunks.chunks}) != len(chunks.chunks):
        raise Permanent(Cause.SCHEMA_INVALID, f"{chunks.doc}: two chunks with one id")
    return await _Swap(store, chunks).run()


async def take_back(store: Store, doc: Doc, revision: int) -> None:
    """Delete what a revision that was given up has left: its own points if it is not visible, and older ones.

    Put in again, it can still become visible: the head does not count it as handled.
    Raises Transient when the store is away.
    """
    head = (await store.heads([doc])).get(doc) or Head(doc, revision=0, seen=0)
    with effect("indexer.sweep"):
        await store.sweep(replace(head, seen=max(head.seen, revision)))
    with effect("indexer.flush"):
        await store.flush()


class _Swap:
    """One writer of one revision. Between any two requests of the store anything may happen."""

    def __init__(self, store: Store, chunks: ChunkSet) -> None:
        self._store = store
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
        lacking = await self._store.count(head.doc, head.revision, lacking=True) if head.chunks else 0
        return Swapped(outcome, len(self._payloads), lacking, self._own.manifest)

    async def _write(self) -> None:
        """All points, a few at a time, with the vectors of live points that have the same embed_hash."""
        if self._vectors is None:
            self._vectors = await self._store.vectors(self._own.doc) if self._payloads else {}
        for start in range(0, len(self._payloads), POINTS_MAX):
            some = self._payloads[start : start + POINTS_MAX]
            points = [self._point(payload, self._vectors.get(payload["embed_hash"])) for payload in some]
            with effect("indexer.upsert"):
                await self._store.upsert(points)

    def _point(self, payload: dict[str, Any], vector: Vector | None) -> Point:
        revision = self._own.revision
        return Point(stored_id(payload, revision), vector, {**payload, "revision": revision})
