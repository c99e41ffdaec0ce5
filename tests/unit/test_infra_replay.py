"""Replays: what is read once more, where it ends, what it leaves alone, and how it goes on after a stop or a kill."""

import asyncio
import errno
import itertools
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from folio import topics
from folio.errors import Cause, FolioError, Permanent, Transient
from folio.ids import Doc
from folio.log import Entry, Lease, Log, Offset, Record
from folio.outputs import Output
from folio.records import Page
from folio.stage import Stage
from folio.topics import PAGES, TEXTS, UPLOADS, Topic
from infra.dead import DeadLetters, Which
from infra.folder_blobs import FolderBlobs
from infra.intake import Unknown
from infra.replay import HEADER, Asked, Pace, Replay, plan
from infra.replays import Replays
from infra.sqlite_log import SqliteLog
from tests.logs import KINDS, kafka_log, log_of, run_through
from tests.memory_log import MemoryLog, MemoryReader

ALL = Asked(topic="pages")
LONG_S = 60


@pytest.fixture(params=KINDS)
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    async with log_of(request.param, request, tmp_path) as opened:
        yield opened


def pages(count: int, *, doc: str = "default/book", start: int = 1) -> list[Record]:
    found = []
    for number in range(start, start + count):
        facts = Page(doc=Doc(doc), version=7, page=number)
        found.append(Record(f"{doc}/{number}", f"image {number}".encode(), facts.headers()))
    return found


async def echo(entry: Entry) -> AsyncGenerator[Output, None]:
    """What an engine would say: here the entry's own key."""
    if entry.value == b"refused":
        raise Permanent(Cause.CORRUPT, "it is refused")
    yield TEXTS, Record(entry.key, entry.value)


LIVE = Stage(name="ocr", sources=(PAGES,), process=echo)


def replays(log: Log, folder: Path, stage: Stage = LIVE) -> Replays:
    return Replays(log, folder, lambda _: stage)


async def ended(of: Replays, replay: Replay) -> Replay:
    async with asyncio.timeout(LONG_S):
        while of.one(replay.id).state == "running":
            await asyncio.sleep(0.01)
    return of.one(replay.id)


async def replayed(log: Log, folder: Path, asked: Asked = ALL, stage: Stage = LIVE) -> tuple[Replay, list[str]]:
    """Run one to its end; returns it and the keys that it read once more, sorted."""
    before = len(await everything(log, TEXTS))
    of = replays(log, folder, stage)
    done = await ended(of, await of.begin(asked))
    await of.close()
    return done, sorted(entry.key for entry in (await everything(log, TEXTS))[before:])


async def everything(log: Log, topic: Topic) -> list[Entry]:
    """In the order of appending."""
    count = sum(end - first for first, end in (await log.spans(topic)).values())
    found: list[Entry] = []
    async with log.reader([topic], None) as reader:
        while len(found) < count:
            found += await reader.read(entries_max=1000, bytes_max=1 << 30, wait_s=10)
    return sorted(found, key=lambda entry: entry.appended_ms)


def keys(records: Sequence[Record]) -> list[str]:
    return sorted(record.key for record in records)


async def test_every_record_is_read_once_more_and_the_live_group_stands_where_it_stood(
    log: Log, tmp_path: Path
) -> None:
    await log.append(PAGES, pages(20))
    await run_through(LIVE, log)
    await log.append(PAGES, pages(5, start=21))
    stands = await log.committed("ocr", PAGES)
    done, read = await replayed(log, tmp_path / "replays")
    assert read == keys(pages(25))
    assert (done.state, done.replayed, done.appended, done.failed) == ("done", 25, 25, 0)
    assert (done.passed, done.total) == (25, 25)
    assert await log.committed("ocr", PAGES) == stands
    texts = await everything(log, TEXTS)
    assert [entry.headers.get(HEADER) for entry in texts] == [None] * 20 + [done.id] * 25


