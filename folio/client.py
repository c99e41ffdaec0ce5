"""The Python SDK for producers: pages and announcements go on the log, checked first, within a byte budget.

async with Producer.open("kafka://localhost:9092") as producer:
    await producer.send_page(image, "report-7", 1, page_count=2)
    await producer.announce("annual-report", "https://files.example.org/2025.pdf")
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import entry_points
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

from folio.batching import Batcher
from folio.claims import DOCUMENT_PAGES_MAX, SHA256, VERSION_MAX, plain_metadata
from folio.errors import FolioError, Permanent, Transient
from folio.ids import TENANT_DEFAULT, Doc, doc_of, page_key, sha256
from folio.letters import CONNECT
from folio.log import Entry, Log, Position, Record
from folio.outputs import append_all
from folio.ranges import parse_pages
from folio.records import Page, Upload
from folio.topics import PAGES, PAGES_BULK, UPLOADS, Topic

ADAPTERS = "folio.logs"
"""The entry point group that adapters of logs are found by: the name is the scheme of their URLs."""
MIB = 1 << 20
OURS = ("folio-", CONNECT)
"""How the names of headers begin that a producer may not make up."""
IMAGES = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*"),
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
)
BACKOFF_S = (0.1, 0.2, 0.5, 1, 2, 5)


class NotSent(FolioError):
    """What a producer got wrong, or a log that stayed away; nothing of this record is promised to be there."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was acknowledged so far, and what is under way."""

    pages: int = 0
    announcements: int = 0
    sent_bytes: int = 0
    under_way_bytes: int = 0
    retries: int = 0
    seconds: float = 0.0

    @property
    def pages_per_s(self) -> float:
        return self.pages / self.seconds if self.seconds else 0.0


