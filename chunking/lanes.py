"""Two chunker processes: one takes every document, the other only small ones, so that these never wait for a large."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import zstandard

from folio.child import Child, ChildGone, ChildTimeout
from folio.errors import Cause, Permanent

SMALL_BYTES = 1 << 20
"""Of a document unpacked; a second of chunking, boxes and metadata included."""
FACTORY = "chunking.process:ChunkProcess"


class Lanes:
    """The second process starts when the first is busy as a small document comes."""

    def __init__(self, settings: Mapping[str, Any], *, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        self._all, self._small = Child(FACTORY, settings), Child(FACTORY, settings)
        self._idle = [self._all, self._small]
        self._changed = asyncio.Condition()

    async def chunk(self, value: bytes) -> bytes:
        """An encoded ChunkSet of a packed Document. Raises Permanent(too_large) past `seconds_max` of work."""
        async with self._lane(is_small=is_small(value)) as child:
            try:
                try:
                    return bytes(await child.call("chunk", value, seconds_max=self._seconds_max))
                except ChildGone:  # it was dead before this document came
                    return bytes(await child.call("chunk", value, seconds_max=self._seconds_max))
            except ChildTimeout as error:
                why = f"chunking took longer than chunking.document_seconds_max = {self._seconds_max:g} s"
                raise Permanent(Cause.TOO_LARGE, f"{why}: raise the setting or split the file") from error

    @asynccontextmanager
    async def _lane(self, *, is_small: bool) -> AsyncIterator[Child]:
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._idle) and (is_small or self._all in self._idle))
            child = self._all if self._all in self._idle else self._small
            self._idle.remove(child)
        try:
            yield child
        finally:
            self._idle.append(child)
            async with self._changed:
                self._changed.notify_all()

    async def close(self) -> None:
        await asyncio.gather(self._all.close(), self._small.close())


def is_small(value: bytes) -> bool:
    """By what it unpacks to: a gigabyte of one letter packs to nothing."""
    try:
        size = int(zstandard.frame_content_size(value))
    except zstandard.ZstdError:
        return True  # no document: refused at once
    return 0 <= size <= SMALL_BYTES
