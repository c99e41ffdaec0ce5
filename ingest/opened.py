"""One file open in one sandbox child: what the child says is checked, and whatever goes wrong has its cause."""

import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from folio.child import ChildDied, ChildTimeout, Remote, RemoteError, Zygote
from folio.errors import Cause, Permanent
from folio.records import Block, Box
from ingest import sniff
from ingest.limits import Limits
from ingest.marks import Mark, corners

MARKDOWN_CHARS_MAX = 4_000_000
BLOCKS_MAX = 50_000
IMAGE_BYTES_MAX = 64 << 20
HIDDEN_TEXT = Cause.HIDDEN_TEXT.value
TEXT_ENGINES = {sniff.TEXT: "text", sniff.MARKDOWN: "markdown", sniff.HTML: "html", sniff.CSV: "csv"}
_JPEG = b"\xff\xd8\xff"
_FORK_TRIES = 3
_WENT_WRONG = (ChildTimeout, ChildDied, RemoteError, ValueError, TypeError, LookupError)


@dataclass(frozen=True, slots=True)
class ReadPage:
    """One page: its Markdown when the text layer is trusted, its picture when it is not or when asked, or a cause."""

    page: int
    page_count: int
    image: bytes | None = None
    width: int = 0
    height: int = 0
    markdown: str = ""
    blocks: tuple[Block, ...] = ()
    trusted: bool = False
    cause: Cause | None = None
    detail: str = ""
    engine: str = ""
    flags: tuple[str, ...] = ()
    damaged: bool = False
    """It failed because bytes of it are not those that were written: no other engine can read it whole."""


@dataclass(frozen=True, slots=True)
class What:
    """What a child opens. The password shows in no representation, so that no log line carries it."""

    path: Path
    media_type: str
    password: str = field(default="", repr=False)

    def read_by(self, engine: str) -> str:
        """What its pages name as their reader: the engine, or the kind of text that no engine has seen."""
        return TEXT_ENGINES.get(self.media_type, engine)


class Clock:
    """The seconds that are left for one document. Only waiting for its children counts, not our consumer."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    @contextmanager
    def runs(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.left -= time.monotonic() - began


class Frame(BaseModel):
    """A page as the child sends it: bytes from a process that opened a hostile file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    page: int = Field(ge=1)
    markdown: str = Field(default="", max_length=MARKDOWN_CHARS_MAX)
    blocks: list[Block] = Field(default=[], max_length=BLOCKS_MAX, strict=False)
    trusted: bool = False
    hidden_text: bool = False
    damaged: bool = False
    image: bytes | None = Field(default=None, max_length=IMAGE_BYTES_MAX)
    width: int = Field(default=0, ge=0)
    height: int = Field(default=0, ge=0)
    cause: Cause | None = Field(default=None, strict=False)
    detail: str = Field(default="", max_length=2000)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.image is not None and not self.image.startswith(_JPEG):
            raise ValueError("the picture is no JPEG")
        if self.cause is None and not self.trusted and self.image is None:
            raise ValueError("neither text nor picture")
        if any(block.end < block.start or block.end > len(self.markdown) for block in self.blocks):
            raise ValueError("a block lies outside of the text")
        if any(after.start < before.end for before, after in pairwise(self.blocks)):
            raise ValueError("blocks overlap")
        return self


class OpenFile:
    """A child with a file open in it. Every failure is Permanent and leaves the child dead or fit for more."""

    def __init__(self, engine: str, child: Remote, page_count: int, what: What, limits: Limits) -> None:
        self.engine = engine
        self._read_by = what.read_by(engine)
        self.page_count = page_count
        self._child = child
        self._limits = limits

    @classmethod
    async def start(cls, zygote: Zygote, engine: str, what: What, *, limits: Limits, clock: Clock) -> Self:
        """Fork a child and open `what` in it."""
        child = await _forked(zygote, {**asdict(limits), "threads": what.media_type == sniff.HEIC})
        try:
            with clock.runs(), _named():
                count = await child.call(
                    "open", str(what.path), what.media_type, what.password, seconds_max=_seconds(limits, clock)
                )
                if type(count) is not int or not 1 <= count <= limits.pages_max:
                    raise ValueError(f"{count!r:.80} pages")
        except BaseException:
            child.kill()
            raise
        return cls(engine, child, count, what, limits)

    async def pages(
        self, numbers: Sequence[int], *, verify: Sequence[int], clock: Clock, ahead: bool = False
    ) -> AsyncGenerator[ReadPage, None]:
        """The pages `numbers` in their order; a page with a cause is followed by the next one."""
        stream = self._child.stream("pages", numbers, verify, ahead, item_seconds_max=_seconds(self._limits, clock))
        async with aclosing(stream) as frames:
            for page in numbers:
                with clock.runs(), _named():
                    read = self._checked(await anext(frames, None), page)
                yield read
                if clock.left <= 0:
                    return

    async def picture(self, page: int, *, clock: Clock, marks: Sequence[Mark] = (), crop: Box | None = None) -> bytes:
        """One page as JPEG, marks drawn on it, or the part of it in `crop`."""
        packed, part = [mark.packed() for mark in marks], corners(crop) if crop else ()
        with clock.runs(), _named():
            image = await self._child.call("picture", page, packed, part, seconds_max=_seconds(self._limits, clock))
            return self._checked({"page": page, "image": image}, page).image or b""

    def close(self) -> None:
        self._child.kill()

    def _checked(self, frame: Any, page: int) -> ReadPage:
        if frame is None:
            raise ChildDied("sandbox")
        read = Frame.model_validate(frame)
        if read.page != page:
            raise ValueError(f"page {read.page} instead of {page}")
        return ReadPage(
            page=page,
            page_count=self.page_count,
            image=read.image,
            width=read.width,
            height=read.height,
            markdown=read.markdown,
            blocks=tuple(read.blocks),
            trusted=read.trusted,
            cause=read.cause,
            detail=read.detail,
            engine=self._read_by,
            flags=(HIDDEN_TEXT,) if read.hidden_text else (),
            damaged=read.damaged,
        )


async def _forked(zygote: Zygote, settings: Mapping[str, Any]) -> Remote:
    """A zygote that was killed under us is started again by the next try."""
    for _ in range(_FORK_TRIES - 1):
        try:
            return await zygote.fork(settings)
        except (ChildDied, ChildTimeout):
            continue
    return await zygote.fork(settings)


def _seconds(limits: Limits, clock: Clock) -> float:
    return max(0.01, min(limits.page_seconds_max, clock.left))


@contextmanager
def _named() -> Iterator[None]:
    """Turn whatever a child did into a cause."""
    try:
        yield
    except _WENT_WRONG as error:
        raise _cause_of(error) from None


def _cause_of(error: Exception) -> Permanent:
    if isinstance(error, ChildTimeout):
        return Permanent(Cause.RENDER_TIMEOUT)
    if isinstance(error, ChildDied):
        return Permanent(Cause.RENDER_CRASH)
    if isinstance(error, RemoteError):
        return Permanent(Cause.RENDER_CRASH, f"The renderer failed: {str(error)[:200]}")
    what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
    return Permanent(Cause.RENDER_CRASH, f"The renderer's answer makes no sense ({what[:200]}); it was ended.")
