"""A lost ledger is filled from the log: uploads, documents, receipts, then what is left of texts and dead letters."""

from collections.abc import AsyncIterator, Callable, Sequence

from folio import topics
from folio.blobs import Blobs
from folio.errors import Gone, Permanent
from folio.log import Entry, Log
from folio.records import PageText
from folio.telemetry import log as logger
from folio.topics import Topic
from ledger.arrivals import Arrival, arrival
from ledger.assembly import BLOB, unpack, with_layer
from ledger.plans import Restored
from ledger.rules import Timings
from ledger.store import LedgerStore

READER = "ledger-rebuild"
"""A group that never commits: its lag is how many entries a topic holds."""
ENTRIES_MAX = 256
BYTES_MAX = 16 << 20
PAGES_AT_ONCE = 1000
QUIET_S = 1.0


async def rebuild(store: LedgerStore, log: Log, blobs: Blobs, timings: Timings, *, now_ms: Callable[[], int]) -> None:
    """Replay what every topic holds now. What is appended meanwhile comes through the stage, as ever."""
    if await store.rebuilt():
        return
    for topic in (topics.UPLOADS, topics.DOCUMENTS, topics.RECEIPTS, topics.TEXTS, topics.DEAD):
        async for entries in replay(log, topic):
            if topic is topics.DOCUMENTS:
                await _documents(store, blobs, entries, now_ms())
            else:
                await _apply(store, log, entries, timings, now_ms())
    await store.finish_rebuild(timings, now_ms())


async def replay(log: Log, topic: Topic) -> AsyncIterator[Sequence[Entry]]:
    """What a topic holds now, from the start: until all of it was read or nothing more comes."""
    left = await log.lag(READER, topic)
    if left == 0:
        return
    async with log.reader([topic], None) as reader:
        while left > 0 and (entries := await reader.read(entries_max=ENTRIES_MAX, bytes_max=BYTES_MAX, wait_s=QUIET_S)):
            left -= len(entries)
            yield entries


async def _documents(store: LedgerStore, blobs: Blobs, entries: Sequence[Entry], now_ms: int) -> None:
    found: list[Restored] = []
    for entry in entries:
        found += [one] if (one := await restored(blobs, entry)) else []
        if sum(len(one.document.pages) for one in found) >= PAGES_AT_ONCE:
            await store.restore(found, now_ms)
            found = []
    await store.restore(found, now_ms)


async def restored(blobs: Blobs, entry: Entry) -> Restored | None:
    """A Document on the log; None, with a line that says so, when it cannot be read any more."""
    try:
        document = await unpack(blobs, entry)
    except (Gone, Permanent) as error:
        logger().warning("a document cannot be read again", at=str(entry.position), detail=str(error))
        return None
    return Restored(document, entry.position, entry.appended_ms, entry.headers.get(BLOB, ""))


async def _apply(store: LedgerStore, log: Log, entries: Sequence[Entry], timings: Timings, now_ms: int) -> None:
    batch: list[Arrival] = []
    for entry in entries:
        try:
            arrived = arrival(entry)
        except Permanent:
            continue  # the stage has buried it, or will
        if arrived is None:
            continue
        if isinstance(arrived.message, PageText) and arrived.message.verify:
            # The text layer that it is compared with must be stored by then.
            await store.apply(batch, timings, now_ms)
            batch = []
        batch.append(await with_layer(store, log, arrived))
    await store.apply(batch, timings, now_ms)
