"""Which lane a page image takes: what a tenant has beyond its share goes to the slow one, so that others pass."""

import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable

from folio.errors import Transient
from folio.topics import PAGES, PAGES_BULK, Topic

LOOK_EVERY_S = 1.0

LaneOf = Callable[[str], Awaitable[Topic]]
"""From a tenant to the topic for its next page."""


async def one_lane(tenant: str) -> Topic:
    return PAGES


class Backlog:
    """Of the pages that wait on the fast lane those that this process sent last: their tenants, counted.

    An estimate: pages are read nearly in order, and where several processes send, it is on the high side for each.
    """

    def __init__(
        self, unread: Callable[[], Awaitable[int]], *, pages_max: int, look_every_s: float = LOOK_EVERY_S
    ) -> None:
        """`unread` counts all pages on the fast lane that nobody has finished; `pages_max` is a tenant's share."""
        self._unread = unread
        self._pages_max = pages_max
        self._look_every_s = look_every_s
        self._looked_s = -look_every_s
        self._sent: deque[str] = deque()
        self._by_tenant: Counter[str] = Counter()

    async def lane_of(self, tenant: str) -> Topic:
        """The lane of this tenant's next page, which is counted as sent."""
        await self._forget_read()
        if self._by_tenant[tenant] >= self._pages_max:
            return PAGES_BULK
        self._sent.append(tenant)
        self._by_tenant[tenant] += 1
        return PAGES

    async def _forget_read(self) -> None:
        now_s = time.monotonic()
        if not self._sent or now_s - self._looked_s < self._look_every_s:
            return
        self._looked_s = now_s
        try:
            unread = await self._unread()
        except Transient:
            return
        while len(self._sent) > unread:
            tenant = self._sent.popleft()
            self._by_tenant[tenant] -= 1
            if not self._by_tenant[tenant]:
                del self._by_tenant[tenant]
