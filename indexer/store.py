"""The Store port: points that belong to one revision of a document each, and the head that says which is visible."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from folio.errors import Cause, Permanent
from folio.ids import Doc, tenant_of
from folio.questions import Filters

Vector = NDArray[np.float32]

LEXICAL = "bm25"
"""The name of the sparse vector; the dense one has none, as chatbot libraries expect it."""
POINTS_MAX = 256
"""Points of one upsert: what a search may have to wait for."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a document's readers see (`revision`), and the highest revision handled (`seen`).

    They differ when a revision changed nothing. `chunks`, `manifest`, `version` and `deleted` describe `revision`.
    """

    doc: Doc
    revision: int
    seen: int
    manifest: str = ""
    chunks: int = 0
    version: int = 0
    deleted: bool = False

    def payload(self) -> dict[str, Any]:
        return {**asdict(self), "tenant": tenant_of(self.doc)}

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> "Head":
        return cls(**{name: payload[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Point:
    """One chunk of one revision, as stored. The payload holds doc, tenant, revision, chunk_id and embed_hash.

    `vector` is None where the index has no dense vectors, and where it is still to be made: until then the point is
    found by its words. The words of the payload are the store's to index.
    """

    id: str
    vector: Vector | None
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scored:
    """A point that a search found; what it says is fetched for those that are shown."""

    id: str
    score: float
    doc: Doc
    revision: int


@dataclass(frozen=True, slots=True)
class Where:
    """What a search may look at: in `docs`, if any are named. Of a document in `pins`, only that revision's points.

    `filters.documents` has been resolved to `docs` and is not looked at.
    """

    tenant: str
    docs: tuple[Doc, ...] = ()
    filters: Filters = field(default_factory=Filters)
    pins: Mapping[Doc, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for: by meaning when there is a `vector`, by words when there are `words`, or both."""

    vector: Vector | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The best points by meaning and the best by words, each best first; a point may be in both."""

    dense: Sequence[Scored] = ()
    lexical: Sequence[Scored] = ()

    @property
    def every(self) -> list[Scored]:
        return [*self.dense, *self.lexical]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring chunks of one revision, by their order in the document; with `section`, only those of it."""

    doc: Doc
    revision: int
    first: int
    last: int
    section: int | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Everything that lies in the store. A sound index has as many points as its heads have chunks."""

    points: int
    heads: int


class Store(Protocol):
    """Each call is one request, atomic by itself and no more; what needs several is swap.py's and search.py's to order.

    Raises Transient(store_down) when the store is away and Transient(disk_full) when nothing could be written.
    """

    async def open(self) -> None:
        """Make ready. Raises FolioError when the store cannot be used, saying why."""
        ...

    async def heads(self, docs: Collection[Doc]) -> dict[Doc, Head]:
        """The heads of those documents that have one."""
        ...

    async def raise_head(self, head: Head, *, over: int | None = None) -> None:
        """Write `head` unless one with as high a `seen` is there; with `over`, only if that revision is visible.

        Whether it was written is known by reading it again: somebody may have raised it further.
        """
        ...

    async def upsert(self, points: Sequence[Point]) -> None:
        """Write points, at most POINTS_MAX, findable by vector and by word; the same again changes nothing.

        One without a vector takes none away: who wrote it may have been overtaken by who gave it one.
        """
        ...

    async def count(self, doc: Doc, revision: int, *, lacking: bool = False) -> int:
        """How many points of that revision are there, exactly; or how many of them lack their vector."""
        ...

    async def lacking(self, doc: Doc, revision: int, *, limit: int) -> dict[str, dict[str, Any]]:
        """Points of that revision that lack their vector, by id: what payload.EMBEDDED names of their payloads."""
        ...

    async def set_vectors(self, vectors: Mapping[str, Vector]) -> None:
        """Give points their vectors, at most POINTS_MAX. One that was swept meanwhile stays away."""
        ...

    async def vectors(self, doc: Doc) -> dict[str, Vector]:
        """The vectors that points of the document have, by embed_hash; none where the index has no dense vectors."""
        ...

    async def sweep(self, head: Head) -> None:
        """Delete the document's points that can never be visible again: not of `revision`, and not above `seen`."""
        ...

    async def search(self, asked: Asked, where: Where, *, limit: int) -> Found:
        """The best `limit` points of each list that is asked for."""
        ...

    async def payloads(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What lies beside those points; one that was swept meanwhile is missing."""
        ...

    async def passages(self, stretches: Sequence[Stretch]) -> list[list[dict[str, Any]]]:
        """The payloads of each stretch, in order; nothing where that revision is gone."""
        ...

    async def flush(self) -> None:
        """Return when everything written so far survives a power cut."""
        ...

    async def totals(self) -> Totals: ...

    def all_heads(self) -> AsyncIterator[Head]:
        """Every head, in no order: what verification walks over."""
        ...

    async def maintain(self, *, quiet_s: float = 30.0) -> bool:
        """Build graphs and drop deleted points, if nobody asked for `quiet_s` and it is ours to do; whether it was."""
        ...

    async def close(self) -> None: ...


def refuse_mismatch(where: str, made_for: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Raises Permanent: what was indexed by another tokenizer or embedder would be searched for in vain."""
    for name, ours in about.items():
        if made_for.get(name) != ours:
            raise Permanent(
                Cause.STORE_DOWN,
                f"{where} was made for {name} {made_for.get(name, 'unknown')}, and this folio has {ours}: it cannot be "
                "opened. Move it away, and it is built again from the log",
            )
