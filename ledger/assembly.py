"""From a plan to the record of its Document: texts that left the ledger are fetched from the log again."""

import asyncio

import zstandard

from folio.blobs import Blobs
from folio.errors import Cause, Gone, Permanent
from folio.faults import effect
from folio.ids import doc_id_of, tenant_of
from folio.log import Entry, Log, Position, Record
from folio.records import REVISION, Document, PageText, Source
from ledger.arrivals import Arrival
from ledger.compare import digest
from ledger.plans import LEDGER, Plan, PlannedPage, unflagged
from ledger.schema import DIFFERS
from ledger.store import LedgerStore

BLOB = "folio-blob"
LOST = "Its text is no longer on the log: add the document again."


async def last_record(log: Log, plan: Plan) -> Record | None:
    """The record of a revision that was appended before, word for word; None when it is no longer there."""
    if plan.last is None:
        return None
    try:
        entry = await log.fetch(plan.last)
    except Gone:
        return None
    same = entry.headers.get(REVISION) == str(plan.head.revision)
    return Record(key=entry.key, value=entry.value, headers=dict(entry.headers)) if same else None


async def recover(log: Log, blobs: Blobs, plan: Plan) -> dict[int, bytes]:
    """Texts that the plan needs and the ledger no longer has: from the last Document, else each from `texts`."""
    missing = [page for page in plan.pages if page.body is None and page.cause is None]
    if not missing:
        return {}
    bodies = await _from_document(log, blobs, plan, missing)
    for page in missing:
        page.body = bodies.get(page.page) or await _from_texts(log, plan, page)
        if page.body is None:
            page.cause, page.detail = Cause.PAGE_MISSING, LOST
    return {page.page: page.body for page in missing if page.body is not None}


async def as_record(log: Log, blobs: Blobs, plan: Plan) -> tuple[Record, str]:
    """The record to append, and the blob that carries its value when it is too large for one."""
    headers = {
        "folio-tenant": tenant_of(plan.head.doc),
        "folio-doc-id": doc_id_of(plan.head.doc),
        "folio-version": str(plan.head.version),
        REVISION: str(plan.head.revision),
    }
    value = await asyncio.to_thread(pack, plan)
    if len(value) <= log.value_bytes_max:
        return Record(key=plan.head.doc, value=value, headers=headers), ""
    with effect("ledger.blob"):
        sha256 = await blobs.put(value)
    return Record(key=plan.head.doc, value=b"", headers=headers | {BLOB: sha256}), sha256


def pack(plan: Plan) -> bytes:
    """What Document.pack makes of the same pages, without parsing thousands of them: their JSON is spliced in."""
    head = plan.head.encode()
    pages = b",".join(_body(plan, page) for page in plan.pages)
    return zstandard.compress(head[:-1] + b',"pages":[' + pages + b"]}" if pages else head, 3)


def _body(plan: Plan, page: PlannedPage) -> bytes:
    if page.body is None:
        return PageText(
            doc=plan.head.doc, version=plan.head.version, page=page.page, source=Source.OCR, status="failed",
            cause=page.cause or Cause.PAGE_MISSING, detail=page.detail, engine=LEDGER,
        ).encode()  # fmt: skip
    if not page.differs:
        return page.body
    text = PageText.decode(page.body)
    return text.model_copy(update={"flags": (*text.flags, DIFFERS)}).encode()


async def unpack(blobs: Blobs, entry: Entry) -> Document:
    """The Document of an entry. Raises Gone when its blob is not there."""
    sha256 = entry.headers.get(BLOB)
    value = await blobs.get(sha256) if sha256 else entry.value
    return await asyncio.to_thread(Document.unpack, value)


async def _from_document(log: Log, blobs: Blobs, plan: Plan, missing: list[PlannedPage]) -> dict[int, bytes]:
    if plan.last is None:
        return {}
    try:
        document = await unpack(blobs, await log.fetch(plan.last))
    except (Gone, Permanent):
        return {}
    wanted = {page.page: page.digest for page in missing}
    texts = (unflagged(text) for text in document.pages if text.page in wanted)
    return {text.page: text.encode() for text in texts if digest(text) == wanted[text.page]}


async def _from_texts(log: Log, plan: Plan, page: PlannedPage) -> bytes | None:
    text = await fetch_text(log, page.text)
    known = text is not None and text.doc == plan.head.doc and text.page == page.page
    return text.encode() if text is not None and known else None


async def fetch_text(log: Log, position: Position | None) -> PageText | None:
    """A page's text as it was read; None when it expired."""
    if position is None:
        return None
    try:
        return PageText.decode((await log.fetch(position)).value)
    except (Gone, Permanent):
        return None


async def with_layer(store: LedgerStore, log: Log, arrived: Arrival) -> Arrival:
    """Give a verify read the text layer that it is compared with, should that have left the ledger."""
    if isinstance(arrived.message, PageText) and arrived.message.verify:
        layer = await store.layer(arrived.message)
        if isinstance(layer, Position):
            text = await fetch_text(log, layer)
            layer = text.markdown if text is not None else None
        arrived.other = layer
    return arrived
