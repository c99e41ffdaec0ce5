"""folio over several processes on a real broker: they share the work, come and go, and one may be killed."""

import asyncio
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from folio import topics
from folio.ids import Doc, page_key, version_at
from folio.log import Record
from folio.records import Page, PageText, Upload
from infra.kafka_log import KafkaLog
from tests.processes import Process, Site, site, until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One process for each stage; the one of the index serves the API in the folder `data`."""
    with site(kafka, tmp_path_factory.mktemp("site")) as made:
        started = [made.start(role, data=role, wait=False) for role in ("ledger", "ingest", "ocr")]
        started.append(made.start("index", wait=False))
        for process in started:
            made.wait_for(process)
        yield made


def at_work(running: Site, role: str) -> Process:
    return next(process for process in running.processes if process.roles == (role,) and process.popen.poll() is None)


def texts(folder: Path, count: int, about: str) -> list[str]:
    folder.mkdir()
    paths = [folder / f"{about}-{number}.md" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_text(f"# {about} {number}\n\nThe {about} of number {number} stands on a hill.\n", encoding="utf-8")
    return [str(path) for path in paths]


def add(running: Site, *paths: str) -> None:
    done = running.folio("add", *paths)
    assert done.returncode == 0, (done.stdout, done.stderr, [process.said for process in running.processes])


def found(running: Site, question: str) -> list[str]:
    done = running.folio("search", question, "--json", "--mode", "lexical")
    assert done.returncode == 0, done.stderr
    return [hit["document"] for hit in json.loads(done.stdout)["hits"]]


def asked(process: Process, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{process.ready['port']}{path}", timeout=60) as answer:
        return answer.read().decode()


def is_ready(process: Process) -> bool:
    try:
        return bool(json.loads(asked(process, "/readyz"))["ready"])
    except urllib.error.HTTPError:  # 503: it waits for something, as one that has just begun does
        return False


def took(process: Process, stage: str) -> int:
    counts = re.findall(
        rf'folio_stage_entries_total{{outcome="[a-z]+",stage="{stage}"}} ([0-9.]+)', asked(process, "/metrics")
    )
    return sum(int(float(count)) for count in counts)


def test_a_document_passes_from_process_to_process_and_is_found(running: Site, tmp_path: Path) -> None:
    (tmp_path / "photo.md").write_text("# Lighthouse\n\nIts lamp was lit in 1881.\n", encoding="utf-8")
    add(running, str(tmp_path / "photo.md"))
    assert found(running, "lamp 1881") == ["photo.md"]
    known = json.loads(running.folio("status", "--json").stdout)["documents"]
    assert [one["state"] for one in known if one["document"] == "photo.md"] == ["searchable"]


def test_every_process_says_how_it_is(running: Site) -> None:
    alive = [process for process in running.processes if process.popen.poll() is None]
    assert len(alive) >= 4
    for process in alive:
        assert json.loads(asked(process, "/healthz")) == {"status": "ok"}
        until(lambda process=process: is_ready(process))
        assert "folio_stage_ready" in asked(process, "/metrics")
    assert at_work(running, "ingest").ready["stages"] == ["ingest"]


def test_two_ingest_workers_share_the_uploads(running: Site, tmp_path: Path) -> None:
    second = running.start("ingest", data="ingest-2")
    rounds = iter(range(100))

    def shares() -> bool:
        add(running, *texts(tmp_path / f"round-{(number := next(rounds))}", 4, f"tower{number}"))
        return took(second, "ingest") > 0

    until(shares)
    assert set(found(running, "tower0")) == {f"tower0-{number}.md" for number in range(4)}
    assert second.stop() == 0
    add(running, *texts(tmp_path / "barns", 2, "barn"))


def test_when_the_ledger_is_killed_the_one_that_waits_goes_on(running: Site, tmp_path: Path) -> None:
    active = at_work(running, "ledger")
    running.start("ledger", data="ledger-2")
    active.kill()
    began = time.monotonic()
    add(running, *texts(tmp_path / "mills", 1, "mill"))
    print(f"searchable {time.monotonic() - began:.1f} s after the ledger was killed, with sessions of 2 s")
    assert found(running, "mill") == ["mill-0.md"]


def test_a_second_embedded_index_is_refused_with_the_setting(running: Site) -> None:
    second = running.start("index", data="index-2", wait=False)
    assert second.popen.wait(180) == 2
    until(lambda: "indexer.url" in " ".join(second.said))


def test_of_ledgers_over_one_folder_one_waits_and_can_be_stopped(running: Site) -> None:
    waiting = running.start("ledger", data=at_work(running, "ledger").data, wait=False)
    until(lambda: any("waits" in line for line in waiting.said))
    assert waiting.stop() == 0


async def put_pages(log: KafkaLog, doc: Doc, images: list[bytes], *, announced: bool = False) -> int:
    """Pages straight onto the log, as a producer would; returns the version."""
    version = 7
    if announced:
        (position,) = await log.append(topics.UPLOADS, [Record(doc, Upload(doc=doc, name="long").encode())])
        entry = await log.fetch(position)
        version = version_at(entry.appended_ms, position.offset)
    pages = [
        (page_key(doc, number), Page(doc=doc, version=version, page=number, page_count=len(images)))
        for number in range(1, len(images) + 1)
    ]
    records = [Record(key, image, page.headers()) for (key, page), image in zip(pages, images, strict=True)]
    await log.append(topics.PAGES, records)
    return version


def test_ocr_processes_come_and_go_during_the_work(running: Site) -> None:
    first, rolls = at_work(running, "ocr"), []

    async def roll() -> None:
        async with KafkaLog.open(running.cluster()) as log:
            doc = Doc(f"default/roll-{len(rolls)}")
            await put_pages(log, doc, [f"folio~0.2:Sheet {number} of {doc}.".encode() for number in range(20)])
            rolls.append(doc)

    def works(process: Process) -> bool:
        asyncio.run(roll())
        return took(process, "ocr") > 0

    second = running.start("ocr", data="ocr-2")
    until(lambda: works(second))
    asyncio.run(roll())
    assert first.stop() == 0, "while it has work"
    third = running.start("ocr", data="ocr-3")
    until(lambda: works(third))

    def whole() -> int:
        known = json.loads(running.folio("status", "--json").stdout)["documents"]
        states = {one["doc"]: (one["state"], one["pages_ok"]) for one in known}
        return sum(states.get(doc) == ("searchable", 20) for doc in rolls)

    until(lambda: whole() == len(rolls), every_s=1)


def test_cancelling_frees_the_engines_of_every_process(kafka: str, tmp_path: Path) -> None:
    with site(kafka, tmp_path) as made:
        workers = [made.start("ocr", data=f"ocr-{number}", wait=False) for number in range(2)]
        for worker in workers:
            made.wait_for(worker)
        freed_s = asyncio.run(cancelled(made, workers))
        print(f"after a cancellation of 1,000 pages over two processes another page was read in {freed_s:.2f} s")
        assert freed_s < 60, "a page of those that were cancelled takes 600 s"


async def cancelled(made: Site, workers: list[Process]) -> float:
    """Seconds from the acknowledgement of the cancellation to the text of a page that waited for an engine."""
    doc, other = Doc("default/long"), Doc("default/other")
    async with KafkaLog.open(made.cluster()) as log, log.reader((topics.TEXTS,), None) as reader:
        version = await put_pages(log, doc, [b"folio~600:never"] * 1000, announced=True)
        await asyncio.to_thread(until, lambda: all(in_flight(worker) >= 8 for worker in workers))
        await put_pages(log, other, [b"folio:read at last"] * 8)
        gone = Upload(doc=doc, name="long", cancelled=True)
        await log.append(topics.UPLOADS, [Record(doc, gone.encode())])
        began, read_s, dropped = time.monotonic(), 0.0, 0
        async with asyncio.timeout(180):
            while not read_s or dropped < 1000:
                for entry in await reader.read(entries_max=1000, bytes_max=1 << 24, wait_s=1):
                    text = PageText.decode(entry.value)
                    dropped += text.doc == doc and text.version == version and text.cause == "cancelled"
                    read_s = read_s or (time.monotonic() - began if text.doc == other else 0.0)
        return read_s


def in_flight(worker: Process) -> int:
    (count,) = re.findall(r'folio_stage_in_flight{stage="ocr"} ([0-9.]+)', asked(worker, "/metrics")) or ["0"]
    return int(float(count))
