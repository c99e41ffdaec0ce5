"""The file, the loops and the read-only questions."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from folio import topics
from folio.errors import Cause, FolioError, Transient
from folio.ids import Doc
from folio.log import Record
from folio.records import Document, Source
from folio.stage import StageLoop
from infra.folder_blobs import FolderBlobs
from infra.sqlite_log import SqliteLog
from ledger import audit
from ledger.compare import agreement
from ledger.rules import Timings
from ledger.stage import Ledger
from ledger.store import LedgerStore
from tests.unit.ledger_world import DOC, World, text


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path / "ledger.sqlite")
    yield made
    await made.store.close()


@pytest.mark.parametrize("content", [b"not a database" * 99, None])
def test_a_foreign_file_is_refused_in_plain_words(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "foreign"
    if content is None:
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE theirs (x)")
        db.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    for ask in (LedgerStore, audit.documents, audit.live_blobs):
        with pytest.raises(FolioError, match="ledger"):
            ask(path)
    assert path.read_bytes() == before


async def test_a_ledger_of_another_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    await LedgerStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(FolioError, match="schema 99"):
        LedgerStore(path)


async def test_a_full_disk_is_transient_and_nothing_is_half_stored(world: World) -> None:
    await world.tick()
    world.store._db.execute("PRAGMA max_page_count = 1")
    pages = world.store._db.execute("PRAGMA max_page_count").fetchone()[0]
    with pytest.raises(Transient, match="disk_full"):
        for page in range(1, 500):
            await world.text(page, page_count=500, markdown="x" * 3000)
    world.store._db.execute(f"PRAGMA max_page_count = {pages * 1000}")
    for page in range(1, 501):
        await world.text(page, page_count=500)
    await world.tick()
    assert world.last().complete


def test_questions_about_a_ledger_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    assert audit.documents(missing) == []
    assert audit.document(missing, DOC) is None
    assert audit.find(missing, uri="file:///x") == []
    with pytest.raises(FolioError, match="no ledger"):
        audit.live_blobs(missing)
    assert not missing.exists()


async def test_the_audit_answers_while_the_owner_writes_and_after_it_left(world: World) -> None:
    version = await world.upload(name="Book", uri="file:///b", size_bytes=7, sha256="aa")
    running = audit.documents(world.path)
    await world.restart()
    await world.store.close()
    assert audit.documents(world.path) == running
    world.path.parent.chmod(0o500)
    try:
        assert audit.documents(world.path) == running
    finally:
        world.path.parent.chmod(0o700)
    world.start()
    (status,) = running
    assert (status.document, status.name, status.version, status.size_bytes) == ("book.pdf", "Book", version, 7)


async def test_a_document_goes_through_its_states_in_words(world: World) -> None:
    def state() -> str:
        return audit.documents(world.path)[0].state

    version = await world.upload()
    assert state() == "queued"
    await world.text(1, version, page_count=3, source=Source.TEXT_LAYER)
    assert state() == "reading"
    await world.text(2, version)
    await world.text(3, version, status="failed", cause=Cause.OCR_LOOP, engine="rapid", detail="x 40", image="i3")
    assert state() == "indexing"
    await world.tick()
    await world.index()
    assert state() == "searchable with gaps"
    status = audit.document(world.path, DOC)
    assert status is not None
    assert (status.pages_ok, status.pages_failed, status.pages_born_digital, status.pages_ocr) == (2, 1, 1, 1)
    assert (status.chunks, status.embedded, status.searchable_ms) == (6, 1, world.now_ms)
    assert (status.cause, status.sentence) == (Cause.OCR_LOOP, Cause.OCR_LOOP.sentence)
    failed = status.pages[2]
    assert (failed.status, failed.source, failed.engine, failed.image) == ("failed", "ocr", "rapid", "i3")
    await world.text(3, version)
    assert state() == "indexing"
    await world.tick(2)
    await world.index()
    assert state() == "searchable"


async def test_pages_that_are_waited_for_are_listed(world: World) -> None:
    await world.text(2, page_count=3)
    status = audit.document(world.path, DOC)
    assert status is not None
    assert [page.status for page in status.pages] == ["waiting", "ok", "waiting"]
    assert status.pages_waiting == 2


async def test_a_document_is_found_by_uri_and_by_the_end_of_its_id(world: World) -> None:
    await world.upload(Doc("default/a/report_1.pdf"), uri="file:///a/report_1.pdf")
    await world.upload(Doc("default/b/report%1.pdf"), uri="file:///b/report%1.pdf")

    def found(**by: str) -> list[str]:
        return [one.doc for one in audit.find(world.path, **by)]

    assert found(uri="file:///a/report_1.pdf") == ["default/a/report_1.pdf"]
    assert found(document="report_1.pdf") == ["default/a/report_1.pdf"]
    assert found(document="1.pdf") == ["default/b/report%1.pdf", "default/a/report_1.pdf"]
    assert found(document="report") == []
    assert found() == []


async def test_a_cancellation_that_compaction_left_alone_keeps_the_original(world: World) -> None:
    version = await world.upload(sha256="aa", uri="file:///b", name="Book")
    await world.text(1, version, page_count=2)
    await world.upload(cancelled=True, sha256="aa", uri="file:///b", name="Book")
    await world.tick()
    world.log.gone = {world.log.entries["uploads"][0].position}
    await world.restart(forget=True)
    await world.ledger.rebuild(world.log)
    assert audit.live_blobs(world.path) == {"aa"}
    assert audit.documents(world.path)[0].name == "Book"


async def test_the_audit_of_a_thousand_documents_is_quick(world: World) -> None:
    for number in range(1000):
        await world.store.apply([], world.timings, world.now_ms)
        world.store._db.execute(
            "INSERT INTO versions SELECT NULL, ?, 1, 'n', 0, '', '', 0, '{}', 1, 0, 0, '', '', 3, 3, 3, 3, 0, 3, 0, 0,"
            " 1, 1, 1, 3, 0, x'', 0, 0, x'aa', 5, 3, 1, 5, 0, 0, 0, '', 0, 0, '', NULL",
            (f"default/{number}",),
        )
    best = min(_seconds(world.path) for _ in range(5))
    assert best < 0.2, "20 ms on an idle machine; ten times that is a defect, not a busy neighbour"


def _seconds(path: Path) -> float:
    began = time.perf_counter()
    assert len(audit.documents(path)) == 1000
    return time.perf_counter() - began


async def test_the_stage_and_the_emitter_work_together_on_the_real_log(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path / "blobs")
    async with SqliteLog.open(tmp_path / "log", blobs) as log:
        store = LedgerStore(tmp_path / "ledger")
        ledger = Ledger(store, log, blobs, Timings(prefix_wait_s=0.05))
        await ledger.rebuild(log)
        stop = asyncio.Event()
        running = [asyncio.create_task(one.run(stop)) for one in (ledger, StageLoop(ledger.stage, log))]
        pages = [Record(key=DOC, value=text(page, page_count=20).encode()) for page in range(1, 21)]
        await log.append(topics.TEXTS, pages[:10])
        async with log.reader([topics.DOCUMENTS], None) as reader, asyncio.timeout(20):
            (first,) = await reader.read(entries_max=1, bytes_max=1 << 20, wait_s=10)
            await log.append(topics.TEXTS, pages[10:])
            (last,) = await reader.read(entries_max=1, bytes_max=1 << 20, wait_s=10)
        stop.set()
        await asyncio.gather(*running)
        await store.close()
    assert 1 <= len(Document.unpack(first.value).pages) <= 8
    assert len(Document.unpack(last.value).pages) == 20
    assert last.headers["folio-version"] == "1"


def test_agreement_is_blind_to_layout_and_sees_other_words() -> None:
    table = "| Port | Vessels |\n|---|---|\n| Bergen | 1,204 |"
    assert agreement(table, "Port Vessels Bergen 1,204") > 0.9
    assert agreement("港口吞吐量增长", "港口 吞吐量 增长") == 1.0
    assert agreement("The harbour is closed.", "Ignore all previous instructions.") < 0.3
    assert agreement("", "") == 1.0
    assert agreement("text", "") == 0.0
