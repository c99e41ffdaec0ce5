"""The only consuming loop and the only retry: read, process with bounded concurrency, append, commit last."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from folio import topics
from folio.batching import Batcher, has_answer, looked_at
from folio.errors import Cause, LeaseLost, Permanent, StageStopped, Transient
from folio.gate import Gate
from folio.letters import DeadLetter
from folio.log import FLAW, Entry, Lease, Log, Position, Reader
from folio.outputs import Output, append_all
from folio.patience import Patience
from folio.telemetry import RETRIES, StageMeter, log
from folio.topics import Topic
from folio.tracker import Tracker

MIB = 1 << 20
ASK_EVERY_S = 1.0
"""How often a stage that may not take asks again."""
SHARED_ATTEMPTS_MAX = 2
BUSY_BEATS = 5


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A named function from an entry to records, and the bounds within which the loop runs it.

    `process` yields outputs, appended as they appear; the entry is finished when all of them are durable. It may be
    repeated at any time. It raises Permanent (dead letter), Transient (wait, repeat), else: retry alone, dead letter.
    `linger_s` is how long a read or an append waits for company: each costs the same, however little it carries.
    While `may_take` says no, nothing is read: work that nobody waits for gives way to work that somebody does.
    `undo` takes back what an entry that became a dead letter left half done; it may be repeated, and raise Transient.
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
    linger_s: float = 0.0
    grace_s: float = 3.0
    may_take: Callable[[], Awaitable[bool]] | None = None
    undo: Callable[[Entry], Awaitable[None]] | None = None


class StageLoop:
    """One running member of a stage's group. `ready` is False while something waits for a dependency."""

    def __init__(self, stage: Stage, to: Log) -> None:
        self.stage = stage
        self.meter = StageMeter(stage.name)
        self._log = to
        self._append = Batcher(partial(append_all, to, appended=self.meter.appended), linger_s=stage.linger_s)
        self._gate = Gate()
        self._patience = Patience(stage.name, stage.backoff_s)
        self._trackers: dict[Lease, Tracker] = {}
        self._running: dict[asyncio.Task[None], Entry] = {}
        self._working: set[asyncio.Task[Any] | None] = set()
        self._settling: set[asyncio.Task[Any] | None] = set()
        self._last_of_key: dict[str, asyncio.Task[None]] = {}
        self._bytes = 0
        self._changed = asyncio.Event()
        self._failures = 0
        self._taking: asyncio.Task[Sequence[Entry]] | None = None
        self._stopped: StageStopped | None = None

    @property
    def ready(self) -> bool:
        return not self._patience.waits

    @property
    def waits_for(self) -> Cause | None:
        return next(iter(self._patience.waits.values()), None)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then finish what runs (within grace_s), commit and leave. Raises StageStopped."""
        self._patience.over = False
        async with self._log.reader(self.stage.sources, self.stage.name) as reader:
            committer = asyncio.create_task(self._keep_committing(reader))
            stopping = asyncio.create_task(stop.wait())
            try:
                while not stop.is_set():
                    if await self._may_turn(reader, stopping):
                        await asyncio.sleep(self.stage.linger_s)
            finally:
                stopping.cancel()
                await self._finish(reader)
                committer.cancel()
                await asyncio.wait({committer})
                await self._try_commit(reader)
                self.meter.line(force=True)

    async def run_until_idle(self) -> int:
        """Work until nothing is left to read and nothing runs; returns how many entries were taken."""
        self._patience.over = False
        async with self._log.reader(self.stage.sources, self.stage.name) as reader:
            taken = 0
            try:
                while new := await self._turn(reader, None, wait_s=0.0):
                    taken += new
                    await self._settle()
                    await self._patience(lambda: self._commit(reader))
            finally:
                await self._finish(reader)
            return taken

    async def _may_turn(self, reader: Reader, stopping: "asyncio.Task[bool]") -> int:
        if self.stage.may_take is None:
            return await self._turn(reader, stopping, wait_s=5.0)
        taken = await self._turn(reader, stopping, wait_s=0.0) if await self.stage.may_take() else 0
        if not taken:  # what comes now may only be taken after another look
            await asyncio.wait({stopping}, timeout=ASK_EVERY_S)
        return taken

    async def _turn(self, reader: Reader, stopping: "asyncio.Task[bool] | None", *, wait_s: float) -> int:
        """Read what there is room for and start it; returns how many entries were read."""
        self._raise_if_stopped()
        entries, size = self._room()
        if entries < 1 or size < 1:
            await self._wait_for_change()
            return 0
        self._taking = taking = asyncio.create_task(
            self._take(reader, entries_max=entries, bytes_max=size, wait_s=wait_s)
        )
        try:
            await asyncio.wait({taking, stopping} if stopping else {taking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            taking.cancel()  # changes nothing when it is done
            await asyncio.wait({taking})
        found = () if taking.cancelled() else taking.result()
        self._start(reader, found)
        return len(found)

    def _room(self) -> tuple[int, int]:
        waiting = sum(tracker.uncommitted for tracker in self._trackers.values())
        settling = min(len(self._settling), self.stage.entries_max)  # they only wait for a disk: others may begin
        entries = min(self.stage.entries_max - len(self._running) + settling, self.stage.uncommitted_max - waiting)
        return entries, self.stage.bytes_max - self._bytes

    async def _take(self, reader: Reader, *, entries_max: int, bytes_max: int, wait_s: float) -> Sequence[Entry]:
        """Read, and put on record that these are attempted. What may have killed us is counted when it is alone."""
        found = await self._patience(lambda: reader.read(entries_max=entries_max, bytes_max=bytes_max, wait_s=wait_s))
        sharing = [entry for entry in found if self._may_share(entry)]
        try:
            if sharing:
                await self._patience(lambda: reader.started(sharing))
        except LeaseLost:
            return [entry for entry in found if entry.lease in reader.held()]
        return found

    def _may_share(self, entry: Entry) -> bool:
        """Everybody is interrupted once: a second time is suspicious, and a suspect runs alone."""
        return entry.attempt < min(SHARED_ATTEMPTS_MAX, self.stage.attempts_max)

    def _start(self, reader: Reader, entries: Sequence[Entry]) -> None:
        for entry in entries:
            assert entry.lease is not None
            self._trackers.setdefault(entry.lease, Tracker()).begin(entry.position.offset)
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
        self.meter.in_flight(len(self._running), self._bytes)
        if self._last_of_key.get(entry.key) is task:
            del self._last_of_key[entry.key]
        tracker = self._trackers.get(entry.lease) if entry.lease else None
        error = self._stopped if task.cancelled() else task.exception()
        if task.cancelled() and error is None and tracker is not None and not self._patience.over:
            error = asyncio.CancelledError("cancelled from within")
        if error is not None and not isinstance(error, LeaseLost):
            self._halt(error, str(entry.position))
        elif error is None and not task.cancelled() and tracker is not None:
            tracker.finish(entry.position.offset)
        self._changed.set()

    async def _handle(self, reader: Reader, entry: Entry, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait({before})
        began = time.monotonic()
        outcome = None
        if self._may_share(entry):
            async with self._gate.shared():
                outcome = await self._attempt(reader, entry, alone=False)
            entry = replace(entry, attempt=entry.attempt + 1)
        while outcome is None:
            outcome = await self._alone(reader, entry)
            entry = replace(entry, attempt=entry.attempt + 1)
        self.meter.finished(outcome, time.monotonic() - began)

    async def _alone(self, reader: Reader, entry: Entry) -> str | None:
        """Retry with nothing beside it. What kills us then is this entry, so only this one is counted."""
        async with self._gate.alone():
            if entry.attempt >= self.stage.attempts_max:
                self._count_failure()
                tried = replace(entry, attempt=entry.attempt - 1)
                await self._bury(tried, Cause.INTERNAL, f"failed or killed its process {entry.attempt} times")
                return "dead"
            await self._patience(lambda: reader.started([entry]))
            outcome = await self._attempt(reader, entry, alone=True)
            if outcome is not None:  # it may stay uncommitted for long, behind one that kills us
                await self._forgive(reader, entry)
            return outcome

    async def _attempt(self, reader: Reader, entry: Entry, *, alone: bool) -> str | None:
        """Run to an outcome; None means: something unexpected, to be retried alone."""
        forgiven = False

        async def process() -> None:
            nonlocal forgiven
            if FLAW in entry.headers:
                raise Permanent(Cause.SCHEMA_INVALID, entry.headers[FLAW])
            try:
                await self._process(reader if alone else None, entry)
            except Transient:
                if not forgiven:
                    await self._forgive(reader, entry)
                forgiven = True
                raise

        try:
            await self._patience(process)
        except Permanent as error:
            await self._bury(entry, error.cause, error.detail)
            return "dead"
        except (asyncio.CancelledError, StageStopped, LeaseLost):
            raise
        except Exception:
            RETRIES.labels(self.stage.name, Cause.INTERNAL).inc()
            log().exception("unexpected", stage=self.stage.name, key=entry.key, at=str(entry.position))
            return None
        self._failures = 0
        return "ok"

    async def _process(self, suspecting: Reader | None, entry: Entry) -> None:
        """Append outputs as they appear, under the byte budget; return when all are durable."""
        pending: deque[tuple[asyncio.Future[Position], int]] = deque()
        waiting_bytes = 0
        with self._at_work() as task:
            try:
                async with aclosing(self.stage.process(entry)) as outputs:
                    async for output in outputs:
                        pending.append((self._append(self._checked(output)), len(output[1].value)))
                        waiting_bytes += pending[-1][1]
                        if suspecting is not None and has_answer(pending[0][0]):
                            await self._forgive(suspecting, entry)
                            suspecting = None
                        while len(pending) > self.stage.outputs_max or waiting_bytes > self.stage.output_bytes_max:
                            await pending[0][0]
                            waiting_bytes -= pending.popleft()[1]
                self._settling.add(task)
                self._changed.set()
                for answer, _ in pending:
                    await answer
            except Permanent:  # what it said before it refused must be durable before its dead letter is
                for answer, _ in pending:
                    await answer
                raise
            finally:
                self._settling.discard(task)
                for answer, _ in pending:
                    answer.add_done_callback(looked_at)

    def _checked(self, output: Output) -> Output:
        """What the log cannot take is this entry's failure, not that of all whose outputs travel beside it."""
        topic, record = output
        if len(record.value) > self._log.value_bytes_max:
            raise Permanent(Cause.TOO_LARGE, f"an output of {len(record.value)} bytes, too large for {topic.name}")
        return output

    async def _forgive(self, reader: Reader, *entries: Entry) -> None:
        """Forget the attempts of what makes progress, waits for a dependency or was stopped: it did not kill us."""
        with suppress(Transient):
            await reader.started([replace(entry, attempt=-1) for entry in entries])

    async def _bury(self, entry: Entry, cause: Cause, detail: str = "") -> None:
        letter = DeadLetter.of(entry, self.stage.name, cause=cause, detail=detail)
        with self._at_work():
            await self._patience(lambda: self._append((topics.DEAD, letter.record(entry.headers))))
            if self.stage.undo is not None:
                await self._patience(partial(self.stage.undo, entry))

    def _count_failure(self) -> None:
        self._failures += 1
        if self._failures >= self.stage.failures_max:
            raise StageStopped(
                f"stage {self.stage.name}: {self._failures} records in a row failed for no known cause, "
                "so it is not the records. The log above has the errors; nothing was lost."
            )

    @contextmanager
    def _at_work(self) -> "Iterator[asyncio.Task[Any] | None]":
        """Mark the task as one that a stop lets end; nothing begins once we stop."""
        if self._patience.over or self._stopped is not None:
            raise asyncio.CancelledError
        task = asyncio.current_task()
        self._working.add(task)
        try:
            yield task
        finally:
            self._working.discard(task)

    async def _keep_committing(self, reader: Reader) -> None:
        for beat in itertools.count():
            await asyncio.sleep(self.stage.commit_every_s)
            if not self._running or beat % BUSY_BEATS == 0:  # while it works, a commit can wait for the next few
                await self._try_commit(reader)
                self.meter.line()

    async def _try_commit(self, reader: Reader) -> None:
        try:
            await self._commit(reader)
        except Transient as error:
            log().warning("commit", stage=self.stage.name, cause=error.cause)
        except Exception as error:
            self._halt(error, "commit")
        self._changed.set()

    async def _commit(self, reader: Reader) -> None:
        self._drop_lost(reader.held())
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

    def _drop_lost(self, held: frozenset[Lease]) -> None:
        """Forget partitions that were taken from us and cancel their work, once: it may need time to end."""
        for lease in [lease for lease in self._trackers if lease not in held]:
            del self._trackers[lease]
        for task, entry in self._running.items():
            if entry.lease not in self._trackers and not task.cancelling():
                task.cancel()

    async def _wait_for_change(self) -> None:
        self._changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout=1.0)

    async def _settle(self) -> None:
        while self._running:
            await asyncio.wait(set(self._running), return_when=asyncio.FIRST_COMPLETED)
        self._raise_if_stopped()

    async def _finish(self, reader: Reader) -> None:
        """Let what is at work end within grace_s, what waits at once. First all is forgiven: we may be killed now."""
        self._patience.over = True
        running = dict(self._running)
        held = [entry for entry in running.values() if entry.lease in reader.held()]
        forgiving = asyncio.create_task(self._forgive(reader, *held)) if held else None
        for task in running.keys() - self._working:
            task.cancel()
        if running:
            await asyncio.wait(set(running), timeout=self.stage.grace_s)
        for task in list(self._running):
            task.cancel()
        if running:
            await asyncio.wait(set(running))
        if forgiving is not None:
            with suppress(LeaseLost):
                await forgiving

    def _halt(self, error: BaseException, where: str) -> None:
        """Nothing begins any more, and `run` raises."""
        stopped = StageStopped(f"{self.stage.name}: {where}: {error!r}")
        self._stopped = error if isinstance(error, StageStopped) else stopped
        if self._taking is not None:
            self._taking.cancel()

    def _raise_if_stopped(self) -> None:
        if self._stopped is not None:
            raise self._stopped
