"""The embedded index, in a process of its own: its engine holds the interpreter lock and must never stop intake.

One call at a time, so every call is atomic. Durable effects are named where the parent asks for them.
"""

import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge

from folio.errors import Cause, Permanent, Transient
from folio.ids import Doc, head_id

FREE_BYTES_MIN = 96 << 20
"""Kept free: the engine maps its files, and a full disk under a mapped file kills the process."""

PAGE = 1000
LOCK_WAIT_S = 10.0
INDEXED = {
    "doc": edge.PayloadSchemaType.Keyword,
    "tenant": edge.PayloadSchemaType.Keyword,
    "revision": edge.PayloadSchemaType.Integer,
}


class EdgeProcess:
    """Two shards in one folder: `points` (one dense vector) and `heads` (none)."""

    def __init__(self, path: str, dimension: int, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self._path = Path(path)
        self._path.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self._path / "lock", lock_wait_s)
        if not (self._path / "heads").exists():
            self._refuse_when_full()
        self._dimension = dimension
        dense = edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine)
        self._points = _opened(self._path / "points", edge.EdgeConfig(vectors=dense, wal_enabled=True))
        nothing = {"none": edge.EdgeSparseVectorParams()}  # the engine refuses shards without any vector
        self._heads = _opened(self._path / "heads", edge.EdgeConfig(sparse_vectors=nothing, wal_enabled=True))

    def heads(self, docs: list[str]) -> list[dict[str, Any]]:
        found = self._heads.retrieve([head_id(Doc(doc)) for doc in docs], True, False)
        return [record.payload for record in found]

    def raise_head(self, payload: dict[str, Any], over: int | None) -> None:
        must: list[Any] = [edge.FieldCondition("seen", range=edge.RangeFloat(lt=payload["seen"]))]
        must += [] if over is None else [_is("revision", over)]
        point = edge.Point(head_id(payload["doc"]), {}, payload)
        self._update(self._heads, edge.UpdateOperation.upsert_points([point], condition=edge.Filter(must=must)))

    def upsert(self, ids: list[str], vectors: bytes, payloads: list[dict[str, Any]]) -> None:
        rows = np.frombuffer(vectors, np.float32).reshape(len(ids), -1)
        if rows.shape[1] != self._dimension or not np.isfinite(rows).all():  # the engine stores NaN without a word
            raise Permanent(Cause.EMBEDDING_INVALID, f"{rows.shape[1]} numbers a vector, or not finite")
        points = [edge.Point(*point) for point in zip(ids, rows.tolist(), payloads, strict=True)]
        self._update(self._points, edge.UpdateOperation.upsert_points(points))

    def count(self, doc: str, revision: int) -> int:
        where = edge.Filter(must=[_is("doc", doc), _is("revision", revision)])
        return int(self._points.count(edge.CountRequest(exact=True, filter=where)))

    def vectors(self, doc: str, offset: str | None) -> tuple[list[str], bytes, str | None]:
        """A page of (embed_hash ...), their vectors, and where the next page begins."""
        request = edge.ScrollRequest(
            offset=offset,
            limit=PAGE,
            filter=edge.Filter(must=[_is("doc", doc)]),
            with_payload=edge.PayloadSelector.Include(["embed_hash"]),
            with_vector=True,
        )
        records, following = self._points.scroll(request)
        hashes = [record.payload["embed_hash"] for record in records]
        rows = np.array([record.vector for record in records], np.float32)
        return hashes, rows.tobytes(), None if following is None else str(following)

    def sweep(self, doc: str, revision: int, seen: int) -> None:
        where = edge.Filter(
            must=[_is("doc", doc), edge.FieldCondition("revision", range=edge.RangeFloat(lte=seen))],
            must_not=[_is("revision", revision)],
        )
        self._update(self._points, edge.UpdateOperation.delete_points_by_filter(where), grows=False)

    def search(self, vector: bytes, limit: int, tenant: str, docs: list[str], pins: dict[str, int]) -> list[Any]:
        where = edge.Filter(
            must=[_is("tenant", tenant), *([_any("doc", docs)] if docs else [])],
            must_not=[
                edge.Filter(must=[_is("doc", pinned)], must_not=[_is("revision", at)]) for pinned, at in pins.items()
            ],
        )
        nearest = edge.Query.Nearest(np.frombuffer(vector, np.float32).tolist())
        found = self._points.query(edge.QueryRequest(limit=limit, query=nearest, filter=where, with_payload=True))
        return [(hit.score, hit.payload) for hit in found]

    def heads_page(self, offset: str | None) -> tuple[list[dict[str, Any]], str | None]:
        request = edge.ScrollRequest(offset=offset, limit=PAGE, with_payload=True)
        records, following = self._heads.scroll(request)
        return [record.payload for record in records], None if following is None else str(following)

    def totals(self) -> tuple[int, int]:
        everything = edge.CountRequest(exact=True)
        return int(self._points.count(everything)), int(self._heads.count(everything))

    def flush(self) -> None:
        """Points before heads: what a head promises must be there first."""
        for shard in (self._points, self._heads):
            _translated(shard.flush)

    def optimize(self) -> bool:
        """Build graphs and give back the room of deleted points: seconds in which nobody is answered."""
        self._refuse_when_full()
        return bool(_translated(self._points.optimize))

    def close(self) -> None:
        self._points.close()
        self._heads.close()
        os.close(self._lock)

    def _update(self, shard: Any, operation: Any, *, grows: bool = True) -> None:
        if grows:
            self._refuse_when_full()
        _translated(lambda: shard.update(operation))

    def _refuse_when_full(self) -> None:
        free = shutil.disk_usage(self._path).free
        if free < FREE_BYTES_MIN:
            raise Transient(
                Cause.DISK_FULL, f"{free >> 20} MiB free at {self._path}, the index needs {FREE_BYTES_MIN >> 20}"
            )


def _opened(folder: Path, config: Any) -> Any:
    """Load a shard; make it first, under another name until it is whole, when there is none."""
    if not folder.exists():
        making = folder.with_suffix(".new")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        shard = edge.EdgeShard.create(str(making), config)
        for name, kind in INDEXED.items():
            shard.update(edge.UpdateOperation.create_field_index(name, kind))
        shard.flush()
        shard.close()
        making.rename(folder)
    try:
        return edge.EdgeShard.load(str(folder), config)
    except Exception as error:
        raise Permanent(Cause.STORE_DOWN, f"the index at {folder} cannot be opened: {error}") from None


def _locked(path: Path, wait_s: float) -> int:
    """Hold the folder for as long as this process lives; a predecessor that is about to die is waited for."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                owner = os.pread(descriptor, 32, 0).decode().strip()
                os.close(descriptor)
                raise Transient(
                    Cause.STORE_DOWN, f"another process (pid {owner or 'unknown'}) owns the index at {path.parent}"
                ) from None
            time.sleep(0.05)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _is(key: str, value: str | int) -> Any:
    return edge.FieldCondition(key, match=edge.MatchValue(value))


def _any(key: str, values: list[str]) -> Any:
    return edge.FieldCondition(key, match=edge.MatchAny(values))


def _translated(call: Any) -> Any:
    """The engine raises bare Exceptions; a full disk is told by their text."""
    try:
        return call()
    except Exception as error:
        if any(word in str(error) for word in ("No space left", "os error 28", "Not enough space")):
            raise Transient(Cause.DISK_FULL, str(error)) from None
        raise
