"""What we change in vLLM 0.26's engine process, each change alone and by name; another version runs as it came.

tickets   pages that were encoded ahead: their requests wait outside the scheduler, embeddings go when they finish
hold      new requests enter the running batch several at a time: one prompt in a step takes the step out of its graph;
          and only as many as the cache will hold when they have grown
lookups   no search for pictures in requests whose prompt is done (scheduler and runner)
once      the tokens of a request go to the front end once, with its end; repetition is looked for every 64 tokens; a
          request that gets a token and nothing else is dealt with in a few lines of Python (`plain.py`)
blocks    a decoding request with room in its last block needs no new one: answered at once
collector the garbage collector looks at what came since the start, and only now and then
guard     the n-gram guard's history stays on the device: no token is waited for
priority  decoding runs on a stream of high priority, so that the encoder fills its gaps
"""

import gc
import logging
import time
from collections.abc import Callable
from typing import Any

from ocr_stage.deepseek import fast, plain
from ocr_stage.deepseek.admission import Door, Room
from ocr_stage.deepseek.arena import Gauge
from ocr_stage.deepseek.fast import LOGGER, FastConfig
from ocr_stage.deepseek.tickets import Ticket

VERSIONS = ("0.26.0",)
"""Versions of vLLM whose code these changes were written against and tested with."""
URGENT = -5
COLLECT_EVERY_STEPS = 5000


def fits(version: str) -> bool:
    return version.split("+", 1)[0] in VERSIONS


def install(config: FastConfig) -> list[str]:
    """Make the changes that `config.patches` names; returns those made. A version that we do not know gets none."""
    import vllm

    if not fits(vllm.__version__):
        logging.getLogger(LOGGER).warning(
            "folio's changes fit vLLM %s, this is %s: it runs as it came, several times slower",
            ", ".join(VERSIONS),
            vllm.__version__,
        )
        return []
    made = []
    for name in config.patches:
        if name not in _INSTALLED:
            PATCHES[name](config)
            _INSTALLED.add(name)
        made.append(name)
    return made


_INSTALLED: set[str] = set()


def _tickets(config: FastConfig) -> None:
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.engine import EngineCoreRequestType
    from vllm.v1.engine.core import EngineCoreProc

    handle, free = EngineCoreProc._handle_client_request, Scheduler._free_request

    def handle_client_request(self: Any, kind: Any, request: Any) -> None:
        if kind == EngineCoreRequestType.ADD:
            ticket = ticket_of(request[0])
            ahead = None if ticket is None else fast.started(self)
            if ticket is not None and ahead is not None and not ahead.has(ticket.number):
                ahead.add(ticket, request[0].request_id, request)
                return
        if kind == EngineCoreRequestType.ABORT and fast.STATE.ahead is not None:
            for request_id in (request,) if isinstance(request, str) else request:
                fast.STATE.ahead.cancel(request_id)
        handle(self, kind, request)

    def free_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        ticket = ticket_of(request)
        if ticket is not None and fast.STATE.ahead is not None:
            fast.STATE.ahead.forget(ticket.number)
        return free(self, request, *args, **kwargs)

    EngineCoreProc._handle_client_request = handle_client_request
    Scheduler._free_request = free_request


def ticket_of(request: Any) -> Ticket | None:
    """The page of a request of ours; None for text and for pictures that came as pixels."""
    if not request.mm_features:
        return None
    data = request.mm_features[0].data
    words = data["pixel_values"].data if data is not None and "pixel_values" in data else None
    if words is None or str(words.dtype) != "torch.int64":
        return None
    return Ticket.of(words.tolist())


