"""What lies beside a vector, in the shape that chatbot libraries read as it stands, and the Hit that is made of it.

langchain-qdrant reads `page_content` and `metadata`; LlamaIndex does with `text_key="page_content"`.
What the swap and the filters need stands on the top level.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgpack

from folio.ids import doc_id_of, point_id, tenant_of
from folio.questions import Hit
from folio.records import BlockKind, Box, Chunk, ChunkSet, PageBox
from indexer.conditions import FACTS, facts_of

INT_MAX = (1 << 63) - 1
OURS = frozenset(
    (
        *("source", "doc_id", "title", "uri", "version", "added_ms"),
        *("page", "page_end", "pages", "headings", "boxes"),
        *("kind", "order", "section", "chunk_id", "flags"),
    )
)
"""The names in `metadata` that are ours; whatever else is there the producer gave."""
CONTEXT = "context"
"""Top level: what is embedded before the text."""
EMBEDDED = ("page_content", CONTEXT, "embed_hash", "chunk_id", "metadata.pages")
"""What who embeds a stored chunk has to know of it."""
SHADOWED = "shadowed"
"""Top level: what of a producer's metadata has a name of ours, so that its hits show it as it was given."""


def payload_of(of: ChunkSet, chunk: Chunk) -> dict[str, Any]:
    """Everything but the revision, which is added when the point is written: equal payloads mean an unchanged chunk.

    The producer's metadata lies among ours, and cannot replace any of it.
    """
    doc_id = doc_id_of(of.doc)
    ours = {
        "source": of.name or doc_id,
        "doc_id": doc_id,
        "title": str(of.metadata.get("title") or of.name or doc_id),
        "uri": of.uri,
        "version": of.version,
        "added_ms": of.version // 1000,
        "page": min(chunk.pages, default=None),
        "page_end": max(chunk.pages, default=None),
        "pages": list(chunk.pages),
        "headings": list(chunk.headings),
        "boxes": [[on.page, on.box.x0, on.box.y0, on.box.x1, on.box.y1] for on in chunk.boxes],
        "kind": chunk.kind.value,
        "order": chunk.order,
        "section": chunk.section,
        "chunk_id": chunk.chunk_id,
        "flags": flags_of(of, chunk),
    }
    given = plain(of.metadata)
    shadowed = {key: value for key, value in given.items() if key in ours}
    return {
        "page_content": chunk.body,
        "metadata": {**given, **ours},
        "doc": of.doc,
        "tenant": tenant_of(of.doc),
        "chunk_id": chunk.chunk_id,
        "embed_hash": chunk.embed_hash,
        **({CONTEXT: chunk.context} if chunk.context else {}),
        FACTS: facts_of(given),
        **({SHADOWED: shadowed} if shadowed else {}),
    }


def embedded_text_of(payload: Mapping[str, Any]) -> str:
    """What a chunk's vector is made of: `Chunk.embedded_text`, from what was stored."""
    return "\n".join([*([payload[CONTEXT]] if CONTEXT in payload else []), str(payload["page_content"])])


def words_of(payload: Mapping[str, Any]) -> str:
    """What a chunk is found by as words: its text, and those of its headings that are not in it."""
    body = str(payload["page_content"])
    above = [heading for heading in payload.get("metadata", {}).get("headings", ()) if heading not in body]
    return "\n".join([*above, body])


def flags_of(of: ChunkSet, chunk: Chunk) -> list[str]:
    """The chunk's own, and a `gap:PAGE:CAUSE` for every page of the document that could not be read."""
    gaps = [f"gap:{page}:{cause}" for page, cause in sorted(of.gaps.items())]
    return list(dict.fromkeys([*chunk.flags, *gaps]))


def hit_of(payload: Mapping[str, Any], score: float) -> Hit:
    facts = payload["metadata"]
    given = {key: value for key, value in facts.items() if key not in OURS}
    return Hit(
        text=payload["page_content"],
        document=facts["doc_id"],
        version=facts["version"],
        pages=tuple(facts["pages"]),
        boxes=tuple(PageBox(page=page, box=Box(x0=x0, y0=y0, x1=x1, y1=y1)) for page, x0, y0, x1, y1 in facts["boxes"]),
        headings=tuple(facts["headings"]),
        score=score,
        flags=tuple(facts["flags"]),
        chunk_id=payload["chunk_id"],
        kind=BlockKind(facts["kind"]),
        source=facts["source"],
        uri=facts["uri"],
        metadata={**given, **payload.get(SHADOWED, {})},
    )


def stored_id(payload: Mapping[str, Any], revision: int) -> str:
    return point_id(payload["chunk_id"], revision)


def manifest_of(payloads: Iterable[Mapping[str, Any]], *, deleted: bool) -> str:
    """A hash over ids and payloads of all chunks, in no order: two revisions with the same need no swap."""
    each = sorted(hashlib.sha256(msgpack.packb(payload)).digest() for payload in payloads)
    return hashlib.sha256(b"".join([b"deleted" if deleted else b"", *each])).hexdigest()


def plain(value: Any) -> Any:
    """A producer's metadata as every store can hold it: JSON with 64-bit integers and finite numbers."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int) and abs(value) <= INT_MAX:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return str(value)
