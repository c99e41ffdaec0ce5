"""The ledger as a stage and an emitter: entries become rows, rows become Documents when they are due.

The stage stores and yields nothing. The emitter is level-triggered: it looks at what is due, never at what just
happened, so that a crash anywhere is followed by the same emission.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence

from folio import topics
from folio.batching import Batcher
from folio.blobs import Blobs
from folio.errors import Permanent, Transient
from folio.faults import effect
from folio.log import Entry, Log, Record
from folio.outputs import Output
from folio.stage import Stage
from folio.telemetry import log as logger
from ledger import assembly
from ledger.arrivals import Arrival, arrival
from ledger.plans import Emitted, Plan
from ledger.rebuild import rebuild
from ledger.rules import Timings
from ledger.store import LedgerStore

LOOK_AGAIN_S = 30.0
"""The emitter looks at least this often: wall clocks are set, and sleep with the machine."""
RETRY_S = 1.0


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Ledger:
    """What became of every page. Exactly one is active."""

    def __init__(
        self, store: LedgerStore, log: Log, blobs: Blobs, timings: Timings, *, now_ms: Callable[[], int] = wall_ms
    ) -> None:
        self._store = store
        self._log = log
        self._blobs = blobs
        self._timings = timings
        self._now_ms = now_ms
        self._apply: Batcher[Arrival, None] = Batcher(self._apply_all)
        self._wake = asyncio.Event()
        self._sleeps_until_ms = math.inf
        self._ticking = asyncio.Lock()
        self._filled = False
        # No key order: every rule commutes, and one document's pages must share commits.
        self.stage = Stage(
            name="ledger",
            sources=(topics.UPLOADS, topics.TEXTS, topics.RECEIPTS, topics.DEAD),
            process=self._process,
            entries_max=256,
            linger_s=0.05,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Emit until `stop`. A dependency that is away delays, nothing is lost."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._wake.clear()
                try:
                    due_s = await self.tick()
                except Transient as error:
                    logger().warning("waiting", stage="ledger emitter", cause=error.cause, detail=error.detail)
                    due_s = RETRY_S
                await self._sleep(min(due_s, LOOK_AGAIN_S), stopping)
        finally:
            stopping.cancel()

    async def tick(self, now_s: float | None = None) -> float:
        """Emit everything that is due; returns the seconds until something is, inf when nothing will be."""
        async with self._ticking:
            if not self._filled:
                await self.rebuild(self._log)
            while True:
                now_ms = self._now_ms() if now_s is None else round(now_s * 1000)
                plans, due_ms = await self._store.plan(self._timings, now_ms)
                if plans:
                    await self._emit(plans, now_ms)
                elif due_ms is None or due_ms > now_ms:
                    self._sleeps_until_ms = math.inf if due_ms is None else due_ms
                    return (self._sleeps_until_ms - now_ms) / 1000

    async def rebuild(self, log: Log) -> None:
        """Fill a new file from the log; nothing is emitted before it is done. No effect on a file that is filled."""
        await rebuild(self._store, log, self._blobs, self._timings, now_ms=self._now_ms)
        self._filled = True

    async def _process(self, entry: Entry) -> AsyncGenerator[Output, None]:
        try:
            arrived = arrival(entry)
        except Permanent as error:
            # A dead letter about a dead letter would be followed by the next one, for ever.
            if entry.position.topic != topics.DEAD.name:
                raise
            logger().warning("unreadable dead letter", at=str(entry.position), detail=error.detail)
            arrived = None
        if arrived is not None:
            await self._apply(await assembly.with_layer(self._store, self._log, arrived))
        nothing: tuple[Output, ...] = ()
        for output in nothing:
            yield output

    async def _apply_all(self, arrivals: Sequence[Arrival]) -> Sequence[None]:
        due_ms = await self._store.apply(arrivals, self._timings, self._now_ms())
        if due_ms is not None and due_ms < self._sleeps_until_ms:
            self._wake.set()
        return [None] * len(arrivals)

    async def _emit(self, plans: Sequence[Plan], now_ms: int) -> None:
        ready = [await self._record(plan) for plan in plans]
        with effect("ledger.documents"):
            positions = await self._log.append(topics.DOCUMENTS, [record for record, _ in ready])
        emitted = [
            Emitted(plan=plan, position=position, blob=blob)
            for plan, position, (_, blob) in zip(plans, positions, ready, strict=True)
        ]
        await self._store.mark(emitted, self._timings, now_ms)

    async def _record(self, plan: Plan) -> tuple[Record, str]:
        if plan.again and (record := await assembly.last_record(self._log, plan)):
            return record, record.headers.get(assembly.BLOB, "")
        if bodies := await assembly.recover(self._log, self._blobs, plan):
            await self._store.keep_bodies(plan, bodies)
        return await assembly.as_record(self._log, self._blobs, plan)

    async def _sleep(self, wait_s: float, stopping: "asyncio.Task[bool]") -> None:
        waking = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait({waking, stopping}, timeout=max(0.0, wait_s), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
