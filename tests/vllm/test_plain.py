"""What vLLM does with a step, and what folio does for requests that only get a token: the same, whatever happens.

vLLM's own scheduler and requests, with a model that says what it is told: no step is computed.
"""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from vllm import SamplingParams
from vllm.engine.arg_utils import EngineArgs
from vllm.sampling_params import RepetitionDetectionParams
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request, RequestStatus
from vllm.v1.structured_output import StructuredOutputManager

from ocr_stage.deepseek import patches, plain
from ocr_stage.deepseek.fast import FastConfig
from tests.vllm.conftest import ARGUMENTS

END, BLOCK, BLOCKS = 2, 16, 30
"""Of the cache there is so little that requests are put off."""
LOOPS_EVERY = 5


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the change; undone after the test."""
    from vllm.v1.core.sched import utils

    monkeypatch.setattr(Scheduler, "update_from_output", Scheduler.update_from_output)
    monkeypatch.setattr(utils, "check_sequence_repetition", utils.check_sequence_repetition)
    return lambda: patches.PATCHES["once"](FastConfig(arena="", slots=1, slot_bytes=1))


def scheduler(checkpoint: Path, kind: type[Scheduler]) -> Scheduler:
    config = EngineArgs(
        model=str(checkpoint),
        hf_overrides={"architectures": ["DeepseekOCRForCausalLM"]},
        disable_log_stats=True,
        async_scheduling=kind is AsyncScheduler,
        **ARGUMENTS,
    ).create_engine_config()
    config.cache_config.num_gpu_blocks = BLOCKS
    spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=1, dtype=torch.float32)
    cache = KVCacheConfig(num_blocks=BLOCKS, kv_cache_tensors=[], kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)])
    return kind(config, cache, StructuredOutputManager(config), BLOCK)


def requests(seed: int) -> list[Request]:
    """Any that folio sends, and some that others would."""
    chance = random.Random(seed)
    made = []
    for number in range(30):
        wanted: dict[str, Any] = {"max_tokens": chance.choice([1, 2, 40, 150, 400, 400])}
        wanted |= chance.choice([{}, {}, {"ignore_eos": True}, {"min_tokens": 1}, {"stop_token_ids": [7]}])
        if number % LOOPS_EVERY == 0:
            wanted["max_tokens"] = 150
        if number % LOOPS_EVERY == 0 or chance.random() < 0.5:
            wanted["repetition_detection"] = RepetitionDetectionParams(
                max_pattern_size=4, min_pattern_size=1, min_count=5
            )
        params = SamplingParams(**wanted)
        if not params.ignore_eos:
            params._eos_token_id = END
        made.append(Request(f"r{number}", list(range(100, 100 + chance.randint(1, 40))), params, None))
    return made


def said(request_id: str, number: int, seed: int) -> int:
    """The token of this request at this place, however often it is computed."""
    chance = random.Random(f"{seed} {request_id} {number}")
    if int(request_id[1:]) % LOOPS_EVERY == 0:
        return 50
    return END if chance.random() < 0.003 else chance.randrange(3, 40)


def course(one: Scheduler, seed: int, *, ahead: int) -> tuple[dict[str, tuple[list[int], str]], list[Any]]:
    """What each request is answered and why it ended; and what the runner was told at each step.

    `ahead`: steps under way before the first answer is known. Some requests are cancelled in the middle.
    """
    left, told, answers = requests(seed), [], dict[str, tuple[list[int], str]]()
    texts: dict[str, list[int]] = {request.request_id: [] for request in left}
    under_way: list[tuple[Any, ModelRunnerOutput]] = []
    for step in range(4000):
        while left and len(one.waiting) < 3:
            one.add_request(left.pop())
        if step % 37 == 36 and one.running:
            one.finish_requests([min(request.request_id for request in one.running)], RequestStatus.FINISHED_ABORTED)
        scheduled = one.schedule()
        told.append(heard(scheduled))
        if scheduled.total_num_scheduled_tokens:
            under_way.append((scheduled, computed(one, scheduled, seed)))
        if under_way and (len(under_way) > ahead or not scheduled.total_num_scheduled_tokens):
            collect(one.update_from_output(*under_way.pop(0)), texts, answers)
        if not left and not under_way and not one.has_unfinished_requests():
            return answers, told
    raise AssertionError("it does not end")


def heard(scheduled: Any) -> Any:
    cached = scheduled.scheduled_cached_reqs
    return (
        dict(scheduled.num_scheduled_tokens), list(cached.req_ids), sorted(cached.resumed_req_ids),
        {one: list(tokens) for one, tokens in cached.all_token_ids.items()}, cached.new_block_ids,
        cached.num_computed_tokens, cached.num_output_tokens, sorted(scheduled.finished_req_ids),
    )  # fmt: skip


def computed(one: Scheduler, scheduled: Any, seed: int) -> ModelRunnerOutput:
    """A token for each request whose prompt is whole by now; none for the others."""
    ids, tokens = list(scheduled.num_scheduled_tokens), []
    for request_id in ids:
        request = one.requests[request_id]
        if request.is_prefill_chunk:
            tokens.append([])
            continue
        number = len(request._output_token_ids) + max(0, request.num_output_placeholders - 1)
        tokens.append([said(request_id, number, seed)])
    return ModelRunnerOutput(
        req_ids=ids, req_id_to_index={name: at for at, name in enumerate(ids)}, sampled_token_ids=tokens
    )


def collect(found: Mapping[int, Any], texts: dict[str, list[int]], answers: dict[str, tuple[list[int], str]]) -> None:
    for answer in found.values():
        for output in answer.outputs:
            texts[output.request_id] += output.new_token_ids
            if output.finish_reason is not None:
                answers[output.request_id] = (texts[output.request_id], f"{output.finish_reason} {output.stop_reason}")


@pytest.mark.parametrize(("kind", "ahead"), [(AsyncScheduler, 1), (Scheduler, 0)])
@pytest.mark.parametrize("seed", range(6))
def test_every_request_is_answered_as_vllm_answers_it(
    checkpoint: Path, once: Any, monkeypatch: pytest.MonkeyPatch, kind: type[Scheduler], ahead: int, seed: int
) -> None:
    """Ends, limits, loops, requests that are put off, cancelled, or ask for what folio never does."""
    from vllm.v1.core.sched import utils

    repeats = utils.check_sequence_repetition
    monkeypatch.setattr(
        utils, "check_sequence_repetition",
        lambda tokens, params: len(tokens) % plain.REPETITION_EVERY == 0 and repeats(tokens, params),
    )  # fmt: skip
    stock, told = course(scheduler(checkpoint, kind), seed, ahead=ahead)
    given = []
    once()
    monkeypatch.setattr(plain, "give_tokens", counting(plain.give_tokens, given))
    ours, heard_of_us = course(scheduler(checkpoint, kind), seed, ahead=ahead)
    assert ours == stock
    assert heard_of_us == told
    assert {reason.split()[0] for _, reason in stock.values()} >= {"length", "repetition", "stop"}
    assert any(len(entry[2]) for entry in told), "none was put off and resumed"
    assert sum(given) > 0.5 * sum(len(tokens) for tokens, _ in stock.values()), "plain tokens are few"


def counting(give: Any, given: list[int]) -> Any:
    def counted(one: Any, scheduled: Any, *more: Any) -> dict[str, int]:
        others = give(one, scheduled, *more)
        given.append(len(scheduled.num_scheduled_tokens) - len(others))
        return others

    return counted
