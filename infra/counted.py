"""What became of the records of a replay, counted with the offset that it is true of: after a kill both agree."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from folio.log import Entry, Lease, Offset, Position


class Mark(BaseModel):
    """Of one partition: what became of everything before the offset `at`."""

    model_config = ConfigDict(frozen=True)

    at: int
    replayed: int = 0
    appended: int = 0
    failed: int = 0

    def plus(self, other: "Mark") -> "Mark":
        """Both, at the offset of the other."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in ("replayed", "appended", "failed")}
        return Mark(at=other.at, **sums)


class Counted:
    """By partition the mark of what is committed, and behind it those of commits that may not have arrived.

    `keep` puts `marks` on record, before each commit: whichever commits arrive, a mark of theirs is there.
    """

    def __init__(self, marks: Mapping[int, Sequence[Mark]], keep: Callable[[], None]) -> None:
        self.marks = {partition: list(some) for partition, some in marks.items()}
        self._keep = keep
        self._leases: dict[int, Lease] = {}
        self._handed: dict[int, deque[Offset]] = {}
        self._became: dict[Position, Mark] = {}

    def stands(self, partition: int, at: Offset) -> int:
        """The group stands here, and what was read beyond is read again. Returns offsets that no mark knows of."""
        known = [mark for mark in self.marks.get(partition, ()) if mark.at <= at]
        self.marks[partition] = [known[-1] if known else Mark(at=at)]
        return at - self.marks[partition][0].at

    def moved(self, partition: int, at: Offset) -> None:
        """The group goes on further on: what lies between is counted elsewhere."""
        self.marks[partition] = [self.marks[partition][0].model_copy(update={"at": at})]

    def was_handed(self, entries: Sequence[Entry]) -> None:
        """These are read, in their order. Under a new lease a partition goes on where it was committed."""
        for entry in entries:
            partition, offset = entry.position.partition, entry.position.offset
            if entry.lease is None:
                continue
            if self._leases.get(partition) != entry.lease:
                self._leases[partition] = entry.lease
                self._handed[partition] = deque()
                self._became = {at: one for at, one in self._became.items() if at.partition != partition}
                self.stands(partition, offset)
            self._handed[partition].append(offset)

    def became(self, entry: Entry, *, replayed: int = 0, appended: int = 0, failed: int = 0) -> None:
        """The last word before the commit holds. An entry of which nothing is said was given up."""
        if self._leases.get(entry.position.partition) == entry.lease:
            at = entry.position.offset + 1
            self._became[entry.position] = Mark(at=at, replayed=replayed, appended=appended, failed=failed)

    def is_due(self, positions: Mapping[Lease, Offset]) -> None:
        """These are committed next."""
        for lease, offset in positions.items():
            part = lease.partition
            if self._leases.get(part) != lease or self.marks[part][-1].at >= offset:
                continue  # taken from us: nothing is committed; or said before: the commit is repeated
            mark = self.marks[part][-1]
            handed = self._handed[part]
            while handed and handed[0] < offset:
                at = Position(lease.topic, part, handed.popleft())
                mark = mark.plus(self._became.pop(at, Mark(at=offset, failed=1)))
            self.marks[part].append(mark.model_copy(update={"at": offset}))
        self._keep()

    def was_committed(self, positions: Mapping[Lease, Offset]) -> None:
        for lease, offset in positions.items():
            self.stands(lease.partition, offset)

    def has_ended(self) -> None:
        """All that was due is committed, whatever was heard of it."""
        self.marks = {partition: marks[-1:] for partition, marks in self.marks.items()}

    def facts(self) -> Mapping[str, object]:
        """Sums of what is committed, and the marks to go on from."""
        sure = [marks[0] for marks in self.marks.values()]
        sums = {name: sum(getattr(mark, name) for mark in sure) for name in ("replayed", "appended", "failed")}
        return sums | {"marks": {part: tuple(marks) for part, marks in self.marks.items()}}
