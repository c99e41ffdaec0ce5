"""What a reader of a broker holds: leases, fetched entries within a byte budget, and attempts as commit metadata."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from folio.errors import FolioError, LeaseLost
from folio.log import Entry, Lease, Offset, Position

Lane = tuple[str, int]
"""The broker's name of a topic, and a partition."""

Due = tuple[Mapping[Lease, Mapping[Offset, int]], Mapping[Lease, Offset]]
"""Attempts by lease and offset, and next offsets by lease: what one caller wants on record."""

METADATA_CHARS_MAX = 4000
"""Brokers take 4,096 bytes beside a committed offset, unless they are told otherwise."""

RUN_MAX = 1 << 16
"""More entries than any stage attempts at once: what claims more was not written by us."""


@dataclass(slots=True)
class Held:
    """One partition that is ours. Until `following` is known nothing of it is read."""

    lease: Lease | None
    following: Offset | None = None
    attempts: dict[Offset, int] = field(default_factory=dict)
    before: Mapping[Offset, int] = field(default_factory=dict)
    """Attempts that were on record when it became ours."""
    entries: deque[Entry] = field(default_factory=deque)
    gap: str = ""
    """What is missing before it can be read on."""


@dataclass(slots=True)
class Mark:
    """What one commit puts on record: the next offset to read, and the attempts of what lies behind it."""

    following: Offset
    attempts: dict[Offset, int]


