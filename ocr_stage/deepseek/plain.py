"""Requests to which a step does nothing but give one token: nearly all of them, in nearly every step.

vLLM finds that out for each request anew, in Python, and at 768 at once on a slow core its step then takes longer than
the card's. What is here does the same for those alone; whatever else may happen to a request is left to vLLM.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

REPETITION_EVERY = 64
"""Tokens between two looks for repetition: each costs as much as the rest of a step does for a request."""


class Limits(NamedTuple):
    """Of one request: a token that is not `eos` ends nothing while the output then has fewer than `below`."""

    eos: int | None
    below: int
    every: int
    """After so many tokens its repetition is looked for; 0: never."""


NEVER = Limits(None, 0, 0)


def limits_of(request: Any, model_tokens_max: int) -> Limits:
    """NEVER for a request that asks for more than tokens until an end."""
    params = request.sampling_params
    if (
        params is None
        or params.stop_token_ids
        or params.min_tokens
        or params.num_logprobs is not None
        or params.prompt_logprobs is not None
        or request.structured_output_request is not None
        or request.resumable
        or request._block_hasher is not None
    ):
        return NEVER
    below = min(request.max_tokens, model_tokens_max - request.num_prompt_tokens)
    return Limits(params.eos_token_id, below, REPETITION_EVERY if params.repetition_detection is not None else 0)


def give_tokens(scheduler: Any, scheduled: Any, answered: Any, running: Any) -> dict[str, int]:
    """Give each plain request its token. Returns the scheduled tokens of the others, which vLLM's update must see.

    `running`: the status of a request that is neither waiting nor finished.
    """
    if scheduled.scheduled_spec_decode_tokens or not _only_tokens(answered):
        return dict(scheduled.num_scheduled_tokens)
    requests, places, sampled = scheduler.requests, answered.req_id_to_index, answered.sampled_token_ids
    others: dict[str, int] = {}
    for request_id, count in scheduled.num_scheduled_tokens.items():
        request = requests.get(request_id)
        if request is None or count != 1:
            others[request_id] = count
            continue
        limits = request.__dict__.get("folio_limits")
        if limits is None:
            limits = request.folio_limits = limits_of(request, scheduler.max_model_len)
        tokens, output = sampled[places[request_id]], request._output_token_ids
        number = len(output) + 1
        if (
            number >= limits.below
            or len(tokens) != 1
            or tokens[0] == limits.eos
            or (limits.every and number % limits.every == 0)
            or request.status is not running
            or request.has_encoder_inputs
            or request.prefill_stats is not None
            or request.async_tokens_to_discard
        ):
            others[request_id] = count
            continue
        request.num_in_flight_tokens -= 1
        output.append(tokens[0])
        request._all_token_ids.append(tokens[0])
        if request.num_output_placeholders:  # none where steps are scheduled one after the other
            request.num_output_placeholders -= 1
    return others


def _only_tokens(answered: Any) -> bool:
    return bool(answered.sampled_token_ids) and not (
        answered.logprobs
        or answered.prompt_logprobs_dict
        or answered.pooler_output
        or answered.num_nans_in_logits
        or answered.kv_connector_output
        or answered.routed_experts is not None
    )


def ended(answers: Mapping[int, Any], requests: Mapping[str, Any]) -> dict[int, Any]:
    """Only of requests that end, each with all of its tokens; a client that hears of none is told nothing."""
    told = {}
    for client, answer in answers.items():
        answer.outputs = [output for output in answer.outputs if output.finish_reason is not None]
        for output in answer.outputs:
            request = requests.get(output.request_id)
            if request is not None:
                output.new_token_ids = list(request._output_token_ids)
        if answer.outputs or answer.finished_requests or answer.scheduler_stats is not None:
            told[client] = answer
    return told


def cached_requests(scheduler: Any, running: Sequence[Any], new_blocks: Mapping[str, Any], made_of: type) -> Any:
    """What the runner is told of requests that go on: vLLM's CachedRequestData (`made_of`), none of them resumed."""
    nothing, known = scheduler.kv_cache_manager.empty_kv_cache_blocks, scheduler.prev_step_scheduled_req_ids
    ids = [request.request_id for request in running]
    blocks = (new_blocks[request_id] for request_id in ids)
    return made_of(
        req_ids=ids,
        resumed_req_ids=set(),
        new_token_ids=[],
        all_token_ids={one.request_id: one.all_token_ids.copy() for one in running if one.request_id not in known},
        new_block_ids=[None if block is nothing else block.get_block_ids(allow_none=True) for block in blocks],
        num_computed_tokens=[request.num_computed_tokens for request in running],
        num_output_tokens=[len(request._output_token_ids) + request.num_output_placeholders for request in running],
    )


def place_tokens(runner: Any, count: int, total: int, ends: "np.ndarray[Any, Any]") -> None:
    """Put the tokens of the step before, which only the device knows, where this step reads them.

    `ends` [count]: one past the last token of each request in the step's `total`.
    """
    before = runner.prev_positions.np[:count]
    rows = before[before >= 0]
    places = ends[:count][before >= 0] - 1
    if len(rows) < total:
        runner.input_ids.copy_to_gpu(total)
    if not len(rows):
        return
    tokens, read = runner.input_batch.prev_sampled_token_ids[:, 0], runner.input_ids.gpu
    if places[-1] == len(rows) - 1 and (rows == places).all():
        read[: len(rows)].copy_(tokens[: len(rows)], non_blocking=True)
        return
    read.scatter_(dim=0, index=_sent(places, read.device), src=tokens[_sent(rows, read.device)])


def _sent(numbers: "np.ndarray[Any, Any]", device: torch.device) -> torch.Tensor:
    pinned = torch.tensor(numbers, dtype=torch.int64, pin_memory=device.type == "cuda")
    return pinned.to(device, non_blocking=True)
