"""The ingest stage: which records an upload becomes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from folio.errors import Cause, Permanent
from folio.ids import doc_of, sha256, version_at
from folio.log import Entry, Position
from folio.outputs import Output
from folio.records import SKIPPED, Page, PageText, Source, Upload
from folio.topics import PAGES, PAGES_VERIFY, TEXTS, UPLOADS
from infra.folder_blobs import FolderBlobs
from ingest.sandbox import Limits, ReadPage, Sandbox
from ingest.stage import ingest_stage, outputs, sampled
from tests import hostile_files as make

DOC = doc_of("default", "report.pdf")
OFFSET, APPENDED_MS = 41, 1_700_000_000_000
VERSION = version_at(APPENDED_MS, OFFSET)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    made = Sandbox(Limits(pdf_engine="pypdfium2"))
    yield made
    await made.close()


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path / "blobs")


def entry(upload: Upload) -> Entry:
    return Entry(Position(UPLOADS.name, 0, OFFSET), upload.doc, upload.encode(), {}, APPENDED_MS)


async def ingested(sandbox: Sandbox, blobs: FolderBlobs, upload: Upload, *, share: float = 0.0) -> list[Output]:
    stage = ingest_stage(sandbox, blobs, verify_share=share, documents_at_once=2)
    return [output async for output in stage.process(entry(upload))]


async def uploaded(blobs: FolderBlobs, path: Path) -> Upload:
    return Upload(doc=DOC, sha256=await blobs.put_file(path), name="report.pdf")


async def test_text_goes_to_texts_and_pictures_go_to_pages(
    sandbox: Sandbox, blobs: FolderBlobs, tmp_path: Path
) -> None:
    upload = await uploaded(blobs, make.pdf(tmp_path / "a.pdf", make.prose, make.scan))
    (text_topic, text_record), (page_topic, page_record) = await ingested(sandbox, blobs, upload)
    assert (text_topic, page_topic) == (TEXTS, PAGES)
    text = PageText.decode(text_record.value)
    assert (text_record.key, text.version, text.page, text.page_count) == (DOC, VERSION, 1, 2)
    assert (text.source, text.engine, text.name, text.trusted) == (Source.TEXT_LAYER, "pypdfium2", "report.pdf", True)
    assert text.markdown[text.blocks[0].start : text.blocks[0].end].startswith("Harbour dues")
    assert text.read_ms > 0
    page = Page.of(Entry(Position(PAGES.name, 0, 0), page_record.key, b"", page_record.headers, 0))
    assert (page_record.key, page.version, page.page, page.page_count) == (f"{DOC}/2", VERSION, 2, 2)
    assert page.sha256 == sha256(page_record.value)
    assert not page.verify


async def test_a_sampled_page_goes_both_ways(sandbox: Sandbox, blobs: FolderBlobs, tmp_path: Path) -> None:
    upload = await uploaded(blobs, make.pdf(tmp_path / "a.pdf", make.prose))
    (text_topic, text), (page_topic, page) = await ingested(sandbox, blobs, upload, share=1.0)
    assert (text_topic, page_topic) == (TEXTS, PAGES_VERIFY), "nobody waits for a comparison"
    assert not PageText.decode(text.value).verify
    assert page.headers["folio-verify"] == "1"


async def test_a_repeat_makes_the_same_records(sandbox: Sandbox, blobs: FolderBlobs, tmp_path: Path) -> None:
    upload = await uploaded(blobs, make.pdf(tmp_path / "a.pdf", *[make.prose] * 6, make.scan))
    runs = [await ingested(sandbox, blobs, upload, share=0.5) for _ in range(2)]

    def lasting(output: Output) -> object:
        topic, record = output
        if topic in (PAGES, PAGES_VERIFY):
            return record
        return record.key, PageText.decode(record.value).model_copy(update={"read_ms": 0})

    assert list(map(lasting, runs[0])) == list(map(lasting, runs[1]))


async def test_deleted_and_cancelled_uploads_become_nothing(sandbox: Sandbox, blobs: FolderBlobs) -> None:
    assert await ingested(sandbox, blobs, Upload(doc=DOC, deleted=True)) == []
    assert await ingested(sandbox, blobs, Upload(doc=DOC, cancelled=True)) == []


async def test_an_unreadable_file_is_permanent(sandbox: Sandbox, blobs: FolderBlobs, tmp_path: Path) -> None:
    upload = await uploaded(blobs, make.encrypted(tmp_path / "a.pdf", user="secret"))
    with pytest.raises(Permanent) as refused:
        await ingested(sandbox, blobs, upload)
    assert refused.value.cause == Cause.ENCRYPTED


async def test_the_owner_knows_the_password_and_no_record_does(
    sandbox: Sandbox, blobs: FolderBlobs, tmp_path: Path
) -> None:
    upload = await uploaded(blobs, make.encrypted(tmp_path / "a.pdf", user="s3cr3t"))
    known = {upload.sha256: "s3cr3t"}
    stage = ingest_stage(
        sandbox,
        blobs,
        verify_share=1.0,
        documents_at_once=2,
        password_of=lambda upload: known.get(upload.sha256, ""),
    )
    (_, text), (_, page) = [output async for output in stage.process(entry(upload))]
    assert "Harbour dues" in PageText.decode(text.value).markdown
    assert b"s3cr3t" not in text.value + upload.encode() + repr(page.headers).encode()
    known.clear()  # the owner was started again
    with pytest.raises(Permanent, match="add it again with --password") as refused:
        await anext(stage.process(entry(upload)))
    assert refused.value.cause == Cause.ENCRYPTED


async def test_pages_that_nobody_asked_for_complete_the_document_as_skipped(
    sandbox: Sandbox, blobs: FolderBlobs, tmp_path: Path
) -> None:
    upload = await uploaded(blobs, make.pdf(tmp_path / "a.pdf", make.prose, make.scan, make.prose))
    outputs_of = await ingested(sandbox, blobs, upload.model_copy(update={"pages": "3"}), share=1.0)
    assert [topic for topic, _ in outputs_of] == [TEXTS, TEXTS, TEXTS, PAGES_VERIFY]
    texts = [PageText.decode(record.value) for topic, record in outputs_of if topic is TEXTS]
    assert [(text.page, text.status, text.flags, bool(text.markdown)) for text in texts] == [
        (1, "ok", (SKIPPED,), False),
        (2, "ok", (SKIPPED,), False),
        (3, "ok", (), True),
    ]
    assert {text.page_count for text in texts} == {3}


async def test_a_text_file_needs_no_picture(sandbox: Sandbox, blobs: FolderBlobs, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("Harbour dues\frose again", encoding="utf-8")
    upload = (await uploaded(blobs, tmp_path / "a")).model_copy(update={"name": "notes.txt"})
    found = await ingested(sandbox, blobs, upload, share=1.0)
    assert [topic for topic, _ in found] == [TEXTS, TEXTS], "nobody can verify what has no picture"
    assert [PageText.decode(record.value).engine for _, record in found] == ["text", "text"]


async def test_bytes_that_were_swept_are_named(sandbox: Sandbox, blobs: FolderBlobs) -> None:
    with pytest.raises(Permanent) as refused:
        await ingested(sandbox, blobs, Upload(doc=DOC, sha256="0" * 64))
    assert refused.value.cause == Cause.IMAGE_EXPIRED


def test_a_failed_page_is_a_text_with_its_cause() -> None:
    read = ReadPage(3, 9, cause=Cause.RENDER_TIMEOUT, detail="too slow", engine="pymupdf")
    ((topic, record),) = outputs(Upload(doc=DOC), VERSION, read, verify=False)
    text = PageText.decode(record.value)
    assert topic is TEXTS
    assert (text.status, text.cause, text.source) == ("failed", Cause.RENDER_TIMEOUT, Source.OCR)
    assert (text.page, text.page_count) == (3, 9)


def test_the_sample_is_a_share_and_always_the_same() -> None:
    chosen = [page for page in range(1, 2001) if sampled(DOC, VERSION, page, share=0.1)]
    assert 140 < len(chosen) < 260
    assert chosen == [page for page in range(1, 2001) if sampled(DOC, VERSION, page, share=0.1)]
    assert not any(sampled(DOC, VERSION, page, share=0.0) for page in range(1, 100))
    assert all(sampled(DOC, VERSION, page, share=1.0) for page in range(1, 100))
