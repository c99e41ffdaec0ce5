"""The embedded Store: Qdrant Edge in a child process, kept in one folder, owned by one process at a time."""

import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from folio.batching import Batcher
from folio.child import Child
from folio.errors import Cause
from folio.ids import Doc
from indexer.conditions import conditions_of
from indexer.steady import Steady
from indexer.store import Asked, Found, Head, Point, Scored, Stretch, Totals, Vector, Where

FLUSH_LINGER_S = 0.1
"""A flush costs 16 CPU-ms and eight waits for the disk, however little it writes: the next one waits for company."""


class EdgeStore:
    """A folder holds one generation. The process starts at the first call, and again after it died."""

    def __init__(self, path: Path, dimension: int) -> None:
        self._dimension = dimension
        child = Child("indexer.edge_process:EdgeProcess", {"path": str(path), "dimension": dimension})
        self._process = Steady(child, died=Cause.STORE_DOWN, what="the index process")
        self._flush: Batcher[None, None] = Batcher(self._flush_once, linger_s=FLUSH_LINGER_S)
        self._asked_s = time.monotonic()

    @property
    def pid(self) -> int | None:
        """Of the process that holds the index, for those who measure it."""
        return self._process.pid

    async def open(self) -> None:
        await self.totals()

    async def heads(self, docs: Collection[Doc]) -> dict[Doc, Head]:
        found = [Head.of(payload) for payload in await self._call("heads", list(docs))]
        return {head.doc: head for head in found}

    async def raise_head(self, head: Head, *, over: int | None = None) -> None:
        await self._call("raise_head", head.payload(), over)

    async def upsert(self, points: Sequence[Point]) -> None:
        for some in ([p for p in points if p.vector is not None], [p for p in points if p.vector is None]):
            if some:
                rows = b"".join(packed(point.vector) for point in some)
                await self._call("upsert", [p.id for p in some], rows, [p.payload for p in some])

    async def count(self, doc: Doc, revision: int, *, lacking: bool = False) -> int:
        return int(await self._call("count", doc, revision, lacking))

    async def lacking(self, doc: Doc, revision: int, *, limit: int) -> dict[str, dict[str, Any]]:
        return dict(await self._call("lacking", doc, revision, limit))

    async def set_vectors(self, vectors: Mapping[str, Vector]) -> None:
        if vectors:
            await self._call("set_vectors", list(vectors), b"".join(map(packed, vectors.values())))

    async def vectors(self, doc: Doc) -> dict[str, Vector]:
        found: dict[str, Vector] = {}
        if not self._dimension:
            return found
        following = None
        while True:
            hashes, rows, following = await self._call("vectors", doc, following)
            found.update(zip(hashes, np.frombuffer(rows, np.float32).reshape(-1, self._dimension), strict=True))
            if following is None:
                return found

    async def sweep(self, head: Head) -> None:
        await self._call("sweep", head.doc, head.revision, head.seen)

    async def search(self, asked: Asked, where: Where, *, limit: int) -> Found:
        pins = list(where.pins.items())
        question = [packed(asked.vector), asked.words, conditions_of(where)]
        dense, lexical = await self._call("search", *question, pins, limit)
        return Found([Scored(*hit) for hit in dense], [Scored(*hit) for hit in lexical])

    async def payloads(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        return dict(await self._call("payloads", list(ids)) if ids else ())

    async def passages(self, stretches: Sequence[Stretch]) -> list[list[dict[str, Any]]]:
        asked = [(s.doc, s.revision, s.first, s.last, s.section) for s in stretches]
        found: list[list[dict[str, Any]]] = await self._call("passages", asked) if asked else []
        return found

    async def flush(self) -> None:
        """Callers that come while a flush runs share the next one."""
        await self._flush(None)

    async def totals(self) -> Totals:
        return Totals(*await self._call("totals"))

    async def all_heads(self) -> AsyncIterator[Head]:
        following = None
        while True:
            payloads, following = await self._call("heads_page", following)
            for payload in payloads:
                yield Head.of(payload)
            if following is None:
                return

    async def maintain(self, *, quiet_s: float = 30.0) -> bool:
        """Build graphs and drop deleted points, if nobody has asked anything for `quiet_s`. Whether something was done.

        Who asks while it runs waits until it is finished: seconds at 20,000 points, a minute at 200,000.
        """
        if time.monotonic() - self._asked_s < quiet_s:
            return False
        return bool(await self._process.call("optimize"))

    async def close(self) -> None:
        await self._flush.drain()
        await self._process.close()

    async def _flush_once(self, askers: Sequence[None]) -> Sequence[None]:
        await self._call("flush")
        return askers

    async def _call(self, method: str, *args: Any) -> Any:
        self._asked_s = time.monotonic()
        return await self._process.call(method, *args)


def packed(vector: Vector | None) -> bytes:
    return b"" if vector is None else vector.astype(np.float32, copy=False).tobytes()
