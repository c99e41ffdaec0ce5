"""The stage around any engine: what it refuses, keeps, drops and names, with an engine that follows a script."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest

from folio import topics
from folio.blobs import Blob
from folio.errors import Cause, FolioError, Gone, Permanent, Transient
from folio.ids import Doc, sha256, version_at
from folio.log import Entry, Position
from folio.records import Block, BlockKind, Page, PageText, Source, Upload
from ocr_stage.engine import Reading, ScriptedEngine
from ocr_stage.stage import OcrStage
from ocr_stage.versions import Versions

DOC = Doc("default/report.pdf")


class MemoryBlobs:
    """Only what the stage uses of the port."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def put(self, content: bytes) -> str:
        self.kept[sha256(content)] = content
        return sha256(content)

    async def put_file(self, path):
        raise AssertionError("nobody asks for this here")

    async def get(self, sha256: str) -> bytes:
        if sha256 not in self.kept:
            raise Gone(sha256)
        return self.kept[sha256]

    def local(self, sha256: str):
        raise AssertionError("nobody asks for this here")

    async def exists(self, sha256: str) -> bool:
        return sha256 in self.kept

    async def delete(self, sha256: str) -> None:
        self.kept.pop(sha256, None)

    async def list(self) -> AsyncIterator[Blob]:
        for key, content in self.kept.items():
            yield Blob(key, len(content), time.time())


class FollowedLog:
    """A log of uploads that grows while somebody follows it."""

    value_bytes_max = 1 << 20

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.away = 0
        self.read_to = 0

    @asynccontextmanager
    async def reader(self, sources, group):
        assert (sources, group) == ((topics.UPLOADS,), None)
        yield self

    async def read(self, *, entries_max: int, bytes_max: int, wait_s: float) -> Sequence[Entry]:
        if self.away:
            self.away -= 1
            raise Transient(Cause.DISK_FULL, "away")
        await asyncio.sleep(0.005)
        found = self.entries[self.read_to : self.read_to + entries_max]
        self.read_to += len(found)
        return found


def page_entry(image: bytes, *, version: int = 5, page: int = 1, **facts) -> Entry:
    headers = Page(doc=DOC, version=version, page=page, **facts).headers()
    return Entry(Position("pages", 0, 0), f"{DOC}/{page}", image, headers, 1)


def upload_entry(at: int, **facts) -> Entry:
    """Its version is 1000 * at + at."""
    return Entry(Position("uploads", 0, at), DOC, Upload(doc=DOC, **facts).encode(), {}, at)


async def outputs_of(stage: OcrStage, entry: Entry) -> tuple[list[PageText], FolioError | None]:
    texts = []
    try:
        async with aclosing(stage.process(entry)) as outputs:
            async for topic, record in outputs:
                assert topic == topics.TEXTS
                assert record.key == DOC
                texts.append(PageText.decode(record.value))
    except FolioError as error:
        return texts, error
    return texts, None


async def until(condition) -> None:
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came")


@pytest.mark.parametrize(("start", "end"), [(0, 90), (90, 95), (4, 2)])
async def test_an_engine_that_returns_another_page_s_length(blobs: MemoryBlobs, start: int, end: int) -> None:
    """Blocks that lie beyond the text, or run backwards: the two are not of one page."""

    class Confused(ScriptedEngine):
        async def read(self, image: bytes) -> Reading:
            return Reading(markdown="Words.", blocks=(Block(kind=BlockKind.PARAGRAPH, start=start, end=end),))

    stage = OcrStage(Confused(), blobs, keep_images=True, pages_at_once=2)
    texts, error = await outputs_of(stage, page_entry(b"image"))
    assert isinstance(error, Permanent)
    assert error.cause is Cause.OCR_MISMATCH
    assert f"a block from {start} to {end} in a text of 6 characters" in str(error)
    assert [(text.status, text.cause, text.markdown) for text in texts] == [("failed", Cause.OCR_MISMATCH, "")]


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def stage(engine, blobs) -> OcrStage:
    return OcrStage(engine, blobs, keep_images=True, pages_at_once=4)


