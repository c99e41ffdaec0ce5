"""The only consuming loop and the only retry: read, process with bounded concurrency, append, commit last."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

from folio import topics
from folio.batching import Batcher
from folio.errors import Cause, LeaseLost, Permanent, StageStopped, Transient
from folio.gate import Gate
from folio.ids import Doc, version_at
from folio.log import Entry, Lease, Log, Position, Reader, Record
from folio.records import DeadLetter
from folio.telemetry import READY, RETRIES, StageMeter, log
from folio.topics import Topic
from folio.tracker import Tracker

Output = tuple[Topic, Record]
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A named function from an entry to records, and the bounds within which the loop runs it.

    `process` yields outputs as they come; they are appended as they appear and the entry counts as finished
    when all of them are durable. It may be repeated at any time, so its effects must be idempotent.
    It raises Permanent (dead letter), Transient (wait and repeat), or anything else (retry alone, then dead letter).
    """

    name: str
    sources: tuple[Topic, ...]
    process: Callable[[Entry], AsyncGenerator[Output, None]]
    key_order: bool = False
    entries_max: int = 64
    bytes_max: int = 64 * MIB
    uncommitted_max: int = 1024
    outputs_max: int = 64
    output_bytes_max: int = 32 * MIB
    attempts_max: int = 3
    failures_max: int = 5
    backoff_s: tuple[float, ...] = (0.2, 0.5, 1, 2, 5, 10, 30)
    commit_every_s: float = 0.1
    grace_s: float = 20.0


