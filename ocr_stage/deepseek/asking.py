"""What a request to vLLM says beside page and prompt, and the probe that shows that the guard is on. Needs no vLLM."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from folio.errors import FolioError
from ocr_stage.model import Guard

ALLOWED = ("<td>", "</td>")
"""Tokens that the guard lets off: rows of a table look alike."""
REPEATED_TOKENS_MAX, REPEATED_TIMES = 64, 12
"""vLLM's own detection, as a second net. Equal cells of a table are a legal repeat, so it takes many."""
PUSH = 100.0
"""The largest bias that vLLM takes: the one token comes whatever the model thinks, unless it is taken out."""


def guard_class(*, v2: bool = False) -> str:
    """For `logits_processors=[...]`; `v2`: for vLLM's newer model runner (`vllm_config.use_v2_model_runner`)."""
    return "ocr_stage.deepseek.guard_v2:NgramGuard" if v2 else "ocr_stage.deepseek.guard_v1:NgramGuard"


def extra_args(guard: Guard, allowed: Sequence[int]) -> dict[str, Any]:
    """As stock vLLM's recipe names them. `allowed` are ids: a text in their place would silently let off nothing."""
    return {"ngram_size": guard.ngram, "window_size": guard.window, "whitelist_token_ids": list(allowed)}


def repetition_arguments() -> dict[str, int]:
    return {"max_pattern_size": REPEATED_TOKENS_MAX, "min_pattern_size": 1, "min_count": REPEATED_TIMES}


def repetition() -> Any:
    """None where this vLLM has no detection of its own."""
    try:
        from vllm.sampling_params import RepetitionDetectionParams
    except ImportError:
        return None
    return RepetitionDetectionParams(**repetition_arguments())


def probe_arguments(token: int, guard: Guard, allowed: Sequence[int]) -> dict[str, Any]:
    """For `SamplingParams(**...)`: repeats one token until it is stopped. `token` must not be allowed."""
    return {
        "temperature": 0.0,
        "max_tokens": 2 * guard.ngram + 2,
        "ignore_eos": True,
        "skip_special_tokens": False,
        "detokenize": False,
        "logit_bias": {token: PUSH},
        "extra_args": extra_args(guard, allowed),
    }


def was_cut(tokens: Sequence[object], token: object, guard: Guard) -> bool:
    """Whether the run of `token` at the start of a probe's answer ended where the guard ends it."""
    run = next((at for at, one in enumerate(tokens) if one != token), len(tokens))
    return 0 < run <= guard.ngram


async def verify_guard(
    answer: Callable[[dict[str, Any]], Awaitable[Sequence[int]]],
    *,
    token: int,
    guard: Guard | None = None,
    allowed: Sequence[int] = (),
) -> None:
    """Raises FolioError when the guard is off. `answer` has any short prompt answered with these sampling arguments."""
    guard = guard or Guard()
    tokens = await answer(probe_arguments(token, guard, allowed))
    if not was_cut(tokens, token, guard):
        raise FolioError(
            f"the n-gram guard is off: a probe answered {len(tokens)} tokens, most of them the same one. "
            "Pages would loop until their limit; check that vLLM loads folio's plugin"
        )
