"""A small folio of several processes on one Kafka cluster, any of which may be killed, frozen, stopped and started."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from folio import topics
from folio.ids import Doc, page_key, sha256
from folio.letters import DeadLetter
from folio.log import Entry, Record
from folio.records import Page, PageText, Upload
from folio.settings import load
from folio.topics import Topic
from indexer.edge import EdgeStore
from indexer.store import Stretch
from infra.folder_blobs import FolderBlobs
from infra.indexing import open_indexing
from infra.kafka_log import KafkaLog
from infra.places import LEDGER_FILE
from ledger import audit
from tests.pages import report_pdf
from tests.processes import Process, Site

WORKERS = (("ingest", 1), ("ocr", 1), ("ocr", 2), ("ledger", 1), ("ledger", 2), ("index", 1))
"""Role and number. The index process embeds and answers too: with the embedded index there is one."""
SESSION_S = 6.0
SETTLED_S_MAX = 300.0

Worker = tuple[str, int]


class World:
    """A site whose processes have numbers: each its own data folder, in which it is started again after its death."""

    def __init__(self, servers: str, folder: Path, *, session_s: float = SESSION_S) -> None:
        more = {
            "FOLIO_KAFKA__SESSION_TIMEOUT_S": str(session_s),
            "FOLIO_OCR__QUIET_S": "0",
            "FOLIO_LEDGER__PREFIX_WAIT_S": "0.2",
            "FOLIO_LEDGER__RECEIPT_S": "15",
        }
        self.site = Site(servers, folder, more)
        self.folder = folder
        self.cluster = self.site.cluster()
        self.blobs = FolderBlobs(folder / "blobs")
        self.up: dict[Worker, Process] = {}

    @property
    def ledger_file(self) -> Path:
        return self.data("index", 1) / LEDGER_FILE

    def data(self, role: str, number: int) -> Path:
        return self.folder / f"{role}-{number}"

    def start(self, role: str, number: int = 1, **more: str) -> None:
        """Returns at once: `ready` waits for its line."""
        self.up[role, number] = self.site.start(role, data=f"{role}-{number}", wait=False, **more)

    def ready(self, role: str, number: int = 1) -> None:
        self.site.wait_for(self.up[role, number])

    def start_all(self) -> None:
        for worker in WORKERS:
            self.start(*worker)
        for worker in WORKERS:
            self.ready(*worker)

    def kill(self, role: str, number: int = 1) -> None:
        """As a power cut would."""
        self.up.pop((role, number)).kill()

    def freeze(self, role: str, number: int = 1) -> None:
        self.up[role, number].popen.send_signal(signal.SIGSTOP)

    def thaw(self, role: str, number: int = 1) -> None:
        self.up[role, number].popen.send_signal(signal.SIGCONT)

    def stop(self, role: str, number: int = 1) -> int:
        """Ask it to leave; returns how it left."""
        return self.up.pop((role, number)).stop()

    def revive(self) -> list[Worker]:
        """Start again who has died by itself, and say who."""
        dead = [worker for worker, process in self.up.items() if process.popen.poll() is not None]
        for worker in dead:
            self.start(*worker)
        return dead

    def end(self) -> None:
        self.site.end()
        self.up.clear()

    async def settled(self, documents: Mapping[str, int], *, within_s: float = SETTLED_S_MAX) -> None:
        """Wait until the ledger of the API's process knows these documents and all it knows is done.

        Those of no pages were deleted: they are searchable until their deletion has been read, and that is not the end.
        """
        deadline = time.monotonic() + within_s
        while True:
            found = self.statuses()
            deleted = {one.document for one in found if one.state == "deleted"}
            known = documents.keys() <= {one.document for one in found}
            gone = {name for name, pages in documents.items() if not pages} <= deleted
            if known and gone and not any(one.unfinished for one in found):
                return
            self.revive()
            assert time.monotonic() < deadline, "\n".join(f"{one.document}: {one.state}" for one in found)
            await asyncio.sleep(0.2)

    def statuses(self) -> list[audit.DocumentStatus]:
        try:
            return audit.documents(self.ledger_file)
        except Exception:  # it is being made
            return []


@asynccontextmanager
async def world(servers: str, folder: Path, **options: Any) -> AsyncIterator[tuple[World, KafkaLog]]:
    """A world without processes yet, its topics made, and a way to its log."""
    made = World(servers, folder, **options)
    async with KafkaLog.open(made.cluster) as log:
        await log.apply(await log.plan())
        try:
            yield made, log
        finally:
            made.end()


async def put(world: World, log: KafkaLog, document: str, path: Path) -> None:
    """A file put in as the API does it: its bytes made durable, then its record."""
    digest = await world.blobs.put_file(path)
    upload = Upload(doc=Doc(f"default/{document}"), sha256=digest, name=path.name, size_bytes=path.stat().st_size)
    await log.append(topics.UPLOADS, [Record(upload.doc, upload.encode())])


async def feed(world: World, log: KafkaLog, number: int) -> dict[str, int]:
    """A scanned document, a born-digital one that is put in twice, and one that is deleted: how many pages stay."""
    scanned, digital, gone = f"scan{number}", f"file{number}", f"gone{number}"
    pdf = report_pdf(world.folder / f"{digital}.pdf", pages=1, special={1: sentence(digital, 1)})
    await log.append(topics.PAGES, images(scanned, 2))
    for document in (digital, digital, gone):
        await put(world, log, document, pdf)
    deleted = Upload(doc=Doc(f"default/{gone}"), deleted=True)
    await log.append(topics.UPLOADS, [Record(deleted.doc, deleted.encode())])
    return {scanned: 2, digital: 1, gone: 0}


def sentence(document: str, page: int) -> str:
    """What a page says and no other does."""
    return f"What the camera saw on sheet {page} of {document}."


def images(document: str, count: int, *, script: Mapping[int, bytes] | None = None) -> list[Record]:
    """A document of page images that a producer puts on `pages` itself; `script` says what some of them are."""
    doc = Doc(f"default/{document}")
    records = []
    for number in range(1, count + 1):
        image = (script or {}).get(number, f"folio:# Sheet {number}\n\n{sentence(document, number)}".encode())
        page = Page(doc=doc, version=7, page=number, page_count=count, sha256=sha256(image))
        records.append(Record(page_key(doc, number), image, page.headers()))
    return records


async def everything(log: KafkaLog, topic: Topic) -> list[Entry]:
    """All entries that a topic keeps."""
    ends = {partition: end for partition, (first, end) in (await log.spans(topic)).items() if end > first}
    found: list[Entry] = []
    async with asyncio.timeout(180), log.reader((topic,), None) as reader:
        while any(end > 0 for end in ends.values()):
            for entry in await reader.read(entries_max=1000, bytes_max=1 << 26, wait_s=1.0):
                found.append(entry)
                if entry.position.offset + 1 >= ends.get(entry.position.partition, 0):
                    ends[entry.position.partition] = 0
    return found


async def dead_letters(log: KafkaLog) -> list[DeadLetter]:
    return [DeadLetter.decode(entry.value) for entry in await everything(log, topics.DEAD)]


async def committed_is_done(world: World, log: KafkaLog) -> int:
    """No page may be committed before what became of it is on `texts`. Returns how many committed ones were checked.

    The commits are read first: what is done later can then not excuse them.
    """
    before = await log.committed("ocr", topics.PAGES)
    texts = [PageText.decode(entry.value) for entry in await everything(log, topics.TEXTS)]
    done = {page_key(text.doc, text.page) for text in texts}
    done |= {DeadLetter.decode(entry.value).key for entry in await everything(log, topics.DEAD)}
    committed = [
        entry.key
        for entry in await everything(log, topics.PAGES)
        if entry.position.offset < before.get(entry.position.partition, 0)
    ]
    assert [key for key in committed if key not in done] == []
    return len(committed)


def pages_by_state(world: World, documents: Collection[str]) -> Counter[str]:
    """Pages of these documents by what became of them: each is counted once, or the ledger is wrong."""
    states: Counter[str] = Counter()
    for one in world.statuses():
        if one.document not in documents:
            continue
        known = audit.document(world.ledger_file, one.doc)
        assert known is not None
        assert len({page.page for page in known.pages}) == len(known.pages), f"{one.document}: a page is there twice"
        states.update(page.status for page in known.pages)
    return states


async def audited(
    world: World, log: KafkaLog, documents: Mapping[str, int], *, failed: int = 0, given_up: Collection[str] = ()
) -> None:
    """Every page is in one terminal state, and in the index once; nothing else is there. Ends the processes.

    Documents that were given up, of which a dead letter tells, may lack pages; none of theirs may be there twice.
    """
    await world.settled(documents)
    whole = {name: pages for name, pages in documents.items() if name not in given_up}
    states = pages_by_state(world, whole)
    others = [f"{one.document}: {one.state}, {one.pages_ok}" for one in world.statuses() if one.pages_ok]
    assert states == Counter(ok=sum(whole.values()) - failed, failed=failed) - Counter(), (states, others)
    assert {one.document for one in world.statuses()} == documents.keys()
    assert await committed_is_done(world, log) > 0
    for worker in list(world.up):
        assert world.stop(*worker) == 0, worker
    found = await contents(world)
    text = "\n".join(row[2] for row in found["chunks"])
    times = {page: text.count(page) for name, count in documents.items() for page in every_sentence(name, count)}
    assert [page for page, count in times.items() if count > 1] == []
    assert (
        len([page for name, count in whole.items() for page in every_sentence(name, count) if not times[page]])
        == failed
    )
    visible = {row[0].removeprefix("default/") for row in found["chunks"]}
    assert visible - set(given_up) <= {name for name, count in documents.items() if count}
    assert found["points left over"] == 0


def every_sentence(document: str, pages: int) -> Iterator[str]:
    return (sentence(document, page) for page in range(1, pages + 1))


async def contents(world: World) -> dict[str, Any]:
    """What the index holds, when its process has ended: visible chunks, and points that nobody can see."""
    settings = load(environment={}, overrides={"data": world.data("index", 1), "indexer": {"embedder": "hash"}})
    async with open_indexing(settings, world.blobs) as indexing:
        await indexing.opening
        store = indexing.store
        assert isinstance(store, EdgeStore)
        rows = []
        async for head in store.all_heads():
            for payload in (await store.passages([Stretch(head.doc, head.revision, 0, 10_000)]))[0]:
                metadata = payload["metadata"]
                place = (str(metadata["pages"]), str(metadata["boxes"]), str(metadata["headings"]))
                rows.append((head.doc, payload["chunk_id"], payload["page_content"], *place))
        totals = await store.totals()
    return {"chunks": sorted(rows), "points left over": totals.points - len(rows)}
