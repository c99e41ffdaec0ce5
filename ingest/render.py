"""What runs in the sandbox child: bound itself, open one file, then give its pages one at a time."""

import io
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from PIL import Image

from folio.errors import Cause, Permanent
from ingest import sniff
from ingest.images import ImageFile, error_text, to_jpeg
from ingest.limits import Limits
from ingest.marks import cut, draw_marks
from ingest.sheet import Sheet
from ingest.textlayer import TextLayer

if TYPE_CHECKING:
    from ingest.textfile import TextFile

_NO_NEW_PRIVS = 38
_OPEN_FILES_MAX = 64
_TASKS_MORE = 64
_ENLARGED_MAX = 3.0
_WHOLE = (0.0, 0.0, 1.0, 1.0)
Frame = dict[str, Any]


class Pdf(Protocol):
    """What an engine does with an open PDF. Pages count from 1."""

    @property
    def page_count(self) -> int: ...
    @property
    def lost_picture(self) -> bool:
        """Of the page that was drawn last a picture is missing, or its end, for it cannot be decoded."""
        ...

    def sheet(self, page: int, last: int | None = None) -> Sheet: ...
    def picture(self, page: int, *, edge: int, quality: int) -> tuple[bytes, int, int]: ...


class PdfOpener(Protocol):
    def __call__(self, path: Path, password: str) -> Pdf: ...


class Renderer:
    """One file's pages. An engine's module derives from it and names its `open_pdf`."""

    open_pdf: ClassVar[PdfOpener]

    def __init__(self, *, threads: bool = False, **limits: Any) -> None:
        self._limits = Limits(**limits)
        confine(self._limits, threads=threads)
        self._pdf: Pdf | None = None
        self._image: ImageFile | None = None
        self._text: TextFile | None = None

    def open(self, path: str, media_type: str, password: str) -> int:
        """Open the file; returns how many pages it has. Raises Permanent naming what is wrong."""
        try:
            if media_type == sniff.PDF:
                self._pdf = type(self).open_pdf(Path(path), password)
                count = self._pdf.page_count
            elif media_type in sniff.TEXTS:
                self._text = _text_file(Path(path), media_type)
                count = self._text.page_count
            else:
                self._image = ImageFile(Path(path), media_type, pixels_max=self._limits.pixels_max)
                count = self._image.page_count
        except Exception as error:
            raise _permanent(error, "The file cannot be opened", path) from None
        if count < 1:
            raise Permanent(Cause.ZERO_PAGES, "There is no text in it." if self._text else "")
        if count > self._limits.pages_max:
            raise Permanent(Cause.TOO_MANY_PAGES, f"{count:,} pages; ingest.pages_max is {self._limits.pages_max:,}.")
        return count

    def pages(self, numbers: Sequence[int], verify: Collection[int], ahead: bool) -> Iterator[Frame]:
        """Pages in the order of `numbers` as they are read; those in `verify` carry their picture in any case.

        `ahead`: a page may look at the next ones, never at one that is not in `numbers`.
        """
        layer = TextLayer()
        for page, last in zip(numbers, _lasts(numbers) if ahead else numbers, strict=True):
            yield self._page(layer, page, last, verified=page in verify)

    def picture(self, page: int, marks: Sequence[Sequence[Any]], crop: Sequence[float]) -> bytes:
        """One page as JPEG, with marks drawn on it, or the part of it in `crop` (four corners, or none)."""
        try:
            if not marks and not crop:
                return self._drawn(page)[0]
            return self._marked(page, marks, crop or _WHOLE)
        except Exception as error:
            raise _permanent(error, "The page cannot be drawn") from None

    def _page(self, layer: TextLayer, page: int, last: int, *, verified: bool) -> Frame:
        frame: Frame = {"page": page}
        try:
            if self._text is not None:
                return frame | self._text.frame(page)
            if self._pdf is not None:
                return self._pdf_page(self._pdf, layer, page, last, verified=verified)
            frame["image"], frame["width"], frame["height"] = self._drawn(page)
        except Exception as error:
            failure = _permanent(error, "The page cannot be read")
            return {"page": page, "cause": failure.cause.value, "detail": failure.detail}
        return frame

    def _pdf_page(self, pdf: Pdf, layer: TextLayer, page: int, last: int, *, verified: bool) -> Frame:
        """A page whose content is damaged is what it says as far as it goes; one with a picture is left to OCR."""
        sheet = pdf.sheet(page, last)
        frame = {"page": page} | layer.read(sheet).frame()
        if sheet.damaged and (frame["trusted"] or not sheet.pictures):
            return frame | _damaged("Part of the page's content is damaged; its text may break off anywhere.")
        if verified or not frame["trusted"]:
            frame["image"], frame["width"], frame["height"] = self._drawn(page)
            if pdf.lost_picture and not frame["trusted"] and len(sheet.pictures) == 1:
                return {"page": page} | _damaged(
                    "The picture of the page is damaged: it cannot be decoded, or not to its end."
                )
        return frame

    def _drawn(self, page: int, scale: float = 1.0) -> tuple[bytes, int, int]:
        file = self._pdf or self._image
        assert file is not None
        edge = round(self._limits.edge_pixels * scale)
        return file.picture(page, edge=edge, quality=self._limits.jpeg_quality)

    def _marked(self, page: int, marks: Sequence[Sequence[Any]], crop: Sequence[float]) -> bytes:
        """What is cut out is drawn larger first, so that a small figure is worth looking at."""
        left, top, right, bottom = crop
        share = max(right - left, bottom - top, 1 / _ENLARGED_MAX)
        jpeg, _, _ = self._drawn(page, 1 / share)
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
            draw_marks(picture, marks)
            return to_jpeg(cut(picture, crop), edge=self._limits.edge_pixels, quality=self._limits.jpeg_quality)[0]


