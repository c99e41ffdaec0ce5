"""When encoded pages may join the running batch, and how many: decided by the scheduler before each step."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

MANY = 32
"""Pages on their way: more than one person waits for, and the encoder has full groups."""
FILL_S = 5.0
TOKENS_FIRST = 600
"""What a page becomes, until pages have told."""
FORGETS = 1 / 64
SPARE = 0.97
"""Of the cache: requests take whole blocks."""


class Door:
    """Whether waiting requests may join: several at once, or after a while, or when half the window is empty.

    A window that is to be filled from many pages is filled in one go: decoding the first few meanwhile would take the
    card from the encoder that all the others wait for.
    """

    def __init__(self, at_once: int, wait_s: float) -> None:
        self._at_once = at_once
        self._wait_s = wait_s
        self._since_s: float | None = None

    def opens(self, places: int, running: int, window: int, now_s: float, *, coming: int = 0) -> bool:
        """`places`: how many of those that wait could join; `coming`: pages that are being encoded, or about to be."""
        if places <= 0:
            self._since_s = None
            return True
        if self._since_s is None:
            self._since_s = now_s
        wanted, wait_s = self._at_once, self._wait_s
        if running < window // 2:
            wanted, wait_s = (window * 3 // 4 - running, FILL_S) if coming >= MANY else (1, 0.0)
        if places < wanted and now_s - self._since_s < wait_s:
            return False
        self._since_s = None
        return True


class Room:
    """How many pages the cache holds once they have grown to their likely length: more would push each other out.

    `window`: how many would run now if enough of them waited.
    """

    def __init__(self) -> None:
        self.window = 0
        self._tokens = float(TOKENS_FIRST)
        self._full_at = -1
        """So many ran when there was no place; nothing has changed while so many run."""

    def ended(self, tokens: int) -> None:
        """A page came out so long."""
        self._full_at = -1
        if tokens:
            self._tokens += FORGETS * (tokens - self._tokens)

    def places(self, running: Sequence[Any], waiting: Iterable[Any], most: int, capacity: int) -> int:
        """How many of the first that wait may join; `most` may run at once, `capacity` is the cache's, in tokens."""
        if len(running) == self._full_at:
            return 0
        candidates = list(islice(waiting, most - len(running)))
        if not candidates:
            return 0
        left = SPARE * capacity - sum(map(self._need, running))
        found = 0
        for request in candidates:
            left -= self._need(request)
            if left < 0 and (running or found):
                break
            found += 1
        self.window = min(most, len(running) + found + max(0, int(left / self._need(candidates[0]))))
        self._full_at = -1 if found else len(running)
        return found

    def _need(self, request: Any) -> float:
        return request.num_prompt_tokens + max(self._tokens, request.num_output_tokens)
