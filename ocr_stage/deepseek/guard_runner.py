"""Drives the n-gram guard from vLLM's sampler: which row of the batch is which request, and how far each one is."""

from typing import Any

import numpy as np
import torch

from ocr_stage.deepseek.fast import FastConfig
from ocr_stage.deepseek.guard import DeviceGuard, reach, setting_of

COPIES = 4
"""Copies of earlier steps may still be under way when the next one is written."""


class Rows:
    """A row of the history for each request that runs or was preempted; freed when it is known no more."""

    def __init__(self, count: int) -> None:
        self._free = list(range(count))
        self._row: dict[str, tuple[int, int]] = {}

    def of(self, ids: list[str], requests: Any) -> list[tuple[int, int]]:
        """(row, setting) of each; `requests` are all that the runner knows, by id."""
        if len(self._free) < len(ids):
            self._reclaim(requests, set(ids))
        for one in ids:
            if one not in self._row:
                self._row[one] = (self._free.pop(), setting(requests[one].sampling_params))
        return [self._row[one] for one in ids]

    def _reclaim(self, requests: Any, running: set[str]) -> None:
        for one in [one for one in self._row if one not in requests and one not in running]:
            self._free.append(self._row.pop(one)[0])


def setting(params: Any) -> int:
    """What a request asks of the guard, packed."""
    return setting_of(params.extra_args if params is not None else None)


class RunnerGuard:
    """One a model runner. Output is counted on the host without knowing the tokens, so nothing is waited for."""

    def __init__(self, runner: Any, config: FastConfig) -> None:
        most = runner.max_num_reqs
        self._rows = Rows(3 * most)
        cuda = runner.device.type == "cuda"
        ngram, window = config.guard
        self._guard = DeviceGuard(
            3 * most, runner.max_model_len, runner.device, ngram=ngram, window=window, allowed=config.allowed
        )
        self._host = [torch.zeros(3, most, dtype=torch.int32, pin_memory=cuda) for _ in range(COPIES)]
        self._device = torch.zeros(3, most, dtype=torch.int32, device=runner.device)
        self._turn = 0
        self._count = 0

    def before(self, runner: Any, logits: Any) -> bool:
        """Take the tokens out that would repeat; False when no row of this step asks for it."""
        batch = runner.input_batch
        count = batch.num_reqs
        if logits is None or not count or logits.shape[0] != count:
            return False
        rows = np.array(self._rows.of(batch.req_ids, runner.requests), dtype=np.int32)
        if not rows[:, 1].any():
            return False
        self._turn = (self._turn + 1) % COPIES
        host = self._host[self._turn].numpy()
        host[0, :count], host[2, :count] = rows[:, 0], rows[:, 1]
        host[1, :count] = batch.num_tokens_no_spec[:count] - batch.num_prompt_tokens[:count]
        self._device.copy_(self._host[self._turn], non_blocking=True)
        self._count = count
        slots, counts, on = (self._device[index, :count] for index in range(3))
        self._guard.ban(logits, slots, counts, on, farthest=reach(rows[:, 1]))
        return True

    def after(self, tokens: Any) -> None:
        self._guard.push(tokens, self._device[0, : self._count], self._device[1, : self._count])
