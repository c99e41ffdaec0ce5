"""The ledger as a stage and an emitter: entries become rows, rows become Documents when they are due.

The stage stores and yields nothing. The emitter is level-triggered: it looks at what is due, never at what just
happened, so that a crash anywhere is followed by the same emission. Of several ledgers one emits, the others follow.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from folio import topics
from folio.batching import Batcher
from folio.blobs import Blobs
from folio.errors import Cause, Permanent, Transient
from folio.faults import effect
from folio.log import Entry, Log, Record
from folio.outputs import Output
from folio.records import revision_of
from folio.stage import Stage
from folio.telemetry import log as logger
from ledger import assembly
from ledger.arrivals import Arrival, arrival
from ledger.following import MayEmit, always
from ledger.plans import Emitted, Plan
from ledger.rebuild import rebuild, restored
from ledger.rules import Timings
from ledger.store import LedgerStore

LOOK_AGAIN_S = 30.0
"""The emitter looks at least this often: wall clocks are set, and sleep with the machine."""
RETRY_S = 1.0
NAME = "ledger"
EMITTER = "ledger emitter"
"""What log lines call it."""
FOLLOWED = (topics.UPLOADS, topics.TEXTS, topics.RECEIPTS, topics.DEAD)


@dataclass(frozen=True, slots=True)
class Role:
    """Which group a ledger reads as, and when it emits. One that `follows` reads what other ledgers emit, too."""

    group: str = NAME
    may_emit: MayEmit = always
    follows: bool = False


ONLY = Role()


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Ledger:
    """What became of every page. Exactly one emits; `emits` says whether it is this one."""

    def __init__(
        self,
        store: LedgerStore,
        log: Log,
        blobs: Blobs,
        timings: Timings,
        *,
        now_ms: Callable[[], int] = wall_ms,
        role: Role = ONLY,
    ) -> None:
        self._store = store
        self._log = log
        self._blobs = blobs
        self._timings = timings
        self._now_ms = now_ms
        self._apply: Batcher[Arrival, None] = Batcher(self._apply_all)
        self._wake = asyncio.Event()
        self._sleeps_until_ms = math.inf
        self._away: Cause | None = None
        self._ticking = asyncio.Lock()
        self._filled = role.follows  # a group of its own begins at the start of the log
        self._role = role
        self.emits = not role.follows
        # No key order: every rule commutes, and one document's pages must share commits.
        self.stage = Stage(
            name=role.group,
            sources=(*FOLLOWED, topics.DOCUMENTS) if role.follows else FOLLOWED,
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
                    self._say(None)
                except Transient as error:
                    self._say(error)
                    due_s = RETRY_S
                await self._sleep(min(due_s, LOOK_AGAIN_S), stopping)
        finally:
            stopping.cancel()

    def _say(self, error: Transient | None) -> None:
        """What the emitter waits for, once, and that it goes on."""
        before, self._away = self._away, error.cause if error else None
        if error is not None and error.cause is not before:
            logger().warning("waiting", stage=EMITTER, cause=error.cause, detail=error.detail)
        elif error is None and before is not None:
            logger().warning("goes on", stage=EMITTER, cause=before)

    async def tick(self, now_s: float | None = None) -> float:
        """Emit everything that is due; returns the seconds until something is, inf when nothing will be."""
        async with self._ticking:
            if not self._filled:
                await self.rebuild(self._log)
            while await self._may_emit():
                now_ms = self._now_ms() if now_s is None else round(now_s * 1000)
                plans, due_ms = await self._store.plan(self._timings, now_ms)
                if plans:
                    await self._emit(plans, now_ms)
                elif due_ms is None or due_ms > now_ms:
                    self._sleeps_until_ms = math.inf if due_ms is None else due_ms
                    return (self._sleeps_until_ms - now_ms) / 1000
            self._sleeps_until_ms = math.inf
            return RETRY_S

    async def _may_emit(self) -> bool:
        """Who takes over first learns all that was emitted before."""
        if not await self._role.may_emit():
            self.emits = False
        elif not self.emits and not await self._behind():
            self.emits = True
            logger().info("emits", stage=self.stage.name)
        return self.emits

    async def _behind(self) -> int:
        """What other ledgers emitted, and the index said to it, that this one has not read."""
        return sum([await self._log.lag(self.stage.name, topic) for topic in (topics.DOCUMENTS, topics.RECEIPTS)])

    async def rebuild(self, log: Log) -> None:
        """Fill a new file from the log; nothing is emitted before it is done. No effect on a file that is filled."""
        if self._filled:
            return
        await rebuild(self._store, log, self._blobs, self._timings, now_ms=self._now_ms)
        self._filled = True

    async def _process(self, entry: Entry) -> AsyncGenerator[Output, None]:
        if entry.position.topic == topics.DOCUMENTS.name:
            await self._follow(entry)
        elif (arrived := self._arrival(entry)) is not None:
            await self._apply(await assembly.with_layer(self._store, self._log, arrived))
        nothing: tuple[Output, ...] = ()
        for output in nothing:
            yield output

    def _arrival(self, entry: Entry) -> Arrival | None:
        try:
            return arrival(entry)
        except Permanent as error:
            # A dead letter about a dead letter would be followed by the next one, for ever; a follower writes none.
            if self.emits and entry.position.topic != topics.DEAD.name:
                raise
            logger().warning("unreadable", at=str(entry.position), detail=error.detail)
            return None

    async def _follow(self, entry: Entry) -> None:
        """A Document that another ledger emitted. Our own come back too, and are known by their revision."""
        revision = revision_of(entry)
        if revision and await self._store.is_known(entry.key, revision):
            return
        if (found := await restored(self._blobs, entry)) is not None:
            due_ms = await self._store.follow(found, self._timings, self._now_ms())
            if due_ms is not None and due_ms < self._sleeps_until_ms:
                self._wake.set()

    async def _apply_all(self, arrivals: Sequence[Arrival]) -> Sequence[None]:
        due_ms = await self._store.apply(arrivals, self._timings, self._now_ms())
        if due_ms is not None and due_ms < self._sleeps_until_ms:
            self._wake.set()
        return [None] * len(arrivals)

    async def _emit(self, plans: Sequence[Plan], now_ms: int) -> None:
        ready = [await self._record(plan) for plan in plans]
        if not await self._may_emit():  # recording may have taken long: asked as late as can be
            return
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
