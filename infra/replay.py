"""A replay: a bounded stretch of a topic read once more by its stage, beside the live group and without touching it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from folio.errors import Cause, FolioError, Transient
from folio.letters import DeadLetter
from folio.log import Entry, Log, Offset, Position, Record
from folio.outputs import Output
from folio.stage import Stage, StageLoop
from folio.topics import BY_NAME, DEAD, DOCUMENTS, PAGES, PAGES_BULK, PAGES_VERIFY, UPLOADS, Topic
from infra.bounded import Bounded, held
from infra.counted import Counted, Mark
from infra.dead import DeadLetters, doc_of_entry, mark

OF_PAGES = (PAGES, PAGES_BULK, PAGES_VERIFY)
REPLAYABLE = (UPLOADS, *OF_PAGES, DOCUMENTS)
HEADER = "folio-replay"
"""Names the replay on every record that it appends."""
GROUP = "replay-"
PLAN_S = 15.0
"""A plan looks at records for so long; of what it did not reach it says what the rest suggests."""
NEWS_S = 1.0
State = Literal["running", "done", "stopped", "failed"]


class Asked(BaseModel):
    """Which records of a topic. `group`: those from where this group stands; times are ms since 1970."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str
    group: str = ""
    from_offset: int | None = Field(default=None, ge=0)
    from_ms: int | None = Field(default=None, ge=0)
    doc: str = ""
    tenant: str = ""
    dead: bool = False
    rate: float = Field(default=0, ge=0, le=1e6)
    """Records a second at most; 0: as fast as the stage can."""

    @model_validator(mode="after")
    def _replayable(self) -> Self:
        names = [topic.name for topic in REPLAYABLE]
        if self.topic not in names:
            kept = " (it is read from its start whenever its ledger is lost)" if self.topic in BY_NAME else ""
            raise ValueError(f"topic {self.topic!r} is not replayed{kept}: one of {', '.join(names)} is wanted")
        if sum((bool(self.group), self.from_offset is not None, self.from_ms is not None)) > 1:
            raise ValueError("--group, --from-offset and --from-time each say where to begin: give one of them")
        return self

    @property
    def source(self) -> Topic:
        return BY_NAME[self.topic]


class Replay(BaseModel):
    """What was asked, between which offsets of each partition, and how far it is. Kept as a file."""

    model_config = ConfigDict(frozen=True)

    id: str
    asked: Asked
    starts: dict[int, int]
    ends: dict[int, int]
    state: State = "running"
    detail: str = ""
    passed: int = 0
    """Offsets that lie behind it, of `total`."""
    replayed: int = 0
    """Records that were meant and read once more. What is counted is committed, so a kill counts nothing twice."""
    appended: int = 0
    failed: int = 0
    uncounted: int = 0
    """Records that were committed, but no count of them is on record: this file lay behind, as after a power cut."""
    waits: bool = False
    """It was given nothing to read yet."""
    marks: dict[int, tuple[Mark, ...]] = Field(default_factory=dict)
    """By partition: the counts up to an offset that is committed, and those of commits that may not have arrived."""
    accept_gap: bool = False
    lost: int = 0
    """Records that retention took before they were read; with `accept_gap` it goes on behind them."""
    created_ms: int
    ended_ms: int = 0

    @property
    def total(self) -> int:
        return sum(end - self.starts[partition] for partition, end in self.ends.items())

    @property
    def group(self) -> str:
        return GROUP + self.id


class Plan(BaseModel):
    """What a replay would read. `about`: not every record was looked at. `pages_ocr` None: nobody knows."""

    records: int
    size_bytes: int
    pages_ocr: int | None
    about: bool
    starts: dict[int, int]
    ends: dict[int, int]
    seconds_min: float = 0
    oldest_ms: int = 0
    newest_ms: int = 0


async def stretch(log: Log, asked: Asked) -> tuple[dict[int, Offset], dict[int, Offset]]:
    """From where to where, by partition. Raises FolioError for a group whose next records are gone."""
    spans = await log.spans(asked.source)
    ends = {partition: end for partition, (_, end) in spans.items()}
    starts = {partition: first for partition, (first, _) in spans.items()}
    stands = await _stands(log, asked, starts) if asked.group else {}
    return {
        part: min(max(first, stands.get(part, first), asked.from_offset or 0), ends[part])
        for part, first in starts.items()
    }, ends