class Fetched:
    """Filled by the polling thread, emptied by the event loop; partitions come and go by a third thread.

    `full` has two marks: it begins at `bytes_max` and ends at half of it, so that a broker is not asked record by
    record.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held: dict[Lane, Held] = {}
        self._epochs: dict[Lane, int] = {}
        self._bytes = 0
        self._full = False
        self._stirred_s = 0.0
        self._changed = threading.Condition()

    @property
    def leases(self) -> frozenset[Lease]:
        with self._changed:
            return frozenset(held.lease for held in self._held.values() if held.lease is not None)

    @property
    def full(self) -> bool:
        with self._changed:
            return self._full

    def wait_for_room(self, wait_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._full, wait_s)

    def gain(self, lane: Lane, topic: str, epoch: int | None) -> None:
        """The partition is ours from now on; `epoch` None for one that is only followed."""
        with self._changed:
            self._drop(lane)
            lease = None
            if epoch is not None:
                self._epochs[lane] = epoch = max(epoch, self._epochs.get(lane, -1) + 1)
                lease = Lease(topic, lane[1], epoch)
            self._held[lane] = Held(lease)

    def lose(self, lanes: Iterable[Lane] | None = None) -> None:
        """What was fetched of them (of all) and not yet read is dropped: somebody else reads it."""
        with self._changed:
            for lane in list(self._held if lanes is None else lanes):
                self._drop(lane)
            self._weigh()

    def unknown(self) -> list[Lane]:
        """Partitions that are ours and of which nobody has looked up yet where to begin."""
        with self._changed:
            return [lane for lane, held in self._held.items() if held.following is None]

    def readable(self) -> set[Lane]:
        with self._changed:
            return {lane for lane, held in self._held.items() if held.following is not None and not held.gap}

    def stop(self, lane: Lane, gap: str) -> None:
        """Nothing more of it is read, by whoever holds it now."""
        with self._changed:
            if held := self._held.get(lane):
                held.gap = gap
                self._stirred_s = time.monotonic()

    def gaps(self) -> tuple[list[str], float]:
        """What stopped partitions lack, and for how many seconds nothing has come of the others."""
        with self._changed:
            return [held.gap for held in self._held.values() if held.gap], time.monotonic() - self._stirred_s

    def begin(self, lane: Lane, following: Offset, attempts: Mapping[Offset, int]) -> None:
        with self._changed:
            if held := self._held.get(lane):
                held.following = following
                held.attempts, held.before = dict(attempts), dict(attempts)

    def lease_of(self, lane: Lane) -> tuple[bool, Lease | None, Mapping[Offset, int]]:
        """Whether it is held, under which lease, and the attempts on record."""
        with self._changed:
            held = self._held.get(lane)
            return (held is not None, held.lease if held else None, dict(held.attempts) if held else {})

    def put(self, found: Iterable[tuple[Lane, Lease | None, Sequence[Entry]]]) -> None:
        """Add what was fetched of each partition under this lease, unless it has been lost meanwhile.

        Of one that came back nothing counts before `begin`: it is fetched again from there.
        """
        with self._changed:
            for lane, lease, entries in found:
                held = self._held.get(lane)
                if held is not None and held.lease == lease and held.following is not None:
                    held.entries.extend(entries)
                    self._bytes += sum(len(entry.value) for entry in entries)
            self._stirred_s = time.monotonic()
            self._weigh()

    def take(self, entries_max: int, bytes_max: int) -> Sequence[Entry]:
        """Entries in the order of their partitions, which take turns; at least one if there is one."""
        found: list[Entry] = []
        room = bytes_max
        with self._changed:
            for lane in [lane for lane, held in self._held.items() if held.entries]:
                queue, before = self._held[lane].entries, len(found)
                while queue and len(found) < entries_max and (len(queue[0].value) <= room or not found):
                    found.append(queue.popleft())
                    room -= len(found[-1].value)
                if len(found) > before:
                    self._held[lane] = self._held.pop(lane)  # to the end: the others first, next time
                if queue:
                    break
            self._bytes -= sum(len(entry.value) for entry in found)
            self._weigh()
        return found

    def marks(self, jobs: Sequence["Due"]) -> tuple[dict[Lane, Mark], list[FolioError | None]]:
        """What is to be committed for all of them, and LeaseLost for each that has lost one of its leases."""
        marks: dict[Lane, Mark] = {}
        outcomes: list[FolioError | None] = []
        with self._changed:
            lanes = {held.lease: lane for lane, held in self._held.items() if held.lease and held.following is not None}
            for attempts, positions in jobs:
                leases = attempts.keys() | positions.keys()
                stale = leases - lanes.keys()
                outcomes.append(LeaseLost(f"not held any more: {stale}") if stale else None)
                for lease in () if stale else leases:
                    lane = lanes[lease]
                    before = marks.get(lane) or Mark(self._held[lane].following or 0, self._held[lane].attempts)
                    following = positions.get(lease, before.following)
                    counts = {**before.attempts, **attempts.get(lease, {})}
                    kept = {offset: count for offset, count in counts.items() if offset >= following and count > 0}
                    marks[lane] = Mark(following, kept)
        return marks, outcomes

    def committed(self, marks: Mapping[Lane, Mark]) -> None:
        with self._changed:
            for lane, mark in marks.items():
                held = self._held.get(lane)
                if held is not None and held.following is not None:  # one that came back begins by itself
                    held.following, held.attempts = mark.following, mark.attempts

    def forgiven(self, lanes: Iterable[Lane]) -> dict[Lane, Mark]:
        """What to put on record of them so that no attempt of ours counts, where one does."""
        marks: dict[Lane, Mark] = {}
        with self._changed:
            for lane in lanes:
                held = self._held.get(lane)
                if held is None or held.lease is None or held.following is None:
                    continue
                kept = {at: min(count, held.before.get(at, 0)) for at, count in held.attempts.items()}
                if kept != held.attempts:
                    marks[lane] = Mark(held.following, {at: count for at, count in kept.items() if count})
        return marks

    def _drop(self, lane: Lane) -> None:
        if held := self._held.pop(lane, None):
            self._bytes -= sum(len(entry.value) for entry in held.entries)

    def _weigh(self) -> None:
        self._full = self._bytes >= self._bytes_max or (self._full and self._bytes > self._bytes_max // 2)
        if not self._full:
            self._changed.notify_all()


def packed(following: Offset, attempts: Mapping[Offset, int]) -> str:
    """Attempts as text: `1:0-63,70;2:65`, offsets counted from `following`.

    What does not fit is left out, single attempts of the last offsets first: a suspect is never forgotten for them.
    """
    by_count: dict[int, list[Offset]] = {}
    for offset in sorted(attempts):
        by_count.setdefault(attempts[offset], []).append(offset - following)
    parts: list[str] = []
    room = METADATA_CHARS_MAX
    for count in sorted(by_count, reverse=True):
        text = f"{count}:{','.join(_runs(by_count[count]))}"[: max(0, room)]
        if len(text) == room:  # cut within a number: back to the last whole one
            text = text.rpartition(",")[0]
        if text:
            parts.append(text)
        room -= len(text) + 1
    return ";".join(parts)


def unpacked(following: Offset, metadata: str) -> dict[Offset, int]:
    """The attempts that `packed` wrote; of what somebody else wrote, nothing."""
    attempts: dict[Offset, int] = {}
    try:
        for part in filter(None, metadata.split(";")):
            count, _, runs = part.partition(":")
            for run in runs.split(","):
                first, _, last = run.partition("-")
                offsets = range(following + int(first), following + int(last or first) + 1)
                attempts |= dict.fromkeys(offsets[:RUN_MAX], int(count))
    except ValueError:
        return {}
    return attempts


def _runs(offsets: Sequence[int]) -> list[str]:
    runs: list[list[int]] = []
    for offset in offsets:
        if runs and offset == runs[-1][1] + 1:
            runs[-1][1] = offset
        else:
            runs.append([offset, offset])
    return [str(first) if first == last else f"{first}-{last}" for first, last in runs]


def entry_of(raw: Any, topic: str, lease: Lease | None, attempt: int) -> Entry:
    """An entry of what a client library calls a record. What is no UTF-8 is kept readable: its stage judges it."""
    return Entry(
        position=Position(topic, raw.partition, raw.offset),
        key=_text(raw.key),
        value=raw.value or b"",
        headers={name: _text(value) for name, value in raw.headers},
        appended_ms=raw.timestamp,
        lease=lease,
        attempt=attempt,
    )


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")
