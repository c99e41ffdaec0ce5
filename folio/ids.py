"""Names that stay the same: documents, pages, chunks and points, made from content and never from order."""

import hashlib
import re
import uuid
from typing import NewType

Doc = NewType("Doc", str)
"""Tenant + document id, ``default/report.pdf``: the key of every record about a document."""

TENANT_DEFAULT = "default"
DOC_ID_CHARS_MAX = 512
NOT_UTF8 = "\ufffd"
"""What bytes that are no UTF-8 are decoded to: with it in their ids, two documents would become one."""
NAMESPACE = uuid.UUID("6f6c696f-0000-5000-8000-666f6c696f21")
_TENANT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def doc_of(tenant: str, doc_id: str) -> Doc:
    """Join tenant and document id; raises ValueError when either cannot be a key."""
    if not _TENANT.fullmatch(tenant):
        raise ValueError(f"tenant {tenant!r}: use lower-case letters, digits, '.', '_' and '-', at most 64")
    if not doc_id or len(doc_id) > DOC_ID_CHARS_MAX or not doc_id.isprintable():
        raise ValueError(f"document id {doc_id[:80]!r}: 1 to {DOC_ID_CHARS_MAX} printable characters")
    if NOT_UTF8 in doc_id:
        raise ValueError(f"document id {doc_id[:80]!r}: UTF-8 is wanted")
    return Doc(f"{tenant}/{doc_id}")


def tenant_of(doc: Doc) -> str:
    return doc.partition("/")[0]


def doc_id_of(doc: Doc) -> str:
    return doc.partition("/")[2]


def page_key(doc: Doc, page: int) -> str:
    """The key on `pages`: a long book spreads over every engine."""
    return f"{doc}/{page}"


def version_at(appended_ms: int, offset: int) -> int:
    """A version from the log, not from a producer's clock: the order on the topic is the order of versions."""
    return appended_ms * 1000 + offset % 1000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def chunk_id(doc: Doc, body: str, occurrence: int) -> str:
    """One id for one text of one document: without page, offset or heading path, so it survives insertions."""
    digest = hashlib.sha256(" ".join(body.split()).encode()).hexdigest()
    return str(uuid.uuid5(NAMESPACE, f"{doc}\n{digest}\n{occurrence}"))


def point_id(chunk: str, revision: int) -> str:
    """A point in the index belongs to one revision."""
    return str(uuid.uuid5(NAMESPACE, f"{chunk}\n{revision}"))


def head_id(doc: Doc) -> str:
    return str(uuid.uuid5(NAMESPACE, f"head\n{doc}"))
