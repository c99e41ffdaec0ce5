"""What grows without end is cut back: the embedded log, and blobs that nothing refers to any more."""

import asyncio
import time

from folio.errors import Transient
from folio.stage import Stage
from folio.telemetry import log
from folio.topics import DOCUMENTS, TEXTS, UPLOADS
from infra.sqlite_log import SqliteLog
from infra.wiring import Parts
from ledger import audit

EVERY_S = 60.0
SHARED_EVERY_S = 3600.0
"""Listing an object store is many requests."""
REFERRING = (UPLOADS, TEXTS, DOCUMENTS)


class Housekeeping:
    """One round a call, by the ledger that emits: only it knows which blobs are needed.

    A blob goes when nothing refers to it and it is older than `grace_s` was when the ledger had last read everything:
    what it has not read yet may name it.
    """

    def __init__(self, parts: Parts, *, grace_s: float) -> None:
        self._parts = parts
        self._grace_s = grace_s
        self._read_s: dict[str, float] = {}

    @property
    def interval_s(self) -> float:
        return EVERY_S if isinstance(self._parts.log, SqliteLog) else SHARED_EVERY_S

    async def __call__(self) -> int:
        """How many blobs were swept. A full disk, or a log that is away, waits for the next round."""
        ledger = self._parts.ledger
        if ledger is None or not ledger.emits:
            return 0
        try:
            needed_by_log = await self._needed_by_log()
            read_s = await self._read_until(ledger.stage)
            if read_s is None:
                return 0
            keep = needed_by_log | await asyncio.to_thread(audit.live_blobs, self._parts.ledger_file)
            return await self._parts.blobs.sweep(keep, older_than_s=time.time() - read_s + self._grace_s)
        except Transient as error:
            log().warning("housekeeping waits", cause=error.cause)
            return 0

    async def _needed_by_log(self) -> set[str]:
        """What the embedded log itself keeps in blobs; a broker keeps everything, and its own house."""
        if not isinstance(self._parts.log, SqliteLog):
            return set()
        await self._parts.log.housekeep()
        return await self._parts.log.referenced_blobs()

    async def _read_until(self, stage: Stage) -> float | None:
        """The last moment at which the ledger was known to have read all that names blobs; None: not yet."""
        topics = [topic.name for topic in stage.sources if topic in REFERRING]
        for topic in stage.sources:
            now_s = time.time()
            if topic in REFERRING and await self._parts.log.lag(stage.name, topic) == 0:
                self._read_s[topic.name] = now_s
        return min(map(self._read_s.__getitem__, topics)) if self._read_s.keys() >= set(topics) else None
