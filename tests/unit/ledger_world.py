"""A log in memory, a clock set by hand, an index that says thank you: what the ledger's tests stand in."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from folio import topics
from folio.errors import Gone
from folio.ids import Doc, sha256, version_at
from folio.log import Entry, Position, Record
from folio.records import Document, Message, PageText, Receipt, Source, Upload
from folio.topics import Topic
from ledger.rules import Timings
from ledger.stage import Ledger
from ledger.store import LedgerStore

DOC = Doc("default/book.pdf")
START_MS = 1_800_000_000_000


class Crash(BaseException):
    """The process ends here."""


class MemoryLog:
    """The Log port over lists, one partition a topic. `crash_at` names appends to `documents` that kill us."""

    def __init__(self, world: "World") -> None:
        self.entries: dict[str, list[Entry]] = {topic.name: [] for topic in topics.TOPICS}
        self.gone: set[Position] = set()
        self.crash_at: dict[int, str] = {}
        self.appends = 0
        self.value_bytes_max = 1 << 30
        self._world = world

    async def append(self, topic: Topic, records: Sequence[Record]) -> Sequence[Position]:
        when = None
        if topic is topics.DOCUMENTS:
            self.appends += 1
            when = self.crash_at.get(self.appends)
        if when == "before":
            raise Crash
        rows, positions = self.entries[topic.name], []
        for record in records:
            positions.append(Position(topic.name, 0, len(rows)))
            rows.append(Entry(positions[-1], record.key, record.value, record.headers, self._world.now_ms))
        if when == "after":
            raise Crash
        return positions

    @asynccontextmanager
    async def reader(self, topics: Sequence[Topic], group: str | None) -> AsyncIterator["MemoryReader"]:
        assert group is None
        found = [entry for topic in topics for entry in self.entries[topic.name] if entry.position not in self.gone]
        yield MemoryReader(found)

    async def fetch(self, position: Position) -> Entry:
        if position in self.gone:
            raise Gone(str(position))
        return self.entries[position.topic][position.offset]

    async def lag(self, group: str, topic: Topic) -> int:
        return len([entry for entry in self.entries[topic.name] if entry.position not in self.gone])


class MemoryReader:
    def __init__(self, entries: list[Entry]) -> None:
        self._left = entries

    async def read(self, *, entries_max: int, bytes_max: int, wait_s: float) -> Sequence[Entry]:
        found, self._left = self._left[: min(entries_max, 7)], self._left[min(entries_max, 7) :]
        return found


class MemoryBlobs:
    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    async def put(self, content: bytes) -> str:
        self.held[sha256(content)] = content
        return sha256(content)

    async def get(self, sha256: str) -> bytes:
        if sha256 not in self.held:
            raise Gone(sha256)
        return self.held[sha256]


class World:
    """A ledger and everything around it. Use `start` first; `restart` is what follows a crash."""

    def __init__(self, path: Path, **timings: float) -> None:
        self.path = path
        self.now_ms = START_MS
        self.timings = Timings(**timings)  # type: ignore[arg-type]
        self.log = MemoryLog(self)
        self.blobs = MemoryBlobs()
        self.receipted = 0
        self.ledger: Ledger
        self.store: LedgerStore
        self.start()

    def start(self) -> None:
        self.store = LedgerStore(self.path)
        self.ledger = Ledger(self.store, self.log, self.blobs, self.timings, now_ms=lambda: self.now_ms)  # type: ignore[arg-type]

    async def restart(self, *, forget: bool = False) -> None:
        await self.store.close()
        if forget:
            for path in self.path.parent.glob(self.path.name + "*"):
                path.unlink()
        self.start()

    async def put(self, topic: Topic, message: Message, headers: dict[str, str] | None = None) -> Entry:
        """Append and process; returns the entry."""
        (position,) = await self.log.append(
            topic, [Record(key=getattr(message, "doc", ""), value=message.encode(), headers=headers or {})]
        )
        entry = await self.log.fetch(position)
        await self.feed(entry)
        return entry

    async def feed(self, entry: Entry) -> None:
        async for _ in self.ledger.stage.process(entry):
            raise AssertionError("the ledger yields nothing")

    async def upload(self, doc: Doc = DOC, **facts: object) -> int:
        """Returns its version."""
        entry = await self.put(topics.UPLOADS, Upload.model_validate({"doc": doc, **facts}))
        self.now_ms += 1
        return version_at(entry.appended_ms, entry.position.offset)

    async def text(self, page: int, version: int = 1, doc: Doc = DOC, **facts: object) -> Entry:
        return await self.put(topics.TEXTS, text(page, version, doc, **facts))

    async def tick(self, seconds: float = 0.0) -> float:
        """Let time pass, then look at what is due."""
        self.now_ms += round(seconds * 1000)
        return await self.ledger.tick()

    def emitted(self) -> list[Document]:
        return [Document.unpack(self._value(entry)) for entry in self.log.entries["documents"]]

    def last(self) -> Document:
        return self.emitted()[-1]

    async def index(self, **facts: object) -> None:
        """The index handles every Document that it has not handled."""
        for document in self.emitted()[self.receipted :]:
            await self.receipt(document, **facts)
        self.receipted = len(self.log.entries["documents"])

    async def receipt(self, document: Document, **facts: object) -> None:
        known = {"doc": document.doc, "version": document.version, "revision": document.revision, "generation": "g1"}
        seen = {"chunks": 2 * len(document.pages), "embedded": 1, "indexed_ms": self.now_ms}
        seen["outcome"] = "deleted" if document.deleted else "visible"  # type: ignore[assignment]
        await self.put(topics.RECEIPTS, Receipt.model_validate(known | seen | facts))

    def _value(self, entry: Entry) -> bytes:
        return self.blobs.held[entry.headers["folio-blob"]] if "folio-blob" in entry.headers else entry.value


def text(page: int, version: int = 1, doc: Doc = DOC, **facts: object) -> PageText:
    known: dict[str, object] = {"doc": doc, "version": version, "page": page, "source": Source.OCR}
    if facts.get("status") != "failed":
        known["markdown"] = f"# Page {page}\n\nwords of page {page}"
    return PageText.model_validate(known | facts)


def shown(document: Document) -> list[str]:
    """A page a word: its text's last words, or its cause."""
    return [str(page.cause) if page.status == "failed" else page.markdown.split("\n")[-1] for page in document.pages]
