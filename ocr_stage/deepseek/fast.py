"""Pages encoded ahead of the scheduler, inside vLLM's engine process: a request is scheduled once its embedding exists.

A thread takes tickets as they come, encodes equal shapes together on a stream of its own and only then hands the
requests to the scheduler. Embeddings stay until their request has finished: one that is preempted needs them again.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ocr_stage.deepseek.arena import Arena, Gauge, as_tensor
from ocr_stage.deepseek.tickets import Ticket
from ocr_stage.deepseek.waiting import Queue, Waiting

CONFIG = "folio"
"""Our part of vLLM's `additional_config`."""
LOGGER = "vllm.folio"
"""Goes where vLLM's own lines go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FastConfig:
    """What the engine's process is told; plain values, they travel as a dictionary."""

    arena: str
    slots: int
    slot_bytes: int
    group: int = 8
    groups: tuple[int, ...] = (1, 2, 4, 8)
    wait_s: float = 0.1
    hold: int = 16
    hold_s: float = 0.5
    graphs: tuple[str, ...] = ("tiny", "small", "base", "large", "gundam")
    guard: tuple[int, int] = (30, 90)
    allowed: tuple[int, ...] = ()
    patches: tuple[str, ...] = ()
    memory_share_max: float = 1.0

    @classmethod
    def of(cls, additional: Mapping[str, Any] | None) -> "FastConfig | None":
        told = (additional or {}).get(CONFIG)
        if told is None:
            return None
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in told.items()
        }
        return cls(**values)


class PageEncoder(Protocol):
    """Makes embeddings of equal pages from the bytes of their slots."""

    def fit(self, count: int) -> int: ...

    def encode(self, pages: Sequence[Ticket], pixels: Sequence[Any]) -> list[Any]:
        """One a page, of `Ticket.places` rows. Done, and the pixels no longer needed, when it returns."""
        ...


class Ahead(threading.Thread):
    """`ready(request)` is called for each request whose page is encoded, `failed()` when encoding is over for good."""

    def __init__(
        self,
        arena: Arena,
        config: FastConfig,
        open_encoder: Callable[[], PageEncoder],
        *,
        ready: Callable[[Any], None],
        failed: Callable[[], None],
    ) -> None:
        super().__init__(daemon=True, name="folio-encoder")
        self._arena = arena
        self._open_encoder = open_encoder
        self._ready, self._failed = ready, failed
        self._came: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        self._waiting = Queue(group=config.group, wait_s=config.wait_s)
        self._lock = threading.Lock()
        self._pending: set[str] = set()
        self._embeddings: dict[int, Any] = {}

    def add(self, ticket: Ticket, request_id: str, request: Any) -> None:
        with self._lock:
            self._pending.add(request_id)
        self._came.put(Waiting(ticket, request_id, request, time.monotonic()))

    def cancel(self, request_id: str) -> None:
        """Nobody wants this page: it never reaches the scheduler, if it has not yet."""
        with self._lock:
            self._pending.discard(request_id)

    def embedding(self, ticket: int) -> Any:
        return self._embeddings[ticket]

    def has(self, ticket: int) -> bool:
        return ticket in self._embeddings

    def forget(self, ticket: int) -> None:
        """Its request has finished."""
        self._embeddings.pop(ticket, None)

    def __len__(self) -> int:
        return len(self._embeddings)

    def run(self) -> None:
        try:
            encoder = self._open_encoder()
            while True:
                self._collect()
                self._encode(encoder, self._waiting.take(encoder.fit))
        except Exception:
            logging.getLogger(LOGGER).exception("the page encoder failed")
            self._failed()

    def _collect(self) -> None:
        """Take in what came until a group is due."""
        while (due_s := self._waiting.due_s(time.monotonic())) != 0.0:
            try:
                self._waiting.add(self._came.get(timeout=due_s))
            except queue.Empty:
                return
        while not self._came.empty():
            self._waiting.add(self._came.get_nowait())

    def _encode(self, encoder: PageEncoder, group: list[Waiting]) -> None:
        wanted = []
        for page in group:
            with self._lock:
                if page.request_id in self._pending:
                    wanted.append(page)
                    continue
            self._arena.encoded(page.ticket.slot, page.ticket.number)
        while wanted:
            now, wanted = wanted[: encoder.fit(len(wanted))], wanted[encoder.fit(len(wanted)) :]
            began = time.perf_counter_ns()
            pixels = [as_tensor(self._arena.slot(page.ticket.slot)) for page in now]
            embeddings = encoder.encode([page.ticket for page in now], pixels)
            self._arena.count(Gauge.ENCODE_NS, time.perf_counter_ns() - began)
            self._arena.count(Gauge.ENCODED, len(now))
            for page, embedding in zip(now, embeddings, strict=True):
                _check_length(page.ticket, embedding)
            for page, embedding in zip(now, embeddings, strict=True):
                self._hand_over(page, embedding)

    def _hand_over(self, page: Waiting, embedding: Any) -> None:
        self._arena.encoded(page.ticket.slot, page.ticket.number)
        with self._lock:
            if page.request_id not in self._pending:
                return
            self._pending.discard(page.request_id)
            self._embeddings[page.ticket.number] = embedding
        self._ready(page.request)


