"""The Store on a Qdrant client: a server by its URL, or the client's own memory mode."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any, TypeVar

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from folio.errors import Cause, FolioError, Transient
from folio.ids import Doc, head_id
from indexer.store import Head, Point, Scored, Totals, Vector, Where

T = TypeVar("T")

PAGE = 1000
INDEXED = {
    "doc": models.PayloadSchemaType.KEYWORD,
    "tenant": models.PayloadSchemaType.KEYWORD,
    "revision": models.PayloadSchemaType.INTEGER,
}


class QdrantStore:
    """Two collections: the points, and `…__heads`. Every write waits until the server has it in its log on disk.

    `inline` calls the client on the event loop's own thread: for the memory mode, which is not made for several.
    """

    def __init__(self, client: QdrantClient, *, collection: str, dimension: int, inline: bool = False) -> None:
        self.client = client
        self.collection = collection
        self._heads = f"{collection}__heads"
        self._dimension = dimension
        self._inline = inline

    async def open(self) -> None:
        dense = models.VectorParams(size=self._dimension, distance=models.Distance.COSINE)
        await self._ask(lambda: self._ensure(self.collection, dense))
        await self._ask(lambda: self._ensure(self._heads, {}))
        config = (await self._ask(lambda: self.client.get_collection(self.collection))).config
        size = getattr(config.params.vectors, "size", None)
        if size != self._dimension:
            raise FolioError(f"collection {self.collection} holds vectors of {size} numbers, not {self._dimension}")

    async def heads(self, docs: Collection[Doc]) -> dict[Doc, Head]:
        ids = [head_id(doc) for doc in docs]
        records = await self._ask(lambda: self.client.retrieve(self._heads, ids, with_payload=True))
        heads = [Head.of(record.payload or {}) for record in records]
        return {head.doc: head for head in heads}

    async def raise_head(self, head: Head, *, over: int | None = None) -> None:
        must: list[models.Condition] = [models.FieldCondition(key="seen", range=models.Range(lt=head.seen))]
        must += [] if over is None else [_is("revision", over)]
        point = models.PointStruct(id=head_id(head.doc), vector={}, payload=head.payload())
        await self._ask(
            lambda: self.client.upsert(
                self._heads,
                [point],
                update_filter=models.Filter(must=must),
                ordering=models.WriteOrdering.STRONG,
            )
        )

    async def upsert(self, points: Sequence[Point]) -> None:
        if not points:
            return
        batch = models.Batch(
            ids=[point.id for point in points],
            vectors=np.stack([point.vector for point in points]).tolist(),
            payloads=[point.payload for point in points],
        )
        await self._ask(lambda: self.client.upsert(self.collection, batch))

    async def count(self, doc: Doc, revision: int) -> int:
        where = models.Filter(must=[_is("doc", doc), _is("revision", revision)])
        return (await self._ask(lambda: self.client.count(self.collection, where, exact=True))).count

    async def vectors(self, doc: Doc) -> dict[str, Vector]:
        found: dict[str, Vector] = {}
        where = models.Filter(must=[_is("doc", doc)])
        async for record in self._scroll(self.collection, where, payload=["embed_hash"], vectors=True):
            found[(record.payload or {})["embed_hash"]] = np.asarray(record.vector, np.float32)
        return found

    async def sweep(self, head: Head) -> None:
        where = models.Filter(
            must=[_is("doc", head.doc), models.FieldCondition(key="revision", range=models.Range(lte=head.seen))],
            must_not=[_is("revision", head.revision)],
        )
        await self._ask(lambda: self.client.delete(self.collection, where))

    async def search(self, vector: Vector, where: Where, *, limit: int) -> list[Scored]:
        must: list[models.Condition] = [_is("tenant", where.tenant)]
        must += [_any("doc", where.docs)] if where.docs else []
        must_not: list[models.Condition] = [
            models.Filter(must=[_is("doc", doc)], must_not=[_is("revision", revision)])
            for doc, revision in where.pins.items()
        ]
        asked = models.Filter(must=must, must_not=must_not)
        found = await self._ask(
            lambda: self.client.query_points(self.collection, vector.tolist(), query_filter=asked, limit=limit)
        )
        return [Scored(point.score, point.payload or {}) for point in found.points]

    async def flush(self) -> None:
        """Nothing to do: each write was acknowledged after the server's log was on disk (wait=true)."""

    async def totals(self) -> Totals:
        points = await self._ask(lambda: self.client.count(self.collection, exact=True))
        heads = await self._ask(lambda: self.client.count(self._heads, exact=True))
        return Totals(points.count, heads.count)

    async def all_heads(self) -> AsyncIterator[Head]:
        async for record in self._scroll(self._heads, None, payload=True, vectors=False):
            yield Head.of(record.payload or {})

    async def maintain(self, *, quiet_s: float = 30.0) -> bool:
        """A server optimises by itself, beside its answers."""
        return False

    async def close(self) -> None:
        await self._ask(self.client.close)

    def _ensure(self, collection: str, vectors: models.VectorParams | dict[str, models.VectorParams]) -> None:
        if self.client.collection_exists(collection):
            return
        self.client.create_collection(collection, vectors_config=vectors)
        for key, schema in () if self._inline else INDEXED.items():
            self.client.create_payload_index(collection, key, schema)

    async def _scroll(
        self, collection: str, where: models.Filter | None, *, payload: bool | list[str], vectors: bool
    ) -> AsyncIterator[models.Record]:
        offset: Any = None
        while True:
            page = self._page(collection, where, offset=offset, payload=payload, vectors=vectors)
            records, offset = await self._ask(page)
            for record in records:
                yield record
            if offset is None:
                return

    def _page(
        self, collection: str, where: models.Filter | None, *, offset: Any, payload: bool | list[str], vectors: bool
    ) -> Callable[[], tuple[list[models.Record], Any]]:
        return lambda: self.client.scroll(
            collection, where, limit=PAGE, offset=offset, with_payload=payload, with_vectors=vectors
        )

    async def _ask(self, call: Callable[[], T]) -> T:
        try:
            return call() if self._inline else await asyncio.to_thread(call)
        except (ResponseHandlingException, UnexpectedResponse, ConnectionError) as error:
            raise _translated(error) from error


def _is(key: str, value: str | int) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _any(key: str, values: Sequence[str]) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))


def _translated(error: Exception) -> Exception:
    """Away or busy: wait for it. Full: say so. Anything else is a defect and stays what it is."""
    status = getattr(error, "status_code", None)
    if status == 507 or "No space left" in str(error):
        return Transient(Cause.DISK_FULL, str(error))
    if status is None or status == 429 or status >= 500 or not isinstance(error, ApiException):
        return Transient(Cause.STORE_DOWN, str(error))
    return error