async def _stands(log: Log, asked: Asked, firsts: Mapping[int, Offset]) -> Mapping[int, Offset]:
    stands = await log.committed(asked.group, asked.source)
    if not stands:
        raise FolioError(f"group {asked.group!r} has never read {asked.topic}: there is nothing where it stands")
    if lost := sum(max(0, firsts[part] - at) for part, at in stands.items()):
        raise FolioError(
            f"{lost} records of {asked.topic} were deleted because of their age before group {asked.group} read them."
            f" folio replay --topic {asked.topic} --group {asked.group} --accept-gap moves it to what is left"
        )
    return stands


@dataclass(frozen=True)
class Choice:
    """Which entries of the stretch are meant."""

    asked: Asked
    starts: Mapping[int, Offset]
    ends: Mapping[int, Offset]
    letters: Mapping[Position, DeadLetter]
    newest: Mapping[str, Position]
    """Of a compacted topic, where the newest entry of each document lies: what it replaced is as good as gone."""

    @classmethod
    async def of(cls, log: Log, asked: Asked, starts: Mapping[int, Offset], ends: Mapping[int, Offset]) -> "Choice":
        letters = await DeadLetters(log).open(asked.topic) if asked.dead else {}
        newest = await _newest(log, asked.source) if asked.source.cleanup == "compact" else {}
        return cls(asked, starts, ends, letters, newest)

    def inside(self, entry: Entry) -> bool:
        at = entry.position
        return self.starts.get(at.partition, 0) <= at.offset < self.ends.get(at.partition, 0)

    def has(self, entry: Entry) -> bool:
        asked, doc = self.asked, doc_of_entry(entry)
        return (
            self.inside(entry)
            and (asked.from_ms is None or entry.appended_ms >= asked.from_ms)
            and asked.doc in ("", doc)
            and asked.tenant in ("", doc.partition("/")[0])
            and (not asked.dead or entry.position in self.letters)
            and self.newest.get(doc, entry.position) == entry.position
        )


async def _newest(log: Log, topic: Topic) -> Mapping[str, Position]:
    found: dict[str, tuple[int, Position]] = {}
    async for entries in held(log, topic):
        for entry in entries:
            doc = doc_of_entry(entry)
            if doc not in found or found[doc][0] <= entry.appended_ms:
                found[doc] = (entry.appended_ms, entry.position)
    return {doc: position for doc, (_, position) in found.items()}


async def plan(
    log: Log, asked: Asked, *, pages_ocr: Callable[[str], int] | None = None, plan_s: float = PLAN_S
) -> Plan:
    """Read what would be read, for a while, and change nothing. `pages_ocr`: how many pages of a document need OCR."""
    starts, ends = await stretch(log, asked)
    choice = await Choice.of(log, asked, starts, ends)
    looked = records = size = pages = oldest = newest = 0
    total = sum(ends[part] - start for part, start in starts.items())
    until_s, about = time.monotonic() + plan_s, False
    async with aclosing(held(log, asked.source)) as every:
        async for entries in every:
            looked += sum(map(choice.inside, entries))
            for entry in filter(choice.has, entries):
                records += 1
                size += len(entry.value)
                pages += pages_ocr(doc_of_entry(entry)) if pages_ocr and asked.source is UPLOADS else 0
                oldest, newest = min(oldest or entry.appended_ms, entry.appended_ms), max(newest, entry.appended_ms)
            if time.monotonic() > until_s:
                about = looked < total
                break
    times = total / looked if about and looked else 1.0
    records = round(records * times)
    return Plan(
        records=records,
        size_bytes=round(size * times),
        pages_ocr=_pages(asked.source, records, round(pages * times) if pages_ocr else None),
        about=about,
        starts=starts,
        ends=ends,
        seconds_min=round(records / asked.rate, 1) if asked.rate else 0,
        oldest_ms=oldest,
        newest_ms=newest,
    )


def _pages(source: Topic, records: int, of_uploads: int | None) -> int | None:
    if source in OF_PAGES:
        return records
    return of_uploads if source is UPLOADS else 0


