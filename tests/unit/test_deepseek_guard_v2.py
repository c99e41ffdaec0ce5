"""The guard behind vLLM's second model runner: against its interface as recorded, with tensors on a CPU.

The runner itself needs a GPU; what is recorded here is what vLLM 0.32.0 and 0.33.0 publish for processors of others.
"""

import importlib
import inspect
import random
import sys
from abc import ABC, abstractmethod
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

INTERFACE = {
    "__init__": ["self", "vllm_config", "req_states"],
    "validate_params": ["sampling_params"],
    "add_request": ["self", "req_idx", "sampling_params"],
    "apply_staged_writes": ["self"],
    "apply": ["self", "logits", "ctx"],
}
V2 = "vllm.v1.worker.gpu.sample.logits_processor"


class Interface(ABC):
    @abstractmethod
    def apply(self, logits: Any, ctx: Any) -> Any: ...


@pytest.fixture
def guard_class(monkeypatch: pytest.MonkeyPatch) -> type:
    """Imported beside what the interface says instead of vLLM, which has an environment of its own."""
    parts = {
        "vllm": {"SamplingParams": SimpleNamespace},
        "vllm.tokenizers": {"cached_tokenizer_from_config": lambda _: SimpleNamespace(get_vocab=lambda: {"<td>": 2})},
        V2: {"LogitsProcessor": Interface},
    }
    for name in [V2.rsplit(".", at)[0] for at in range(1, 5)]:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name, content in parts.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "ocr_stage.deepseek.guard_v2", raising=False)
    guard = importlib.import_module("ocr_stage.deepseek.guard_v2").NgramGuard
    monkeypatch.delitem(sys.modules, "ocr_stage.deepseek.guard_v2")
    return guard


def states(slots: int, tokens_max: int) -> SimpleNamespace:
    """As `LogitsProcRequestState`: what the runner keeps on the device."""
    return SimpleNamespace(
        device=torch.device("cpu"),
        max_num_reqs=slots,
        vocab_size=8,
        all_token_ids=SimpleNamespace(gpu=torch.zeros(slots, tokens_max, dtype=torch.int32)),
        prompt_len=SimpleNamespace(gpu=torch.zeros(slots, dtype=torch.int32)),
        prefill_len=None,
        total_len=None,
    )


def params(**extra: Any) -> SimpleNamespace:
    return SimpleNamespace(extra_args=extra or None)


def config(speculative: object = None) -> SimpleNamespace:
    return SimpleNamespace(speculative_config=speculative, model_config=None)


def banned_by_the_rule(answer: list[int], ngram: int, window: int, allowed: set[int]) -> set[int]:
    if len(answer) < ngram:
        return set()
    last, seen = answer[len(answer) - ngram + 1 :], answer[-window:]
    starts = range(len(seen) - ngram + 1)
    return {seen[at + ngram - 1] for at in starts if seen[at : at + ngram - 1] == last} - allowed


def test_it_is_what_the_runner_loads(guard_class: type) -> None:
    assert issubclass(guard_class, Interface)
    for name, parameters in INTERFACE.items():
        assert list(inspect.signature(getattr(guard_class, name)).parameters) == parameters, name


def test_a_batch_in_any_order_over_slots_that_are_used_again(guard_class: type) -> None:
    """Prompts do not count, rows are shuffled at every step, and requests come and go between steps."""
    chance = random.Random(5)
    kept = states(6, 80)
    guard = guard_class(config(), kept)
    asked = [None, (2, 9), (4, 16), 0]
    live: dict[int, tuple[list[int], tuple[int, int] | None]] = {}
    for _ in range(300):
        for slot in [slot for slot in live if chance.random() < 0.05 or len(live[slot][0]) > 50]:
            del live[slot]
        free = [slot for slot in range(6) if slot not in live]
        if free and chance.random() < 0.5:
            slot, setting = chance.choice(free), chance.choice(asked)
            prompt = [chance.randrange(4) for _ in range(chance.randrange(1, 20))]
            kept.all_token_ids.gpu[slot] = 7
            kept.all_token_ids.gpu[slot, : len(prompt)] = torch.tensor(prompt)
            kept.prompt_len.gpu[slot] = len(prompt)
            extra = (
                {} if setting is None else {"ngram_size": setting and setting[0], "window_size": setting and setting[1]}
            )
            if setting == 0:
                extra = {"ngram_size": 0}
            assert guard.add_request(slot, params(**extra)) is (setting != 0)
            live[slot] = ([], (30, 90) if setting is None else setting or None)
        if not live:
            continue
        guard.apply_staged_writes()
        rows = list(live)
        chance.shuffle(rows)
        begins = kept.prompt_len.gpu[torch.tensor(rows)]
        ends = begins + torch.tensor([len(live[slot][0]) for slot in rows])
        mapping = torch.tensor(rows, dtype=torch.int32)
        context = SimpleNamespace(
            expanded_idx_mapping=mapping, idx_mapping=mapping, idx_mapping_np=np.array(rows), pos=ends - 1
        )
        logits = guard.apply(torch.zeros(len(rows), 8), context)
        found = [set(torch.isneginf(row).nonzero().flatten().tolist()) for row in logits]
        assert found == [banned_by_the_rule(live[s][0], *live[s][1], {2}) if live[s][1] else set() for s in rows]
        for slot in rows:
            token = chance.randrange(3)
            kept.all_token_ids.gpu[slot, int(kept.prompt_len.gpu[slot]) + len(live[slot][0])] = token
            live[slot][0].append(token)


def test_drafted_tokens_are_refused_at_the_start(guard_class: type) -> None:
    with pytest.raises(ValueError, match="speculative"):
        guard_class(config(speculative=object()), states(2, 8))


def test_a_request_that_cannot_be_meant_is_refused_before_it_runs(guard_class: type) -> None:
    guard_class.validate_params(params())
    with pytest.raises(ValueError, match="token ids"):
        guard_class.validate_params(params(whitelist_token_ids="[1, 2]"))
