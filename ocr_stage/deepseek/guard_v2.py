"""The n-gram guard behind the interface of vLLM's second model runner, which keeps all answers on the device.

Written to the interface of 0.32 and 0.33 and tested against it with tensors on a CPU. It has not run in an engine: that
runner needs a GPU and a newer PyTorch than the machine had on which folio was measured.
"""

from typing import Any

import numpy as np
import torch
from vllm import SamplingParams
from vllm.tokenizers import cached_tokenizer_from_config
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor

from ocr_stage.deepseek.asking import ALLOWED
from ocr_stage.deepseek.guard import ALLOWED_MAX, allowed_row, ban_repeats, let_off_of, reach, setting_of


class NgramGuard(LogitsProcessor):
    """On for every request that does not ask for `ngram_size` 0."""

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        setting_of(sampling_params.extra_args)
        let_off_of(sampling_params.extra_args)

    def __init__(self, vllm_config: Any, req_states: Any) -> None:
        if vllm_config.speculative_config is not None:
            raise ValueError("the n-gram guard does not see drafted tokens: turn speculative decoding off")
        vocabulary = cached_tokenizer_from_config(vllm_config.model_config).get_vocab()
        self._allowed = tuple(vocabulary[token] for token in ALLOWED if token in vocabulary)
        self._states = req_states
        slots, device = req_states.max_num_reqs, req_states.device
        self._settings = np.zeros(slots, np.int32)
        self._let_off = np.full((slots, ALLOWED_MAX), -1, np.int32)
        self._settings_there = torch.zeros(slots, dtype=torch.int32, device=device)
        self._let_off_there = torch.full((slots, ALLOWED_MAX), -1, dtype=torch.int32, device=device)
        self._changed = False

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """Slots are used again: everything of the one before is overwritten."""
        allowed = let_off_of(sampling_params.extra_args)
        self._settings[req_idx] = setting_of(sampling_params.extra_args)
        self._let_off[req_idx] = allowed_row(self._allowed if allowed is None else allowed)
        self._changed = True
        return bool(self._settings[req_idx])

    def apply_staged_writes(self) -> None:
        if self._changed:
            self._settings_there.copy_(torch.from_numpy(self._settings))
            self._let_off_there.copy_(torch.from_numpy(self._let_off))
            self._changed = False

    def apply(self, logits: torch.Tensor, ctx: Any) -> torch.Tensor:
        ngram_max, window = reach(self._settings[ctx.idx_mapping_np])
        if not ngram_max:
            return logits
        slots = ctx.expanded_idx_mapping.long()
        begins, ends = self._states.prompt_len.gpu[slots], ctx.pos + 1
        at = ends[:, None] + torch.arange(-window, 0, device=logits.device)
        tokens = self._states.all_token_ids.gpu[slots[:, None], at.clamp_min(0)]
        return ban_repeats(
            logits,
            torch.where(at >= begins[:, None], tokens, -1),
            ends - begins,
            self._settings_there[slots],
            self._let_off_there[slots],
            ngram_max=ngram_max,
        )