class Run:
    """One replay at work. Its group is its progress: what was committed is not read again after a kill."""

    def __init__(self, log: Log, replay: Replay, stage: Stage, told: Callable[[Replay], None]) -> None:
        self.replay = replay
        self._log = log
        self._stage = stage
        self._told = told
        self._pace = Pace(replay.asked.rate)
        self._choice = Choice(replay.asked, replay.starts, replay.ends, {}, {})
        self._counted = Counted(replay.marks, self._tell)

    async def run(self, stop: asyncio.Event) -> Replay:
        """Until all was read, or `stop`: then it can be run again, and goes on. Raises what its stage raises."""
        asked, topic = self.replay.asked, self.replay.asked.source
        self._choice = await Choice.of(self._log, asked, self.replay.starts, self.replay.ends)
        stands = await self._begin(topic)
        left = {part: end for part, end in self.replay.ends.items() if stands.get(part, self._first(part)) < end}
        bounded = Bounded(self._log, left, counted=self._counted)
        loop = StageLoop(
            replace(self._stage, name=self.replay.group, sources=(topic,), process=self._process, may_take=None),
            bounded,
        )
        await self._until(loop, bounded, stop)
        if bounded.finished.is_set():
            self._counted.has_ended()
            self._change(state="done", passed=self.replay.total, ended_ms=_now_ms())
        return self.replay

    async def _until(self, loop: StageLoop, bounded: Bounded, stop: asyncio.Event) -> None:
        enough = asyncio.Event()
        looping = asyncio.create_task(loop.run(enough))
        waiting = {asyncio.create_task(stop.wait()), asyncio.create_task(bounded.finished.wait())}
        telling = asyncio.create_task(self._keep_telling(bounded))
        try:
            await asyncio.wait({looping, *waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            enough.set()
            for task in (*waiting, telling):
                task.cancel()
            await asyncio.wait({looping, telling, *waiting})
            self._change(waits=False)
        looping.result()

    async def _begin(self, topic: Topic) -> Mapping[int, Offset]:
        """Where its own group stands; at first that is where the stretch begins."""
        asked, group = self.replay.asked, self.replay.group
        stands = await self._log.committed(group, topic)
        if not stands:
            begin = datetime.fromtimestamp(asked.from_ms / 1000, UTC) if asked.from_ms is not None else None
            await self._log.rewind(group, topic, begin or min(self.replay.starts.values(), default=0))
            stands = await self._log.committed(group, topic)
        uncounted = sum(self._counted.stands(part, at) for part, at in stands.items())
        self._change(uncounted=self.replay.uncounted + uncounted)
        if self.replay.accept_gap:
            lost = await self._log.accept_gap(group, topic)
            for part, count in lost.items():
                self._counted.moved(part, stands[part] + count)
            self._change(lost=self.replay.lost + sum(lost.values()))
        return stands

    def _first(self, partition: int) -> Offset:
        return self.replay.starts[partition]

    async def _process(self, entry: Entry) -> AsyncGenerator[Output, None]:
        appended = 0
        if not self._choice.has(entry):
            self._counted.became(entry)
            return
        self._counted.became(entry, failed=1)
        await self._pace()
        async with aclosing(self._stage.process(entry)) as outputs:
            async for topic, record in outputs:
                yield topic, Record(record.key, record.value, {**record.headers, HEADER: self.replay.id})
                appended += 1
                self._counted.became(entry, failed=1, appended=appended)
        letter = self._choice.letters.get(entry.position)
        if letter is not None:
            yield DEAD, mark(letter, entry.headers)
        self._counted.became(entry, replayed=1, appended=appended)

    async def _keep_telling(self, bounded: Bounded) -> None:
        while True:
            await asyncio.sleep(NEWS_S)
            self._change(waits=bounded.waits)
            with suppress(Transient):  # the disk is full: commits say so, and wait
                self._tell()

    def _tell(self) -> None:
        self._change()
        try:
            self._told(self.replay)
        except OSError as error:
            raise Transient(Cause.DISK_FULL, f"what a replay has read cannot be put on record: {error}") from error

    def _change(self, **changes: object) -> None:
        """Also to what is counted by now."""
        stands = {part: marks[0].at for part, marks in self._counted.marks.items()}
        parts = ((at, self.replay.starts.get(part, 0), self.replay.ends.get(part, 0)) for part, at in stands.items())
        passed = sum(max(0, min(at, end) - start) for at, start, end in parts)
        self.replay = self.replay.model_copy(update={"passed": passed, **self._counted.facts(), **changes})


class Pace:
    """At most `rate` turns a second, evenly; 0: as many as come."""

    def __init__(self, rate: float, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._gap_s = 1 / rate if rate else 0.0
        self._next_s = 0.0
        self._sleep = sleep

    async def __call__(self) -> None:
        now = time.monotonic()
        turn = max(now, self._next_s)
        self._next_s = turn + self._gap_s
        if turn > now:
            await self._sleep(turn - now)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
