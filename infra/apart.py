"""A log, or a replay's one stage, open in a process that joins no live group."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial

from folio.log import Log
from folio.settings import Settings
from folio.topics import DOCUMENTS, UPLOADS
from infra.lock import owning
from infra.places import REPLAYS_APART_FOLDER
from infra.replays import Replays, reader_of
from infra.roles import INDEX, INGEST, OCR
from infra.wiring import open_blobs, open_log, open_parts


@asynccontextmanager
async def open_log_alone(settings: Settings) -> AsyncIterator[Log]:
    """The log and nothing else. Raises Owned when it is embedded and a process has it open."""
    async with AsyncExitStack() as stack:
        stack.enter_context(nullcontext() if settings.kafka.servers else owning(settings.data))
        yield await open_log(stack, settings, await open_blobs(settings))


@asynccontextmanager
async def open_replays(settings: Settings, topic: str) -> AsyncIterator[Replays]:
    """Replays of one topic, with the stage that reads it."""
    role = {UPLOADS.name: INGEST, DOCUMENTS.name: INDEX}.get(topic, OCR)
    async with open_parts(settings, frozenset({role})) as parts:
        if parts.index is not None:
            await parts.index.opening
        stop = asyncio.Event()
        following = asyncio.create_task(parts.ocr.follow(parts.log, stop)) if parts.ocr else None
        replays = Replays(parts.log, settings.data / REPLAYS_APART_FOLDER, partial(reader_of, parts.stages))
        try:
            yield replays
        finally:
            await replays.close()
            stop.set()
            if following is not None:
                await asyncio.wait({following})
