"""Several ledgers, one log: one emits, the others know what it emitted and can go on where it stopped."""

import random
from pathlib import Path

import pytest

from folio import topics
from folio.log import Entry
from folio.records import Upload
from ledger import audit
from ledger.stage import Ledger, Role
from ledger.store import LedgerStore
from tests.unit.ledger_world import DOC, World, shown, text


class Follower:
    """A second ledger over a world's log, fed in any order; `active` says whether it has the turn."""

    def __init__(self, world: World, path: Path) -> None:
        self.world = world
        self.path = path
        self.active = False
        self.behind = 0
        self.store = LedgerStore(path)
        log = world.log
        follower = self

        class Log:
            value_bytes_max = log.value_bytes_max
            append, fetch, reader = log.append, log.fetch, log.reader

            async def lag(self, group: str, topic: topics.Topic) -> int:
                return follower.behind if group == "ledger-b" else 0

        async def may_emit() -> bool:
            return self.active

        role = Role("ledger-b", may_emit, follows=True)
        self.ledger = Ledger(self.store, Log(), world.blobs, world.timings, now_ms=lambda: world.now_ms, role=role)  # type: ignore[arg-type]

    async def feed(self, entries: list[Entry]) -> None:
        for entry in entries:
            async for _ in self.ledger.stage.process(entry):
                raise AssertionError("the ledger yields nothing")

    def state(self) -> tuple[str, int | None, int]:
        one = audit.document(self.path, DOC)
        assert one is not None
        return one.state, one.revision, one.pages_ok


def everything(world: World) -> list[Entry]:
    return [entry for topic in world.log.entries.values() for entry in topic]


@pytest.fixture
def follower(tmp_path: Path) -> Follower:
    return Follower(World(tmp_path / "a.sqlite"), tmp_path / "b.sqlite")


@pytest.mark.parametrize("named", ["", "book.pdf", "sheet {page}"], ids=["not-named", "as-its-file", "each-its-own"])
async def test_a_follower_emits_nothing_and_shows_what_the_other_emitted(follower: Follower, named: str) -> None:
    """Whatever comes first: a name that a page brings after the Document has it already is no change."""
    world = follower.world
    version = await world.upload(name="book.pdf")
    for page in (1, 2, 3):
        await world.text(page, version, page_count=3, name=named.format(page=page))
    await world.tick()
    await world.index()
    for seed in range(16):
        each = Follower(world, follower.path.with_name(f"{seed}.sqlite"))
        await each.feed(random.Random(seed).sample(everything(world), len(everything(world))))
        await each.ledger.tick()
        assert each.state() == ("searchable", world.last().revision, 3), seed
    assert len(world.emitted()) == 1


async def test_who_takes_over_goes_on_with_higher_revisions_and_repeats_nothing(follower: Follower) -> None:
    world = follower.world
    version = await world.upload(name="book.pdf")
    await world.text(1, version, page_count=2)
    await world.tick(3)
    await follower.feed(everything(world))
    await world.index()
    seen = len(everything(world))
    later = await world.log.append(topics.TEXTS, [_record(text(2, version, page_count=2))])
    follower.active = True
    world.now_ms -= 10_000_000  # another machine's clock
    await follower.feed([await world.log.fetch(later[0])])
    await follower.ledger.tick()
    first, second = world.emitted()
    assert second.revision > first.revision
    assert second.complete
    assert shown(second) == ["words of page 1", "words of page 2"]
    assert seen < len(everything(world))
    await follower.ledger.tick()
    assert len(world.emitted()) == 2


async def test_who_takes_over_first_learns_all_that_was_emitted(follower: Follower) -> None:
    world = follower.world
    version = await world.upload()
    await world.text(1, version, page_count=1)
    follower.active, follower.behind = True, 1
    await follower.feed(everything(world))
    await follower.ledger.tick()
    assert world.emitted() == []
    follower.behind = 0
    await follower.ledger.tick()
    assert len(world.emitted()) == 1


async def test_a_turn_that_is_lost_while_the_record_is_made_emits_nothing(follower: Follower) -> None:
    world = follower.world
    answers = iter([True, True, False])

    async def may_emit() -> bool:
        return next(answers, False)

    follower.ledger._role = Role("ledger-b", may_emit, follows=True)
    await world.ledger.stage.process(await _entry(world)).aclose()
    version = await world.upload()
    await world.text(1, version, page_count=1)
    await follower.feed(everything(world))
    next(answers)
    await follower.ledger.tick()
    assert world.emitted() == []
    assert not follower.ledger.emits


async def test_pages_that_were_given_up_and_newer_readings_survive_an_older_document(follower: Follower) -> None:
    world = follower.world
    version = await world.upload()
    await world.text(1, version, page_count=3)
    await world.tick(25 * 3600)  # page 2 and 3 never came
    assert world.last().complete
    await world.text(2, version)
    late = everything(world)
    documents = [entry for entry in late if entry.position.topic == "documents"]
    await follower.feed([entry for entry in late if entry not in documents] + documents)
    one = audit.document(follower.path, DOC)
    assert one is not None
    assert [page.status for page in one.pages] == ["ok", "ok", "failed"]
    assert one.state == "indexing", "page 2 was not in what was emitted"
    follower.active = True
    world.now_ms += 5000
    await follower.ledger.tick()
    assert shown(world.last())[1] == "words of page 2"


async def test_only_the_one_that_emits_writes_dead_letters(follower: Follower) -> None:
    (position,) = await follower.world.log.append(topics.TEXTS, [_record(text(1))])
    entry = await follower.world.log.fetch(position)
    broken = Entry(entry.position, entry.key, b"{", entry.headers, entry.appended_ms)
    await follower.feed([broken])


def _record(message: object) -> object:
    from folio.log import Record

    return Record(key=message.doc, value=message.encode())  # type: ignore[attr-defined]


async def _entry(world: World) -> Entry:
    (position,) = await world.log.append(topics.UPLOADS, [_record(Upload(doc=DOC))])
    return await world.log.fetch(position)


async def test_a_deletion_is_followed(follower: Follower) -> None:
    world = follower.world
    version = await world.upload()
    await world.text(1, version, page_count=1)
    await world.tick()
    await world.index()
    await world.upload(deleted=True)
    await world.tick()
    await world.index()
    await follower.feed(everything(world))
    assert follower.state()[0] == "deleted"
