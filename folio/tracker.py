"""Which entries of a partition are finished, and how far it may be committed: never past the first unfinished."""

from collections import deque

from folio.log import Offset


class Tracker:
    """One lease's entries in the order they were read. Offsets may have holes; they never go back."""

    def __init__(self) -> None:
        self._order: deque[Offset] = deque()
        self._finished: set[Offset] = set()
        self._last: Offset = -1
        self._next: Offset | None = None
        self._committed: Offset | None = None

    def begin(self, offset: Offset) -> None:
        """An entry was read. Raises ValueError when offsets go backwards: the log broke its promise."""
        if offset <= self._last:
            raise ValueError(f"offset {offset} after {self._last}")
        self._last = offset
        self._order.append(offset)

    def finish(self, offset: Offset) -> None:
        """Its outputs are durable."""
        self._finished.add(offset)
        while self._order and self._order[0] in self._finished:
            done = self._order.popleft()
            self._finished.discard(done)
            self._next = done + 1

    @property
    def uncommitted(self) -> int:
        """Entries read and not yet behind the commit: what a crash repeats."""
        return len(self._order)

    @property
    def to_commit(self) -> Offset | None:
        """The next offset to read, or None when it is on record already."""
        return self._next if self._next != self._committed else None

    def committed(self, offset: Offset) -> None:
        self._committed = offset
