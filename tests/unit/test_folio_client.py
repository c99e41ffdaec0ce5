"""The producer's SDK: what it sends, what it refuses and in which words, its budget, retries and figures."""

import asyncio
from io import BytesIO

import pytest
from PIL import Image

from folio.client import Figures, NotSent, Producer
from folio.errors import Cause, Transient
from folio.ids import Doc, sha256
from folio.log import Entry, Log, Record
from folio.records import Page, Upload
from folio.topics import PAGES, PAGES_BULK, UPLOADS, Topic
from tests.memory_log import MemoryLog


def picture(shade: int = 200, *, edge: int = 8) -> bytes:
    out = BytesIO()
    Image.new("L", (edge, edge), shade).save(out, "PNG")
    return out.getvalue()


class Away(MemoryLog):
    """A log that is away for some appends, and says how many bytes were under way at most."""

    away = 0
    slow_s = 0.0
    under_way = most = 0

    async def append(self, topic, records):
        self.under_way += sum(len(record.value) for record in records)
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(self.slow_s)
        self.under_way -= sum(len(record.value) for record in records)
        if self.away > 0:
            self.away -= 1
            raise Transient(Cause.LOG_DOWN, "no broker answers")
        return await super().append(topic, records)


async def entries(log: Log, topic: Topic) -> list[Entry]:
    async with log.reader([topic], None) as reader:
        return list(await reader.read(entries_max=10_000, bytes_max=1 << 30, wait_s=0.2))


async def test_a_page_arrives_as_its_topic_wants_it() -> None:
    log, image = MemoryLog(), picture()
    position = await Producer(log, tenant="acme").send_page(
        image, "book", 3, version=9, page_count=5, headers={"traceparent": "00-1"}
    )
    [entry] = await entries(log, PAGES)
    assert (entry.position, entry.key, entry.value) == (position, "acme/book/3", image)
    assert Page.of(entry) == Page(
        doc=Doc("acme/book"), version=9, page=3, page_count=5, sha256=sha256(image), traceparent="00-1"
    )


async def test_a_document_says_its_page_count_on_the_last_page_and_bulk_is_another_lane() -> None:
    log = MemoryLog()
    assert await Producer(log, bulk=True).send_document("book", (picture(n) for n in range(7))) == 7
    pages = sorted((Page.of(entry) for entry in await entries(log, PAGES_BULK)), key=lambda page: page.page)
    assert [page.page_count for page in pages] == [None] * 6 + [7]
    with pytest.raises(NotSent, match="no pages"):
        await Producer(log).send_document("book", [])


async def test_announcements_and_deletions() -> None:
    log = MemoryLog()
    producer = Producer(log)
    await producer.announce("far", "https://files.example.org/a.pdf", metadata={"year": 2024}, pages="1-3")
    await producer.delete("far")
    first, second = [Upload.decode(entry.value) for entry in await entries(log, UPLOADS)]
    assert first == Upload(
        doc=Doc("default/far"), fetch="https://files.example.org/a.pdf", metadata={"year": 2024}, pages="1-3"
    )
    assert (second.doc, second.deleted) == ("default/far", True)
    assert producer.figures.announcements == 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"image": b""}, "no bytes"),
        ({"image": b"hello"}, "no picture that folio reads"),
        ({"image": b"%PDF-1.7"}, "announce it"),
        ({"image": b"\xff\xd8\xff" + bytes(1 << 20)}, "a record takes 1,048,576"),
        ({"document": ""}, "id is missing"),
        ({"document": "a\nb"}, "printable"),
        ({"page": 0}, "count from 1"),
        ({"page": 6, "page_count": 5}, "no page 6 of 5"),
        ({"version": 0}, "from 1"),
        ({"headers": {"folio-page": "7"}}, "folio's"),
        ({"headers": {"__connect.errors.topic": "x"}}, "folio's"),
    ],
)
async def test_each_thing_that_a_producer_can_get_wrong_has_its_words(given: dict, says: str) -> None:
    log = MemoryLog()
    facts: dict = {"image": picture(), "document": "book", "page": 1} | given
    with pytest.raises(NotSent, match=says):
        await Producer(log).send_page(**facts)
    assert await entries(log, PAGES) == []


@pytest.mark.parametrize(
    ("topic", "change", "says"),
    [
        ("texts", {}, "folio's own"),
        ("nowhere", {}, "producers append to pages"),
        ("pages", {"key": "default/other/3"}, "makes 'default/book/3'"),
        ("pages", {"headers": {"folio-page": "3"}}, "folio-doc-id is missing"),
        ("pages", {"headers": {"folio-page": "three", "folio-version": "1", "folio-doc-id": "book"}}, "three"),
        ("pages", {"value": b""}, "no bytes"),
        ("uploads", {"value": b"{"}, "JSON"),
        ("uploads", {"value": Upload(doc=Doc("default/x"), fetch="https://a").encode()}, "makes 'default/x'"),
    ],
)
async def test_a_record_whose_key_and_headers_disagree_is_not_sent(topic: str, change: dict, says: str) -> None:
    headers = Page(doc=Doc("default/book"), version=1, page=3).headers()
    facts: dict = {"key": "default/book/3", "value": picture(), "headers": headers} | change
    log = MemoryLog()
    with pytest.raises(NotSent, match=says):
        await Producer(log).send(topic, Record(**facts))
    await Producer(log).send("pages", Record("default/book/3", picture(), headers))
    assert len(await entries(log, PAGES)) == 1


async def test_a_log_that_is_away_for_a_while_is_tried_again_and_one_that_stays_away_is_named() -> None:
    log = Away()
    log.away = 2
    producer = Producer(log)
    await producer.send_page(picture(), "book", 1)
    assert (producer.figures.retries, producer.figures.pages) == (2, 1)
    log.away = 1_000
    with pytest.raises(NotSent, match=r"page 2 .* does not answer \(no broker answers\)"):
        await Producer(log, patience_s=0.2).send_page(picture(), "book", 2)


async def test_what_is_under_way_stays_within_the_budget_and_each_is_told() -> None:
    log, told = Away(), []
    log.slow_s = 0.005
    image = picture(edge=100)
    producer = Producer(log, bytes_max=3 * len(image), progress=told.append)
    await producer.send_document("book", [image] * 40)
    await producer.flush()
    assert log.most <= 3 * len(image)
    assert [figures.pages for figures in told] == list(range(1, 41))
    assert told[-1].sent_bytes == 40 * len(image)
    assert producer.figures.under_way_bytes == 0
    assert producer.figures.pages_per_s > 0
    assert Figures().pages_per_s == 0


async def test_a_document_of_which_one_page_is_refused_sends_nothing_behind_its_callers_back() -> None:
    log = Away()
    log.slow_s = 60.0
    producer = Producer(log)
    with pytest.raises(NotSent, match="page 3"):
        async with asyncio.timeout(30):
            await producer.send_document("book", [picture(), picture(), b"", picture()])
    assert producer.figures.under_way_bytes == 0


async def test_one_page_larger_than_the_budget_goes_alone() -> None:
    log = Away()
    assert await Producer(log, bytes_max=1).send_document("book", [picture(n) for n in range(5)]) == 5


async def test_a_url_that_no_adapter_knows_is_named() -> None:
    for url in ("nowhere://host", "localhost:9092"):
        with pytest.raises(NotSent, match="kafka://"):
            async with Producer.open(url):
                pass
    with pytest.raises(NotSent, match="does not take"):
        async with Producer.open("kafka://127.0.0.1:1", nonsense=True):
            pass
