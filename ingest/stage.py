"""The ingest stage: an upload's file becomes pages, as text where its text layer is trusted, else as images."""

import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from functools import partial

from folio.blobs import Blobs
from folio.errors import Cause, Gone, Permanent
from folio.ids import Doc, page_key, sha256, tenant_of
from folio.log import Entry, Record
from folio.outputs import Output
from folio.records import Page, PageText, Source, Upload
from folio.stage import Stage
from folio.topics import PAGES, PAGES_VERIFY, TEXTS, UPLOADS, Topic
from ingest.lanes import LaneOf, one_lane
from ingest.sandbox import ReadPage, Sandbox


def _no_password(upload: Upload) -> str:
    return ""


def ingest_stage(
    sandbox: Sandbox,
    blobs: Blobs,
    *,
    verify_share: float,
    documents_at_once: int,
    password_of: Callable[[Upload], str] = _no_password,
    lane_of: LaneOf = one_lane,
) -> Stage:
    """`verify_share` of the trusted pages are read by OCR too; the same pages each time a document is repeated.

    `password_of` knows the passwords that producers gave: they are kept in memory only, and reach nothing but the
    sandbox child.
    """

    async def process(entry: Entry) -> AsyncGenerator[Output, None]:
        upload = Upload.decode(entry.value)
        if upload.deleted or upload.cancelled:
            return
        version = upload.version_in(entry)
        verified = partial(sampled, upload.doc, version, share=verify_share)
        asked = {"name": upload.name, "password": password_of(upload), "chosen": upload.pages}
        try:
            async with (
                blobs.local(upload.sha256) as path,
                aclosing(sandbox.pages(path, **asked, verify=verified)) as pages,
            ):
                async for page in pages:
                    lane = await lane_of(tenant_of(upload.doc)) if page.image and not page.trusted else PAGES_VERIFY
                    for output in outputs(upload, version, page, verify=verified(page.page), lane=lane):
                        yield output
        except Gone:
            raise Permanent(Cause.IMAGE_EXPIRED, "The file's bytes are no longer kept: add it again.") from None

    return Stage(name="ingest", sources=(UPLOADS,), process=process, entries_max=documents_at_once, linger_s=0.02)


def sampled(doc: Doc, version: int, page: int, *, share: float) -> bool:
    """Whether a page is in the sample: chance by content, so that a repeat chooses the same pages."""
    digest = hashlib.sha256(f"{doc}\n{version}\n{page}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def outputs(upload: Upload, version: int, read: ReadPage, *, verify: bool, lane: Topic = PAGES) -> Iterator[Output]:
    """The records of one page: its text, its image on this lane, both when it is to be verified, or its failure."""
    if read.trusted or read.cause is not None:
        yield TEXTS, Record(key=upload.doc, value=_text(upload, version, read).encode())
    if read.image is not None and (verify or not read.trusted):
        page = Page(
            doc=upload.doc,
            version=version,
            page=read.page,
            page_count=read.page_count,
            sha256=sha256(read.image),
            verify=read.trusted,
            name=upload.name,
        )
        yield lane, Record(key=page_key(upload.doc, read.page), value=read.image, headers=page.headers())


def _text(upload: Upload, version: int, read: ReadPage) -> PageText:
    """A page that could not even be drawn fails as `ocr` does: what is missing is its picture, not a text layer."""
    return PageText(
        doc=upload.doc,
        version=version,
        page=read.page,
        page_count=read.page_count,
        source=Source.OCR if read.cause else Source.TEXT_LAYER,
        status="failed" if read.cause else "ok",
        markdown=read.markdown,
        blocks=read.blocks,
        name=upload.name,
        engine=read.engine,
        cause=read.cause,
        detail=read.detail,
        flags=read.flags,
        trusted=read.trusted or read.cause is not None,  # a failure is shown, so that the page is not waited for
        read_ms=time.time_ns() // 1_000_000,
    )
