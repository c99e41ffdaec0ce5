"""When a document is emitted, how much of it, and what an entry changes: every rule by name."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from folio import topics
from folio.errors import Cause, Permanent
from folio.ids import Doc
from folio.letters import DeadLetter
from folio.log import Entry, Position
from folio.records import Block, BlockKind, Document, PageText, Source, Upload
from ledger import audit
from ledger.schema import DIFFERS
from tests.unit.ledger_world import DOC, Crash, World, shown, text

HUMAN, LAYER = Source.HUMAN, Source.TEXT_LAYER


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path / "ledger.sqlite")
    yield made
    await made.store.close()


def letter(cause: Cause, stage: str = "ocr", **facts: object) -> DeadLetter:
    known = {"stage": stage, "cause": cause, "topic": "pages", "partition": 0, "offset": 1, "key": DOC, "doc": DOC}
    return DeadLetter.model_validate(known | facts)


# Growing and completing. ------------------------------------------------------------------------------


async def test_a_complete_document_is_emitted_at_once_and_once(world: World) -> None:
    version = await world.upload(name="Book", uri="file:///book.pdf", metadata={"year": 1999})
    for page in (2, 1, 3):
        await world.text(page, version, page_count=3)
    await world.tick()
    (document,) = world.emitted()
    assert (document.name, document.uri, document.metadata) == ("Book", "file:///book.pdf", {"year": 1999})
    assert (document.version, document.page_count, document.complete) == (version, 3, True)
    assert document.pages == tuple(text(page, version, page_count=3) for page in (1, 2, 3))
    await world.index()
    assert await world.tick(3600) == float("inf")
    assert len(world.emitted()) == 1


async def test_pages_without_an_upload_make_a_document(world: World) -> None:
    await world.text(1, 7, name="from a scanner")
    await world.text(2, 7, page_count=2)
    await world.tick()
    assert world.last().name == "from a scanner"
    assert world.last().complete


async def test_the_first_emission_waits_two_seconds_and_carries_few_pages(world: World) -> None:
    for page in range(1, 21):
        await world.text(page, page_count=100)
    assert await world.tick() == pytest.approx(2.0)
    assert world.emitted() == []
    await world.tick(2)
    assert [len(document.pages) for document in world.emitted()] == [8]
    assert not world.last().complete


async def test_it_grows_when_it_has_doubled_and_the_last_revision_has_its_receipt(world: World) -> None:
    for page in range(1, 9):
        await world.text(page, page_count=100)
    await world.tick(2)
    for page in range(9, 17):
        await world.text(page)
    await world.tick(10)
    assert len(world.emitted()) == 1, "no receipt yet"
    await world.index()
    await world.tick()
    assert [len(document.pages) for document in world.emitted()] == [8, 16]
    await world.index()
    for page in range(17, 31):
        await world.text(page)
    await world.tick(10)
    assert len(world.emitted()) == 2, "30 is not twice 16"
    await world.text(31)
    await world.text(32)
    await world.tick()
    assert len(world.last().pages) == 32


async def test_growth_without_a_receipt_goes_on_after_receipt_s(world: World) -> None:
    for page in range(1, 9):
        await world.text(page, page_count=100)
    await world.tick(2)
    for page in range(9, 20):
        await world.text(page)
        await world.tick(10)
    assert len(world.emitted()) == 1
    await world.tick(10)
    assert len(world.last().pages) == 19


async def test_completion_waits_for_nothing(world: World) -> None:
    for page in range(1, 9):
        await world.text(page, page_count=10)
    await world.tick(2)
    await world.text(9)
    await world.text(10)
    await world.tick()
    assert [(len(one.pages), one.complete) for one in world.emitted()] == [(8, False), (10, True)]


async def test_a_document_without_an_end_shows_its_last_pages_when_it_falls_quiet(world: World) -> None:
    for page in range(1, 12):
        await world.text(page)
    await world.tick(2)
    await world.index()
    await world.tick(57)
    assert len(world.last().pages) == 8
    await world.tick(1)
    assert len(world.last().pages) == 11
    assert not world.last().complete
    await world.index()
    assert await world.tick(200_000) == float("inf")


async def test_a_stalled_prefix_is_emitted_with_its_gap_named(world: World) -> None:
    for page in (1, 2, 4, 5):
        await world.text(page, page_count=5)
    await world.tick(2)
    await world.index()
    await world.tick(57)
    assert len(world.last().pages) == 2
    await world.tick(1)
    assert shown(world.last()) == [
        "words of page 1",
        "words of page 2",
        "page_missing",
        "words of page 4",
        "words of page 5",
    ]
    assert not world.last().complete


async def test_a_gap_that_fills_makes_a_new_revision(world: World) -> None:
    for page in (2, 3):
        await world.text(page)
    await world.tick(60)
    assert shown(world.last()) == ["page_missing", "words of page 2", "words of page 3"]
    await world.index()
    await world.text(1)
    await world.tick(2)
    assert shown(world.last())[0] == "words of page 1"
    assert world.emitted()[0].revision < world.last().revision


async def test_a_page_absent_for_a_day_has_failed_for_good(world: World) -> None:
    await world.text(1, page_count=3)
    await world.text(3)
    await world.tick(60)
    await world.index()
    await world.tick(24 * 3600 - 61)
    assert not world.last().complete
    await world.tick(1)
    assert world.last().complete
    assert shown(world.last()) == ["words of page 1", "page_missing", "words of page 3"]
    status = audit.document(world.path, DOC)
    assert status is not None
    assert (status.pages_ok, status.pages_failed, status.pages_waiting) == (2, 1, 0)


async def test_a_late_page_after_giving_up_makes_a_new_revision(world: World) -> None:
    await world.text(1, page_count=2)
    await world.tick(24 * 3600)
    assert shown(world.last()) == ["words of page 1", "page_missing"]
    await world.index()
    await world.text(2)
    await world.tick(2)
    assert shown(world.last()) == ["words of page 1", "words of page 2"]
    assert world.last().complete


async def test_a_page_beyond_the_announced_count_is_not_lost(world: World) -> None:
    await world.text(1, page_count=1)
    await world.tick()
    await world.text(2, page_count=1)
    await world.tick(2)
    assert (world.last().page_count, world.last().complete, len(world.last().pages)) == (2, True, 2)


async def test_a_failed_page_completes_its_document(world: World) -> None:
    await world.text(1, page_count=2)
    await world.text(2, status="failed", cause=Cause.OCR_LOOP)
    await world.tick()
    assert world.last().complete
    assert shown(world.last()) == ["words of page 1", "ocr_loop"]


# Sources and precedence. ------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
async def test_human_beats_trusted_text_layer_beats_ocr_in_any_order(world: World, order: tuple[int, ...]) -> None:
    reads = [{"source": HUMAN, "markdown": "human"}, {"source": LAYER, "markdown": "layer"}, {"markdown": "ocr"}]
    for at in order:
        await world.text(1, page_count=1, **reads[at])
        await world.tick(3)
    assert shown(world.last()) == ["human"]


async def test_an_untrusted_text_layer_is_never_shown(world: World) -> None:
    await world.text(1, page_count=1, source=LAYER, trusted=False, markdown="hidden")
    await world.tick(100)
    assert world.emitted() == []
    await world.text(1, markdown="seen")
    await world.tick()
    assert shown(world.last()) == ["seen"]


async def test_a_page_is_waited_for_again_when_its_text_layer_lost_trust(world: World) -> None:
    await world.text(1, page_count=2, source=LAYER, markdown="layer")
    await world.text(1, page_count=2, source=LAYER, trusted=False, markdown="layer", read_ms=5)
    await world.text(2, page_count=2)
    await world.tick()
    assert world.emitted() == []
    await world.text(1, markdown="ocr")
    await world.tick()
    assert shown(world.last()) == ["ocr", "words of page 2"]


async def test_no_failure_hides_a_text(world: World) -> None:
    await world.text(1, page_count=1, markdown="read", read_ms=1)
    await world.text(1, status="failed", cause=Cause.OCR_TIMEOUT, read_ms=2)
    await world.text(1, status="failed", cause=Cause.RENDER_CRASH, source=LAYER, read_ms=3)
    await world.tick()
    assert shown(world.last()) == ["read"]


async def test_the_later_read_wins_whatever_its_place_on_the_log(world: World) -> None:
    await world.text(1, page_count=1, markdown="late", read_ms=20)
    await world.text(1, page_count=1, markdown="early", read_ms=10)
    await world.tick()
    assert shown(world.last()) == ["late"]
    await world.text(1, page_count=1, markdown="same time, later on the log", read_ms=20)
    await world.tick(2)
    assert shown(world.last()) == ["same time, later on the log"]


async def test_the_same_text_from_a_later_read_is_no_new_revision(world: World) -> None:
    await world.text(1, page_count=1, read_ms=1, seconds=1.0)
    await world.tick()
    await world.index()
    await world.text(1, page_count=1, read_ms=2, seconds=9.0, engine="another")
    await world.tick(10)
    assert len(world.emitted()) == 1


@pytest.mark.parametrize("verify_first", [True, False])
@pytest.mark.parametrize("evicted", [True, False])
async def test_a_verify_read_is_compared_and_never_shown(world: World, verify_first: bool, evicted: bool) -> None:
    true = "The harbour of Bergen handled 1,204 vessels in March."
    layer, check = {"source": LAYER, "markdown": true}, {"verify": True, "markdown": "Buy now! " * 9}
    for read in [check, layer] if verify_first else [layer, check]:
        await world.text(1, page_count=1 if evicted else 9, **read)
        await world.tick(3)
        await world.index()
    await world.tick(200)
    assert shown(world.last()) == [true]
    assert world.last().pages[0].flags == (DIFFERS,)
    page = audit.document(world.path, DOC).pages[0]  # type: ignore[union-attr]
    assert page.agreement is not None
    assert page.agreement < 0.3
    assert page.flags == (DIFFERS,)


async def test_a_verify_read_that_agrees_leaves_a_score_and_no_flag(world: World) -> None:
    await world.text(1, page_count=1, source=LAYER, markdown="# Harbour\n\nThe harbour handled 1,204 vessels.")
    await world.tick()
    await world.text(1, verify=True, markdown="Harbour The harbour handled 1,204 vesse1s.")
    await world.tick(10)
    page = audit.document(world.path, DOC).pages[0]  # type: ignore[union-attr]
    assert page.agreement == pytest.approx(0.94, abs=0.06)
    assert page.flags == ()
    assert len(world.emitted()) == 1


# Versions, deletion, cancellation, dead letters. ------------------------------------------------------


async def test_an_older_version_stays_until_the_newer_is_emitted(world: World) -> None:
    old = await world.upload(sha256="aa")
    await world.text(1, old, page_count=1, markdown="old", image="a1")
    await world.tick()
    await world.index()
    new = await world.upload(sha256="bb")
    assert audit.live_blobs(world.path) == {"aa", "bb", "a1"}
    status = audit.document(world.path, DOC)
    assert status is not None
    assert (status.version, status.state, status.searchable_revision) == (new, "queued", world.last().revision)
    await world.text(1, new, page_count=1, markdown="new")
    await world.tick()
    assert shown(world.last()) == ["new"]
    assert audit.live_blobs(world.path) == {"bb"}
    await world.text(1, old, markdown="too late", read_ms=99)
    await world.tick(10)
    assert [shown(one) for one in world.emitted()] == [["old"], ["new"]]


async def test_an_older_version_is_emitted_no_more_once_a_newer_one_is_known(world: World) -> None:
    old = await world.upload()
    new = await world.upload()
    await world.text(1, old, page_count=1)
    await world.tick(100)
    assert world.emitted() == []
    await world.put(topics.DEAD, letter(Cause.CORRUPT, "ingest", version=new))
    await world.tick()
    assert world.last().version == old, "the newer one will never be there"


async def _with_a_whole_version(world: World, pages: int = 20) -> int:
    version = await world.upload()
    for page in range(1, pages + 1):
        await world.text(page, version, page_count=pages, markdown="old")
    await world.tick()
    await world.index()
    return version


async def test_a_whole_version_stays_until_the_newer_is_whole(world: World) -> None:
    old = await _with_a_whole_version(world)
    new = await world.upload()
    for page in range(1, 40):
        await world.text(page, new, page_count=40)
        await world.tick(90)
    assert [one.version for one in world.emitted()] == [old]
    await world.text(40, new)
    await world.tick()
    assert [(one.version, len(one.pages), one.complete) for one in world.emitted()] == [
        (old, 20, True),
        (new, 40, True),
    ]


async def test_a_newer_version_without_an_end_takes_the_place_of_a_whole_one_when_it_falls_quiet(world: World) -> None:
    old = await _with_a_whole_version(world)
    new = await world.upload()
    for page in range(1, 13):
        await world.text(page, new)
        await world.tick(10)
    await world.tick(49)
    assert world.last().version == old
    await world.tick(1)
    assert (world.last().version, len(world.last().pages)) == (new, 12)
    await world.index()
    for page in range(13, 25):
        await world.text(page, new)
    await world.tick(2)
    assert len(world.last().pages) == 24, "from then on it grows as any other"


async def test_pages_that_never_come_keep_a_whole_version_for_a_day(world: World) -> None:
    old = await _with_a_whole_version(world)
    new = await world.upload()
    await world.text(1, new, page_count=3)
    await world.text(3, new)
    await world.tick(24 * 3600 - 1)
    assert world.last().version == old
    await world.tick(1)
    assert (world.last().version, shown(world.last())[1]) == (new, "page_missing")


async def test_cancelling_a_newer_version_leaves_the_whole_one(world: World) -> None:
    old = await _with_a_whole_version(world)
    new = await world.upload()
    for page in range(1, 13):
        await world.text(page, new, page_count=100)
    await world.tick(10)
    await world.upload(cancelled=True)
    await world.text(13, new, status="failed", cause=Cause.CANCELLED)
    await world.tick(100_000)
    assert [one.version for one in world.emitted()] == [old]
    (status,) = audit.documents(world.path)
    assert (status.version, status.state, status.searchable_version) == (new, "cancelled", old)


async def test_a_version_that_was_cancelled_early_does_not_hold_the_next_one_back(world: World) -> None:
    old = await world.upload()
    await world.text(1, old, page_count=3)
    await world.upload(cancelled=True)
    await world.tick()
    await world.index()
    new = await world.upload()
    await world.text(1, new, page_count=3)
    await world.tick(2)
    assert [(one.version, one.complete) for one in world.emitted()] == [(old, True), (new, False)]


async def test_cancelling_a_newer_version_that_is_whole_comes_too_late(world: World) -> None:
    old = await _with_a_whole_version(world, pages=2)
    new = await world.upload()
    for page in (1, 2):
        await world.text(page, new, page_count=2)
    await world.upload(cancelled=True)
    await world.tick()
    assert [one.version for one in world.emitted()] == [old, new]


async def test_cancelling_a_newer_version_that_has_gaps_leaves_the_whole_one(world: World) -> None:
    old = await _with_a_whole_version(world, pages=2)
    new = await world.upload()
    await world.text(1, new, page_count=2)
    await world.text(2, new, status="failed", cause=Cause.OCR_LOOP)
    await world.upload(cancelled=True)
    await world.tick(100)
    assert [one.version for one in world.emitted()] == [old]
    (status,) = audit.documents(world.path)
    assert (status.version, status.state, status.searchable_version) == (new, "cancelled", old)


async def test_what_was_deleted_in_between_is_not_kept_by_a_version_that_grows(world: World) -> None:
    await _with_a_whole_version(world)
    await world.upload(deleted=True)
    new = await world.upload()
    await world.text(1, new, page_count=100)
    await world.tick(2)
    assert (world.last().version, len(world.last().pages)) == (new, 1)


async def test_a_deletion_is_a_document_without_pages(world: World) -> None:
    version = await world.upload(sha256="aa")
    await world.text(1, version, page_count=1)
    await world.tick()
    await world.index()
    deletion = await world.upload(deleted=True)
    await world.tick()
    await world.index()
    assert (world.last().deleted, world.last().pages, world.last().version) == (True, (), deletion)
    assert world.last().revision > world.emitted()[0].revision
    assert audit.live_blobs(world.path) == set()
    (status,) = audit.documents(world.path)
    assert (status.state, status.searchable_revision, status.chunks) == ("deleted", None, 0)
    await world.text(2, version)
    assert await world.tick(200) == float("inf")
    assert len(world.emitted()) == 2


async def test_a_deletion_is_not_overtaken_by_the_answer_to_an_announcement_before_it(world: World) -> None:
    announced = await world.upload(fetch="https://files.example.org/a.pdf")
    deletion = await world.upload(deleted=True)
    await world.tick()
    await world.upload(sha256="aa", answers=announced)
    await world.text(1, announced, page_count=1)
    await world.tick(200)
    assert (world.last().deleted, world.last().version) == (True, deletion)
    (status,) = audit.documents(world.path)
    assert status.state == "deleted"


async def test_an_announcement_that_comes_again_does_not_undo_its_answer(world: World) -> None:
    asked = Upload(doc=DOC, fetch="https://files.example.org/a.pdf")
    announced = await world.put(topics.UPLOADS, asked)
    world.now_ms += 1
    await world.upload(sha256="aa", name="a.pdf", answers=asked.version_in(announced))
    await world.feed(announced)
    (status,) = audit.documents(world.path)
    assert (status.version, status.sha256, status.name) == (asked.version_in(announced), "aa", "a.pdf")


async def test_an_upload_cannot_be_newer_than_its_record(world: World) -> None:
    version = await world.upload(sha256="aa", answers=2**60)
    (status,) = audit.documents(world.path)
    assert status.version == version


async def test_a_deleted_document_may_come_again(world: World) -> None:
    await world.upload(deleted=True)
    await world.tick()
    version = await world.upload()
    await world.text(1, version, page_count=1)
    await world.tick()
    assert [one.deleted for one in world.emitted()] == [True, False]


async def test_cancelling_emits_what_is_there_and_fails_the_rest(world: World) -> None:
    version = await world.upload(sha256="aa")
    await world.text(1, version, page_count=3)
    await world.upload(cancelled=True, sha256="aa")
    await world.tick()
    assert shown(world.last()) == ["words of page 1", "cancelled", "cancelled"]
    assert world.last().complete
    await world.index()
    (status,) = audit.documents(world.path)
    assert (status.state, status.cause, status.pages_failed) == ("cancelled", Cause.CANCELLED, 2)
    await world.text(2, version, status="failed", cause=Cause.CANCELLED)
    await world.tick(10)
    assert len(world.emitted()) == 1, "the engine's word for it changes nothing"


async def test_cancelling_what_has_no_page_emits_nothing(world: World) -> None:
    version = await world.upload()
    await world.upload(cancelled=True)
    await world.text(1, version, status="failed", cause=Cause.CANCELLED)
    await world.tick(100_000)
    assert world.emitted() == []
    assert audit.documents(world.path)[0].state == "cancelled"


async def test_cancelling_what_is_whole_changes_nothing(world: World) -> None:
    version = await world.upload()
    await world.text(1, version, page_count=1)
    await world.tick()
    await world.index()
    await world.upload(cancelled=True)
    await world.tick(100)
    assert len(world.emitted()) == 1
    assert audit.documents(world.path)[0].state == "searchable"


async def test_a_page_letter_names_the_gap_unless_something_better_is_known(world: World) -> None:
    await world.text(1, page_count=2)
    await world.put(topics.DEAD, letter(Cause.OCR_CRASH, version=1, page=1))
    await world.put(topics.DEAD, letter(Cause.OCR_CRASH, version=1, page=2))
    await world.tick()
    assert shown(world.last()) == ["words of page 1", "ocr_crash"]
    await world.text(2)
    await world.tick(10)
    assert shown(world.last())[1] == "words of page 2"


async def test_a_letter_from_ingest_fails_the_version(world: World) -> None:
    version = await world.upload(name="locked.pdf")
    await world.put(topics.DEAD, letter(Cause.ENCRYPTED, "ingest", version=version, detail="AES"))
    await world.tick(100_000)
    assert world.emitted() == []
    (status,) = audit.documents(world.path)
    assert (status.state, status.cause, status.sentence) == ("failed", Cause.ENCRYPTED, Cause.ENCRYPTED.sentence)


async def test_pages_that_ingest_sent_before_it_broke_off_are_kept(world: World) -> None:
    version = await world.upload()
    await world.text(1, version, page_count=3)
    await world.put(topics.DEAD, letter(Cause.RENDER_TIMEOUT, "ingest", version=version))
    await world.tick(60)
    assert shown(world.last()) == ["words of page 1", "render_timeout", "render_timeout"]
    assert world.last().complete


async def test_letters_that_nobody_can_read_are_passed_over(world: World) -> None:
    await world.feed(Entry(Position("dead", 0, 0), "", b"{", {}, world.now_ms))
    await world.put(topics.DEAD, letter(Cause.OCR_CRASH, version=10**30, page=1))
    assert audit.documents(world.path) == []


@pytest.mark.parametrize(
    "wrong",
    [{"version": 10**30}, {"page": 10**9}, {"page_count": 10**9}, {"doc": "nobody"}, {"seconds": float("nan")}],
)
async def test_numbers_out_of_reason_are_refused(world: World, wrong: dict[str, object]) -> None:
    with pytest.raises(Permanent):
        await world.put(topics.TEXTS, text(1).model_copy(update=wrong))
    value = text(1).encode().replace(b'"page":1', b'"page":1,"seconds":NaN')
    with pytest.raises(Permanent):
        await world.feed(Entry(Position("texts", 0, 9), DOC, value, {}, world.now_ms))


# Revisions, reconciliation, receipts. -----------------------------------------------------------------


async def test_revisions_grow_although_the_clock_goes_back(world: World) -> None:
    await world.text(1, page_count=1)
    await world.tick()
    await world.index()
    world.now_ms -= 5000
    await world.text(1, page_count=1, markdown="other", read_ms=5)
    await world.tick(10)
    first, second = world.emitted()
    assert second.revision > first.revision


async def test_a_document_without_a_receipt_is_emitted_again_ever_more_rarely(world: World) -> None:
    await world.text(1, page_count=1)
    await world.tick()
    assert await world.tick(119) == pytest.approx(1.0)
    await world.tick(1)
    assert len(world.emitted()) == 2
    assert world.emitted()[0] == world.emitted()[1], "the same revision, word for word"
    await world.tick(239)
    assert len(world.emitted()) == 2
    await world.tick(1)
    assert len(world.emitted()) == 3
    await world.index()
    assert await world.tick(10_000) == float("inf")


async def test_a_busy_index_is_not_asked_again(world: World) -> None:
    other = Doc("default/other")
    await world.text(1, page_count=1)
    await world.text(1, page_count=1, doc=other)
    await world.tick()
    await world.tick(100)
    await world.receipt(Document(doc=other, version=1, revision=world.last().revision))
    await world.tick(20)
    assert len(world.emitted()) == 2, "a receipt came 20 s ago: the index works"
    await world.tick(120)
    assert len(world.emitted()) == 3


async def test_a_document_that_the_index_passed_over_is_emitted_again(world: World) -> None:
    await world.text(1, page_count=1)
    await world.tick()
    await world.tick(119)
    await world.receipt(Document(doc=Doc("default/other"), version=1, revision=world.now_ms + 1000))
    await world.tick(1)
    assert len(world.emitted()) == 2


async def test_an_outdated_revision_is_given_a_new_number(world: World) -> None:
    await world.text(1, page_count=1)
    await world.tick()
    await world.index(outcome="outdated")
    await world.tick(240)
    first, second = world.emitted()
    assert second.revision > first.revision
    assert second.pages == first.pages


async def test_a_document_that_the_index_refused_is_failed_and_not_repeated(world: World) -> None:
    await world.text(1, page_count=1)
    await world.tick()
    headers = dict(world.log.entries["documents"][0].headers)
    refusal = letter(Cause.EMBEDDING_INVALID, "index-g1", topic="documents", version=1)
    await world.put(topics.DEAD, refusal, headers)
    assert await world.tick(100_000) == float("inf")
    (status,) = audit.documents(world.path)
    assert (status.state, status.cause) == ("failed", Cause.EMBEDDING_INVALID)


# Where text rests. ------------------------------------------------------------------------------------


def bodies(world: World) -> int:
    return int(world.store._db.execute("SELECT count(*) FROM bodies").fetchone()[0])


async def test_text_leaves_the_ledger_with_the_whole_document_and_is_fetched_for_a_new_revision(world: World) -> None:
    for page in (1, 2, 3):
        await world.text(page, page_count=3)
    assert bodies(world) == 3
    await world.tick()
    assert bodies(world) == 0
    await world.index()
    await world.text(2, source=HUMAN, markdown="corrected")
    await world.tick(2)
    assert shown(world.last()) == ["words of page 1", "corrected", "words of page 3"]
    assert world.last().pages[0] == text(1, page_count=3)
    assert bodies(world) == 0


@pytest.mark.parametrize("gone", ["texts", "documents"])
async def test_what_one_topic_no_longer_has_is_taken_from_the_other(world: World, gone: str) -> None:
    for page in (1, 2):
        await world.text(page, page_count=2)
    await world.tick()
    world.log.gone = {entry.position for entry in world.log.entries[gone]}
    await world.text(2, source=HUMAN, markdown="corrected")
    await world.tick(2)
    assert shown(world.last()) == ["words of page 1", "corrected"]


async def test_text_that_is_nowhere_any_more_is_a_named_gap(world: World) -> None:
    for page in (1, 2):
        await world.text(page, page_count=2)
    await world.tick()
    world.log.gone = {entry.position for topic in ("texts", "documents") for entry in world.log.entries[topic]}
    await world.text(2, source=HUMAN, markdown="corrected")
    await world.tick(2)
    assert shown(world.last()) == ["page_missing", "corrected"]
    assert "no longer on the log" in world.last().pages[0].detail


async def test_a_large_document_travels_as_a_blob(world: World) -> None:
    world.log.value_bytes_max = 100
    await world.text(1, page_count=1)
    await world.tick()
    (entry,) = world.log.entries["documents"]
    assert entry.value == b""
    assert shown(world.last()) == ["words of page 1"]
    assert audit.live_blobs(world.path) == {entry.headers["folio-blob"]}
    await world.text(1, source=HUMAN, markdown="corrected", page_count=1)
    await world.tick(2)
    assert shown(world.last()) == ["corrected"]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_crash_around_a_large_documents_blob_emits_it_once(world: World, when: str) -> None:
    put = world.blobs.put

    async def dies(content: bytes) -> str:
        if when == "after":
            await put(content)
        raise Crash

    world.log.value_bytes_max = 100
    await world.text(1, page_count=1)
    world.blobs.put = dies  # type: ignore[method-assign]
    with pytest.raises(Crash):
        await world.tick()
    world.blobs.put = put  # type: ignore[method-assign]
    await world.restart()
    await world.tick()
    assert shown(world.last()) == ["words of page 1"]
    assert len(world.log.entries["documents"]) == 1


async def test_a_document_is_spliced_to_what_packing_it_gives(world: World) -> None:
    block = Block(kind=BlockKind.HEADING, start=0, end=4, level=1)
    reads = [text(1, page_count=2, blocks=(block,), flags=("dim",), markdown='"\\ \u4e2d\n'), text(2, engine="x")]
    await world.put(topics.UPLOADS, Upload(doc=Doc("default/z")))
    for read in reads:
        await world.put(topics.TEXTS, read)
    await world.tick()
    document = world.last()
    assert document.pages == tuple(reads)
    assert Document.unpack(document.pack()) == document
    assert [type(page) for page in document.pages] == [PageText, PageText]
