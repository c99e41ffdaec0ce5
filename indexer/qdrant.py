"""The Store on a Qdrant client: a server by its URL, or the client's own memory mode."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from folio.errors import Cause, Transient
from folio.ids import Doc, head_id
from indexer import sparse
from indexer.conditions import INTEGERS, KEYWORDS, Test, conditions_of
from indexer.payload import EMBEDDED, words_of
from indexer.store import (
    LEXICAL,
    Asked,
    Found,
    Head,
    Point,
    Scored,
    Stretch,
    Totals,
    Vector,
    Where,
    refuse_mismatch,
)

T = TypeVar("T")

PAGE = 1000
INDEXED = {
    **dict.fromkeys(KEYWORDS, models.PayloadSchemaType.KEYWORD),
    **dict.fromkeys(INTEGERS, models.PayloadSchemaType.INTEGER),
}
HAS_VECTOR = models.HasVectorCondition(has_vector="")
NOT_FOUND = 404
HEADS_INDEXED = {"seen": models.PayloadSchemaType.INTEGER, "revision": models.PayloadSchemaType.INTEGER}


class QdrantStore:
    """Two collections: the points, and `…__heads`. Every write waits until the server has it in its log on disk.

    `address` is what people know the server by. `inline` calls the client on the event loop's own thread: for the
    memory mode, which is not made for several.
    """

    def __init__(
        self, client: QdrantClient, *, collection: str, dimension: int, inline: bool = False, address: str = ""
    ) -> None:
        self.client = client
        self.collection = collection
        self._heads = f"{collection}__heads"
        self._dimension = dimension
        self._inline = inline
        self._address = address

    async def open(self) -> None:
        about = {"tokenizer": sparse.VERSION, "dimension": self._dimension}
        size, distance = self._dimension, models.Distance.COSINE
        dense: Any = models.VectorParams(size=size, distance=distance) if size else {}
        words = {LEXICAL: models.SparseVectorParams(modifier=models.Modifier.IDF)}
        await self._ask(
            lambda: self._ensure(self.collection, dense, INDEXED, sparse_vectors_config=words, metadata=about)
        )
        await self._ask(lambda: self._ensure(self._heads, {}, HEADS_INDEXED))
        config = (await self._ask(lambda: self.client.get_collection(self.collection))).config
        refuse_mismatch(f"collection {self.collection}", config.metadata or {}, about)

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
        whole = [point for point in points if point.vector is not None or not self._dimension]
        bare = [point for point in points if point.vector is None and self._dimension]
        if whole:
            await self._ask(lambda: self.client.upsert(self.collection, _batch(whole)))
        if bare:
            lacking = models.Filter(must_not=[HAS_VECTOR])
            await self._ask(lambda: self.client.upsert(self.collection, _batch(bare), update_filter=lacking))

    async def count(self, doc: Doc, revision: int, *, lacking: bool = False) -> int:
        if lacking and not self._dimension:
            return 0
        where = _of_revision(doc, revision, lacking=lacking)
        return (await self._ask(lambda: self.client.count(self.collection, where, exact=True))).count

    async def lacking(self, doc: Doc, revision: int, *, limit: int) -> dict[str, dict[str, Any]]:
        if not self._dimension:
            return {}
        where = _of_revision(doc, revision, lacking=True)
        records, _ = await self._ask(
            lambda: self.client.scroll(self.collection, where, limit=limit, with_payload=[*EMBEDDED])
        )
        return {str(record.id): record.payload or {} for record in records}

    async def set_vectors(self, vectors: Mapping[str, Vector]) -> None:
        """The points that are there get theirs before the first that is not is complained of."""
        if not vectors:
            return
        rows = [models.PointVectors(id=name, vector={"": vector.tolist()}) for name, vector in vectors.items()]
        try:
            await self._ask(lambda: self.client.update_vectors(self.collection, rows))
        except KeyError:  # the memory mode
            pass
        except UnexpectedResponse as error:
            if error.status_code != NOT_FOUND:
                raise

    async def vectors(self, doc: Doc) -> dict[str, Vector]:
        found: dict[str, Vector] = {}
        if not self._dimension:
            return found
        where = models.Filter(must=[_is("doc", doc), HAS_VECTOR])
        async for record in self._scroll(self.collection, where, payload=["embed_hash"], vectors=[""]):
            found[(record.payload or {})["embed_hash"]] = _dense(record)
        return found

    async def sweep(self, head: Head) -> None:
        where = models.Filter(
            must=[_is("doc", head.doc), models.FieldCondition(key="revision", range=models.Range(lte=head.seen))],
            must_not=[_is("revision", head.revision)],
        )
        await self._ask(lambda: self.client.delete(self.collection, where))

    async def search(self, asked: Asked, where: Where, *, limit: int) -> Found:
        terms = sparse.query_vector(asked.words) if asked.words else ([], [])
        lists: dict[str, models.QueryRequest] = {}
        if asked.vector is not None:
            lists["dense"] = _request(asked.vector.tolist(), None, where, limit=limit)
        if terms[0]:
            vector = models.SparseVector(indices=terms[0], values=terms[1])
            lists["lexical"] = _request(vector, LEXICAL, where, limit=limit)
        if not lists:
            return Found()
        answers = await self._ask(lambda: self.client.query_batch_points(self.collection, list(lists.values())))
        return Found(**{name: _scored(answer) for name, answer in zip(lists, answers, strict=True)})

    async def payloads(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        records = await self._ask(lambda: self.client.retrieve(self.collection, list(ids), with_payload=True))
        return {str(record.id): record.payload or {} for record in records}

    async def passages(self, stretches: Sequence[Stretch]) -> list[list[dict[str, Any]]]:
        return [await self._stretch(stretch) for stretch in stretches]

    async def _stretch(self, stretch: Stretch) -> list[dict[str, Any]]:
        between = models.Range(gte=stretch.first, lte=stretch.last)
        must: list[models.Condition] = [_is("doc", stretch.doc), _is("revision", stretch.revision)]
        must += [models.FieldCondition(key="metadata.order", range=between)]
        must += [] if stretch.section is None else [_is("metadata.section", stretch.section)]
        where = models.Filter(must=must)
        found = [
            record.payload or {} async for record in self._scroll(self.collection, where, payload=True, vectors=[])
        ]
        return sorted(found, key=lambda payload: int(payload["metadata"]["order"]))

    async def flush(self) -> None:
        """Nothing to do: each write was acknowledged after the server's log was on disk (wait=true)."""

    async def totals(self) -> Totals:
        points = await self._ask(lambda: self.client.count(self.collection, exact=True))
        heads = await self._ask(lambda: self.client.count(self._heads, exact=True))
        return Totals(points.count, heads.count)

    async def all_heads(self) -> AsyncIterator[Head]:
        async for record in self._scroll(self._heads, None, payload=True, vectors=[]):
            yield Head.of(record.payload or {})

    async def maintain(self, *, quiet_s: float = 30.0) -> bool:
        """A server optimises by itself, beside its answers."""
        return False

    async def close(self) -> None:
        await self._ask(self.client.close)

    def _ensure(
        self, collection: str, vectors: Any, indexed: Mapping[str, models.PayloadSchemaType], **more: Any
    ) -> None:
        if self.client.collection_exists(collection):
            return
        self.client.create_collection(collection, vectors_config=vectors, **more)
        for key, schema in () if self._inline else indexed.items():
            self.client.create_payload_index(collection, key, schema)

    async def _scroll(
        self, collection: str, where: models.Filter | None, *, payload: bool | list[str], vectors: list[str]
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
        self,
        collection: str,
        where: models.Filter | None,
        *,
        offset: Any,
        payload: bool | list[str],
        vectors: list[str],
    ) -> Callable[[], tuple[list[models.Record], Any]]:
        return lambda: self.client.scroll(
            collection, where, limit=PAGE, offset=offset, with_payload=payload, with_vectors=vectors
        )

    async def _ask(self, call: Callable[[], T]) -> T:
        try:
            return call() if self._inline else await asyncio.to_thread(call)
        except (ResponseHandlingException, UnexpectedResponse, ConnectionError) as error:
            raise _translated(error, self._address) from error


