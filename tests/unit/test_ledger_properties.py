"""Whatever the order, the repeats and the crashes: the same Document in the end, and revisions that only grow."""

import asyncio
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from folio import topics
from folio.errors import Cause
from folio.ids import Doc
from folio.letters import DeadLetter
from folio.log import Entry, Position
from folio.records import Document, Message, Source, Upload
from folio.topics import Topic
from ledger import audit
from ledger.rows import load
from tests.unit.ledger_world import DOC, START_MS, Crash, World, text

OTHER = Doc("default/other")
QUICK = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
Put = tuple[Topic, Message]

reads = st.builds(
    lambda page, version, doc, source, failed, word, when, verify, counted: text(
        page,
        version,
        doc,
        source=source,
        read_ms=when,
        verify=verify and source is Source.OCR,
        page_count=5 if counted else None,
        image=f"image-{word}",
        **({"status": "failed", "cause": Cause.OCR_LOOP} if failed else {"markdown": word * 9}),
    ),
    page=st.integers(1, 5),
    version=st.integers(1, 2),
    doc=st.sampled_from([DOC, OTHER]),
    source=st.sampled_from(list(Source)),
    failed=st.booleans(),
    word=st.sampled_from(["alpha ", "beta ", "gamma "]),
    when=st.integers(0, 3),
    verify=st.booleans(),
    counted=st.booleans(),
)
letters = st.builds(
    lambda page, version, cause: DeadLetter(
        stage="ocr", cause=cause, topic="pages", partition=0, offset=1, key=DOC, doc=DOC, version=version, page=page
    ),
    page=st.integers(1, 5),
    version=st.integers(1, 2),
    cause=st.sampled_from([Cause.OCR_CRASH, Cause.CORRUPT]),
)
puts: st.SearchStrategy[Put] = st.one_of(
    *[st.tuples(st.just(topics.TEXTS), reads)] * 4,
    st.tuples(st.just(topics.DEAD), letters),
    st.tuples(st.just(topics.UPLOADS), st.builds(Upload, doc=st.just(DOC), name=st.just("n"), deleted=st.booleans())),
)


def entries_of(history: Sequence[Put]) -> list[Entry]:
    counts: dict[str, int] = {}
    entries = []
    for topic, message in history:
        offset = counts[topic.name] = counts.get(topic.name, -1) + 1
        entries.append(Entry(Position(topic.name, 0, offset), DOC, message.encode(), {}, START_MS - 10_000 + offset))
    return entries


def content(documents: Sequence[Document]) -> dict[Doc, tuple[object, ...]]:
    """The last Document of each, without its revision and without what a reader does not see of a failure."""
    last = {document.doc: document for document in documents}
    return {
        doc: (
            (one.version, one.name, one.page_count, one.complete, one.deleted),
            *((page.page, page.markdown, page.flags, page.cause) for page in one.pages),
        )
        for doc, one in last.items()
    }


def revisions_grow(documents: Sequence[Document]) -> None:
    seen: dict[Doc, Document] = {}
    for document in documents:
        before = seen.get(document.doc)
        if before is not None:
            assert document.revision > before.revision or document == before
        seen[document.doc] = document


def remember(world: World, entries: Sequence[Entry]) -> None:
    for entry in sorted(entries, key=lambda one: one.position.offset):
        world.log.entries[entry.position.topic].append(entry)


async def settle(world: World) -> None:
    """Feed nothing more; index everything; let a day and more pass."""
    for _ in range(12):
        await world.tick()
        await world.index()
        await world.tick(61)
        await world.index()
    await world.tick(25 * 3600)
    await world.index()
    await world.tick(61)
    await world.index()
    assert await world.tick(10_000) == float("inf")


async def play(path: Path, entries: Sequence[Entry], order: Sequence[Entry], *, pauses: random.Random) -> World:
    world = World(path)
    await world.tick()
    remember(world, entries)
    for entry in order:
        await world.feed(entry)
        if pauses.random() < 0.4:
            await world.tick(pauses.choice([0, 1, 3, 70]))
        if pauses.random() < 0.3:
            await world.index()
    await settle(world)
    return world


def counts_are_right(world: World) -> None:
    """The counters on a version are what counting its pages gives."""
    wrong = world.store._db.execute(
        "SELECT * FROM (SELECT v.pages_ok, v.pages_failed, v.prefix, v.page_max,"
        " (SELECT count(*) FROM pages WHERE version_id = v.id AND shown AND ok) AS ok,"
        " (SELECT count(*) FROM pages WHERE version_id = v.id AND shown AND NOT ok) AS failed,"
        " (SELECT count(*) FROM pages WHERE version_id = v.id AND shown AND page <= v.prefix) AS filled,"
        " (SELECT count(*) FROM pages WHERE version_id = v.id AND shown AND page = v.prefix + 1) AS next"
        " FROM versions v) WHERE pages_ok <> ok OR pages_failed <> failed OR prefix <> filled OR next <> 0"
    ).fetchall()
    assert wrong == []


@QUICK
@given(history=st.lists(puts, min_size=1, max_size=14), seed=st.integers(0, 10**6))
def test_order_and_repeats_change_nothing_in_the_end(history: list[Put], seed: int) -> None:
    chance = random.Random(seed)
    entries = entries_of(history)
    shuffled = entries + chance.choices(entries, k=5)
    chance.shuffle(shuffled)

    async def both(folder: Path) -> None:
        plain = await play(folder / "one", entries, entries, pauses=random.Random(0))
        mixed = await play(folder / "two", entries, shuffled, pauses=chance)
        assert settled(mixed) == settled(plain)
        for world in (plain, mixed):
            revisions_grow(world.emitted())
            counts_are_right(world)
            await world.store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(both(Path(folder)))


