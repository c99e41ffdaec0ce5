"""The n-gram guard on tensors: no run of n tokens comes twice among the last W of an answer, for all requests at once.

The rule, as DeepSeek-OCR's scripts have it: when the last n - 1 tokens stood before among the last W, whatever came
after them then may not come now. Some tokens (cells of tables) are let off. The prompt does not count.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[Any]
NGRAM, WINDOW = 30, 90
WINDOW_MAX = 2048
"""Of a request: what the guard looks through at every token."""
ALLOWED_MAX = 8
"""Tokens that one request may have let off."""
OFF = 0
ASKED = 1
"""In place of a setting: the guard's own."""
_HIGH = 16


def packed(ngram: int, window: int) -> int:
    """Both numbers of a setting in one, so that a batch's settings are one row of integers."""
    return ngram << _HIGH | window


def setting_of(asked: Mapping[str, Any] | None) -> int:
    """Of a request's `extra_args`: its setting, the usual one when it says nothing, OFF for an `ngram_size` of 0.

    Raises ValueError for what cannot be meant, so that the request is refused instead of read without a guard.
    """
    asked = asked or {}
    ngram, window = asked.get("ngram_size", NGRAM), asked.get("window_size", WINDOW)
    if not _whole(ngram) or not _whole(window):
        raise ValueError(f"ngram_size and window_size are whole numbers, not {ngram!r} and {window!r}")
    if not ngram:
        return OFF
    if not 2 <= ngram <= window <= WINDOW_MAX:
        raise ValueError(f"2 <= ngram_size <= window_size <= {WINDOW_MAX}, not {ngram} and {window}")
    return packed(ngram, window)


def let_off_of(asked: Mapping[str, Any] | None) -> tuple[int, ...] | None:
    """The tokens that a request lets off; None: the engine's own. Text is refused: it would let off nothing, unseen."""
    ids = (asked or {}).get("whitelist_token_ids")
    if ids is None:
        return None
    if not isinstance(ids, list | tuple | set | frozenset) or not all(_whole(one) for one in ids):
        raise ValueError(f"whitelist_token_ids is a list of token ids, not {ids!r}")
    if len(ids) > ALLOWED_MAX:
        raise ValueError(f"whitelist_token_ids has {len(ids)} ids, at most {ALLOWED_MAX} can be let off")
    return tuple(ids)


def allowed_row(ids: Sequence[int]) -> list[int]:
    """As one row of `allowed`: all are of one length."""
    return [*ids, *[-1] * (ALLOWED_MAX - len(ids))]


def reach(settings: Any) -> tuple[int, int]:
    """The largest n and the largest window of packed settings (an array on the host); (0, 0) when all are off."""
    return (int((settings >> _HIGH).max()), int((settings & (1 << _HIGH) - 1).max())) if len(settings) else (0, 0)


def _whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def ban_repeats(
    logits: torch.Tensor,
    recent: torch.Tensor,
    counts: torch.Tensor,
    settings: torch.Tensor,
    allowed: torch.Tensor,
    *,
    ngram_max: int,
) -> torch.Tensor:
    """Set to minus infinity what would repeat, in place.

    logits [rows, vocabulary]; recent [rows, W] the last tokens of each answer, the newest last, -1 before its start;
    counts [rows] tokens of the answer so far; settings [rows] packed, OFF for none; allowed [rows or 1, any] tokens let
    off, -1 for none. `ngram_max` bounds the settings' n, W their windows. Nothing is waited for on a GPU.
    """
    width, before = recent.shape[1], ngram_max - 1
    ngram, window = (settings >> _HIGH)[:, None], (settings & (1 << _HIGH) - 1)[:, None]
    padded = torch.nn.functional.pad(recent, (before, 0), value=-1)
    runs = padded.unfold(1, before, 1)[:, :width]  # what stands before each place
    farther = torch.arange(before, device=recent.device) < ngram_max - ngram  # than this row's n reaches
    same = ((runs == padded[:, None, -before:]) | farther[:, None]).all(-1)
    place = torch.arange(width, device=recent.device)
    inside = (place - ngram + 1 >= width - window) & (place - ngram + 1 >= width - counts[:, None])
    live = (counts[:, None] >= ngram) & (settings[:, None] > OFF)
    hit = same & inside & live & (recent[:, :, None] != allowed[:, None, :]).all(-1)
    banned = torch.where(hit, recent, 0).long()
    return logits.scatter_add_(1, banned, torch.where(hit, -torch.inf, 0.0).to(logits.dtype))


