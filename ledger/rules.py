"""When a document is emitted and how much of it: every rule of growing, completing, stalling and giving up."""

from collections.abc import Iterator
from dataclasses import dataclass

from folio.errors import Cause
from ledger.rows import VersionRow

REPEATS_MAX = 10
"""Emitting again backs off by doubling; this bounds the exponent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How long the ledger waits for what."""

    prefix_wait_s: float = 2.0
    stalled_s: float = 60.0
    missing_s: float = 24 * 3600.0
    receipt_s: float = 120.0
    growing_first_pages: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """A Document to be appended: pages 1 to `reach`. Pages absent at the `closing` are failed for good."""

    due_ms: int
    reach: int
    complete: bool = False
    closing: Cause | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """What receipts tell about the index as a whole: when the last one came, and for which revision."""

    heard_ms: int = 0
    revision: int = 0


def decide(version: VersionRow, timings: Timings, now_ms: int) -> tuple[Emission | None, int | None]:
    """What is due now, the furthest-reaching first; else when something will be, or None for never."""
    possible = list(_possible(version, timings))
    due = [emission for emission in possible if emission.due_ms <= now_ms]
    if due:
        return max(due, key=lambda emission: (emission.complete, emission.reach)), now_ms
    return None, min((emission.due_ms for emission in possible), default=None)


def may_repeat(version: VersionRow, timings: Timings, index: Index, now_ms: int) -> bool:
    """Emit again only what the index has passed over, or when it is silent: a busy index is not late, it is busy."""
    patience_ms = _ms(timings.receipt_s)
    passed = index.revision >= version.emitted_ms + patience_ms
    return passed or now_ms - index.heard_ms >= patience_ms


def _possible(version: VersionRow, timings: Timings) -> Iterator[Emission]:
    if version.deleted or version.all_there:
        yield from _whole(version, timings)
    elif version.page_max:
        yield from _closing(version, timings)
        yield from _growing(version, timings)


def _whole(version: VersionRow, timings: Timings) -> Iterator[Emission]:
    """Everything is there: at once; a change soon after it; and again when nobody says that it was indexed."""
    reach = version.count or 0
    if not version.emitted_complete or version.emitted_reach != reach:
        yield Emission(due_ms=0, reach=reach, complete=True)
    elif version.changed:
        yield Emission(due_ms=version.emitted_ms + _ms(timings.prefix_wait_s), reach=reach, complete=True)
    elif not version.indexed and not version.refused:
        patience_ms = _ms(timings.receipt_s) << min(version.repeats, REPEATS_MAX)
        yield Emission(due_ms=version.emitted_ms + patience_ms, reach=reach, complete=True, again=True)


def _closing(version: VersionRow, timings: Timings) -> Iterator[Emission]:
    """Nothing more is expected: cancelled, broken off by ingest, or silent for so long that it is given up."""
    reach = max(version.count or 0, version.page_max)
    if version.cancelled:
        if version.pages_ok:
            yield Emission(due_ms=0, reach=reach, complete=True, closing=Cause.CANCELLED)
    elif version.cause:
        # Pages that ingest had sent before it broke off may still be with the engine.
        due_ms = version.last_ms + _ms(timings.stalled_s)
        yield Emission(due_ms=due_ms, reach=reach, complete=True, closing=Cause(version.cause))
    elif version.count is not None:
        due_ms = version.last_ms + _ms(timings.missing_s)
        yield Emission(due_ms=due_ms, reach=reach, complete=True, closing=Cause.PAGE_MISSING)


def _growing(version: VersionRow, timings: Timings) -> Iterator[Emission]:
    """What is there so far: when it has doubled, when it stalls, when it falls quiet, when something changed."""
    wait_ms, stalled_ms = _ms(timings.prefix_wait_s), _ms(timings.stalled_s)
    if version.cancelled and not version.pages_ok:
        return
    if not version.emitted_revision:
        yield from _first(version, timings)
        return
    free_ms = version.emitted_ms + (wait_ms if version.indexed else max(wait_ms, _ms(timings.receipt_s)))
    stall_ms = version.moved_ms + stalled_ms
    if version.prefix >= 2 * version.emitted_reach:
        yield Emission(due_ms=free_ms, reach=version.prefix)
    if version.page_max > version.emitted_reach:
        doubled = version.page_max >= 2 * version.emitted_reach
        newly_stalled = version.emitted_ms < stall_ms
        due_ms = stall_ms if doubled or newly_stalled else max(stall_ms, version.last_ms + stalled_ms)
        yield Emission(due_ms=max(free_ms, due_ms), reach=version.page_max)
    if version.changed:
        yield Emission(due_ms=free_ms, reach=max(version.emitted_reach, version.prefix))


def _first(version: VersionRow, timings: Timings) -> Iterator[Emission]:
    """A few pages, soon. In place of an older version that is there as a whole only one whose end nobody announced."""
    wait_ms, stalled_ms = _ms(timings.prefix_wait_s), _ms(timings.stalled_s)
    if version.replaces_whole:
        if version.count is None:
            yield Emission(due_ms=version.last_ms + stalled_ms, reach=version.page_max)
        return
    few = timings.growing_first_pages
    if version.prefix:
        yield Emission(due_ms=version.first_ms + wait_ms, reach=min(version.prefix, few))
    yield Emission(due_ms=version.moved_ms + stalled_ms, reach=min(version.page_max, few))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