def _damaged(detail: str) -> Frame:
    return {"trusted": False, "cause": Cause.CORRUPT.value, "detail": detail, "damaged": True}


def _lasts(numbers: Sequence[int]) -> list[int]:
    """For each page the last one of its run without a gap."""
    lasts = dict.fromkeys(numbers, 0)
    for page in reversed(numbers):
        lasts[page] = lasts.get(page + 1, page)
    return list(lasts.values())


def confine(limits: Limits, *, threads: bool = False) -> None:
    """Give up what a renderer never needs, for good: memory, time, files, processes, new rights, the environment.

    `threads`: the decoder of HEIC insists on one, so there is a bound on processes instead of none at all.
    """
    os.environ.clear()
    sys.dont_write_bytecode = True
    if sys.platform == "win32":
        return
    import resource

    seconds = int(limits.document_seconds_max) + 1
    for what, most in (
        (resource.RLIMIT_AS, limits.memory_bytes_max),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES_MAX),
        (resource.RLIMIT_NPROC, _tasks_max() if threads else 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # a system that lacks one still has the others and the wall clock
            resource.setrlimit(what, (most, most))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)


def _tasks_max() -> int:
    """A few more than run now: the limit counts every thread of this user. No limit where they cannot be counted."""
    count = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError, ValueError):
            if status.stat().st_uid == os.getuid():
                count += int(status.read_text().partition("\nThreads:")[2].split(maxsplit=1)[0])
    return count + _TASKS_MORE if count else -1


def _text_file(path: Path, media_type: str) -> "TextFile":
    """Imported only in a child that opens one: the zygote loads the PDF engine and nothing else."""
    from ingest.textfile import TextFile

    return TextFile(path, media_type)


def locked(password: str) -> Permanent:
    """A PDF that the password given, if any, does not open. The password itself is never repeated."""
    missing = (
        "It needs a password, and folio has none for it (passwords are kept in memory only and forgotten when folio"
        " ends): add it again with --password."
    )
    wrong = "The password given does not open it: add it again with the right --password."
    return Permanent(Cause.ENCRYPTED, wrong if password else missing)


def _permanent(error: Exception, what: str, path: str = "") -> Permanent:
    """Name the cause of anything that a decoder raises; its words are quoted, never its traceback or our paths."""
    if isinstance(error, Permanent):
        return error
    words = (
        error_text(error).replace(f" file {path!r} as type pdf", " it").replace(path, "it")
        if path
        else error_text(error)
    )
    if isinstance(error, MemoryError) or "alloc" in words:
        return Permanent(Cause.RENDER_OOM)
    return Permanent(Cause.CORRUPT, f"{what}: {words}")
