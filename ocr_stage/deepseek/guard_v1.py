"""The n-gram guard behind the interface of vLLM's first model runner: on a CPU, or where folio's own changes are off.

The interface lends each answer as a Python list on the host, so the rule is applied there, for all requests at once.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from vllm import SamplingParams
from vllm.tokenizers import cached_tokenizer_from_config
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality

from ocr_stage.deepseek.asking import ALLOWED
from ocr_stage.deepseek.guard import OFF, Array, allowed_row, let_off_of, reach, repeats, setting_of


@dataclass(slots=True)
class Request:
    """`answer` is vLLM's own list, which grows; `known` tokens of it are in row `slot` of the history."""

    answer: list[int]
    setting: int
    allowed: list[int]
    slot: int
    known: int = 0


class NgramGuard(LogitsProcessor):
    """On for every request that does not ask for `ngram_size` 0."""

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        setting_of(sampling_params.extra_args)
        let_off_of(sampling_params.extra_args)

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        vocabulary = cached_tokenizer_from_config(vllm_config.model_config).get_vocab()
        self._allowed = tuple(vocabulary[token] for token in ALLOWED if token in vocabulary)
        self._device = device
        rows = vllm_config.scheduler_config.max_num_seqs
        self._history = np.full((rows, vllm_config.model_config.max_model_len), -1, np.int32)
        self._free = list(range(rows))
        self._rows: dict[int, Request] = {}
        self._batch = Batch([])

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Who sits in which row of the batch, in the order in which vLLM says it: gone, come, moved."""
        if batch_update is None:
            return
        self._batch.part()
        for row in batch_update.removed:
            self._leave(row)
        for row, params, _, answer in batch_update.added:
            self._leave(row)
            allowed = let_off_of(params.extra_args)
            row_of = allowed_row(self._allowed if allowed is None else allowed)
            self._rows[row] = Request(answer, setting_of(params.extra_args), row_of, self._free.pop())
        for one, other, direction in batch_update.moved:
            self._move(one, other, swap=direction is MoveDirectionality.SWAP)
        self._batch = Batch([self._rows[row] for row in sorted(self._rows)])

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        batch = self._batch
        if not batch.ngram_max:
            return logits
        counts = batch.learn(self._history)
        recent = batch.recent(self._history, counts)
        rows, tokens = repeats(recent, counts, batch.settings, batch.allowed, ngram_max=batch.ngram_max)
        if len(rows):
            at = (torch.from_numpy(part).to(self._device) for part in (rows, tokens))
            logits[tuple(at)] = -torch.inf
        return logits

    def _leave(self, row: int) -> None:
        gone = self._rows.pop(row, None)
        if gone is not None:
            self._free.append(gone.slot)

    def _move(self, one: int, other: int, *, swap: bool) -> None:
        moved, replaced = self._rows.pop(one, None), self._rows.pop(other, None)
        if moved is not None:
            self._rows[other] = moved
        if replaced is not None and swap:
            self._rows[one] = replaced
        elif replaced is not None:
            self._free.append(replaced.slot)


class Batch:
    """The requests of a step, row by row, as arrays; made anew only when somebody comes, goes or moves."""

    def __init__(self, requests: list[Request]) -> None:
        self._requests = requests
        self._answers = [request.answer for request in requests]
        self._slots = np.array([request.slot for request in requests], np.int64)
        self._known = np.array([request.known for request in requests], np.int32)
        self.settings = np.array([request.setting for request in requests], np.int32)
        self.allowed = np.array([request.allowed for request in requests], np.int32)
        self.ngram_max, self._window = reach(self.settings)

    def learn(self, history: Array) -> Array:
        """Take in what the answers have grown by, one token each as a rule. Returns their lengths."""
        counts = np.fromiter(map(len, self._answers), np.int32, len(self._answers))
        newest = np.array([answer[-1] if answer else OFF for answer in self._answers], np.int32)
        grown = counts - self._known
        by_one = grown == 1
        history[self._slots[by_one], counts[by_one] - 1] = newest[by_one]
        for row in np.flatnonzero((grown != 0) & ~by_one):  # it came back after it had to make room
            history[self._slots[row], : counts[row]] = self._answers[row]
        self._known = counts
        return counts

    def part(self) -> None:
        """Each request takes along how much of it is known."""
        for request, known in zip(self._requests, self._known, strict=True):
            request.known = int(known)

    def recent(self, history: Array, counts: Array) -> Array:
        """[rows, window]: the last tokens of each answer, the newest last, -1 before its start."""
        at = counts[:, None] + np.arange(-self._window, 0)
        return np.where(at >= 0, history[self._slots[:, None], np.maximum(at, 0)], -1)