async def test_it_ends_where_the_topic_ended_when_it_began(log: Log, tmp_path: Path) -> None:
    await log.append(PAGES, pages(10))
    more = iter(range(11, 1000))

    async def grow(entry: Entry) -> AsyncGenerator[Output, None]:
        await log.append(PAGES, pages(1, start=next(more)))
        yield TEXTS, Record(entry.key, b"")

    done, read = await replayed(log, tmp_path / "replays", stage=Stage(name="ocr", sources=(PAGES,), process=grow))
    assert (done.state, read) == ("done", keys(pages(10)))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Asked(topic="pages", doc="default/book"), keys(pages(3))),
        (Asked(topic="pages", tenant="acme"), keys(pages(2, doc="acme/book"))),
        (Asked(topic="pages", tenant="nobody"), []),
        (Asked(topic="pages", from_ms=0), keys([*pages(3), *pages(2, doc="acme/book")])),
    ],
)
async def test_only_what_was_asked_for_is_read(log: Log, tmp_path: Path, asked: Asked, expected: list[str]) -> None:
    await log.append(PAGES, [*pages(3), *pages(2, doc="acme/book")])
    done, read = await replayed(log, tmp_path / "replays", asked)
    assert (done.state, read) == ("done", expected)
    assert (await plan(log, asked)).records == len(expected)


async def test_from_a_time(log: Log, tmp_path: Path) -> None:
    await log.append(PAGES, pages(4))
    await asyncio.sleep(0.02)
    since_ms = time.time_ns() // 1_000_000
    await asyncio.sleep(0.02)
    await log.append(PAGES, pages(3, start=5))
    asked = Asked(topic="pages", from_ms=since_ms)
    assert (await plan(log, asked)).records == 3
    assert (await replayed(log, tmp_path / "replays", asked))[1] == keys(pages(3, start=5))


async def test_from_an_offset_of_every_partition(log: Log, tmp_path: Path) -> None:
    await log.append(PAGES, pages(30))
    spans = await log.spans(PAGES)
    asked = Asked(topic="pages", from_offset=4)
    expected = sum(max(0, end - 4) for _, end in spans.values())
    assert (await plan(log, asked)).records == expected
    done, read = await replayed(log, tmp_path / "replays", asked)
    assert (done.state, len(read), done.total) == ("done", expected, expected)


async def test_from_where_a_group_stands(log: Log, tmp_path: Path) -> None:
    await log.append(PAGES, pages(6))
    await run_through(LIVE, log)
    await log.append(PAGES, pages(2, start=7))
    done, read = await replayed(log, tmp_path / "replays", Asked(topic="pages", group="ocr"))
    assert (done.state, read) == ("done", keys(pages(2, start=7)))
    with pytest.raises(FolioError, match="never read"):
        await plan(log, Asked(topic="pages", group="nobody"))


async def test_of_a_compacted_topic_only_the_newest_of_each_document_is_read(log: Log, tmp_path: Path) -> None:
    """An announcement that its own upload has replaced would be fetched again, and make a new version."""
    for n in range(3):
        await log.append(UPLOADS, [Record(f"default/{doc}", f"{n}".encode()) for doc in ("a", "b")])
        await asyncio.sleep(0.005)
    asked = Asked(topic="uploads")
    assert (await plan(log, asked)).records == 2
    done, read = await replayed(log, tmp_path / "replays", asked)
    assert (done.state, read) == ("done", ["default/a", "default/b"])
    assert {entry.value for entry in await everything(log, TEXTS)} == {b"2"}


async def test_a_plan_counts_and_changes_nothing(log: Log, tmp_path: Path) -> None:
    await log.append(PAGES, pages(9))
    found = await replays(log, tmp_path / "replays").plan(Asked(topic="pages", rate=2))
    assert (found.records, found.pages_ocr, found.about, found.seconds_min) == (9, 9, False, 4.5)
    assert found.size_bytes == sum(len(record.value) for record in pages(9))
    assert not (tmp_path / "replays").exists()
    assert [await log.committed(group, PAGES) for group in ("ocr", "replay-", "")] == [{}, {}, {}]
    assert sum(end - first for first, end in (await log.spans(PAGES)).values()) == 9


async def test_a_plan_that_has_no_time_to_look_at_everything_says_about(log: Log) -> None:
    await log.append(PAGES, pages(2000))
    found = await plan(log, ALL, plan_s=0)
    assert found.about
    assert 1500 < found.records < 2500


