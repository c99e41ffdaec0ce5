"""Pages that wait to be encoded, by shape: which of them go together, and when."""

from collections import deque
from dataclasses import dataclass
from typing import Any

from ocr_stage.deepseek.tickets import Shape, Ticket


@dataclass(frozen=True, slots=True)
class Waiting:
    """`request` is given back untouched once the page is encoded."""

    ticket: Ticket
    request_id: str
    request: Any
    since_s: float


class Queue:
    """Full groups go at once, the one whose oldest page came first; a page waits for company at most `wait_s`."""

    def __init__(self, *, group: int, wait_s: float) -> None:
        self._group = group
        self._wait_s = wait_s
        self._pages: dict[Shape, deque[Waiting]] = {}

    def __len__(self) -> int:
        return sum(len(pages) for pages in self._pages.values())

    def add(self, page: Waiting) -> None:
        self._pages.setdefault(page.ticket.shape, deque()).append(page)

    def due_s(self, now_s: float) -> float | None:
        """How long until a group goes: 0 when one may go now, None when no page waits."""
        if not len(self):
            return None
        if any(len(pages) >= self._group for pages in self._pages.values()):
            return 0.0
        oldest = min(pages[0].since_s for pages in self._pages.values() if pages)
        return max(0.0, oldest + self._wait_s - now_s)

    def take(self, fit: Any) -> list[Waiting]:
        """The group that is due, of a size that `fit(count)` allows."""
        full = [pages for pages in self._pages.values() if len(pages) >= self._group]
        pages = min(full or [pages for pages in self._pages.values() if pages], key=lambda pages: pages[0].since_s)
        count = fit(min(len(pages), self._group))
        return [pages.popleft() for _ in range(count)]
