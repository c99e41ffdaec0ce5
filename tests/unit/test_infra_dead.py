"""Dead letters: what is open, what a redrive does, and what it does not do. Over every log that runs in a process."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path

import pytest

from folio import topics
from folio.errors import Cause, FolioError, Permanent
from folio.ids import Doc, version_at
from folio.letters import CONNECT, DeadLetter
from folio.log import Entry, Log, Position, Record
from folio.outputs import Output
from folio.records import Document, Page, Upload
from folio.stage import Stage
from folio.topics import DEAD, DOCUMENTS, PAGES, UPLOADS
from infra.dead import DeadLetters, Which, causes, mark, text_of
from infra.intake import Unknown
from ledger.arrivals import arrival
from tests.logs import KINDS, log_of, run_through
from tests.memory_log import MemoryLog

CAMERA = Doc("default/camera")


@pytest.fixture(params=KINDS)
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    async with log_of(request.param, request, tmp_path) as opened:
        yield opened


def page(number: int, *, version: int = 7, doc: Doc = CAMERA) -> Record:
    facts = Page(doc=doc, version=version, page=number, page_count=9)
    return Record(f"{doc}/{number}", b"not an image", {**facts.headers(), "producer": "crane"})


async def refuse(entry: Entry) -> AsyncGenerator[Output, None]:
    raise Permanent(Cause.CORRUPT, f"page {entry.headers.get('folio-page')} is damaged")
    yield topics.TEXTS, Record("", b"")


async def buried(log: Log, topic: topics.Topic, *records: Record, name: str = "ocr") -> list[str]:
    """Append these and have a stage refuse them; returns where they lie."""
    positions = await log.append(topic, records)
    await run_through(Stage(name=name, sources=(topic,), process=refuse), log)
    return [text_of(at) for at in positions]


async def read(log: Log, topic: topics.Topic, count: int) -> list[Entry]:
    found: list[Entry] = []
    async with log.reader([topic], None) as reader:
        while len(found) < count:
            found += await reader.read(entries_max=100, bytes_max=1 << 30, wait_s=10)
    return found


async def test_a_dead_letter_carries_the_headers_of_kafka_connect_and_the_entrys_own_but_no_bytes(log: Log) -> None:
    [position] = await buried(log, PAGES, page(3))
    [entry] = await read(log, DEAD, 1)
    topic, partition, offset = position.split("/")
    assert {name.removeprefix(CONNECT): value for name, value in entry.headers.items() if name.startswith(CONNECT)} == {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "connector.name": "folio",
        "stage": "ocr",
        "exception.class.name": "corrupt",
        "exception.message": "page 3 is damaged",
    }
    assert entry.headers["producer"] == "crane"
    assert b"not an image" not in entry.value
    assert DeadLetter.decode(entry.value).at == Position(topic, int(partition), int(offset))


async def test_the_list_names_what_is_open_and_can_be_asked_for_some(log: Log) -> None:
    await buried(log, PAGES, page(1), page(2), page(1, doc=Doc("default/other")))
    dead = DeadLetters(log)
    every = await dead.listed(Which())
    assert {(one.document, one.page, one.cause, one.stage) for one in every} == {
        ("camera", 1, Cause.CORRUPT, "ocr"),
        ("camera", 2, Cause.CORRUPT, "ocr"),
        ("other", 1, Cause.CORRUPT, "ocr"),
    }
    assert causes(every) == {"corrupt": 3}
    assert len(await dead.listed(Which(doc=CAMERA))) == 2
    assert len(await dead.listed(Which(cause=Cause.ENCRYPTED))) == 0
    assert len(await dead.listed(Which(stage="ocr", since_ms=every[0].dead_ms))) == 3
    assert len(await dead.listed(Which(since_ms=every[-1].dead_ms + 3_600_000))) == 0


async def test_one_that_is_shown_says_whether_its_bytes_are_there_and_what_to_do(log: Log) -> None:
    [position] = await buried(log, PAGES, page(3))
    shown = await DeadLetters(log).show(position)
    assert (shown.there, shown.size_bytes, shown.headers["producer"]) == (True, 12, "crane")
    assert position in shown.advice
    with pytest.raises(Unknown):
        await DeadLetters(log).show("pages/0/77")
    with pytest.raises(FolioError, match="TOPIC/PARTITION/OFFSET"):
        await DeadLetters(log).show("77")


@pytest.mark.parametrize(
    "headers",
    [
        {"folio-doc-id": "camera", "folio-version": "9" * 5000, "folio-page": "9" * 5000},
        {"folio-doc-id": "d" * (1 << 20)},
        {f"more-{n}": "y" * 30_000 for n in range(90)},
    ],
)
async def test_whatever_a_record_carries_its_dead_letter_can_be_written(log: Log, headers: dict[str, str]) -> None:
    """Else it would end its stage at every start."""
    [position] = await buried(log, PAGES, Record("k" * (1 << 20), b"x", headers))
    [entry] = await read(log, DEAD, 1)
    letter = DeadLetter.decode(entry.value)
    assert (text_of(letter.at), letter.version, letter.page) == (position, None, None)
    assert len(entry.key) + len(entry.value) + sum(map(len, entry.headers.values())) < 128 * 1024
    assert (await DeadLetters(log).show(position)).there


async def test_a_record_that_the_log_took_once_and_takes_no_more_holds_up_no_other(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A producer's compressed record may be larger than what folio appends."""
    positions = await buried(log, PAGES, page(3), page(4), page(5))
    real = log.append

    async def append(topic: topics.Topic, records: Sequence[Record]) -> Sequence[Position]:
        if topic is PAGES and records[0].key == page(4).key:
            raise Permanent(Cause.TOO_LARGE, "a record of 9 bytes; Kafka takes 8")
        return await real(topic, records)

    monkeypatch.setattr(log, "append", append)
    done = await DeadLetters(log).redrive(positions)
    assert [one.outcome for one in done] == ["redriven", "refused", "redriven"]
    assert done[1].detail == "a record of 9 bytes; Kafka takes 8: send it again, smaller"
    assert [text_of(at) for at in await DeadLetters(log).open(PAGES.name)] == [positions[1]]