async def test_nothing_to_read_is_done_at_once(log: Log, tmp_path: Path) -> None:
    done, read = await replayed(log, tmp_path / "replays")
    assert (done.state, done.total, read) == ("done", 0, [])
    later = Asked(topic="pages", from_ms=(int(time.time()) + 3600) * 1000)
    await log.append(PAGES, pages(2))
    assert (await plan(log, later)).records == 0
    done, read = await replayed(log, tmp_path / "replays", later)
    assert (done.state, read) == ("done", [])


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"topic": "nowhere"}, "pages.bulk"),
        ({"topic": "texts"}, "ledger"),
        ({"topic": "pages", "from_offset": 1, "group": "g"}, "one of them"),
        ({"topic": "pages", "from_offset": -1}, "greater"),
        ({"topic": "pages", "rate": -1}, "greater"),
    ],
)
def test_what_cannot_be_replayed_is_refused(asked: dict, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Asked(**asked)


async def test_a_record_that_fails_is_a_dead_letter_and_the_replay_goes_on(log: Log, tmp_path: Path) -> None:
    await log.append(PAGES, [*pages(3), Record("default/book/4", b"refused", pages(1, start=4)[0].headers)])
    done, read = await replayed(log, tmp_path / "replays")
    assert (done.state, done.replayed, done.failed, read) == ("done", 3, 1, keys(pages(3)))
    [dead] = await DeadLetters(log).listed(Which())
    assert (dead.stage, dead.page, dead.cause) == (f"replay-{done.id}", 4, Cause.CORRUPT)


async def test_dead_letters_are_replayed_and_closed(log: Log, tmp_path: Path) -> None:
    async def refuse_odd(entry: Entry) -> AsyncGenerator[Output, None]:
        if int(entry.headers["folio-page"]) % 2:
            raise Permanent(Cause.OCR_LOOP)
        yield TEXTS, Record(entry.key, b"")

    await log.append(PAGES, pages(6))
    await run_through(Stage(name="ocr", sources=(PAGES,), process=refuse_odd), log)
    asked = Asked(topic="pages", dead=True)
    assert (await plan(log, asked)).records == 3
    done, read = await replayed(log, tmp_path / "replays", asked)
    assert (done.state, read) == ("done", [f"default/book/{n}" for n in (1, 3, 5)])
    assert await DeadLetters(log).listed(Which()) == []
    assert (await plan(log, asked)).records == 0


async def test_a_rate_bounds_it(log: Log, tmp_path: Path) -> None:
    await log.append(PAGES, pages(11))
    began = time.monotonic()
    done, read = await replayed(log, tmp_path / "replays", Asked(topic="pages", rate=20))
    assert (done.state, len(read)) == ("done", 11)
    assert time.monotonic() - began >= 0.5 * 0.95


async def test_turns_are_even() -> None:
    waits: list[float] = []

    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)

    pace = Pace(10, sleep=sleep)
    for _ in range(4):
        await pace()
    assert [round(wait_s, 1) for wait_s in waits] == [0.1, 0.2, 0.3]


async def test_one_that_was_stopped_goes_on_where_it_was(log: Log, tmp_path: Path) -> None:
    async def first_half(entry: Entry) -> AsyncGenerator[Output, None]:
        if int(entry.headers["folio-page"]) > 100:
            await asyncio.Event().wait()  # it is stopped before all is read, however slow the machine is
        async for output in echo(entry):
            yield output

    await log.append(PAGES, pages(200))
    of = replays(log, tmp_path / "replays", replace(LIVE, process=first_half, grace_s=0.1))
    replay = await of.begin(Asked(topic="pages", rate=100))
    while not await everything(log, TEXTS):
        await asyncio.sleep(0.01)
    stopped = await of.stop(replay.id)
    assert (stopped.state, 0 < len(await everything(log, TEXTS)) < 200) == ("stopped", True)
    later = replays(log, tmp_path / "replays")
    later.take_up()
    assert later.one(replay.id).state == "stopped", "who stopped it did not mean until the next start"
    await later.resume(replay.id)
    await later.close()
    assert later.one(replay.id).state == "running", "a process that ends leaves it to the next"
    last = replays(log, tmp_path / "replays")
    last.take_up()
    done = await ended(last, replay)
    assert done.state == "done"
    read = [entry.key for entry in await everything(log, TEXTS)]
    assert sorted(set(read)) == keys(pages(200))
    assert len(read) < 300, "only what was in work is read again"
    with pytest.raises(FolioError, match="nothing to resume"):
        await last.resume(replay.id)
    with pytest.raises(Unknown):
        last.one("nobody")


