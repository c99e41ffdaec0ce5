"""The sandbox: a forked child for every document, replaced when it dies; a second engine for what the first cannot."""

import importlib.util
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from folio.child import Zygote
from folio.errors import Cause, Permanent, SettingsError
from ingest import sniff
from ingest.limits import Limits
from ingest.opened import Clock, OpenFile, ReadPage

__all__ = ["FACTORIES", "Limits", "ReadPage", "Sandbox"]

FACTORIES = {"pymupdf": "ingest.mupdf:MuPdfRenderer", "pypdfium2": "ingest.pdfium:PdfiumRenderer"}
"""What runs in the child, for each engine. A module is imported only in a process of its own, when first needed."""

_FINAL = frozenset({Cause.TOO_MANY_PAGES, Cause.PIXEL_LIMIT})
What = tuple[Path, str]


@dataclass(frozen=True, slots=True)
class _Document:
    """What is being read, with which engine, and which pages carry their picture in any case."""

    what: What
    clock: Clock
    engine: str
    page_count: int
    wanted: list[int]

    def failed(self, page: int, error: Permanent) -> ReadPage:
        return ReadPage(page, self.page_count, cause=error.cause, detail=error.detail, engine=self.engine)


class Sandbox:
    """Opens uploaded files in children. Any number of documents side by side; each has a child of its own."""

    def __init__(self, limits: Limits, *, factories: Mapping[str, str] = FACTORIES) -> None:
        self._limits = limits
        self._engines = _engines(limits.pdf_engine)
        self._zygotes = {name: Zygote(factories[name]) for name in self._engines}

    async def pages(self, path: Path, *, verify: Callable[[int], bool] | None = None) -> AsyncGenerator[ReadPage, None]:
        """Every page once, in order. Raises Permanent when the file as a whole cannot be read.

        A trusted page comes without a picture unless `verify` says yes to its number.
        """
        clock = Clock(self._limits.document_seconds_max)
        what = self._what(path)
        file: OpenFile | None = await self._open(what, clock)
        assert file is not None
        last = file.page_count
        wanted = [page for page in range(1, last + 1) if verify is not None and verify(page)]
        document = _Document(what, clock, file.engine, last, wanted)
        done = 0
        while done < last and clock.left > 0:
            async with aclosing(self._until_it_breaks(document, done + 1, file)) as reads:
                async for read in reads:
                    done = read.page
                    yield await self._second_try(document, read) if read.cause else read
            file = None
        for late in range(done + 1, last + 1):
            yield document.failed(late, Permanent(Cause.RENDER_TIMEOUT, self._late()))

    async def picture(self, path: Path, page: int) -> bytes:
        """One page as JPEG, drawn now; the second engine tries when the first cannot. Raises Permanent."""
        clock = Clock(self._limits.document_seconds_max)
        what = self._what(path)
        file = await self._open(what, clock)
        try:
            if not 1 <= page <= file.page_count:
                raise Permanent(Cause.PAGE_MISSING, f"There is no page {page}: the document has {file.page_count}.")
            return await file.picture(page, clock=clock)
        except Permanent as error:
            if error.cause == Cause.PAGE_MISSING or (other := self._other(file.engine, what)) is None:
                raise
            return await self._picture(other, what, page, error)
        finally:
            file.close()

    async def close(self) -> None:
        """End the processes that children are forked from; children end with them."""
        for zygote in self._zygotes.values():
            await zygote.close()

    def _what(self, path: Path) -> What:
        """Decide the type once, and refuse what is too large before anybody opens it."""
        media_type, size, most = sniff.media_type(path), path.stat().st_size, self._limits.file_bytes_max
        if size > most:
            raise Permanent(Cause.TOO_LARGE, f"{size:,} bytes; ingest.file_bytes_max is {most:,}.")
        return path, media_type

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
        self, document: "_Document", first: int, file: OpenFile | None
    ) -> AsyncGenerator[ReadPage, None]:
        """Pages from one child; the page at which it dies, hangs or babbles is the last one, with its cause."""
        page = first
        try:
            file = file or await self._start(document.engine, document.what, document.clock)
            async with aclosing(
                file.pages(first, document.page_count, verify=document.wanted, clock=document.clock)
            ) as reads:
                async for read in reads:
                    page = read.page + 1
                    yield read
        except Permanent as error:
            yield document.failed(page, error)
        finally:
            _closed(file)

    async def _second_try(self, document: "_Document", failed: ReadPage) -> ReadPage:
        """The other engine, in a fresh child, for this page alone; else the page stays failed as it was."""
        other, clock = self._other(document.engine, document.what), document.clock
        if other is None or clock.left <= 0:
            return failed
        file: OpenFile | None = None
        try:
            file = await self._start(other, document.what, clock)
            async with aclosing(file.pages(failed.page, failed.page, verify=document.wanted, clock=clock)) as reads:
                read = await anext(reads)
            return failed if read.cause else replace(read, page_count=failed.page_count)
        except Permanent:
            return failed
        finally:
            _closed(file)

    async def _picture(self, engine: str, what: What, page: int, first: Permanent) -> bytes:
        clock = Clock(self._limits.document_seconds_max)
        file: OpenFile | None = None
        try:
            file = await self._start(engine, what, clock)
            return await file.picture(page, clock=clock)
        except Permanent:
            raise first from None
        finally:
            _closed(file)

    def _other(self, engine: str, what: What) -> str | None:
        """Images have one decoder, so they have no second engine."""
        others = [name for name in self._engines if name != engine]
        return others[0] if others and what[1] == sniff.PDF else None

    def _late(self) -> str:
        return f"The document's time is up: ingest.document_seconds_max is {self._limits.document_seconds_max:g}."


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
