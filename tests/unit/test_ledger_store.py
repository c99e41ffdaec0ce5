"""The file, the loops and the read-only questions."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from folio import topics
from folio.errors import Cause, FolioError, Gone, Transient
from folio.ids import Doc
from folio.letters import DeadLetter
from folio.log import Position, Record
from folio.records import SKIPPED, Document, PageText, Source
from folio.stage import StageLoop
from folio.topics import Topic
from infra.folder_blobs import FolderBlobs
from infra.sqlite_log import SqliteLog
from ledger import audit, schema
from ledger.compare import agreement
from ledger.rules import Timings
from ledger.shown import document_of, original, shown, text_of
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


async def test_a_ledger_of_an_older_folio_is_moved_aside_and_filled_from_the_log(world: World) -> None:
    version = await world.upload(sha256="aa", metadata={"year": 1999}, pages="1-2")
    await world.text(1, version, page_count=1)
    await world.tick()
    await world.store.close()
    with sqlite3.connect(world.path) as db:
        db.execute("PRAGMA user_version = 1")
    db.close()
    assert audit.out_of_date(world.path)
    with pytest.raises(FolioError, match="schema"):
        audit.documents(world.path)
    world.start()
    await world.ledger.rebuild(world.log)
    assert not audit.out_of_date(world.path)
    (known,) = audit.documents(world.path)
    assert (known.version, known.metadata, known.page_range, known.pages_ok) == (version, {"year": 1999}, "1-2", 1)
    assert [path.name for path in world.path.parent.glob("*.schema-*")] == ["ledger.sqlite.schema-1"]


async def test_pages_that_nobody_asked_for_are_counted_apart(world: World) -> None:
    assert SKIPPED == schema.SKIPPED
    version = await world.upload(pages="2")
    for page in (1, 3):
        await world.text(page, version, page_count=3, source=Source.TEXT_LAYER, markdown="", flags=(SKIPPED,))
    assert audit.documents(world.path)[0].state == "reading"
    await world.text(2, version)
    await world.tick()
    await world.index()
    known = audit.document(world.path, DOC)
    assert known is not None
    assert (known.state, known.pages_ok, known.pages_skipped, known.pages_waiting) == ("searchable", 1, 2, 0)
    assert (known.pages_searchable, known.pages_born_digital) == (3, 0)
    assert [page.status for page in known.pages] == ["skipped", "ok", "skipped"]
    before = audit.documents(world.path)
    await world.restart(forget=True)
    await world.ledger.rebuild(world.log)
    assert audit.documents(world.path) == before


async def test_a_document_of_which_only_skipped_pages_are_left_failed(world: World) -> None:
    await world.text(1, page_count=2, markdown="", flags=(SKIPPED,))
    await world.text(2, status="failed", cause=Cause.OCR_LOOP)
    assert audit.documents(world.path)[0].state == "failed"


async def test_many_documents_are_asked_for_at_once(world: World) -> None:
    docs = [Doc(f"default/{number}") for number in range(3)]
    for doc in docs[:2]:
        await world.upload(doc)
    assert set(audit.summaries(world.path, docs)) == set(docs[:2])
    assert audit.summaries(world.path, []) == {}


async def test_the_text_of_a_page_is_found_wherever_it_lies(world: World) -> None:
    async def page(number: int) -> PageText:
        one = shown(world.path, DOC, number)
        assert one is not None
        return await text_of(world.log, world.blobs, one)  # type: ignore[arg-type]  # the port, in memory

    first = await world.text(1, page_count=3, markdown="# One")
    assert (await page(1)).markdown == "# One", "in the ledger, while its document grows"
    assert shown(world.path, DOC, 2) is None
    await world.text(2, markdown="Two")
    await world.text(3, status="failed", cause=Cause.OCR_LOOP)
    await world.tick()
    await world.index()
    assert (await page(1)).markdown == "# One", "on `texts`, once it was emitted"
    world.log.gone.add(first.position)
    assert (await page(1)).markdown == "# One", "in the document, when it has expired there"
    assert (await page(3)).cause == Cause.OCR_LOOP
    whole = await document_of(world.path, world.log, world.blobs, DOC)  # type: ignore[arg-type]  # the port, in memory
    assert whole is not None
    assert [text.markdown for text in whole.pages] == ["# One", "Two", ""]
    world.log.gone.add(Position("documents", 0, 0))
    with pytest.raises(Gone, match="add the document again"):
        await page(1)


async def test_what_is_shown_is_what_a_search_finds_until_a_newer_version_is_emitted(world: World) -> None:
    async def seen(page: int = 1) -> tuple[str, str] | None:
        one, file = shown(world.path, DOC, page), original(world.path, DOC, page)
        if one is None or file is None:
            return None
        return (await text_of(world.log, world.blobs, one)).markdown, file.sha256  # type: ignore[arg-type]  # in memory

    first = await world.upload(sha256="aa")
    await world.text(1, first, page_count=1, markdown="first")
    assert await seen() == ("first", "aa"), "before anything is emitted"
    await world.tick()
    second = await world.upload(sha256="bb")
    await world.text(1, second, page_count=2, markdown="second")
    assert await seen() == ("first", "aa"), "a search still finds the first"
    await world.text(2, second, markdown="more", image="i2")
    await world.tick()
    assert await seen() == ("second", "bb")
    file = original(world.path, DOC, 2)
    assert file is not None
    assert file.image == "i2"
    await world.upload(deleted=True)
    assert (await seen(), original(world.path, DOC, 1)) == (None, None), "at once, emitted or not"


async def test_a_page_that_nobody_read_says_why(world: World) -> None:
    version = await world.upload()
    await world.put(
        topics.DEAD,
        DeadLetter(
            stage="ocr",
            cause=Cause.OCR_CRASH,
            topic="pages",
            partition=0,
            offset=1,
            key=DOC,
            doc=DOC,
            version=version,
            page=4,
        ),
    )
    one = shown(world.path, DOC, 4)
    assert one is not None
    assert (await text_of(world.log, world.blobs, one)).cause == Cause.OCR_CRASH  # type: ignore[arg-type]  # in memory


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


async def said(world: World, **facts: object) -> None:
    """A receipt of the last Document, later than those before it."""
    world.now_ms += 1
    await world.receipt(world.last(), **facts)


async def test_a_document_is_searchable_by_its_words_before_it_has_its_vectors(world: World) -> None:
    await world.text(1, page_count=1)
    await world.tick()
    await said(world, chunks=6, embedded=0, lacking=5)
    (status,) = audit.documents(world.path)
    assert (status.state, status.chunks, status.lacking, status.unfinished) == ("searchable", 6, 5, True)
    counts = {"documents": 1, "read": 1, "settled": 0, "chunks": 6}
    assert (audit.counts(world.path), audit.lacking(world.path, "g1")) == (counts, 5)
    await world.tick(100_000)
    assert len(world.emitted()) == 1  # nothing is emitted again for vectors that are late
    await said(world, chunks=6, embedded=5)
    (status,) = audit.documents(world.path)
    assert (status.lacking, status.embedded, status.unfinished) == (0, 5, False)
    assert (audit.counts(world.path)["settled"], audit.lacking(world.path, "g1")) == (1, 0)
    await said(world, chunks=6, embedded=0, lacking=1)  # a power cut took a point, and it was written again
    assert audit.lacking(world.path, "g1") == 1


@pytest.mark.parametrize("forget", [False, True], ids=["restarted", "rebuilt"])
async def test_what_lacks_its_vectors_is_known_again_from_the_last_receipt(world: World, forget: bool) -> None:
    await world.text(1, page_count=1)
    await world.tick()
    await said(world, chunks=3, lacking=3)
    await world.restart(forget=forget)
    await world.tick()
    assert audit.documents(world.path)[0].lacking == 3
    await said(world, chunks=3, embedded=3)
    await world.restart(forget=forget)
    await world.tick()
    (status,) = audit.documents(world.path)
    assert (status.state, status.lacking, status.embedded) == ("searchable", 0, 3)


async def test_a_version_of_which_no_page_could_be_read_is_not_searchable_though_a_revision_of_it_was_seen(
    world: World,
) -> None:
    await world.text(1, page_count=2, status="failed", cause=Cause.CORRUPT)
    await world.text(2, page_count=2, status="failed", cause=Cause.CORRUPT)
    await world.tick()
    await said(world, chunks=0, embedded=0)
    (status,) = audit.documents(world.path)
    assert (status.state, status.searchable_version, status.pages_searchable) == ("failed", None, 0)


async def test_vectors_that_nobody_makes_any_more_are_not_waited_for_and_the_reason_is_told(world: World) -> None:
    await world.text(1, page_count=1)
    await world.tick()
    await said(world, chunks=3, lacking=3)
    given_up = DeadLetter(
        stage="embed-g1", cause=Cause.EMBEDDING_INVALID, detail="chunk 1", topic=topics.RECEIPTS.name,
        partition=0, offset=0, key=DOC, doc=DOC,
    )  # fmt: skip
    for revision, unfinished in ((world.last().revision - 1, True), (world.last().revision, False)):
        await world.put(topics.DEAD, given_up, {"folio-revision": str(revision)})
        (status,) = audit.documents(world.path)
        assert (status.state, status.lacking, status.unfinished) == ("searchable", 3, unfinished)
    assert (status.lacking_cause, status.lacking_detail) == (Cause.EMBEDDING_INVALID, "chunk 1")
    assert audit.lacking(world.path, "g1") == 0
    await said(world, chunks=3, embedded=3)
    assert audit.documents(world.path)[0].lacking_cause is None


async def test_a_second_index_is_shown_by_what_it_said_last(world: World) -> None:
    await world.text(1, page_count=1)
    await world.tick()
    await said(world, chunks=3, embedded=3)
    await world.tick(1)
    await said(world, chunks=4, lacking=4, generation="other")
    (status,) = audit.documents(world.path)
    assert (status.chunks, status.lacking) == (4, 4)
    assert (audit.lacking(world.path, "g1"), audit.lacking(world.path, "other")) == (0, 4)


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
            "INSERT INTO versions SELECT NULL, ?, 1, 'n', 0, '', '', 0, '{}', '', 1, 0, 0, '', '', 3, 3, 3, 3, 0, 3, 0,"
            " 0, 0,"
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


async def test_a_log_that_is_away_is_said_once_and_that_it_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.stage.RETRY_S", 0.01)
    append, tries, stop = world.log.append, 0, asyncio.Event()

    async def away(topic: Topic, records: Sequence[Record]) -> Sequence[Position]:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise Transient(Cause.LOG_DOWN, "nobody answers")
        stop.set()
        return await append(topic, records)

    await world.text(1, page_count=1)
    monkeypatch.setattr(world.log, "append", away)
    with capture_logs() as said:
        await world.ledger.run(stop)
    assert [line["event"] for line in said] == ["waiting", "goes on"]
    assert len(world.emitted()) == 1


@pytest.mark.parametrize(("free", "why"), [(1 << 30, "not a database"), (4096, "the disk is full: make space")])
def test_a_ledger_that_cannot_be_read_says_why(
    free: int, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no ledger" * 1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(FolioError, match=why):
        audit.documents(tmp_path / "ledger.sqlite")