def _hold(config: FastConfig) -> None:
    from vllm.v1.core.sched.scheduler import Scheduler

    schedule, free = Scheduler.schedule, Scheduler._free_request
    door, room = Door(config.hold, config.hold_s), Room()

    def held(self: Any, *args: Any, **kwargs: Any) -> Any:
        most, running = self.scheduler_config.max_num_seqs, len(self.running)
        free_places = room.places(self.running, self.waiting, most, self.kv_cache_config.num_blocks * self.block_size)
        open_now = door.opens(free_places, running, room.window, time.monotonic())
        if self.waiting:  # others may stand aside, where only the scheduler looks for them
            self.max_num_running_reqs = running + free_places if open_now else running
        try:
            output = schedule(self, *args, **kwargs)
        finally:
            self.max_num_running_reqs = most
        _show(self, output, room.window)
        return output

    def free_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        room.ended(request.num_output_tokens)
        return free(self, request, *args, **kwargs)

    Scheduler.schedule, Scheduler._free_request = held, free_request


def _show(scheduler: Any, output: Any, window: int) -> None:
    """Numbers for people who look at how full the engine is."""
    arena = fast.STATE.arena
    if arena is None:
        return
    arena.show(Gauge.RUNNING, len(scheduler.running))
    arena.show(Gauge.WAITING, len(scheduler.waiting))
    arena.show(Gauge.WINDOW, window)
    tokens, requests = output.total_num_scheduled_tokens, len(output.num_scheduled_tokens)
    if tokens:
        arena.count(Gauge.STEPS)
        arena.count(Gauge.STEPS_WITH_PROMPTS, int(tokens != requests))
        arena.count(Gauge.TOKENS, requests)
        arena.show(Gauge.STEP_CPU_NS, time.thread_time_ns())


def _lookups(config: FastConfig) -> None:
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.request import Request
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    add, free, preempt = Scheduler.add_request, Scheduler._free_encoder_inputs, Scheduler._preempt_request
    gather = GPUModelRunner._gather_mm_embeddings
    Request.has_encoder_inputs = False  # an attribute of each request from here on

    def add_request(self: Any, request: Any) -> None:
        request.has_encoder_inputs = bool(request.mm_features)
        add(self, request)

    def free_encoder_inputs(self: Any, request: Any) -> None:
        free(self, request)
        done = request.num_computed_tokens - request.num_output_placeholders >= request.num_prompt_tokens
        if done and not self.encoder_cache_manager.get_cached_input_ids(request):
            request.has_encoder_inputs = False

    def preempt_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        request.has_encoder_inputs = bool(request.mm_features)
        arena = fast.STATE.arena
        if arena is not None:
            arena.count(Gauge.PREEMPTIONS)
        return preempt(self, request, *args, **kwargs)

    def gather_embeddings(self: Any, output: Any, shift_computed_tokens: int = 0) -> Any:
        batch, tokens = self.input_batch, output.total_num_scheduled_tokens
        count = batch.num_reqs
        decoding = tokens == count and shift_computed_tokens == 0
        if decoding and (batch.num_computed_tokens_cpu[:count] >= batch.num_prompt_tokens[:count]).all():
            return [], _none_of(self, tokens)
        return gather(self, output, shift_computed_tokens)

    Scheduler.add_request, Scheduler._free_encoder_inputs = add_request, free_encoder_inputs
    Scheduler._preempt_request = preempt_request
    GPUModelRunner._gather_mm_embeddings = gather_embeddings


def _none_of(runner: Any, tokens: int) -> Any:
    """A mask that says of each token that it is none of a picture; one for all steps."""
    import torch

    mask = runner.__dict__.get("folio_no_picture")
    if mask is None or mask.shape[0] < tokens:
        mask = torch.zeros(max(tokens, 1024), dtype=torch.bool, pin_memory=runner.device.type == "cuda")
        runner.folio_no_picture = mask
    return mask[:tokens]


