"""What a tenant has beyond its share unread goes to the slow lane; whoever has little is never sent there."""

from folio.errors import Cause, Transient
from folio.topics import PAGES, PAGES_BULK
from ingest.lanes import Backlog


class Unread:
    """How many pages wait; a log that is away when None."""

    def __init__(self) -> None:
        self.count: int | None = 0

    async def __call__(self) -> int:
        if self.count is None:
            raise Transient(Cause.LOG_DOWN, "away")
        return self.count


def backlog(unread: Unread, pages_max: int = 3) -> Backlog:
    return Backlog(unread, pages_max=pages_max, look_every_s=0.0)


async def lanes(backlog: Backlog, unread: Unread, tenant: str, pages: int) -> list[str]:
    """Each page that goes to the fast lane waits there."""
    found = []
    for _ in range(pages):
        lane = await backlog.lane_of(tenant)
        found.append("fast" if lane is PAGES else "bulk")
        assert lane in (PAGES, PAGES_BULK)
        unread.count = (unread.count or 0) + (lane is PAGES)
    return found


async def test_the_share_is_a_tenants_own() -> None:
    unread = Unread()
    one = backlog(unread)
    assert await lanes(one, unread, "a", 5) == ["fast", "fast", "fast", "bulk", "bulk"]
    assert await lanes(one, unread, "b", 2) == ["fast", "fast"]


async def test_what_was_read_makes_room() -> None:
    unread = Unread()
    one = backlog(unread)
    await lanes(one, unread, "a", 4)
    unread.count = 1
    assert await lanes(one, unread, "a", 3) == ["fast", "fast", "bulk"]
    unread.count = 0
    assert await lanes(one, unread, "a", 1) == ["fast"]


async def test_a_log_that_is_away_changes_nothing() -> None:
    unread = Unread()
    one = backlog(unread)
    await lanes(one, unread, "a", 3)
    unread.count = None
    assert await one.lane_of("a") is PAGES_BULK
