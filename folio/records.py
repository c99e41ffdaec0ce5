"""Every message that travels, as frozen pydantic models; the log carries their JSON (documents: zstd of it)."""

from enum import StrEnum
from typing import Any, Literal, Self, TypeVar

import zstandard
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from folio.claims import DOCUMENT_PAGES_MAX, VERSION_MAX, Metadata, whole_number
from folio.errors import Cause, Permanent
from folio.ids import Doc, doc_of, version_at
from folio.log import Entry

M = TypeVar("M", bound="Message")

REVISION = "folio-revision"
DOCUMENT_BYTES_MAX = 1 << 30
"""A document record never unpacks to more than this: a bound against hostile zstd frames."""


class Message(BaseModel):
    """Base of all records: frozen, unknown fields ignored so that an older reader survives a newer writer."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def encode(self) -> bytes:
        return self.model_dump_json(exclude_defaults=True).encode()

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Raises Permanent(schema_invalid) naming the first field that is wrong."""
        try:
            return cls.model_validate_json(value)
        except ValidationError as error:
            raise Permanent(Cause.SCHEMA_INVALID, f"{cls.__name__}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    wrong = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in wrong['loc']) or 'value'}: {wrong['msg']}"


class Box(Message):
    """A rectangle in fractions of the original page, 0 to 1, origin top left."""

    x0: float = Field(ge=0, le=1)
    y0: float = Field(ge=0, le=1)
    x1: float = Field(ge=0, le=1)
    y1: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.x1 < self.x0 or self.y1 < self.y0:
            raise ValueError("a box runs from top left to bottom right")
        return self

    @classmethod
    def within(cls, corners: tuple[float, float, float, float], *, width: float, height: float) -> "Box":
        """From page units (points or pixels) to fractions: ordered, clipped to the page, 4 digits."""
        left, right = sorted((corners[0] / width, corners[2] / width))
        top, bottom = sorted((corners[1] / height, corners[3] / height))
        return cls(x0=_unit(left), y0=_unit(top), x1=_unit(right), y1=_unit(bottom))


def _unit(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 4)


class BlockKind(StrEnum):
    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST = "list"
    TABLE = "table"
    CODE = "code"
    FORMULA = "formula"
    FIGURE = "figure"
    CAPTION = "caption"
    FOOTNOTE = "footnote"


class Block(Message):
    """A piece of a page. `start` and `end` are character offsets into the page's Markdown.

    A figure without words of its own is empty there (`start == end`): its box is what it is.
    """

    kind: BlockKind
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    box: Box | None = None
    level: int = 0
    furniture: bool = False


class Upload(Message):
    """A document put in: where its bytes lie. Its version is the position of its record (`version_in`).

    `pages` are the ones to read (`1-3,7`; empty: all). A password is never part of any record. `fetch` announces a
    file: the address that ingest fetches it from. With `sha256` it must be that file, and is kept if it is there.
    `answers` is ingest's own word: this record completes the announcement of that version, and is no newer than it.
    """

    doc: Doc
    sha256: str = ""
    fetch: str = ""
    name: str = ""
    uri: str = ""
    size_bytes: int = 0
    metadata: Metadata = {}
    pages: str = ""
    deleted: bool = False
    cancelled: bool = False
    answers: int = 0

    @classmethod
    def of(cls, entry: Entry) -> "Upload":
        """What an entry says of the document that its key names. Raises Permanent(schema_invalid)."""
        upload = cls.decode(entry.value)
        if upload.doc != entry.key:  # compaction goes by the key, and would keep or drop the wrong one
            raise Permanent(Cause.SCHEMA_INVALID, f"key: {entry.key[:80]!r} is not its doc, {upload.doc[:80]!r}")
        return upload

    def version_in(self, entry: Entry) -> int:
        """The version that this upload, which came in `entry`, makes or completes."""
        at = version_at(entry.appended_ms, entry.position.offset)
        return self.answers if 0 < self.answers < at else at


def upload_version(entry: Entry) -> int:
    """The version that an entry of `uploads` makes; by its position alone where it cannot be read."""
    try:
        return Upload.of(entry).version_in(entry)
    except Permanent:
        return version_at(entry.appended_ms, entry.position.offset)


class Page(Message):
    """A raw page image on `pages`: the value is the image, every fact below travels in headers."""

    doc: Doc
    version: int = Field(gt=0, le=VERSION_MAX)
    page: int = Field(ge=1, le=DOCUMENT_PAGES_MAX)
    page_count: int | None = Field(default=None, ge=1, le=DOCUMENT_PAGES_MAX)
    sha256: str = ""
    verify: bool = False
    name: str = ""
    traceparent: str = ""

    def headers(self) -> dict[str, str]:
        tenant, _, doc_id = self.doc.partition("/")
        facts = {
            "folio-tenant": tenant,
            "folio-doc-id": doc_id,
            "folio-version": str(self.version),
            "folio-page": str(self.page),
            "folio-page-count": str(self.page_count or ""),
            "folio-sha256": self.sha256,
            "folio-verify": "1" if self.verify else "",
            "folio-name": self.name,
            "traceparent": self.traceparent,
        }
        return {name: value for name, value in facts.items() if value}

    @classmethod
    def of(cls, entry: Entry) -> "Page":
        """Read a producer's headers; raises Permanent(schema_invalid) naming the header that is wrong."""
        read = entry.headers.get
        for required in ("folio-doc-id", "folio-version", "folio-page"):
            if not read(required):
                raise Permanent(Cause.SCHEMA_INVALID, f"header {required} is missing")
        try:
            return cls(
                doc=doc_of(read("folio-tenant") or "default", read("folio-doc-id") or ""),
                version=whole_number("folio-version", read("folio-version") or ""),
                page=whole_number("folio-page", read("folio-page") or ""),
                page_count=whole_number("folio-page-count", read("folio-page-count") or "") or None,
                sha256=read("folio-sha256") or "",
                verify=read("folio-verify") == "1",
                name=read("folio-name") or "",
                traceparent=read("traceparent") or "",
            )
        except ValidationError as error:
            raise Permanent(Cause.SCHEMA_INVALID, f"header folio-{_first(error)}") from None
        except ValueError as error:
            raise Permanent(Cause.SCHEMA_INVALID, f"headers: {error}") from None


class Source(StrEnum):
    """Where a page's text comes from."""

    TEXT_LAYER = "text_layer"
    OCR = "ocr"
    HUMAN = "human"


class PageText(Message):
    """One page as Markdown with its blocks, or a failure with its cause, and then whatever text was won.

    `steps` are what was done to its picture before it was read; `rungs` what was tried after the first answer was no
    good, in order, each with why.
    """

    doc: Doc
    version: int = Field(gt=0)
    page: int = Field(ge=1)
    page_count: int | None = Field(default=None, ge=1)
    source: Source
    status: Literal["ok", "failed"] = "ok"
    markdown: str = ""
    blocks: tuple[Block, ...] = ()
    name: str = ""
    engine: str = ""
    mode: str = ""
    prompt: str = ""
    steps: tuple[str, ...] = ()
    rungs: tuple[str, ...] = ()
    tokens: int = 0
    seconds: float = 0.0
    finish: str = ""
    cause: Cause | None = None
    detail: str = ""
    flags: tuple[str, ...] = ()
    verify: bool = False
    trusted: bool = True
    image: str = ""
    read_ms: int = 0

    @model_validator(mode="after")
    def _failed_has_cause(self) -> Self:
        if self.status == "failed" and self.cause is None:
            raise ValueError("a failed page names its cause")
        return self


class Revised(Message):
    """What every revision of a document says of it, from the ledger to the index."""

    doc: Doc
    version: int
    revision: int
    name: str = ""
    uri: str = ""
    metadata: dict[str, Any] = {}
    page_count: int | None = None
    complete: bool = False
    deleted: bool = False


def revision_of(entry: Entry) -> int:
    """Of a Document, or of what is about one, by its header; 0 when that says none."""
    said = entry.headers.get(REVISION, "")
    return int(said) if said.isdecimal() and len(said) < 19 else 0


class Document(Revised):
    """All pages of one version so far, in order, from 1 without holes; a page that failed is there as failed."""

    pages: tuple[PageText, ...] = ()

    def pack(self) -> bytes:
        return zstandard.compress(self.encode(), 3)

    @classmethod
    def unpack(cls, value: bytes) -> "Document":
        try:
            body = zstandard.ZstdDecompressor().decompress(value, max_output_size=DOCUMENT_BYTES_MAX)
        except zstandard.ZstdError as error:
            raise Permanent(Cause.SCHEMA_INVALID, f"Document: {error}") from None
        return cls.decode(body)


class PageBox(Message):
    """A box and the page that it lies on."""

    page: int = Field(ge=1)
    box: Box


class Chunk(Message):
    """A passage. `body` is cited text, verbatim; `context` (headings, caption) is embedded before it.

    `order` counts the document's chunks, `section` the runs of text under one heading.
    """

    chunk_id: str
    embed_hash: str
    body: str
    context: str = ""
    kind: BlockKind = BlockKind.PARAGRAPH
    headings: tuple[str, ...] = ()
    pages: tuple[int, ...]
    boxes: tuple[PageBox, ...] = ()
    order: int = 0
    section: int = 0
    tokens: int = 0
    flags: tuple[str, ...] = ()

    @property
    def embedded_text(self) -> str:
        return f"{self.context}\n{self.body}" if self.context else self.body


class ChunkSet(Revised):
    """Every chunk of one revision of one document; none when it was deleted."""

    gaps: dict[int, Cause] = {}
    chunks: tuple[Chunk, ...] = ()


class Receipt(Message):
    """A revision was indexed by a generation: it is found by its words from then on.

    `lacking` counts the chunks that still wait for their vector; a second receipt comes when they have it, and then
    `embedded` counts them.
    """

    doc: Doc
    version: int
    revision: int
    generation: str
    chunks: int = 0
    embedded: int = 0
    lacking: int = 0
    manifest: str = ""
    outcome: Literal["visible", "unchanged", "outdated", "deleted"] = "visible"
    complete: bool = False
    indexed_ms: int = 0


SKIPPED = "skipped"
"""Flag of a page that its upload did not ask for: present, ok, and empty, so that its document completes."""
