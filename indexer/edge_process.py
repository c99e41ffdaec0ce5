"""The embedded index, in a process of its own: its engine holds the interpreter lock and must never stop intake.

One call at a time, so every call is atomic. Durable effects are named where the parent asks for them.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge

from folio.errors import Cause, Permanent, Transient
from folio.ids import Doc, head_id
from indexer import sparse
from indexer.conditions import INTEGERS, KEYWORDS
from indexer.edge_filters import asked_for, is_value, within
from indexer.payload import EMBEDDED, words_of
from indexer.store import LEXICAL, refuse_mismatch

FREE_BYTES_MIN = 96 << 20
"""Kept free: the engine maps its files, and a full disk under a mapped file kills the process."""

PAGE = 1000
LOCK_WAIT_S = 10.0
ABOUT = "about.json"
"""What the folder was made for: it cannot be read as anything else."""
INDEXED = {
    **{key: edge.KeywordIndexParams(enable_hnsw=False) for key in KEYWORDS},
    **{key: edge.IntegerIndexParams(lookup=True, range=True, enable_hnsw=False) for key in INTEGERS},
}
"""Without graphs of their own: each would be built again at every maintenance, while nobody is answered; the few
points that a narrow filter leaves are compared one by one."""
BELONGS = edge.PayloadSelector.Include(["doc", "revision"])
HAS_VECTOR = edge.HasVectorCondition("")
HEADS_INDEXED = {"revision": edge.PayloadSchemaType.Integer}


class EdgeProcess:
    """Two shards in one folder: `points` (a sparse vector, and a dense one unless `dimension` is 0) and `heads`."""

    def __init__(self, path: str, dimension: int, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self._path = Path(path)
        self._path.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self._path / "lock", lock_wait_s)
        if not (self._path / "heads").exists():
            self._refuse_when_full()
        self._dimension = dimension
        _agree(self._path, {"tokenizer": sparse.VERSION, "dimension": dimension})
        dense = edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine) if dimension else None
        words = {LEXICAL: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)}
        points = edge.EdgeConfig(vectors=dense, sparse_vectors=words, wal_enabled=True)
        self._points = _opened(self._path / "points", points, INDEXED)
        nothing = {"none": edge.EdgeSparseVectorParams()}  # the engine refuses shards without any vector
        heads = edge.EdgeConfig(sparse_vectors=nothing, wal_enabled=True)
        self._heads = _opened(self._path / "heads", heads, HEADS_INDEXED)

    def heads(self, docs: list[str]) -> list[dict[str, Any]]:
        found = self._heads.retrieve([head_id(Doc(doc)) for doc in docs], True, False)
        return [record.payload for record in found]

    def raise_head(self, payload: dict[str, Any], over: int | None) -> None:
        must: list[Any] = [edge.FieldCondition("seen", range=edge.RangeFloat(lt=payload["seen"]))]
        must += [] if over is None else [is_value("revision", over)]
        point = edge.Point(head_id(payload["doc"]), {}, payload)
        self._update(self._heads, edge.UpdateOperation.upsert_points([point], condition=edge.Filter(must=must)))

    def upsert(self, ids: list[str], vectors: bytes, payloads: list[dict[str, Any]]) -> None:
        """All with a vector, or all without: these replace no point that has one."""
        is_bare = not vectors and self._dimension > 0
        rows: list[list[float]] = [[]] * len(ids) if is_bare else self._rows(vectors, len(ids))
        made = [self._point(*row) for row in zip(ids, rows, payloads, strict=True)]
        lacking = edge.Filter(must_not=[HAS_VECTOR]) if is_bare else None
        self._update(self._points, edge.UpdateOperation.upsert_points(made, condition=lacking))

    def set_vectors(self, ids: list[str], vectors: bytes) -> None:
        """The engine refuses to give a vector to a point that is gone, so they are looked for in the same call."""
        there = {str(record.id) for record in self._points.retrieve(ids, False, False)}
        rows = zip(ids, self._rows(vectors, len(ids)), strict=True)
        made = [edge.PointVectors(point_id, {"": row}) for point_id, row in rows if point_id in there]
        if made:
            self._update(self._points, edge.UpdateOperation.update_vectors(made))

    def _rows(self, vectors: bytes, count: int) -> list[list[float]]:
        rows = np.frombuffer(vectors, np.float32).reshape(count, -1)
        if rows.shape[1] != self._dimension or not np.isfinite(rows).all():  # the engine stores NaN without a word
            raise Permanent(Cause.EMBEDDING_INVALID, f"{rows.shape[1]} numbers a vector, or not finite")
        return list(rows.tolist())

    def _point(self, point_id: str, row: list[float], payload: dict[str, Any]) -> Any:
        """Words are indexed here: the text is at hand, and neither the owner nor a reader waits for it."""
        vector: dict[str, Any] = {LEXICAL: edge.SparseVector(*sparse.document_vector(words_of(payload)))}
        if row:
            vector[""] = row
        return edge.Point(point_id, vector, payload)

    def count(self, doc: str, revision: int, lacking: bool) -> int:
        if lacking and not self._dimension:
            return 0
        where = _of_revision(doc, revision, lacking=lacking)
        return int(self._points.count(edge.CountRequest(exact=True, filter=where)))

    def lacking(self, doc: str, revision: int, limit: int) -> list[tuple[str, dict[str, Any]]]:
        if not self._dimension:
            return []
        where = _of_revision(doc, revision, lacking=True)
        request = edge.ScrollRequest(limit=limit, filter=where, with_payload=edge.PayloadSelector.Include([*EMBEDDED]))
        return [(str(record.id), record.payload) for record in self._points.scroll(request)[0]]

    def vectors(self, doc: str, offset: str | None) -> tuple[list[str], bytes, str | None]:
        """A page of (embed_hash ...), their vectors, and where the next page begins."""
        request = edge.ScrollRequest(
            offset=offset,
            limit=PAGE,
            filter=edge.Filter(must=[is_value("doc", doc), HAS_VECTOR]),
            with_payload=edge.PayloadSelector.Include(["embed_hash"]),
            with_vector=[""],
        )
        records, following = self._points.scroll(request)
        hashes = [record.payload["embed_hash"] for record in records]
        rows = np.array([record.vector for record in records], np.float32)
        return hashes, rows.tobytes(), None if following is None else str(following)

    def sweep(self, doc: str, revision: int, seen: int) -> None:
        where = edge.Filter(
            must=[is_value("doc", doc), within("revision", None, seen)],
            must_not=[is_value("revision", revision)],
        )
        self._update(self._points, edge.UpdateOperation.delete_points_by_filter(where), grows=False)

    def search(
        self, vector: bytes, words: str, conditions: list[Any], pins: list[tuple[str, int]], limit: int
    ) -> tuple[list[Any], list[Any]]:
        """The nearest by meaning and the best by words; an empty vector or no words: nothing of that kind."""
        where = asked_for(conditions, pins)
        dense = np.frombuffer(vector, np.float32).tolist()
        terms = sparse.query_vector(words) if words else ([], [])
        by_meaning = edge.Query.Nearest(dense) if dense else None
        by_words = edge.Query.Nearest(edge.SparseVector(*terms), using=LEXICAL) if terms[0] else None
        return self._found(by_meaning, where, limit), self._found(by_words, where, limit)

    def _found(self, query: Any, where: Any, limit: int) -> list[Any]:
        if query is None:
            return []
        """Without the payloads: reading those of all candidates takes longer than finding them."""
        request = edge.QueryRequest(limit=limit, query=query, filter=where, with_payload=BELONGS)
        found = [(str(hit.id), hit.score, hit.payload) for hit in self._points.query(request)]
        return [(point_id, score, belongs["doc"], belongs["revision"]) for point_id, score, belongs in found]

    def payloads(self, ids: list[str]) -> list[tuple[str, dict[str, Any]]]:
        return [(str(record.id), record.payload) for record in self._points.retrieve(ids, True, False)]

    def passages(self, stretches: list[tuple[str, int, int, int, int | None]]) -> list[list[dict[str, Any]]]:
        return [self._stretch(*stretch) for stretch in stretches]

    def _stretch(self, doc: str, revision: int, first: int, last: int, section: int | None) -> list[dict[str, Any]]:
        must = [is_value("doc", doc), is_value("revision", revision), within("metadata.order", first, last)]
        must += [] if section is None else [is_value("metadata.section", section)]
        request = edge.ScrollRequest(limit=last - first + 1, filter=edge.Filter(must=must), with_payload=True)
        found = [record.payload for record in self._points.scroll(request)[0]]
        return sorted(found, key=lambda payload: int(payload["metadata"]["order"]))

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
        """Build graphs and give back the room of deleted points: seconds in which nobody is answered.

        Flushed at once: a process that is killed before would find the points twice, and search both.
        """
        self._refuse_when_full()
        done = bool(_translated(self._points.optimize))
        _translated(self._points.flush)
        return done

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
                Cause.DISK_FULL,
                f"{free >> 20} MiB free at {self._path}, the index needs {FREE_BYTES_MIN >> 20}: make space;"
                " what waits for it looks again within a minute",
            )


def _of_revision(doc: str, revision: int, *, lacking: bool) -> Any:
    must = [is_value("doc", doc), is_value("revision", revision)]
    return edge.Filter(must=must, must_not=[HAS_VECTOR] if lacking else [])


def _agree(folder: Path, about: dict[str, Any]) -> None:
    """Refuse a folder that was made for another tokenizer or dimension; a new one is given its description."""
    path = folder / ABOUT
    if path.exists():
        made_for = json.loads(path.read_text(encoding="utf-8"))
    elif (folder / "points").exists():
        made_for = {}
    else:
        new = path.with_suffix(".new")
        new.write_text(json.dumps(about), encoding="utf-8")
        new.replace(path)
        return
    refuse_mismatch(f"the index at {folder}", made_for, about)


def _opened(folder: Path, config: Any, indexed: Mapping[str, Any]) -> Any:
    """Load a shard; make it first, under another name until it is whole, when there is none."""
    if not folder.exists():
        making = folder.with_suffix(".new")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        shard = edge.EdgeShard.create(str(making), config)
        for name, kind in indexed.items():
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


def _translated(call: Any) -> Any:
    """The engine raises bare Exceptions; a full disk is told by their text."""
    try:
        return call()
    except Exception as error:
        if any(word in str(error) for word in ("No space left", "os error 28", "Not enough space")):
            raise Transient(Cause.DISK_FULL, str(error)) from None
        raise