def _is(key: str, value: str | int) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _of_revision(doc: Doc, revision: int, *, lacking: bool) -> models.Filter:
    must: list[models.Condition] = [_is("doc", doc), _is("revision", revision)]
    return models.Filter(must=must, must_not=[HAS_VECTOR] if lacking else [])


def _filter(where: Where) -> models.Filter:
    """All conditions; of a pinned document only that revision."""
    must: list[models.Condition] = [
        models.Filter(should=[_condition(test) for test in tests]) for tests in conditions_of(where)
    ]
    other_revisions: list[models.Condition] = [
        models.Filter(must=[_is("doc", doc)], must_not=[_is("revision", at)]) for doc, at in where.pins.items()
    ]
    return models.Filter(must=must, must_not=other_revisions)


def _condition(test: Test) -> models.FieldCondition:
    if test.values:
        return models.FieldCondition(key=test.key, match=models.MatchAny(any=list(test.values)))
    return models.FieldCondition(key=test.key, range=models.Range(gte=test.first, lte=test.last))


def _request(vector: Any, using: str | None, where: Where, *, limit: int) -> models.QueryRequest:
    return models.QueryRequest(
        query=vector, using=using, filter=_filter(where), limit=limit, with_payload=["doc", "revision"]
    )


def _scored(answer: models.QueryResponse) -> list[Scored]:
    found = [(str(point.id), point.score, point.payload or {}) for point in answer.points]
    return [Scored(point_id, score, Doc(belongs["doc"]), belongs["revision"]) for point_id, score, belongs in found]


def _batch(points: Sequence[Point]) -> models.Batch:
    words = [sparse.document_vector(words_of(point.payload)) for point in points]
    vectors: dict[str, Any] = {LEXICAL: [models.SparseVector(indices=terms, values=by) for terms, by in words]}
    if points[0].vector is not None:
        vectors[""] = np.stack([point.vector for point in points if point.vector is not None]).tolist()
    return models.Batch(
        ids=[point.id for point in points], vectors=vectors, payloads=[point.payload for point in points]
    )


def _dense(record: models.Record) -> Vector:
    """A client gives the unnamed vector bare or under its empty name."""
    vector: Any = record.vector
    return np.asarray(vector[""] if isinstance(vector, dict) else vector, np.float32)


def _translated(error: Exception, address: str) -> Exception:
    """Away or busy: wait for it. Full: say so. Anything else is a defect and stays what it is."""
    status = getattr(error, "status_code", None)
    if status == 507 or "No space left" in str(error):
        return Transient(Cause.DISK_FULL, str(error))
    if status is None or status == 429 or status >= 500 or not isinstance(error, ApiException):
        return Transient(Cause.STORE_DOWN, f"Qdrant at {address} (indexer.url): {error}" if address else str(error))
    return error
