"""The sandbox: a forked child for every document, replaced when it dies; a second engine for what the first cannot."""

import importlib.util
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from folio.child import Zygote
from folio.errors import Cause, FolioError, Permanent, SettingsError
from folio.ranges import PageRanges, parse_pages
from folio.records import SKIPPED, Box
from ingest import sniff
from ingest.limits import Limits
from ingest.marks import Mark
from ingest.opened import Clock, OpenFile, ReadPage, What

__all__ = ["FACTORIES", "Limits", "Mark", "ReadPage", "Sandbox"]

FACTORIES = {"pymupdf": "ingest.mupdf:MuPdfRenderer", "pypdfium2": "ingest.pdfium:PdfiumRenderer"}
"""What runs in the child, for each engine. A module is imported only in a process of its own, when first needed."""

_ENDED = frozenset({Cause.RENDER_CRASH, Cause.RENDER_TIMEOUT, Cause.RENDER_OOM})
_FINAL = frozenset({Cause.TOO_MANY_PAGES, Cause.PIXEL_LIMIT})


@dataclass(frozen=True, slots=True)
class _Document:
    """What is being read, with which engine; of its pages the chosen ones, some of which carry their picture anyway."""

    what: What
    clock: Clock
    engine: str
    page_count: int
    chosen: list[int]
    verified: list[int]
    ahead: bool

    def has_next(self, page: int) -> bool:
        """The page may have looked at the one after it."""
        return self.ahead and page + 1 in self.chosen

    def skipped(self, page: int) -> ReadPage:
        """A page that nobody asked for: there, fine, and empty, so that the document has all its pages."""
        return ReadPage(page, self.page_count, trusted=True, engine=self._read_by, flags=(SKIPPED,))

    def failed(self, page: int, error: Permanent) -> ReadPage:
        return ReadPage(page, self.page_count, cause=error.cause, detail=error.detail, engine=self._read_by)

    @property
    def _read_by(self) -> str:
        return self.what.read_by(self.engine)