async def test_a_log_that_is_away_for_a_moment_ends_neither_a_replay_nor_its_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of the commits that failed arrived all the same: what they cover is counted once."""
    monkeypatch.setattr("infra.replay.NEWS_S", 0.01)
    committing, tried, told = MemoryReader.commit, itertools.count(), itertools.count()

    async def commit(reader: MemoryReader, positions: Mapping[Lease, Offset]) -> None:
        number = next(tried)
        if number % 3:
            await committing(reader, positions)
        if number % 3 < 2:
            raise Transient(Cause.LOG_DOWN, "no broker answers")

    class Heard(Replays):
        def _told(self, replay: Replay) -> None:
            next(told)
            super()._told(replay)

    monkeypatch.setattr(MemoryReader, "commit", commit)
    log = MemoryLog()
    await log.append(PAGES, pages(40))
    of = Heard(log, tmp_path / "replays", lambda _: LIVE)
    done = await ended(of, await of.begin(Asked(topic="pages", rate=40)))
    assert (done.state, done.replayed, done.appended, done.uncounted) == ("done", 40, 40, 0)
    assert next(tried) > 2
    assert next(told) > 50, "the news went on"
    await of.close()


async def test_a_full_disk_under_its_file_is_waited_for(tmp_path: Path) -> None:
    """No commit goes on before its counts are on record."""
    log, full = MemoryLog(), iter([False, True, True])

    class Full(Replays):
        def _keep(self, replay: Replay) -> None:
            if next(full, False):
                raise OSError(errno.ENOSPC, "No space left on device")
            super()._keep(replay)

    await log.append(PAGES, pages(9))
    of = Full(log, tmp_path / "replays", lambda _: LIVE)
    done = await ended(of, await of.begin(ALL))
    assert (done.state, done.replayed, next(full, None)) == ("done", 9, None)


async def test_retention_that_overtakes_it_is_loud_and_can_be_accepted(tmp_path: Path) -> None:
    log = MemoryLog()
    await log.append(PAGES, pages(10))
    of = replays(log, tmp_path / "replays")
    replay = await of.begin(Asked(topic="pages", rate=1))
    await of.stop(replay.id)
    log.forget(PAGES)
    await log.append(PAGES, pages(2, start=11))
    await of.resume(replay.id)
    failed = await ended(of, replay)
    assert (failed.state, "were deleted" in failed.detail) == ("failed", True)
    await of.resume(replay.id, accept_gap=True)
    done = await ended(of, replay)
    assert done.state == "done"
    assert done.lost > 0
    assert (done.lost + done.replayed, done.uncounted) == (10, 0)


async def test_a_group_that_lost_records_is_not_replayed_as_if_it_had_not() -> None:
    log = MemoryLog()
    await log.append(PAGES, pages(10))
    await log.rewind("ocr", PAGES, 0)
    log.forget(PAGES)
    with pytest.raises(FolioError, match=r"10 records .* --accept-gap"):
        await plan(log, Asked(topic="pages", group="ocr"))


async def test_a_damaged_file_hides_no_other_replay(log: Log, tmp_path: Path) -> None:
    await log.append(PAGES, pages(2))
    done, _ = await replayed(log, tmp_path / "replays")
    (tmp_path / "replays" / "half.json").write_text("{")
    assert [one.id for one in replays(log, tmp_path / "replays").every()] == [done.id]


# A replay in a process of its own, killed in the middle. ---------------------------------------------------

PAGES_OF_KILLED = 300
REFUSED_EVERY = 4
KILLS = 3
AT_WORK = 8


@asynccontextmanager
async def log_at(place: str, *, make: bool = False) -> AsyncIterator[Log]:
    """`kafka://host:port/prefix`, or a folder."""
    if place.startswith("kafka://"):
        servers, _, prefix = place.removeprefix("kafka://").partition("/")
        async with kafka_log(servers, prefix, make=make) as log:
            yield log
        return
    folder = Path(place)
    async with SqliteLog.open(folder / "log.sqlite", FolderBlobs(folder / "blobs"), partitions=2) as embedded:
        yield embedded


async def live(place: str, folder: Path) -> None:
    """Take up what is there, or begin; tell of each page; end when it is done."""

    async def slow(entry: Entry) -> AsyncGenerator[Output, None]:
        await asyncio.sleep(0.02)
        yield TEXTS, Record(entry.key, entry.value)
        print(entry.key, flush=True)
        if int(entry.headers["folio-page"]) % REFUSED_EVERY == 0:
            raise Permanent(Cause.CORRUPT)

    stage = Stage(name="ocr", sources=(PAGES,), process=slow, entries_max=AT_WORK)
    async with log_at(place) as log:
        of = replays(log, folder, stage)
        of.take_up()
        replay = next(iter(of.every()), None) or await of.begin(ALL)
        await ended(of, replay)
        await of.close()


def child(place: str, folder: Path, **more: str) -> "subprocess.Popen[bytes]":
    code = f"import asyncio, pathlib, {__name__} as me; asyncio.run(me.live({place!r}, pathlib.Path({str(folder)!r})))"
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", code], env=os.environ | more, cwd=root, stdout=subprocess.PIPE)


def killed_after(process: "subprocess.Popen[bytes]", count: int) -> None:
    assert process.stdout is not None
    for _ in range(count):
        assert process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["sqlite", "kafka"])
async def test_kill_9_in_the_middle_and_it_goes_on(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    prefix = f"replay-{uuid.uuid4().hex[:10]}."
    place = f"kafka://{request.getfixturevalue('kafka')}/{prefix}" if kind == "kafka" else str(tmp_path)
    folder = tmp_path / "replays"
    async with log_at(place, make=True) as log:
        await log.append(PAGES, pages(PAGES_OF_KILLED))
        await log.rewind("ocr", PAGES, 5)
        stands = await log.committed("ocr", PAGES)
    for _ in range(KILLS):
        await asyncio.to_thread(killed_after, child(place, folder), 40)
    last = child(place, folder)
    await asyncio.to_thread(last.communicate)
    assert last.returncode == 0
    async with log_at(place) as log:
        read = [entry.key for entry in await everything(log, TEXTS)]
        assert await log.committed("ocr", PAGES) == stands
        [done] = replays(log, folder).every()
        dead = await DeadLetters(log).listed(Which())  # one that was in work at every kill may be among them
    assert (done.state, done.total) == ("done", PAGES_OF_KILLED)
    assert (done.replayed + done.failed, done.uncounted) == (PAGES_OF_KILLED, 0)
    assert done.failed == len(dead) >= PAGES_OF_KILLED // REFUSED_EVERY
    assert {*read, *(one.key for one in dead)} == set(keys(pages(PAGES_OF_KILLED)))
    assert len(read) < PAGES_OF_KILLED * 2, "what was committed is not read again"


@pytest.mark.parametrize("when", ["before", "after", "before@2", "after@2", "before@3", "after@3"])
async def test_a_crash_around_its_file_loses_no_record_and_no_count(tmp_path: Path, when: str) -> None:
    """The first time it begins; then each is the counts of a commit, which is not there yet."""
    async with log_at(str(tmp_path)) as log:
        await log.append(PAGES, pages(PAGES_OF_KILLED))
    once = {"FOLIO_FAULT": f"replay.kept:{when}", "FOLIO_FAULT_ONCE": str(tmp_path / "died")}
    for expected in (137, 0):
        life = child(str(tmp_path), tmp_path / "replays", **once)
        await asyncio.to_thread(life.communicate)
        assert life.returncode == expected
    async with log_at(str(tmp_path)) as log:
        assert {entry.key for entry in await everything(log, topics.TEXTS)} == set(keys(pages(PAGES_OF_KILLED)))
        [done] = replays(log, tmp_path / "replays").every()
    refused = PAGES_OF_KILLED // REFUSED_EVERY
    assert (done.state, done.replayed, done.failed) == ("done", PAGES_OF_KILLED - refused, refused)
    assert (done.appended, done.uncounted) == (PAGES_OF_KILLED, 0)


async def test_a_file_that_lies_behind_its_group_says_how_many_are_in_no_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may take the last seconds of a file whose group is committed on another machine."""
    monkeypatch.setattr("infra.replay.NEWS_S", 0.01)
    log = MemoryLog()
    await log.append(PAGES, pages(20))
    of = replays(log, tmp_path / "replays", replace(LIVE, grace_s=0))
    replay = await of.begin(Asked(topic="pages", rate=10))
    while of.one(replay.id).replayed < 5:
        await asyncio.sleep(0.01)
    stopped = await of.stop(replay.id)
    [at] = (await log.committed(stopped.group, PAGES)).values()
    await log.rewind(stopped.group, PAGES, at + 3)
    await of.resume(replay.id)
    done = await ended(of, replay)
    assert (done.state, done.replayed, done.uncounted) == ("done", 17, 3)
