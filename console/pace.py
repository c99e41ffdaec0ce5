"""How fast it goes and how long it will take: a rate for each kind of work, measured while there was such work."""

from collections import deque
from dataclasses import dataclass, field

HALF_LIFE_S = 45.0
"""What was measured this long ago counts half: the pace changes with the documents."""
STEADY_S = 4.0
STEADY_TIMES = 3
"""The moment of the end must have been foretold alike for this long, and this often, before anybody is told."""
STEADY_SHARE = 0.5
STILL_S = 20.0
"""When nothing has moved for so long, what was foretold before is worth nothing."""
SURE_S = 2.0
"""Below this many seconds of work a rate is a guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What is known of all documents that are waited for, in pages, and in chunks where it says so."""

    documents: int = 0
    settled: int = 0
    uncounted: int = 0
    """Documents whose number of pages nobody knows yet."""
    announced: int = 0
    """Pages of the documents that are counted."""
    digital: int = 0
    scanned: int = 0
    skipped: int = 0
    failed: int = 0
    searchable: int = 0
    """Pages that the index has, or that need not get there."""
    waiting_scanned: int = 0
    """Pages that wait for OCR."""
    lacking: int = 0
    """Chunks of what is searchable that still lack their vectors."""

    @property
    def read(self) -> int:
        return self.digital + self.scanned + self.skipped + self.failed

    @property
    def total(self) -> int:
        """All pages; documents not counted yet are taken to be like the others."""
        counted = self.documents - self.uncounted
        guessed = round(self.announced / counted * self.uncounted) if counted else self.uncounted
        return max(self.announced + guessed, self.read)


class Rate:
    """Pages a second of one kind of work, over the seconds in which there was such work; recent ones count more."""

    def __init__(self) -> None:
        self.pages = 0.0
        self.seconds = 0.0

    def passed(self, seconds: float, pages: int) -> None:
        fades = 0.5 ** (seconds / HALF_LIFE_S)
        self.pages = self.pages * fades + pages
        self.seconds = self.seconds * fades + seconds

    @property
    def value(self) -> float | None:
        """None until something was measured."""
        return self.pages / self.seconds if self.pages and self.seconds >= SURE_S else None

    def seconds_for(self, pages: float) -> float | None:
        """None when nobody can know."""
        if pages <= 0:
            return 0.0
        return pages / self.value if self.value else None


@dataclass(slots=True)
class Pace:
    """Fed with counts as time passes. Scanned pages cost a hundred times a born-digital one, so each has its rate."""

    digital: Rate = field(default_factory=Rate)
    scanned: Rate = field(default_factory=Rate)
    indexed: Rate = field(default_factory=Rate)
    read: Rate = field(default_factory=Rate)
    last: Counts | None = None
    last_s: float = 0.0
    moved_s: float = 0.0
    """When something was read, or became searchable, for the last time."""
    foretold: deque[tuple[float, float]] = field(default_factory=deque)
    """When we looked, and how many seconds were left then."""

    def feed(self, counts: Counts, now_s: float) -> None:
        self._feed(counts, now_s)
        left = self.seconds_left()
        if left is None:
            self.foretold.clear()
            return
        self.foretold.append((now_s, left))
        while len(self.foretold) > STEADY_TIMES and now_s - self.foretold[1][0] >= STEADY_S:
            self.foretold.popleft()

    def steady_left(self) -> float | None:
        """Seconds left, once that is worth saying: what was foretold of late agrees."""
        if self.still_s or len(self.foretold) < STEADY_TIMES or self.foretold[-1][0] - self.foretold[0][0] < STEADY_S:
            return None
        ends = [at + left for at, left in self.foretold]
        left = self.foretold[-1][1]
        return left if max(ends) - min(ends) <= max(STEADY_SHARE * left, SURE_S) else None

    @property
    def still_s(self) -> float:
        """How long nothing has moved; 0 until that is long."""
        still_s = self.last_s - self.moved_s
        return still_s if still_s > STILL_S else 0.0

    def _feed(self, counts: Counts, now_s: float) -> None:
        before, passed = self.last, now_s - self.last_s
        self.last, self.last_s = counts, now_s
        if before is None or (before.read, before.searchable) != (counts.read, counts.searchable):
            self.moved_s = now_s
        if before is None or passed <= 0:
            return
        if counts.digital > before.digital or _unseen(before) > 0:
            self.digital.passed(passed, counts.digital - before.digital)
        if counts.scanned > before.scanned or before.waiting_scanned:
            self.scanned.passed(passed, counts.scanned - before.scanned)
        if before.read > before.searchable or counts.searchable > before.searchable:
            self.indexed.passed(passed, counts.searchable - before.searchable)
        if before.read < before.total or counts.read > before.read:
            self.read.passed(passed, counts.read - before.read)

    def seconds_left(self) -> float | None:
        """Until everything is searchable, by the slowest part; None while a part that is needed was never seen."""
        if self.last is None:
            return None
        counts = self.last
        unseen, share = _unseen(counts), _scanned_share(counts)
        waits = counts.waiting_scanned + unseen * share
        reading = [self.scanned.seconds_for(waits), self.digital.seconds_for(unseen * (1 - share))]
        indexing = self.indexed.seconds_for(counts.total - counts.searchable)
        if None in reading or (indexing is None and counts.read >= counts.total):
            return None
        return max(sum(part or 0.0 for part in reading), indexing or 0.0)


def _unseen(counts: Counts) -> int:
    """Pages of which nobody knows yet what they are."""
    return max(0, counts.total - counts.read - counts.waiting_scanned)


def _scanned_share(counts: Counts) -> float:
    scanned = counts.scanned + counts.waiting_scanned
    seen = counts.digital + scanned
    return scanned / seen if seen else 0.0


def duration(seconds: float) -> str:
    """`8 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