async def test_a_redrive_appends_the_record_as_it_was_and_closes_the_letter(log: Log) -> None:
    [position] = await buried(log, PAGES, page(3))
    dead = DeadLetters(log)
    [done] = await dead.redrive([position])
    assert (done.outcome, done.appended != position) == ("redriven", True)
    first, again = await read(log, PAGES, 2)
    assert (first.key, first.value, first.headers) == (again.key, again.value, again.headers)
    assert await dead.listed(Which()) == []
    assert [bool(one.redriven_ms) for one in await dead.listed(Which(every=True))] == [True]
    assert [one.outcome for one in await dead.redrive([position])] == ["already redriven"]
    assert len(await read(log, PAGES, 2)) == 2, "the second time appended nothing"


async def test_what_fails_again_is_a_dead_letter_of_its_own(log: Log) -> None:
    [position] = await buried(log, PAGES, page(3))
    dead = DeadLetters(log)
    [done] = await dead.redrive([position])
    await buried(log, PAGES)
    assert [one.position for one in await dead.listed(Which())] == [done.appended]


async def test_bytes_that_are_gone_are_said_to_be_gone() -> None:
    log = MemoryLog()
    [position] = await buried(log, PAGES, page(3))
    log.forget(PAGES)
    assert not (await DeadLetters(log).show(position)).there
    assert [one.outcome for one in await DeadLetters(log).redrive([position])] == ["gone"]


@pytest.mark.parametrize(("changed", "outcome"), [({}, "superseded"), ({"deleted": True}, "deleted")])
async def test_a_page_of_an_older_version_is_not_redriven(log: Log, changed: dict, outcome: str) -> None:
    [position] = await buried(log, PAGES, page(3))
    await log.append(UPLOADS, [Record(CAMERA, Upload(doc=CAMERA, sha256="0" * 64, **changed).encode())])
    [done] = await DeadLetters(log).redrive([position])
    assert done.outcome == outcome
    assert len(await read(log, PAGES, 1)) == 1