class Producer:
    """Sends for one tenant. Each call returns when its record is durable; many may be awaited at once.

    `bytes_max` bounds what is under way: who sends beyond it waits. A log that is away is tried again for `patience_s`.
    `progress` is called after each acknowledgement. With `bulk`, pages go to the lane that gives way to all others.
    """

    def __init__(
        self,
        log: Log,
        *,
        tenant: str = TENANT_DEFAULT,
        bytes_max: int = 32 * MIB,
        patience_s: float = 60.0,
        progress: Callable[[Figures], None] = lambda _: None,
        bulk: bool = False,
    ) -> None:
        self.figures = Figures()
        self._log = log
        self._tenant = tenant
        self._bytes_max = bytes_max
        self._patience_s = patience_s
        self._progress = progress
        self._pages = PAGES_BULK if bulk else PAGES
        self._append = Batcher(partial(append_all, log, appended=lambda *_: None), linger_s=0.002)
        self._room = asyncio.Condition()
        self._began_s = time.monotonic()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, **options: Any) -> "AsyncIterator[Producer]":
        """`kafka://host:9092,host2:9092`; options of Producer, and any other the adapter's (`username`, `cafile` ...).

        Raises NotSent when no adapter knows the URL or the log does not answer. Leaving waits for what is under way.
        """
        ours = {name: options.pop(name) for name in OPTIONS if name in options}
        async with _opened(url, options) as log:
            producer = cls(log, **ours)
            try:
                yield producer
            finally:
                await producer.flush()

    async def send_page(
        self,
        image: bytes,
        document: str,
        page: int,
        *,
        version: int = 1,
        page_count: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Position:
        """One page. `page_count` may come with the last page only; a later `version` replaces the earlier one.

        The same page twice is read twice and shown once. Raises NotSent saying what is wrong with it.
        """
        what = f"page {page} of {document!r}"
        _check_image(image, what)
        doc = self._doc(document)
        _check_numbers(what, page=page, page_count=page if page_count is None else page_count, version=version)
        if not 1 <= page <= (page if page_count is None else page_count):
            of = f" of {page_count}" if page_count is not None else ""
            raise NotSent(f"{what}: there is no page {page}{of}: pages count from 1 to page_count")
        if max(page, page_count or 0) > DOCUMENT_PAGES_MAX:
            raise NotSent(f"{what}: a document has at most {DOCUMENT_PAGES_MAX:,} pages")
        if not 1 <= version <= VERSION_MAX:
            raise NotSent(f"{what}: version {version}: versions are 64-bit numbers from 1, a later one is greater")
        facts = Page(doc=doc, version=version, page=page, page_count=page_count, sha256=sha256(image))
        record = Record(page_key(doc, page), image, {**_own(headers, what), **facts.headers()})
        return await self._send(self._pages, record, what)

    async def send_document(
        self, document: str, images: Iterable[bytes], *, version: int = 1, headers: Mapping[str, str] | None = None
    ) -> int:
        """All pages of a document in order, as many under way as the budget allows; returns how many."""
        pending: set[asyncio.Task[Position]] = set()
        last: bytes | None = None
        count = 0
        try:
            for image in images:
                if last is not None:
                    pending.add(self._begin(last, document, count, version=version, headers=headers))
                    pending = await self._kept_within(pending, len(image))
                last, count = image, count + 1
            if last is None:
                raise NotSent(f"{document!r}: it has no pages")
            await asyncio.gather(*pending)
        finally:  # one that failed, or a caller that gave up: nothing is sent behind its back
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        await self.send_page(last, document, count, version=version, page_count=count, headers=headers)
        return count

    async def announce(
        self,
        document: str,
        address: str,
        *,
        file_sha256: str = "",
        metadata: Mapping[str, Any] | None = None,
        pages: str = "",
    ) -> Position:
        """A file that folio fetches by itself, from where its setting `ingest.fetch_allow` lets it.

        Raises NotSent saying what is wrong with it; whether the address may be fetched only folio knows.
        """
        what = f"the announcement of {document!r}"
        if not (_scheme(address) and "://" in address and address.isprintable()):
            raise NotSent(f"{what}: {address[:80]!r} is no address: https://host/folder/file.pdf is wanted")
        if file_sha256 and not SHA256.fullmatch(file_sha256):
            raise NotSent(f"{what}: file_sha256 {file_sha256[:80]!r}: 64 hex digits in lower case are wanted")
        try:
            said = plain_metadata(metadata or {})
        except (ValueError, AttributeError) as error:
            raise NotSent(f"{what}: metadata: {error}") from None
        try:
            parse_pages(pages)
        except (FolioError, TypeError, AttributeError) as error:
            raise NotSent(f"{what}: pages: {error}") from None
        upload = Upload(doc=self._doc(document), fetch=address, sha256=file_sha256, metadata=said, pages=pages)
        return await self._send(UPLOADS, Record(upload.doc, upload.encode()), what)

    async def delete(self, document: str) -> Position:
        """Take a document out of the index."""
        upload = Upload(doc=self._doc(document), deleted=True)
        return await self._send(UPLOADS, Record(upload.doc, upload.encode()), f"the deletion of {document!r}")

    async def send(self, topic: str, record: Record) -> Position:
        """A record that was made elsewhere, checked as folio would: its key and its headers must say the same."""
        known = {one.name: one for one in (PAGES, PAGES_BULK, UPLOADS)}
        if topic not in known:
            raise NotSent(f"topic {topic!r}: producers append to {', '.join(known)}; all others are folio's own")
        what = f"a record for {topic}"
        try:
            if known[topic] is UPLOADS:
                _agree(record, Upload.decode(record.value).doc, what)
            else:
                facts = Page.of(Entry(Position(topic, 0, 0), record.key, record.value, record.headers, appended_ms=0))
                _agree(record, page_key(facts.doc, facts.page), what)
                _check_image(record.value, what)
        except Permanent as error:
            raise NotSent(f"{what}: {error.detail}") from None
        return await self._send(known[topic], record, what)

    async def flush(self) -> None:
        """Wait until nothing is under way."""
        async with self._room:
            await self._room.wait_for(lambda: not self.figures.under_way_bytes)

    def _begin(self, image: bytes, document: str, page: int, **more: Any) -> "asyncio.Task[Position]":
        return asyncio.create_task(self.send_page(image, document, page, **more))

    async def _kept_within(self, pending: "set[asyncio.Task[Position]]", size: int) -> "set[asyncio.Task[Position]]":
        """Those still under way, once there is room for `size` more. Raises what one of them raised."""
        await asyncio.sleep(0)  # let what was just begun take its room
        while pending and (self.figures.under_way_bytes + size > self._bytes_max or len(pending) > 1000):
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            done = {task for task in pending if task.done()}
            await asyncio.gather(*done)
            pending = pending - done
        return pending

    def _doc(self, document: str) -> Doc:
        if not document:
            raise NotSent("a document id is missing: 1 to 512 printable characters are wanted")
        try:
            return doc_of(self._tenant, document)
        except ValueError as error:
            raise NotSent(str(error)) from None

    async def _send(self, topic: Topic, record: Record, what: str) -> Position:
        _check_texts(record, what)
        size = len(record.value)
        if size > self._log.value_bytes_max:
            raise NotSent(
                f"{what}: {size:,} bytes, and a record takes {self._log.value_bytes_max:,}:"
                " send a smaller picture, or announce the file"
            )
        await self._enter(size)
        try:
            position = await self._tried(topic, record, what)
        finally:
            await self._leave(size)
        told = self.figures
        counted = {"announcements": told.announcements + 1} if topic is UPLOADS else {"pages": told.pages + 1}
        seconds = time.monotonic() - self._began_s
        self.figures = replace(told, sent_bytes=told.sent_bytes + size, seconds=seconds, **counted)
        self._progress(self.figures)
        return position

    async def _tried(self, topic: Topic, record: Record, what: str) -> Position:
        deadline = time.monotonic() + self._patience_s
        waits = iter(BACKOFF_S)
        while True:
            try:
                return await self._append((topic, record))
            except Transient as error:
                if time.monotonic() > deadline:
                    raise NotSent(
                        f"{what}: the log does not answer ({error.detail or error}): send it again when it does;"
                        " what may have arrived all the same does no harm twice"
                    ) from None
            except Permanent as error:
                raise NotSent(f"{what}: {error.detail}") from None
            except FolioError as error:
                raise NotSent(f"{what}: {error}") from None
            self.figures = replace(self.figures, retries=self.figures.retries + 1)
            await asyncio.sleep(next(waits, BACKOFF_S[-1]))

    async def _enter(self, size: int) -> None:
        async with self._room:
            await self._room.wait_for(
                lambda: not self.figures.under_way_bytes or self.figures.under_way_bytes + size <= self._bytes_max
            )
            self.figures = replace(self.figures, under_way_bytes=self.figures.under_way_bytes + size)

    async def _leave(self, size: int) -> None:
        async with self._room:
            self.figures = replace(self.figures, under_way_bytes=self.figures.under_way_bytes - size)
            self._room.notify_all()


OPTIONS = ("tenant", "bytes_max", "patience_s", "progress", "bulk")


@asynccontextmanager
async def _opened(url: str, options: Mapping[str, Any]) -> AsyncIterator[Log]:
    scheme = _scheme(url)
    found = {one.name: one for one in entry_points(group=ADAPTERS)}
    if scheme not in found:
        raise NotSent(f"{url!r}: no log is reached like this: {', '.join(f'{name}://' for name in found) or 'none'}")
    open_log: Callable[..., Any] = found[scheme].load()
    try:
        opening = open_log(url, **options)
        log = await opening.__aenter__()
    except FolioError as error:
        raise NotSent(f"{url}: {error}") from None
    except (TypeError, ValueError) as error:
        raise NotSent(f"{url}: an option that its adapter does not take: {error}") from None
    try:
        yield log
    finally:
        await opening.__aexit__(None, None, None)


def _scheme(address: str) -> str:
    """Empty where it is no address."""
    try:
        return urlsplit(address).scheme
    except ValueError:
        return ""


def _check_image(image: bytes, what: str) -> None:
    if not isinstance(image, bytes) or not image:
        raise NotSent(f"{what}: it has no bytes" + (f", it is {type(image).__name__}" if image else ""))
    webp = image[:4] == b"RIFF" and image[8:12] == b"WEBP"
    heif = image[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif")
    if not (image.startswith(IMAGES) or webp or heif):
        kind = "a PDF: announce it, or add it over HTTP" if image.startswith(b"%PDF") else "no picture that folio reads"
        raise NotSent(f"{what}: it is {kind} (JPEG, PNG, WebP, TIFF, BMP, GIF, JPEG 2000, HEIC, AVIF)")


def _check_numbers(what: str, **numbers: int) -> None:
    for name, number in numbers.items():
        if type(number) is not int:
            raise NotSent(f"{what}: {name} {number!r}: a whole number is wanted")


def _check_texts(record: Record, what: str) -> None:
    """What cannot be sent is said here: a log would find it out when others travel beside it."""
    for name, said in (("the key", record.key), *record.headers.items()):
        try:
            (name + said).encode()
        except (TypeError, AttributeError, UnicodeEncodeError):
            raise NotSent(f"{what}: {name!r}: {said!r} is no text that UTF-8 can hold") from None


def _own(headers: Mapping[str, str] | None, what: str) -> Mapping[str, str]:
    for name in headers or {}:
        if str(name).lower().startswith(OURS):
            raise NotSent(f"{what}: header {name!r}: names that begin with {' or '.join(OURS)} are folio's")
    return headers or {}


def _agree(record: Record, key: str, what: str) -> None:
    if record.key != key:
        _disagree(record.key, key, what)
    reserved = [name for name in record.headers if name.lower().startswith(CONNECT)]
    if reserved:
        raise NotSent(f"{what}: header {reserved[0]!r} is for dead letters")


def _disagree(key: str, wanted: str, what: str) -> NoReturn:
    raise NotSent(f"{what}: its key is {key!r}, and what it says of itself makes {wanted!r}")


class SyncProducer:
    """The same for programs without asyncio: every method of Producer, each returning when it is done."""

    def __init__(self, url: str, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._opening = Producer.open(url, **options)
        try:
            self._producer = self._run(self._opening.__aenter__())
        except BaseException:
            self._loop.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._producer, name)
        return (lambda *given, **more: self._run(found(*given, **more))) if callable(found) else found

    def close(self) -> None:
        """Wait for what is under way, and let go."""
        if not self._loop.is_closed():
            self._run(self._opening.__aexit__(None, None, None))
            self._loop.close()

    def _run(self, work: Awaitable[Any]) -> Any:
        return self._loop.run_until_complete(work)