def _once(config: FastConfig) -> None:
    from vllm.v1.core.sched import utils
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.request import RequestStatus

    update, repeats = Scheduler.update_from_output, utils.check_sequence_repetition

    def update_from_output(self: Any, scheduled: Any, answered: Any) -> Any:
        whole = scheduled.num_scheduled_tokens
        others = plain.give_tokens(self, scheduled, answered, RequestStatus.RUNNING)
        requests = {one: self.requests[one] for one in others if one in self.requests}
        scheduled.num_scheduled_tokens = others
        try:
            answers = update(self, scheduled, answered)
        finally:
            scheduled.num_scheduled_tokens = whole
        return plain.ended(answers, requests)

    def check_sequence_repetition(tokens: Any, params: Any) -> bool:
        return len(tokens) % plain.REPETITION_EVERY == 0 and bool(repeats(tokens, params))

    Scheduler.update_from_output = update_from_output
    utils.check_sequence_repetition = check_sequence_repetition


def _blocks(config: FastConfig) -> None:
    from vllm.v1.core.kv_cache_manager import KVCacheManager

    allocate = KVCacheManager.allocate_slots

    def allocate_slots(self: Any, request: Any, tokens: int, *args: Any, **kwargs: Any) -> Any:
        plain = not args and not kwargs.get("num_lookahead_tokens") and len(kwargs) <= 1
        if plain and tokens == 1 and not self.enable_caching and len(self.coordinator.single_type_managers) == 1:
            (of_type,) = self.coordinator.single_type_managers
            blocks = of_type.req_to_blocks.get(request.request_id)
            if blocks and request.num_computed_tokens < len(blocks) * of_type.block_size:
                return self.empty_kv_cache_blocks
        return allocate(self, request, tokens, *args, **kwargs)

    KVCacheManager.allocate_slots = allocate_slots


def _collector(config: FastConfig) -> None:
    from vllm.v1.engine.core import EngineCoreProc

    wait = EngineCoreProc._process_input_queue
    gc.collect()
    gc.freeze()
    gc.disable()
    steps = 0

    def process_input_queue(self: Any) -> None:
        nonlocal steps
        steps += 1
        if steps % COLLECT_EVERY_STEPS == 0:
            gc.collect()
        wait(self)

    EngineCoreProc._process_input_queue = process_input_queue


def _guard(config: FastConfig) -> None:
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    from ocr_stage.deepseek.guard_runner import RunnerGuard

    sample = GPUModelRunner._sample

    def guarded(self: Any, logits: Any, spec_decode_metadata: Any) -> Any:
        guard = self.__dict__.get("folio_guard")
        if guard is None:
            guard = self.folio_guard = RunnerGuard(self, config)
        live = guard.before(self, logits)
        output = sample(self, logits, spec_decode_metadata)
        if live:
            guard.after(output.sampled_token_ids)
        return output

    GPUModelRunner._sample = guarded


def _priority(config: FastConfig) -> None:
    import torch
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    if not torch.cuda.is_available():
        return
    capture, stock = GPUModelRunner.capture_model, torch.cuda.Stream

    class Urgent(stock):  # type: ignore[misc,valid-type]
        """What is captured now replays with this priority."""

        def __new__(cls, device: Any = None, **kwargs: Any) -> Any:
            return stock.__new__(stock, device=device, **{**kwargs, "priority": URGENT})

    def capture_model(self: Any, *args: Any, **kwargs: Any) -> Any:
        torch.cuda.synchronize()
        torch.cuda.Stream = Urgent
        try:
            size = capture(self, *args, **kwargs)
        finally:
            torch.cuda.Stream = stock
        torch.cuda.synchronize()
        torch.cuda.set_stream(stock(priority=URGENT))
        return size

    GPUModelRunner.capture_model = capture_model


PATCHES: dict[str, Callable[[FastConfig], None]] = {
    "tickets": _tickets,
    "hold": _hold,
    "lookups": _lookups,
    "once": _once,
    "blocks": _blocks,
    "collector": _collector,
    "guard": _guard,
    "priority": _priority,
}
ALL = tuple(PATCHES)