def repeats(recent: Array, counts: Array, settings: Array, allowed: Array, *, ngram_max: int) -> tuple[Array, Array]:
    """The same rule on the host, for arrays of the same shapes: rows, and the token that may not come there.

    Only where the newest token stood before is more looked at: far less work, which a GPU would have to wait for.
    """
    width = recent.shape[1]
    ngram, window = settings >> _HIGH, settings & (1 << _HIGH) - 1
    place = np.arange(1, width)
    inside = place - ngram[:, None] + 1 >= width - np.minimum(window, counts)[:, None]
    live = (settings > OFF) & (counts >= ngram)
    rows, places = np.nonzero((recent[:, :-1] == recent[:, -1:]) & inside & live[:, None])
    places += 1
    back = np.arange(1, ngram_max)
    before, newest = np.maximum(places[:, None] - back, 0), width - back
    same = recent[rows[:, None], before] == recent[rows[:, None], newest]
    tokens = recent[rows, places]
    hit = (same | (back >= ngram[rows, None])).all(-1) & (tokens[:, None] != allowed[rows]).all(-1)
    return rows[hit], tokens[hit].astype(np.int64)


class DeviceGuard:
    """Remembers answers on the device that samples them: [rows, tokens_max], a row for each request.

    `ngram` and `window` are what ASKED means; `allowed` are the tokens let off. All tensors that `ban` and `push` take
    are integers [requests] on the device, and no call waits for the device.
    """

    def __init__(
        self,
        rows: int,
        tokens_max: int,
        device: Any,
        *,
        ngram: int = NGRAM,
        window: int = WINDOW,
        allowed: Sequence[int] = (),
    ) -> None:
        self._own = packed(ngram, window)
        self._history = torch.full((rows, tokens_max), -1, dtype=torch.int32, device=device)
        self._allowed = torch.tensor([list(allowed) or [-1]], dtype=torch.int32, device=device)
        self._reach = (ngram, window)
        self._places: dict[int, torch.Tensor] = {}

    def ban(
        self,
        logits: torch.Tensor,
        slots: torch.Tensor,
        counts: torch.Tensor,
        on: torch.Tensor,
        *,
        farthest: tuple[int, int] = (0, 0),
    ) -> None:
        """Before sampling: `slots` are rows of the history, `counts` tokens of each answer, `on` packed or ASKED.

        `farthest` is the `reach` of the settings in `on`, where one of them says more than the guard's own.
        """
        ngram, window = (max(both) for both in zip(self._reach, farthest, strict=True))
        at = counts[:, None] + self._before(window)
        kept = self._history[slots[:, None].long(), at.clamp_min(0).long()]
        recent = torch.where(at >= 0, kept, -1)
        settings = torch.where(on == ASKED, self._own, on)
        ban_repeats(logits, recent, counts, settings, self._allowed, ngram_max=ngram)

    def push(self, tokens: torch.Tensor, slots: torch.Tensor, counts: torch.Tensor) -> None:
        """After sampling: `tokens` [requests] or [requests, 1] come at place `counts` of each answer."""
        self._history[slots.long(), counts.long()] = tokens.reshape(-1).to(torch.int32)

    def _before(self, window: int) -> torch.Tensor:
        """Made once for each window."""
        if window not in self._places:
            self._places[window] = torch.arange(-window, 0, device=self._history.device)
        return self._places[window]