async def test_a_page_of_the_newest_version_is_redriven(log: Log) -> None:
    [at] = await log.append(UPLOADS, [Record(CAMERA, Upload(doc=CAMERA, sha256="0" * 64).encode())])
    version = version_at((await log.fetch(at)).appended_ms, at.offset)
    [position] = await buried(log, PAGES, page(3, version=version))
    assert [one.outcome for one in await DeadLetters(log).redrive([position])] == ["redriven"]


async def test_a_deletion_counts_though_the_answer_to_an_announcement_came_after_it(log: Log) -> None:
    asked = Upload(doc=CAMERA, fetch="https://files.example.org/a.pdf")
    [at] = await log.append(UPLOADS, [Record(CAMERA, asked.encode())])
    version = asked.version_in(await log.fetch(at))
    [letter] = await buried(log, PAGES, page(3, version=version))
    answer = Upload(doc=CAMERA, sha256="0" * 64, answers=version)
    await asyncio.sleep(0.002)
    await log.append(UPLOADS, [Record(CAMERA, Upload(doc=CAMERA, deleted=True).encode())])
    await asyncio.sleep(0.002)
    await log.append(UPLOADS, [Record(CAMERA, answer.encode())])
    assert [one.outcome for one in await DeadLetters(log).redrive([letter])] == ["deleted"]


async def test_an_answer_is_redriven_as_an_upload_of_its_own(log: Log) -> None:
    answer = Upload(doc=CAMERA, sha256="0" * 64, answers=7)
    [letter] = await buried(log, UPLOADS, Record(CAMERA, answer.encode()), name="ingest")
    assert [one.outcome for one in await DeadLetters(log).redrive([letter])] == ["redriven"]
    assert Upload.decode((await read(log, UPLOADS, 2))[-1].value).answers == 0


async def test_an_older_upload_or_document_never_takes_the_place_of_a_newer_one(log: Log) -> None:
    upload = Upload(doc=CAMERA, sha256="0" * 64)
    [first] = await buried(log, UPLOADS, Record(CAMERA, upload.encode()), name="ingest")
    await asyncio.sleep(0.002)
    await log.append(UPLOADS, [Record(CAMERA, upload.model_copy(update={"sha256": "1" * 64}).encode())])
    document = Document(doc=CAMERA, version=1, revision=1)
    [second] = await buried(log, DOCUMENTS, Record(CAMERA, document.pack()), name="index-x")
    await log.append(DOCUMENTS, [Record(CAMERA, document.model_copy(update={"revision": 2}).pack())])
    assert [one.outcome for one in await DeadLetters(log).redrive([first, second])] == ["superseded", "superseded"]


async def test_an_encrypted_file_is_added_again_not_redriven(log: Log) -> None:
    entry = Entry(Position("uploads", 0, 0), CAMERA, b"", {}, appended_ms=1)
    letter = DeadLetter.of(entry, "ingest", cause=Cause.ENCRYPTED, detail="")
    await log.append(DEAD, [letter.record({})])
    dead = DeadLetters(log)
    assert "--password" in (await dead.show("uploads/0/0")).advice
    assert [one.outcome for one in await dead.redrive(["uploads/0/0"])] == ["needs its password"]


async def test_a_record_on_dead_that_nobody_can_read_hides_no_other(log: Log) -> None:
    await log.append(DEAD, [Record("k", b"{")])
    await buried(log, PAGES, page(3))
    assert len(await DeadLetters(log).listed(Which())) == 1


async def test_the_ledger_takes_a_redrive_for_no_failure() -> None:
    letter = DeadLetter.of(
        Entry(Position("pages", 0, 0), "k", b"", page(3).headers, 1), "ocr", cause=Cause.CORRUPT, detail=""
    )
    at = Position("dead", 0, 0)
    assert arrival(Entry(at, CAMERA, letter.record({}).value, {}, 1)) is not None
    assert arrival(Entry(at, CAMERA, mark(letter, {}).value, {}, 1)) is None