class Sandbox:
    """Opens uploaded files in children. Any number of documents side by side; each has a child of its own."""

    def __init__(self, limits: Limits, *, factories: Mapping[str, str] = FACTORIES) -> None:
        self._limits = limits
        self._engines = _engines(limits.pdf_engine)
        self._zygotes = {name: Zygote(factories[name]) for name in self._engines}

    async def pages(
        self,
        path: Path,
        *,
        name: str = "",
        password: str = "",
        chosen: str = "",
        verify: Callable[[int], bool] | None = None,
    ) -> AsyncGenerator[ReadPage, None]:
        """Every page once, in order. Raises Permanent when the file as a whole cannot be read.

        `name` (else the path's) tells kinds of text apart. Pages that are not in `chosen` (`1-3,7`; empty: all) come
        with the flag SKIPPED and are not opened. A trusted page has a picture only if `verify` says yes to its number.
        """
        clock = Clock(self._limits.document_seconds_max)
        ranges = _ranges(chosen)
        what = self._what(path, name, password)
        file = await self._open(what, clock)
        try:
            numbers = ranges.within(file.page_count)
        except Permanent:
            file.close()
            raise
        verified = [page for page in numbers if verify is not None and verify(page)]
        ahead = what.media_type == sniff.PDF
        document = _Document(what, clock, file.engine, file.page_count, numbers, verified, ahead)
        last = 0
        async with aclosing(self._chosen(document, file)) as reads:
            async for read in reads:
                for page in range(last + 1, read.page):
                    yield document.skipped(page)
                last = read.page
                yield read
        for page in range(last + 1, document.page_count + 1):
            yield document.skipped(page)

    async def picture(
        self,
        path: Path,
        page: int,
        *,
        name: str = "",
        password: str = "",
        marks: Sequence[Mark] = (),
        crop: Box | None = None,
    ) -> bytes:
        """One page as JPEG, drawn now; the second engine tries when the first cannot. Raises Permanent.

        `marks` are drawn on it; `crop` is the part of the page that is wanted. A stored page image is a file of one
        page.
        """
        clock = Clock(self._limits.document_seconds_max)
        what = self._what(path, name, password)
        if what.media_type in sniff.TEXTS:
            raise Permanent(Cause.UNSUPPORTED_TYPE, "A text file has no picture: its pages are cuts of its text.")
        wanted = partial(_picture, page=page, clock=clock, marks=marks, crop=crop)
        file = await self._open(what, clock)
        try:
            return await wanted(file)
        except Permanent as error:
            if error.cause == Cause.PAGE_MISSING or (other := self._other(file.engine, what)) is None:
                raise
            return await self._second_picture(other, what, wanted, first=error)
        finally:
            file.close()

    async def close(self) -> None:
        """End the processes that children are forked from; children end with them."""
        for zygote in self._zygotes.values():
            await zygote.close()

    def _what(self, path: Path, name: str, password: str) -> What:
        """Decide the type once, and refuse what is too large before anybody opens it."""
        size, most = path.stat().st_size, self._limits.file_bytes_max
        if size > most:
            raise Permanent(Cause.TOO_LARGE, f"{size:,} bytes; ingest.file_bytes_max is {most:,}.")
        return What(path, sniff.media_type(path, name), password)

    async def _chosen(self, document: "_Document", file: OpenFile | None) -> AsyncGenerator[ReadPage, None]:
        """The chosen pages; a child that breaks is replaced, and goes on with the page after the one it broke at.

        It may have broken at a page that it looked ahead to. So that page is read again, and from there on no page is
        looked at before its turn: only the one that breaks a child then is to blame.
        """
        done = 0
        while done < len(document.chosen) and document.clock.left > 0:
            async with aclosing(self._until_it_breaks(document, document.chosen[done:], file)) as reads:
                async for read in reads:
                    if read.cause in _ENDED and document.has_next(read.page):
                        document = replace(document, ahead=False)
                        break
                    done += 1
                    yield await self._second_try(document, read) if read.cause else read
            file = None
        for late in document.chosen[done:]:
            yield document.failed(late, Permanent(Cause.RENDER_TIMEOUT, self._late()))

    async def _open(self, what: What, clock: Clock) -> OpenFile:
        """Open with the first engine that can. When none can, the first one's complaint counts."""
        refusal: Permanent | None = None
        for engine in (self._engines[0], self._other(self._engines[0], what)):
            if engine is None:
                break
            try:
                return await self._start(engine, what, clock)
            except Permanent as error:
                if error.cause in _FINAL:
                    raise
                refusal = error if refusal is None or error.cause == Cause.ENCRYPTED else refusal
        assert refusal is not None
        raise refusal

    async def _start(self, engine: str, what: What, clock: Clock) -> OpenFile:
        return await OpenFile.start(self._zygotes[engine], engine, what, limits=self._limits, clock=clock)

    async def _until_it_breaks(
        self, document: "_Document", numbers: Sequence[int], file: OpenFile | None
    ) -> AsyncGenerator[ReadPage, None]:
        """Pages from one child; the page at which it dies, hangs or babbles is the last one, with its cause."""
        done = 0
        try:
            file = file or await self._start(document.engine, document.what, document.clock)
            pages = file.pages(numbers, verify=document.verified, clock=document.clock, ahead=document.ahead)
            async with aclosing(pages) as reads:
                async for read in reads:
                    done += 1
                    yield read
        except Permanent as error:
            yield document.failed(numbers[done], error)
        finally:
            _closed(file)

    async def _second_try(self, document: "_Document", failed: ReadPage) -> ReadPage:
        """The other engine, in a fresh child, for this page alone; else the page stays failed as it was."""
        other, clock = self._other(document.engine, document.what), document.clock
        if other is None or clock.left <= 0 or failed.markdown:
            return failed
        file: OpenFile | None = None
        try:
            file = await self._start(other, document.what, clock)
            async with aclosing(file.pages([failed.page], verify=document.verified, clock=clock)) as reads:
                read = await anext(reads)
            if failed.damaged:  # what it finds is what is left
                return replace(failed, markdown=read.markdown, blocks=read.blocks)
            blank = read.trusted and not read.markdown  # no rescue of a page that has something on it
            return failed if read.cause or blank else replace(read, page_count=failed.page_count)
        except Permanent:
            return failed
        finally:
            _closed(file)

    async def _second_picture(
        self, engine: str, what: What, wanted: Callable[[OpenFile], Awaitable[bytes]], *, first: Permanent
    ) -> bytes:
        file: OpenFile | None = None
        try:
            file = await self._start(engine, what, Clock(self._limits.document_seconds_max))
            return await wanted(file)
        except Permanent:
            raise first from None
        finally:
            _closed(file)

    def _other(self, engine: str, what: What) -> str | None:
        """Images have one decoder, so they have no second engine."""
        others = [name for name in self._engines if name != engine]
        return others[0] if others and what.media_type == sniff.PDF else None

    def _late(self) -> str:
        return f"The document's time is up: ingest.document_seconds_max is {self._limits.document_seconds_max:g}."


async def _picture(file: OpenFile, *, page: int, clock: Clock, marks: Sequence[Mark], crop: Box | None) -> bytes:
    if not 1 <= page <= file.page_count:
        raise Permanent(Cause.PAGE_MISSING, f"There is no page {page}: the document has {file.page_count}.")
    return await file.picture(page, clock=clock, marks=marks, crop=crop)


def _ranges(chosen: str) -> PageRanges:
    """An upload's ranges were checked where it was put in; another producer's may be anything."""
    try:
        return parse_pages(chosen)
    except FolioError as error:
        raise Permanent(Cause.SCHEMA_INVALID, str(error)) from None


def _closed(file: OpenFile | None) -> None:
    if file is not None:
        file.close()


def _engines(asked: str) -> tuple[str, ...]:
    """The PDF engines in the order of trying. Looks whether PyMuPDF is there without importing it."""
    if asked == "pypdfium2":
        return ("pypdfium2",)
    if importlib.util.find_spec("pymupdf") is not None:
        return ("pymupdf", "pypdfium2")
    if asked == "pymupdf":
        raise SettingsError("ingest.pdf_engine is pymupdf, which is not installed: pip install pymupdf, or set auto")
    return ("pypdfium2",)
