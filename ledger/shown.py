"""The text of what is shown: a page from wherever it lies now, a document as it was last emitted."""

from dataclasses import dataclass
from pathlib import Path

from folio import topics
from folio.blobs import Blobs
from folio.errors import Cause, Gone, Permanent
from folio.ids import Doc
from folio.log import Log, Position
from folio.records import Document, PageText, Source
from ledger.assembly import LOST, fetch_text, unpack
from ledger.audit import opened
from ledger.compare import digest
from ledger.plans import LEDGER, unflagged
from ledger.rows import GAP
from ledger.schema import DIFFERS

_LEADING = """(
  SELECT id FROM versions s WHERE s.doc = ? AND s.deleted = 0 AND s.marker = 0
    AND NOT EXISTS (SELECT 1 FROM versions d WHERE d.doc = s.doc AND d.deleted = 1 AND d.version > s.version)
  ORDER BY s.emitted_revision > 0 DESC, s.version DESC LIMIT 1
)"""
"""What a search shows until a newer version is emitted, which then takes its place; else the newest there is."""
_PAGE = f"""
SELECT v.doc, v.version, p.page, p.source, p.digest, p.differs, p.cause, p.detail, p.text_partition, p.text_offset,
  b.body, v.document_partition, v.document_offset
FROM versions v JOIN pages p ON p.version_id = v.id LEFT JOIN bodies b ON b.page_id = p.id
WHERE v.id = {_LEADING} AND p.page = ? AND p.shown = 1
"""  # noqa: S608  # a literal of this module; every value is bound
_ORIGINAL = f"""
SELECT v.sha256, v.name, (SELECT max(image) FROM pages p WHERE p.version_id = v.id AND p.page = ?) AS image
FROM versions v WHERE v.id = {_LEADING}
"""  # noqa: S608  # as above
_DOCUMENT = f"SELECT document_partition, document_offset FROM versions WHERE id = {_LEADING}"  # noqa: S608  # as above


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A page that is shown, and the places where its text may lie: here, on `texts`, in its Document."""

    doc: Doc
    version: int
    page: int
    digest: bytes
    differs: bool
    cause: str
    detail: str
    body: bytes | None
    text: Position | None
    document: Position | None


def shown(path: Path, doc: Doc, page: int) -> Shown | None:
    """None when the ledger knows no such page, or not yet."""
    with opened(path) as db:
        row = db.execute(_PAGE, (doc, page)).fetchone() if db is not None else None
    if row is None:
        return None
    at = Position(topics.TEXTS.name, row["text_partition"], row["text_offset"])
    is_gap = row["source"] == GAP
    return Shown(
        doc=doc,
        version=row["version"],
        page=page,
        digest=row["digest"],
        differs=bool(row["differs"]),
        cause=row["cause"],
        detail=row["detail"],
        body=row["body"],
        text=at if not is_gap and at.offset >= 0 else None,
        document=_at(row),
    )


@dataclass(frozen=True, slots=True)
class Original:
    """Where the picture of a page is: the blob of the image that was read, or else of the whole file."""

    sha256: str
    name: str
    image: str


def original(path: Path, doc: Doc, page: int) -> Original | None:
    """None when there is no such document, or it was deleted."""
    with opened(path) as db:
        row = db.execute(_ORIGINAL, (page, doc)).fetchone() if db is not None else None
    return Original(row["sha256"], row["name"], row["image"] or "") if row else None


async def text_of(log: Log, blobs: Blobs, one: Shown) -> PageText:
    """The page as it is shown, without reading it again. Raises Gone when no copy of its text is left."""
    if one.body is None and one.text is None and one.cause:
        return PageText(
            doc=one.doc, version=one.version, page=one.page, source=Source.OCR, status="failed",
            cause=Cause(one.cause), detail=one.detail, engine=LEDGER,
        )  # fmt: skip
    text = PageText.decode(one.body) if one.body is not None else await _on_texts(log, one)
    text = text or await _in_document(log, blobs, one)
    if text is None:
        raise Gone(LOST)
    return text.model_copy(update={"flags": (*text.flags, DIFFERS)}) if one.differs else text


async def document_of(path: Path, log: Log, blobs: Blobs, doc: Doc) -> Document | None:
    """The newest Document that was emitted for what is shown; None when none was. Raises Gone."""
    with opened(path) as db:
        row = db.execute(_DOCUMENT, (doc,)).fetchone() if db is not None else None
    at = _at(row) if row else None
    return await unpack(blobs, await log.fetch(at)) if at is not None else None


def _at(row: dict[str, int]) -> Position | None:
    offset = row["document_offset"]
    return Position(topics.DOCUMENTS.name, row["document_partition"], offset) if offset >= 0 else None


async def _on_texts(log: Log, one: Shown) -> PageText | None:
    text = await fetch_text(log, one.text)
    return text if text is not None and text.doc == one.doc and digest(text) == one.digest else None


async def _in_document(log: Log, blobs: Blobs, one: Shown) -> PageText | None:
    if one.document is None:
        return None
    try:
        document = await unpack(blobs, await log.fetch(one.document))
    except (Gone, Permanent):
        return None
    texts = (unflagged(text) for text in document.pages if text.page == one.page)
    return next((text for text in texts if digest(text) == one.digest), None)
