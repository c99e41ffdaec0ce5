"""When encoded pages may join the running batch, and how many: decided by the scheduler before each step."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOKENS_FIRST = 600
"""What a page becomes, until pages have told."""
FORGETS = 1 / 64
SPARE = 0.97
"""Of the cache: requests take whole blocks, and lengths are guesses."""


class Door:
    """Whether waiting requests may join: several at once, or after a while, or when half the window is empty.

    A window that is filled in one go fills sooner; pages of one length then end together, and it is empty again.
    """

    def __init__(self, at_once: int, wait_s: float) -> None:
        self._at_once = at_once
        self._wait_s = wait_s
        self._since_s: float | None = None

    def opens(self, places: int, running: int, window: int, now_s: float) -> bool:
        """`places`: how many of those that wait could join."""
        if places <= 0:
            self._since_s = None
            return True
        if self._since_s is None:
            self._since_s = now_s
        if places < self._at_once and running >= window // 2 and now_s - self._since_s < self._wait_s:
            return False
        self._since_s = None
        return True


class Room:
    """How many pages the cache holds until they end, at their likely length: more would push each other out.

    `window`: how many would run now if enough of them waited.
    """

    def __init__(self) -> None:
        self.window = 0
        self._tokens = float(TOKENS_FIRST)
        self._full_at = -1
        """So many ran when there was no place; little has changed while so many run."""

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
        known = self._sizes(running)
        joining = self._sizes(candidates)
        if len(candidates) < most - len(running):  # as if more like the last one waited
            joining = np.concatenate([joining, np.repeat(joining[:, -1:], most - len(running) - len(candidates), 1)], 1)
        low, high = 0 if running else 1, joining.shape[1]
        while low < high:
            middle = (low + high + 1) // 2
            fits = peak(*np.concatenate([known, joining[:, :middle]], 1)) <= SPARE * capacity
            low, high = (middle, high) if fits else (low, middle - 1)
        self.window = len(running) + low
        self._full_at = -1 if low else len(running)
        return min(low, len(candidates))

    def _sizes(self, requests: Sequence[Any]) -> NDArray[np.float64]:
        """Tokens now, and tokens still to come, of each."""
        output = np.array([request.num_output_tokens for request in requests], np.float64)
        prompt = np.array([request.num_prompt_tokens for request in requests], np.float64)
        return np.stack([prompt + output, np.maximum(self._tokens - output, 1.0)])


def peak(now: NDArray[np.float64], left: NDArray[np.float64]) -> float:
    """The most tokens that are kept at once when each of these ends after so many more, and nobody joins."""
    order = np.argsort(left)
    now, left = now[order], left[order]
    alive = np.cumsum(now[::-1])[::-1]
    return float(np.max(alive + np.arange(len(now), 0, -1) * left, initial=0.0))