def settled(world: World) -> dict[Doc, tuple[object, ...]]:
    """What stands in the end. While the newest version has nothing to show, the last word depends on when it came."""
    leading = {doc: row.version for doc in (DOC, OTHER) if (row := load(world.store._db, doc).leading())}
    last = content(world.emitted())
    return {doc: seen for doc, seen in last.items() if seen[0][0] == leading.get(doc)}  # type: ignore[index]


@QUICK
@given(
    history=st.lists(puts, min_size=3, max_size=14),
    crashes=st.dictionaries(st.integers(1, 8), st.sampled_from(["before", "after"]), min_size=1, max_size=5),
)
def test_a_crash_around_any_append_ends_in_the_same_documents(history: list[Put], crashes: dict[int, str]) -> None:
    entries = entries_of(history)

    async def both(folder: Path) -> None:
        calm = await play(folder / "calm", entries, entries, pauses=random.Random(3))
        world = World(folder / "stormy")
        await world.tick()
        remember(world, entries)
        world.log.crash_at = dict(crashes)
        for step in [lambda entry=entry: world.feed(entry) for entry in entries] + [lambda: settle(world)]:
            while True:
                try:
                    await step()
                    await world.tick()
                    break
                except Crash:
                    await world.restart()
        assert settled(world) == settled(calm)
        revisions_grow(world.emitted())
        for one in (calm, world):
            await one.store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(both(Path(folder)))


@QUICK
@given(history=st.lists(puts, min_size=1, max_size=14), seed=st.integers(0, 10**6), texts_expired=st.booleans())
def test_a_lost_ledger_is_rebuilt_and_emits_nothing_again(history: list[Put], seed: int, texts_expired: bool) -> None:
    entries = entries_of(history)

    async def lose(folder: Path) -> None:
        world = await play(folder / "ledger", entries, entries, pauses=random.Random(seed))
        before, audit_before = len(world.emitted()), audits(world, texts_expired)
        if texts_expired:
            world.log.gone = {one.position for topic in ("texts", "dead") for one in world.log.entries[topic]}
        await world.restart(forget=True)
        await world.ledger.rebuild(world.log)
        assert audits(world, texts_expired) == audit_before
        counts_are_right(world)
        await settle(world)
        assert world.emitted()[before:] == []
        for entry in [] if texts_expired else entries:
            await world.feed(entry)
        await settle(world)
        assert world.emitted()[before:] == []
        await world.store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(lose(Path(folder)))


def audits(world: World, texts_expired: bool) -> object:
    """Everything that the audit answers; of expired texts only what their Documents still tell."""
    known = [audit.document(world.path, one.doc) for one in audit.documents(world.path)]
    if not texts_expired:
        return sorted(known, key=lambda one: one.doc if one else "")
    emitted = {document.doc for document in world.emitted()}
    return sorted(
        (one.doc, one.version, one.state, one.revision, one.pages_ok, one.pages_failed)
        for one in known
        if one and one.doc in emitted and one.revision
    )


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_crash_around_the_append_repeats_the_same_revision(tmp_path: Path, when: str) -> None:
    world = World(tmp_path / "ledger")
    world.log.crash_at = {1: when}
    await world.text(1, page_count=1)
    with pytest.raises(Crash):
        await world.tick()
    revision = world.store._db.execute("SELECT pending_revision FROM versions").fetchone()[0]
    await world.restart()
    await world.tick(5)
    assert {document.revision for document in world.emitted()} == {revision}
    assert len(world.emitted()) == (2 if when == "after" else 1)
    await world.store.close()


async def test_content_that_changed_after_a_crash_gets_a_higher_revision(tmp_path: Path) -> None:
    world = World(tmp_path / "ledger")
    world.log.crash_at = {1: "after"}
    await world.text(1, page_count=1)
    with pytest.raises(Crash):
        await world.tick()
    await world.restart()
    await world.text(1, page_count=1, markdown="corrected", source=Source.HUMAN)
    await world.tick()
    first, second = world.emitted()
    assert second.revision > first.revision
    await world.store.close()


async def test_a_crash_does_not_lose_text_that_only_the_replaced_document_had(tmp_path: Path) -> None:
    world = World(tmp_path / "ledger")
    for page in (1, 2):
        await world.text(page, page_count=2)
    await world.tick()
    world.log.gone = {entry.position for entry in world.log.entries["texts"]}
    world.log.crash_at = {2: "after"}
    await world.text(2, page_count=2, source=Source.HUMAN, markdown="corrected")
    with pytest.raises(Crash):
        await world.tick(2)
    world.log.gone.add(Position("documents", 0, 0))  # compaction keeps only the newest
    await world.restart()
    await world.tick()
    assert [page.markdown for page in world.last().pages] == [text(1).markdown, "corrected"]
    await world.store.close()


async def test_what_may_be_on_the_log_is_taken_back_when_the_content_is_as_it_was_before(tmp_path: Path) -> None:
    """The append of a change arrived, its mark did not; then the change is undone: the index has the change."""
    world = World(tmp_path / "ledger")
    await world.text(1, page_count=1, markdown="as it was", read_ms=1)
    await world.tick()
    world.log.crash_at = {2: "after"}
    await world.text(1, page_count=1, markdown="changed", read_ms=2)
    with pytest.raises(Crash):
        await world.tick(2)
    await world.restart()
    await world.text(1, page_count=1, markdown="as it was", read_ms=3)
    await world.tick(2)
    revisions = [document.revision for document in world.emitted()]
    assert [document.pages[0].markdown for document in world.emitted()] == ["as it was", "changed", "as it was"]
    assert revisions == sorted(set(revisions))
    await world.tick(60)
    assert len(world.emitted()) == 3
    await world.store.close()
