"""The producer's SDK: what it sends, what it refuses and in which words, its budget, retries and figures."""

import asyncio
from io import BytesIO

import pytest
from PIL import Image

from folio.client import Figures, NotSent, Producer, SyncProducer
from folio.errors import Cause, FolioError, Permanent, SettingsError, Transient
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


NAMED = {"folio-page": "3", "folio-version": "1", "folio-doc-id": "book"}


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
        ({"document": "a" * 513}, "1 to 512 printable characters"),
        ({"document": "a\ufffd"}, "UTF-8 is wanted"),
        ({"page": 100_001}, "at most 100,000 pages"),
        ({"page_count": 100_001}, "at most 100,000 pages"),
        ({"version": 0}, "from 1"),
        ({"version": 2**63}, "version 9223372036854775808: versions are 64-bit"),
        ({"headers": {"folio-page": "7"}}, "folio's"),
        ({"headers": {"__connect.errors.topic": "x"}}, "folio's"),
        ({"headers": {"x": 1}}, "'x': 1 is no text"),
        ({"headers": {"x": None}}, "'x': None is no text"),
        ({"headers": {1: "x"}}, "1: 'x' is no text"),
        ({"headers": {"x": "\ud800"}}, "no text that UTF-8 can hold"),
        ({"image": "picture"}, "no bytes, it is str"),
        ({"page": "1"}, "page '1': a whole number"),
        ({"page": True}, "page True: a whole number"),
        ({"page": 1.5}, "page 1.5: a whole number"),
        ({"page_count": 0}, "no page 1 of 0"),
        ({"version": None}, "version None: a whole number"),
    ],
)
async def test_each_thing_that_a_producer_can_get_wrong_has_its_words(given: dict, says: str) -> None:
    log = MemoryLog()
    facts: dict = {"image": picture(), "document": "book", "page": 1} | given
    with pytest.raises(NotSent, match=says):
        await Producer(log).send_page(**facts)
    assert await entries(log, PAGES) == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"document": ""}, "id is missing"),
        ({"address": ""}, "no address"),
        ({"address": "/srv/a.pdf"}, "'/srv/a.pdf' is no address: https://"),
        ({"address": "C:\\a.pdf"}, "no address"),
        ({"address": "https://[a/"}, "no address"),
        ({"address": "https://a.org/\udc80"}, "no address"),
        ({"file_sha256": "AB" * 32}, "64 hex digits in lower case"),
        ({"file_sha256": "ab"}, "64 hex digits"),
        ({"pages": "one"}, "pages: .* write pages like 1-3,7,10-"),
        ({"pages": "3-1"}, "pages: "),
        ({"metadata": {"a": {"b": 1}}}, "metadata: 'a' has no text, number, true or false"),
        ({"metadata": {"a": float("nan")}}, "metadata: 'a' has no"),
        ({"metadata": {"": "a"}}, "metadata: '' has no"),
        ({"metadata": {1: "a"}}, "metadata: '1' has no"),
        ({"metadata": ["a"]}, "metadata: "),
        ({"pages": 3}, "pages: "),
        ({"metadata": {"a": "\udc80"}}, r"metadata: UTF-8 is wanted, '\\udc80' is none"),
        ({"metadata": {"a": "b" * 16_384}}, "metadata: 16,393 bytes as JSON, at most 16,384"),
    ],
)
async def test_each_thing_that_is_wrong_with_an_announcement_has_its_words(given: dict, says: str) -> None:
    log = MemoryLog()
    facts: dict = {"document": "far", "address": "https://a.org/a.pdf"} | given
    with pytest.raises(NotSent, match=says):
        await Producer(log).announce(**facts)
    assert await entries(log, UPLOADS) == []


@pytest.mark.parametrize("tenant", ["", "Acme", "a/b", "a" * 65])
async def test_a_tenant_that_is_no_key_is_named(tenant: str) -> None:
    log = MemoryLog()
    for sending in (
        Producer(log, tenant=tenant).send_page(picture(), "a", 1),
        Producer(log, tenant=tenant).delete("a"),
    ):
        with pytest.raises(NotSent, match=f"tenant '{tenant}': use lower-case"):
            await sending
    assert await entries(log, UPLOADS) == []


@pytest.mark.parametrize(
    ("topic", "change", "says"),
    [
        ("texts", {}, "folio's own"),
        ("nowhere", {}, "producers append to pages"),
        ("pages", {"key": "default/other/3"}, "makes 'default/book/3'"),
        ("pages", {"headers": {"folio-page": "3"}}, "folio-doc-id is missing"),
        ("pages", {"headers": {"folio-page": "three", "folio-version": "1", "folio-doc-id": "book"}}, "three"),
        ("pages", {"headers": NAMED | {"folio-page": "1" * 20}}, "folio-page: .* whole number of at most 19 digits"),
        ("pages", {"headers": NAMED | {"folio-page": "\u00b2"}}, "folio-page: .* whole number"),
        ("pages", {"headers": NAMED | {"folio-page": "0"}}, "page: .* greater than or equal to 1"),
        ("pages", {"headers": NAMED | {"folio-page": "100001"}}, "page: .* less than or equal to 100000"),
        ("pages", {"headers": NAMED | {"folio-version": "0"}}, "version: .* greater than 0"),
        ("pages", {"headers": NAMED | {"folio-tenant": "Acme"}}, "tenant 'Acme'"),
        ("pages", {"headers": NAMED | {"__connect.errors.topic": "x"}}, "'__connect.errors.topic' is for dead letters"),
        ("pages", {"value": b"hello"}, "no picture that folio reads"),
        ("pages", {"value": b""}, "no bytes"),
        ("uploads", {"value": b'{"doc": "default/x", "metadata": {"a": []}}'}, "metadata: .* 'a' has no text"),
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


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (Permanent(Cause.TOO_LARGE, "the broker takes 1,000 bytes"), "page 1 of 'book': the broker takes 1,000 bytes"),
        (SettingsError("Kafka does not know this user"), "page 1 of 'book': Kafka does not know this user"),
    ],
)
async def test_a_log_that_refuses_is_not_asked_again(refusal: FolioError, says: str) -> None:
    class Refusing(MemoryLog):
        asked = 0

        async def append(self, topic, records):
            self.asked += 1
            raise refusal

    log = Refusing()
    producer = Producer(log)
    with pytest.raises(NotSent, match=says):
        await producer.send_page(picture(), "book", 1)
    assert (log.asked, producer.figures.under_way_bytes, producer.figures.pages) == (1, 0, 0)


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
    for url in ("nowhere://host", "localhost:9092", "http://[", ""):
        with pytest.raises(NotSent, match="kafka://"):
            async with Producer.open(url):
                pass
    with pytest.raises(NotSent, match="does not take"):
        async with Producer.open("kafka://127.0.0.1:1", nonsense=True):
            pass


async def test_a_log_that_does_not_answer_is_named() -> None:
    with pytest.raises(NotSent, match=r"kafka://127.0.0.1:1: .* nobody answers"):
        async with Producer.open("kafka://127.0.0.1:1"):
            pass


def test_a_log_that_does_not_answer_is_named_without_asyncio_too() -> None:
    with pytest.raises(NotSent, match=r"kafka://127.0.0.1:1: .* nobody answers"):
        SyncProducer("kafka://127.0.0.1:1")