def _check_length(ticket: Ticket, embedding: Any) -> None:
    """Raises ValueError for another page's: then none of its group is to be trusted, and encoding is over."""
    if len(embedding) != ticket.places:
        raise ValueError(
            f"page {ticket.number}: an embedding of {len(embedding)} rows where its prompt has {ticket.places} places: "
            "another page's length"
        )


class PlainEncoder:
    """Stock modules, one page after the other: where there is no CUDA, and the reference for the other one."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def fit(self, count: int) -> int:
        return 1

    def encode(self, pages: Sequence[Ticket], pixels: Sequence[Any]) -> list[Any]:
        import torch

        with torch.inference_mode():
            return [self._one(page, slot) for page, slot in zip(pages, pixels, strict=True)]

    def _one(self, page: Ticket, slot: Any) -> Any:
        import torch

        from ocr_stage.modes import TILE

        weight = self._model.sam_model.patch_embed.proj.weight
        edge, tiles = 3 * page.canvas**2, page.shape.tiles
        parts = [slot[:edge].view(1, page.canvas, page.canvas, 3)]
        parts.append(slot[edge : edge + 3 * tiles * TILE**2].view(tiles, TILE, TILE, 3))
        canvas, cut = (
            part.to(weight.device).float().sub(127.5).div(127.5).to(weight.dtype).permute(0, 3, 1, 2) for part in parts
        )
        (embedding,) = self._model._pixel_values_to_embedding(
            pixel_values=canvas, images_crop=cut, images_spatial_crop=torch.tensor([page.grid])
        )
        return embedding


class _State:
    """Of this engine process: there is one model in it."""

    config: FastConfig | None = None
    model: Any = None
    arena: Arena | None = None
    ahead: Ahead | None = None


STATE = _State()


def attach(model: Any, vllm_config: Any) -> None:
    """Called by the model class when it is made. Without our part in `additional_config`, nothing happens."""
    config = FastConfig.of(vllm_config.additional_config)
    if config is None:
        return
    from ocr_stage.deepseek import patches

    STATE.config, STATE.model = config, model
    STATE.arena = Arena(Path(config.arena), config.slots, config.slot_bytes)
    limit_memory(config.memory_share_max)
    patches.install(config)


def embeddings(kwargs: Mapping[str, Any]) -> list[Any] | None:
    """Those of our tickets, in their order; None when these are pixels for the stock path."""
    import torch

    words = kwargs.get("pixel_values")
    if not isinstance(words, torch.Tensor) or words.dtype != torch.int64 or STATE.ahead is None:
        return None
    ready = [STATE.ahead.embedding(Ticket.of(row).number) for row in words.tolist()]
    for embedding in ready:
        if embedding.is_cuda:
            embedding.record_stream(torch.cuda.current_stream())  # it was made on the encoder's stream
    return ready


def started(core: Any) -> Ahead:
    """The encoder's thread of this engine process, started with the first ticket."""
    if STATE.ahead is None:
        from vllm.v1.engine import EngineCoreRequestType

        assert STATE.arena is not None
        assert STATE.config is not None
        STATE.ahead = Ahead(
            STATE.arena,
            STATE.config,
            lambda: open_encoder(STATE.model, STATE.config),
            ready=lambda request: core.input_queue.put_nowait((EngineCoreRequestType.ADD, request)),
            failed=lambda: core.input_queue.put_nowait((EngineCoreRequestType.EXECUTOR_FAILED, b"")),
        )
        STATE.ahead.start()
    return STATE.ahead


def open_encoder(model: Any, config: FastConfig | None) -> PageEncoder:
    """On the thread that will encode: its own stream, its graphs captured, the arena known to the device."""
    import torch

    if config is None or not next(model.sam_model.parameters()).is_cuda:
        return PlainEncoder(model)
    from ocr_stage.deepseek.streams import StreamEncoder

    torch.cuda.set_device(next(model.sam_model.parameters()).device)
    assert STATE.arena is not None
    return StreamEncoder(model, config, STATE.arena)


def limit_memory(share_max: float) -> None:
    """As if the card were smaller: for measuring what fits, and for cards that are shared."""
    import torch

    if share_max < 1.0 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share_max)
