"""What groups have read: their positions, epochs and attempts, as jobs on the file of the embedded log.

Those that write raise FolioError only before they have changed anything.
"""

import sqlite3
from collections.abc import Mapping, Sequence

from folio.errors import LeaseLost
from infra.sqlite_files import OFFSET_BITS, Lane, oldest


def join(
    db: sqlite3.Connection, group: str, lanes: Sequence[Lane]
) -> tuple[dict[int, tuple[int, int]], dict[int, int]]:
    """Take the lanes for a group, one epoch higher; returns (next, epoch) by lane and attempts by row id."""
    taken = {}
    begin = "INSERT INTO positions SELECT ?, lane, first, 0 FROM lanes WHERE lane = ? ON CONFLICT DO NOTHING"
    for at in [(group, lane.id) for lane in lanes]:
        db.execute(begin, at)
        db.execute("UPDATE positions SET epoch = epoch + 1 WHERE grp = ? AND lane = ?", at)
        taken[at[1]] = db.execute("SELECT next, epoch FROM positions WHERE grp = ? AND lane = ?", at).fetchone()
    return taken, dict(db.execute("SELECT at, count FROM attempts WHERE grp = ?", (group,)))


def commit(db: sqlite3.Connection, group: str, positions: Mapping[int, tuple[int, int]]) -> None:
    """Record the next offset by lane, given (epoch, next). Raises LeaseLost when one of the epochs is stale."""
    _fence(db, group, {lane: epoch for lane, (epoch, _) in positions.items()})
    for lane, (_, following) in positions.items():
        start = lane << OFFSET_BITS
        db.execute("UPDATE positions SET next = ? WHERE grp = ? AND lane = ?", (following, group, lane))
        db.execute("DELETE FROM attempts WHERE grp = ? AND at >= ? AND at < ?", (group, start, start + following))


def count_attempts(db: sqlite3.Connection, group: str, counts: Mapping[int, int], *, epochs: Mapping[int, int]) -> None:
    """Attempts by row id. Raises LeaseLost when one of the epochs is stale."""
    _fence(db, group, epochs)
    db.executemany("INSERT OR REPLACE INTO attempts VALUES (?, ?, ?)", [(group, at, n) for at, n in counts.items()])


def _fence(db: sqlite3.Connection, group: str, epochs: Mapping[int, int]) -> None:
    for lane, epoch in epochs.items():
        now = db.execute("SELECT epoch FROM positions WHERE grp = ? AND lane = ?", (group, lane)).fetchone()
        if now is None or now[0] != epoch:
            raise LeaseLost(f"group {group}: another reader took the partition over")


def move(db: sqlite3.Connection, group: str, lanes: Sequence[Lane], *, offset: int | None, since_ms: int) -> None:
    """Set what a group reads next: an offset within what is kept, or the first entry appended since a time."""
    put = "INSERT INTO positions VALUES (?, ?, ?, 0) ON CONFLICT DO UPDATE SET next = excluded.next"
    for lane in lanes:
        first, end = db.execute("SELECT first, next FROM lanes WHERE lane = ?", (lane.id,)).fetchone()
        to = _first_since(db, lane, (first, end), since_ms) if offset is None else min(max(offset, first), end)
        db.execute(put, (group, lane.id, to))
        db.execute("DELETE FROM attempts WHERE grp = ? AND at >= ? AND at < ?", (group, lane.start, lane.start + end))


def accept_gap(db: sqlite3.Connection, group: str, lanes: Sequence[Lane]) -> dict[int, int]:
    """Move a group up to what is kept where it stands before that; returns how many entries it lost, by partition."""
    first, at = oldest(db, lanes), committed(db, group, lanes)
    lost = {}
    for lane in lanes:
        gap = first[lane.id] - at.get(lane.partition, first[lane.id])
        if gap > 0:
            lost[lane.partition] = gap
            db.execute("UPDATE positions SET next = ? WHERE grp = ? AND lane = ?", (first[lane.id], group, lane.id))
    return lost


def _first_since(db: sqlite3.Connection, lane: Lane, kept: tuple[int, int], since_ms: int) -> int:
    """Bisect: append times never go back within a lane."""
    low, high = kept
    while low < high:
        middle = (low + high) // 2
        query = "SELECT appended_ms FROM entries WHERE at >= ? AND at < ? ORDER BY at LIMIT 1"
        row = db.execute(query, (lane.start + middle, lane.start + high)).fetchone()
        if row is None or row[0] >= since_ms:
            high = middle
        else:
            low = middle + 1
    return low


def committed(db: sqlite3.Connection, group: str, lanes: Sequence[Lane]) -> dict[int, int]:
    """What the group reads next, by partition; nothing where it never was."""
    query = "SELECT next FROM positions WHERE grp = ? AND lane = ?"
    found = ((lane.partition, db.execute(query, (group, lane.id)).fetchone()) for lane in lanes)
    return {partition: row[0] for partition, row in found if row}


def count_behind(db: sqlite3.Connection, group: str, lane: Lane) -> int:
    """Entries that the group has not committed; deletion by age leaves no holes, compaction does."""
    first, end = db.execute("SELECT first, next FROM lanes WHERE lane = ?", (lane.id,)).fetchone()
    at = db.execute("SELECT next FROM positions WHERE grp = ? AND lane = ?", (group, lane.id)).fetchone()
    start: int = max(first, at[0] if at else 0)
    if not lane.compact:
        return max(0, int(end) - start)
    query = "SELECT count(*) FROM entries WHERE at >= ? AND at < ?"
    return int(db.execute(query, (lane.start + start, lane.start + end)).fetchone()[0])
