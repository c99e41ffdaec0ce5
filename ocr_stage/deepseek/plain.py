"""Requests to which a step does nothing but give one token: nearly all of them, in nearly every step.

vLLM finds that out for each request anew, in Python, in the thread that the card waits for, and makes an output of each
token, which nobody here wants before the end. What is here does the same for those alone; whatever else may happen to a
request is left to vLLM.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

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