async def test_a_page_becomes_text_that_carries_every_fact_and_its_picture(stage, blobs):
    image = b"folio:# Title\n\nBody text."
    entry = page_entry(image, page=3, page_count=9, sha256=sha256(image), verify=True, name="report.pdf")
    [text], error = await outputs_of(stage, entry)
    assert error is None
    assert (text.doc, text.version, text.page, text.page_count) == (DOC, 5, 3, 9)
    assert (text.status, text.source, text.engine, text.mode) == ("ok", Source.OCR, "scripted", "script")
    assert (text.verify, text.name, text.finish) == (True, "report.pdf", "stop")
    assert [text.markdown[block.start : block.end] for block in text.blocks] == ["# Title", "Body text."]
    assert blobs.kept[text.image] == image
    assert abs(text.read_ms / 1000 - time.time()) < 60


async def test_what_a_model_said_is_tidied_and_its_flaws_are_flags_of_the_page(stage):
    said = "<|ref|>title<|/ref|><|det|>[[999, 0, 0, 100]]<|/det|>\n# Title<|User|>"
    [text], error = await outputs_of(stage, page_entry(f"model:{said}".encode()))
    assert error is None
    assert (text.markdown, text.flags) == ("# Title", ("token_stray", "box_reversed"))
    assert [(block.kind.value, block.box.y1) for block in text.blocks] == [("heading", 0.1001)]


async def test_images_are_not_kept_when_nobody_wants_them(engine, blobs):
    stage = OcrStage(engine, blobs, keep_images=False, pages_at_once=1)
    [text], _ = await outputs_of(stage, page_entry(b"folio:x"))
    assert text.image == ""
    assert not blobs.kept


async def test_a_page_that_cannot_be_read_is_a_failed_text_and_then_a_dead_letter(stage):
    [text], error = await outputs_of(stage, page_entry(b"folio!ocr_loop", page_count=2))
    assert (text.status, text.cause, text.page_count) == ("failed", Cause.OCR_LOOP, 2)
    assert isinstance(error, Permanent)
    assert error.cause is Cause.OCR_LOOP


async def test_an_engine_that_is_away_says_nothing_about_the_page(stage):
    texts, error = await outputs_of(stage, page_entry(b"folio!engine_down"))
    assert texts == []
    assert isinstance(error, Transient)


async def test_an_image_with_another_hash_is_corrupt_and_not_read(stage, engine, blobs):
    [text], error = await outputs_of(stage, page_entry(b"folio:x", sha256="0" * 64))
    assert text.cause is Cause.CORRUPT
    assert isinstance(error, Permanent)
    assert engine.reads == 0
    assert not blobs.kept


async def test_headers_that_say_too_little_are_refused_by_name(stage):
    entry = page_entry(b"folio:x")
    bare = Entry(entry.position, entry.key, entry.value, {"folio-doc-id": "a"}, 1)
    texts, error = await outputs_of(stage, bare)
    assert texts == []
    assert "folio-version" in str(error)


@pytest.mark.parametrize(
    ("upload", "cause"),
    [({}, Cause.SUPERSEDED), ({"cancelled": True}, Cause.CANCELLED), ({"deleted": True}, Cause.CANCELLED)],
)
async def test_pages_of_an_unwanted_version_are_named_and_not_read(stage, engine, blobs, upload, cause):
    stage.learn(upload_entry(7, **upload))
    [text], error = await outputs_of(stage, page_entry(b"folio:x", version=7006))
    assert (text.status, text.cause) == ("failed", cause)
    assert error is None
    assert engine.reads == 0
    assert not blobs.kept


async def test_the_newest_version_is_read(stage):
    stage.learn(upload_entry(6, cancelled=True))
    stage.learn(upload_entry(7))
    [text], _ = await outputs_of(stage, page_entry(b"folio:x", version=7007))
    assert text.status == "ok"


async def test_a_deletion_is_not_overtaken_by_the_answer_to_an_announcement_before_it(stage):
    stage.learn(upload_entry(6, fetch="https://files.example.org/a.pdf"))
    stage.learn(upload_entry(7, deleted=True))
    stage.learn(upload_entry(8, sha256="0" * 64, answers=6006))
    [text], _ = await outputs_of(stage, page_entry(b"folio:x", version=6006))
    assert (text.status, text.cause) == ("failed", Cause.CANCELLED)