class StageLoop:
    """One running member of a stage's group. `ready` is False while it waits for a dependency."""

    def __init__(self, stage: Stage, to: Log) -> None:
        self.stage = stage
        self.ready = True
        self.waits_for: Cause | None = None
        self.meter = StageMeter(stage.name)
        self._log = to
        self._append = Batcher(self._append_all)
        self._gate = Gate()
        self._trackers: dict[Lease, Tracker] = {}
        self._running: dict[asyncio.Task[None], Entry] = {}
        self._last_of_key: dict[str, asyncio.Task[None]] = {}
        self._bytes = 0
        self._changed = asyncio.Event()
        self._failures = 0
        self._stopped: StageStopped | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then finish what runs (within grace_s), commit and leave. Raises StageStopped."""
        async with self._log.reader(self.stage.sources, self.stage.name) as reader:
            committer = asyncio.create_task(self._keep_committing(reader))
            stopping = asyncio.create_task(stop.wait())
            try:
                while not stop.is_set():
                    await self._turn(reader, stopping, wait_s=5.0)
            finally:
                stopping.cancel()
                await self._finish()
                committer.cancel()
                await asyncio.wait({committer})
                await self._commit(reader)
                self.meter.line(force=True)

    async def run_until_idle(self) -> int:
        """Work until nothing is left to read and nothing runs; returns how many entries were taken."""
        async with self._log.reader(self.stage.sources, self.stage.name) as reader:
            taken = 0
            try:
                while new := await self._turn(reader, None, wait_s=0.0):
                    taken += new
                    await self._settle()
                    await self._commit(reader)
            finally:
                await self._finish()
            return taken

    async def _turn(self, reader: Reader, stopping: "asyncio.Task[bool] | None", *, wait_s: float) -> int:
        """Read what there is room for and start it; returns how many entries were read."""
        self._raise_if_stopped()
        entries, size = self._room()
        if entries < 1 or size < 1:
            await self._wait_for_change()
            return 0
        reading = asyncio.create_task(reader.read(entries_max=entries, bytes_max=size, wait_s=wait_s))
        await asyncio.wait({reading, stopping} if stopping else {reading}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            reading.cancel()
            await asyncio.wait({reading})
            return 0
        try:
            found = reading.result()
        except Transient as error:
            await self._wait_for_dependency(error, 1.0)
            return 0
        await self._start(reader, found)
        return len(found)

    def _room(self) -> tuple[int, int]:
        self._drop_lost()
        waiting = sum(tracker.uncommitted for tracker in self._trackers.values())
        entries = min(self.stage.entries_max - len(self._running), self.stage.uncommitted_max - waiting)
        return entries, self.stage.bytes_max - self._bytes

    def _drop_lost(self) -> None:
        """Forget partitions that were taken from us; their running work is cancelled."""
        lost = [task for task, entry in self._running.items() if entry.lease not in self._trackers]
        for task in lost:
            task.cancel()

    async def _start(self, reader: Reader, entries: Sequence[Entry]) -> None:
        for entry in entries:
            assert entry.lease is not None
            self._trackers.setdefault(entry.lease, Tracker()).begin(entry.position.offset)
        fresh = [entry for entry in entries if entry.attempt == 0]
        if fresh:
            await reader.started(fresh)
        for entry in entries:
            task = asyncio.create_task(self._handle(reader, entry, self._last_of_key.get(entry.key)))
            self._running[task] = entry
            if self.stage.key_order:
                self._last_of_key[entry.key] = task
            self._bytes += len(entry.value)
            task.add_done_callback(self._ended)
        self.meter.in_flight(len(self._running), self._bytes)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        entry = self._running.pop(task)
        self._bytes -= len(entry.value)
        if self._last_of_key.get(entry.key) is task:
            del self._last_of_key[entry.key]
        if not task.cancelled() and task.exception() is None:
            tracker = self._trackers.get(entry.lease) if entry.lease else None
            if tracker is not None:
                tracker.finish(entry.position.offset)
        elif not task.cancelled():
            error = task.exception()
            self._stopped = error if isinstance(error, StageStopped) else StageStopped(f"{self.stage.name}: {error!r}")
        self._changed.set()

    async def _handle(self, reader: Reader, entry: Entry, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait({before})
        began = time.monotonic()
        outcome = None
        if entry.attempt == 0:
            async with self._gate.shared():
                outcome = await self._attempt(entry, None)
            entry = replace(entry, attempt=1)
        while outcome is None:
            outcome = await self._alone(reader, entry)
            entry = replace(entry, attempt=entry.attempt + 1)
        self.meter.finished(outcome, time.monotonic() - began)

    async def _alone(self, reader: Reader, entry: Entry) -> str | None:
        """Retry with nothing beside it. What kills us then is this entry, so only this one is counted."""
        async with self._gate.alone():
            if entry.attempt >= self.stage.attempts_max:
                self._count_failure()
                await self._bury(entry, Cause.INTERNAL, f"failed or killed its process {entry.attempt} times")
                return "dead"
            await reader.started([entry])
            return await self._attempt(entry, reader)

    async def _attempt(self, entry: Entry, reader: Reader | None) -> str | None:
        """Run to an outcome; None means: something unexpected, to be retried alone."""
        for pause in self._pauses():
            try:
                await self._process(entry, reader)
            except Transient as error:
                await self._wait_for_dependency(error, pause)
                continue
            except Permanent as error:
                await self._bury(entry, error.cause, error.detail)
                return "dead"
            except (asyncio.CancelledError, StageStopped):
                raise
            except Exception:
                RETRIES.labels(self.stage.name, Cause.INTERNAL).inc()
                log().exception("unexpected", stage=self.stage.name, key=entry.key, at=str(entry.position))
                return None
            self._failures = 0
            self._set_ready(None)
            return "ok"
        raise AssertionError("pauses never end")

    async def _process(self, entry: Entry, reader: Reader | None) -> None:
        """Append outputs as they appear, under the byte budget; return when all are durable."""
        pending: list[tuple[asyncio.Future[Position], int]] = []
        waiting_bytes = 0
        try:
            async with aclosing(self.stage.process(entry)) as outputs:
                async for output in outputs:
                    pending.append((self._append(output), len(output[1].value)))
                    waiting_bytes += len(output[1].value)
                    if reader is not None and pending[0][0].done():
                        await self._forgive(reader, entry)
                        reader = None
                    while len(pending) > self.stage.outputs_max or waiting_bytes > self.stage.output_bytes_max:
                        first, size = pending.pop(0)
                        await first
                        waiting_bytes -= size
            for first, _ in pending:
                await first
        finally:
            for first, _ in pending:
                first.add_done_callback(_retrieved)

    async def _forgive(self, reader: Reader, entry: Entry) -> None:
        """A suspect that makes progress was not what killed us: its earlier attempts no longer count."""
        await reader.started([replace(entry, attempt=0)])

    async def _append_all(self, outputs: Sequence[Output]) -> Sequence[Position]:
        by_topic: dict[Topic, list[int]] = defaultdict(list)
        for index, (topic, _) in enumerate(outputs):
            by_topic[topic].append(index)
        positions: dict[int, Position] = {}
        for topic, indexes in by_topic.items():
            at = await self._log.append(topic, [outputs[index][1] for index in indexes])
            positions.update(zip(indexes, at, strict=True))
            self.meter.appended(topic.name, len(indexes))
        return [positions[index] for index in range(len(outputs))]

    async def _bury(self, entry: Entry, cause: Cause, detail: str = "") -> None:
        letter = dead_letter(self.stage.name, entry, cause, detail)
        record = Record(key=letter.doc or entry.key, value=letter.encode(), headers=dict(entry.headers))
        for pause in self._pauses():
            try:
                await self._append((topics.DEAD, record))
            except Transient as error:
                await self._wait_for_dependency(error, pause)
            else:
                self._set_ready(None)
                return

    def _count_failure(self) -> None:
        self._failures += 1
        if self._failures >= self.stage.failures_max:
            raise StageStopped(
                f"stage {self.stage.name}: {self._failures} records in a row failed for no known cause, "
                "so it is not the records. The log above has the errors; nothing was lost."
            )

    def _pauses(self) -> "PauseIterator":
        return PauseIterator(self.stage.backoff_s)

    async def _wait_for_dependency(self, error: Transient, pause: float) -> None:
        if self.ready:
            log().warning("waiting", stage=self.stage.name, cause=error.cause, detail=error.detail)
        RETRIES.labels(self.stage.name, error.cause).inc()
        self._set_ready(error.cause)
        await asyncio.sleep(pause)

    def _set_ready(self, waits_for: Cause | None) -> None:
        self.ready, self.waits_for = waits_for is None, waits_for
        READY.labels(self.stage.name).set(self.ready)

    async def _keep_committing(self, reader: Reader) -> None:
        while True:
            await asyncio.sleep(self.stage.commit_every_s)
            try:
                await self._commit(reader)
            except Transient as error:
                log().warning("commit", stage=self.stage.name, cause=error.cause)
            self.meter.line()

    async def _commit(self, reader: Reader) -> None:
        held = reader.held()
        for lease in [lease for lease in self._trackers if lease not in held]:
            del self._trackers[lease]
        due = {lease: at for lease, tracker in self._trackers.items() if (at := tracker.to_commit) is not None}
        if not due:
            return
        try:
            await reader.commit(due)
        except LeaseLost:
            log().info("lease lost", stage=self.stage.name)
            return
        for lease, offset in due.items():
            if lease in self._trackers:
                self._trackers[lease].committed(offset)

    async def _wait_for_change(self) -> None:
        self._changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout=1.0)

    async def _settle(self) -> None:
        while self._running:
            await asyncio.wait(set(self._running), return_when=asyncio.FIRST_COMPLETED)
        self._raise_if_stopped()

    async def _finish(self) -> None:
        if self._running:
            await asyncio.wait(set(self._running), timeout=self.stage.grace_s)
        for task in list(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(set(self._running))

    def _raise_if_stopped(self) -> None:
        if self._stopped is not None:
            raise self._stopped


class PauseIterator:
    """Back off through the given seconds, then stay at the last."""

    def __init__(self, seconds: Sequence[float]) -> None:
        self._seconds = seconds
        self._index = -1

    def __iter__(self) -> "PauseIterator":
        return self

    def __next__(self) -> float:
        self._index = min(self._index + 1, len(self._seconds) - 1)
        return self._seconds[self._index]


def dead_letter(stage: str, entry: Entry, cause: Cause, detail: str) -> DeadLetter:
    """What failed, why and where it lies. Page and version come from the entry, so the ledger can name the gap."""
    header = entry.headers.get
    version = header("folio-version", "")
    if entry.position.topic == topics.UPLOADS.name:
        version = str(version_at(entry.appended_ms, entry.position.offset))
    page = header("folio-page", "")
    doc = f"{header('folio-tenant') or 'default'}/{header('folio-doc-id')}" if header("folio-doc-id") else entry.key
    return DeadLetter(
        stage=stage,
        cause=cause,
        detail=detail[:2000],
        topic=entry.position.topic,
        partition=entry.position.partition,
        offset=entry.position.offset,
        key=entry.key,
        attempts=entry.attempt + 1,
        doc=Doc(doc),
        version=int(version) if version.isdecimal() else None,
        page=int(page) if page.isdecimal() else None,
    )


def _retrieved(future: "asyncio.Future[Position]") -> None:
    """Look at a future's error so that asyncio does not report it; the entry is repeated as a whole."""
    if not future.cancelled():
        future.exception()