async def test_a_reading_is_let_go_when_its_version_is_cancelled(stage, engine):
    log, stop = FollowedLog(), asyncio.Event()
    following = asyncio.create_task(stage.follow(log, stop))
    running = asyncio.create_task(outputs_of(stage, page_entry(b"folio!hang", version=7007)))
    await until(lambda: engine.reads)
    log.entries += [upload_entry(7), Entry(Position("uploads", 0, 8), "x", b"not JSON", {}, 8)]
    await until(lambda: log.read_to == 2)
    assert not running.done()
    log.entries.append(upload_entry(9, cancelled=True))
    [text], error = await asyncio.wait_for(running, 30)
    assert (text.status, text.cause) == ("failed", Cause.CANCELLED)
    assert error is None
    stop.set()
    await asyncio.wait_for(following, 30)


async def test_following_goes_on_when_the_log_was_away(stage):
    log, stop = FollowedLog(), asyncio.Event()
    log.away = 1
    log.entries.append(upload_entry(7))
    following = asyncio.create_task(stage.follow(log, stop))
    await until(lambda: log.read_to)
    stop.set()
    await following
    [text], _ = await outputs_of(stage, page_entry(b"folio:x", version=3))
    assert text.cause is Cause.SUPERSEDED


async def test_a_stage_that_is_told_to_go_leaves_no_reading_behind(stage, engine):
    running = asyncio.create_task(outputs_of(stage, page_entry(b"folio!hang")))
    await until(lambda: engine.reads)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_the_map_of_versions_forgets_what_changed_longest_ago():
    versions = Versions(docs_max=2)
    for at, name in enumerate(["a", "b", "c"], 1):
        upload = Upload(doc=Doc(f"default/{name}"))
        versions.learn(Entry(Position("uploads", 0, at), upload.doc, upload.encode(), {}, at))
    assert versions.unwanted(Doc("default/a"), 1) is None
    assert versions.unwanted(Doc("default/b"), version_at(2, 2) - 1) is Cause.SUPERSEDED
    assert versions.unwanted(Doc("default/c"), version_at(3, 3)) is None


def test_an_older_entry_of_another_partition_changes_nothing():
    versions = Versions()
    assert versions.learn(upload_entry(9)) == DOC
    assert versions.learn(upload_entry(7, deleted=True)) is None
    assert versions.unwanted(DOC, version_at(9, 9)) is None


async def test_bytes_without_a_script_are_read_the_same_every_time(engine):
    first, again, other = [await engine.read(image) for image in (b"\xff\xd8a", b"\xff\xd8a", b"\xff\xd8b")]
    assert first.markdown == again.markdown != other.markdown


class Held:
    """Reads a page when the test lets it, in the order in which they came."""

    name = "held"

    def __init__(self) -> None:
        self.began: list[bytes] = []
        self.go = asyncio.Semaphore(0)

    async def read(self, image: bytes) -> Reading:
        self.began.append(image)
        await self.go.acquire()
        return Reading(markdown="read")

    async def close(self) -> None:
        raise AssertionError("nobody asks for this here")


async def test_a_page_of_the_fast_lane_passes_those_in_bulk(blobs):
    engine = Held()
    stage = OcrStage(engine, blobs, keep_images=False, pages_at_once=4)

    async def read(number: int, topic: str) -> None:
        entry = page_entry(topic.encode(), page=number)
        await outputs_of(stage, replace(entry, position=Position(topic, 0, number)))

    reading = [asyncio.create_task(read(number, "pages.bulk")) for number in range(1, 13)]
    await until(lambda: len(engine.began) == 3)
    reading += [asyncio.create_task(read(number, "pages")) for number in (100, 101)]
    await until(lambda: len(engine.began) == 4)
    assert engine.began == [b"pages.bulk"] * 3 + [b"pages"], "a quarter of the window is never bulk's"
    engine.go.release()
    await until(lambda: len(engine.began) == 5)
    assert engine.began[4] == b"pages", "before those in bulk that came before it"
    for _ in reading:
        engine.go.release()
    await asyncio.gather(*reading)
