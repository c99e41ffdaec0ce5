"""What vLLM is started with: one card's worth of engine, as plain values, and what is left to folio beside it."""

from dataclasses import dataclass, replace
from typing import Any

from folio.errors import FolioError
from ocr_stage.modes import Mode

MIB = 1 << 20
GIB = 1 << 30
GRAPHS = (1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024)
"""Sizes of batches that decode as one CUDA graph; the largest is always the largest batch."""
ENCODER_BYTES_A_PAGE = 420 * MIB
"""Of the card, for each page that is encoded at once: a Gundam page of six tiles."""
ENCODER_BYTES = 200 * MIB
"""Of the card, for encoder graphs and embeddings whatever the group."""
EMBEDDING_BYTES = 3 * MIB
MODEL_TOKENS_MAX = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """`memory_share` is of the card's memory, folio's encoder included; `memory_bytes` caps it, as on a smaller card.

    `sequences` pages are read at once, or what the cache holds; `ahead` more are drawn and encoded meanwhile. `fp8`
    halves the memory that a running page takes; its effect on accuracy has not been measured. `stock` leaves vLLM as
    it came. For measuring, `forced_tokens` makes every page exactly so long.
    """

    model: str
    load_format: str = "auto"
    dtype: str = "bfloat16"
    memory_share: float = 0.9
    memory_bytes: int = 0
    sequences: int = 768
    ahead: int = 128
    batch_tokens: int = 16384
    tokens_max: int = MODEL_TOKENS_MAX
    fp8: bool = False
    eager: bool = False
    slots: int = 96
    renderers: int = 0
    group: int = 8
    hold: int = 16
    patches: tuple[str, ...] | None = None
    stock: bool = False
    graphs: tuple[str, ...] = tuple(Mode)
    forced_tokens: int = 0

    @property
    def pages_at_once(self) -> int:
        return self.sequences + self.ahead

    @property
    def groups(self) -> tuple[int, ...]:
        return tuple(size for size in (1, 2, 4, 8, 16) if size <= self.group)


def small(settings: EngineSettings, card_bytes: int) -> EngineSettings:
    """For a card of 8 to 16 GB: fewer pages at once, one page encoded at a time, smaller steps."""
    sequences = 8 if card_bytes < 10 * GIB else 32 if card_bytes < 14 * GIB else 64
    tokens_max = 4096 if card_bytes < 10 * GIB else settings.tokens_max
    return replace(
        settings,
        sequences=sequences,
        ahead=4,
        batch_tokens=2048 if tokens_max < MODEL_TOKENS_MAX else 4096,
        tokens_max=tokens_max,
        group=1,
        slots=12,
        hold=2,
    )


def reserve_bytes(settings: EngineSettings) -> int:
    """Of the card, for what vLLM does not know of: the encoder's graphs, and embeddings that wait."""
    if settings.stock:
        return 0
    pages = settings.group * ENCODER_BYTES_A_PAGE
    return ENCODER_BYTES + pages + settings.pages_at_once * EMBEDDING_BYTES


def engine_arguments(settings: EngineSettings, fast: dict[str, Any] | None, card_bytes: int) -> dict[str, Any]:
    """Keyword arguments of vLLM's AsyncEngineArgs; `fast` is our part of its additional configuration.

    `card_bytes` 0: there is no card, vLLM runs on the CPU. Raises FolioError for what cannot work.
    """
    arguments: dict[str, Any] = {
        "model": settings.model,
        "load_format": settings.load_format,
        "dtype": settings.dtype,
        "distributed_executor_backend": "uni",  # the scheduler and the model must share one process
        "max_model_len": settings.tokens_max,
        "max_num_seqs": settings.sequences,
        "max_num_batched_tokens": settings.batch_tokens,
        "enable_prefix_caching": False,
        "mm_processor_cache_gb": 0,
        "skip_mm_profiling": True,
        "limit_mm_per_prompt": {"image": 1},
        "hf_overrides": {"architectures": ["DeepseekOCRForCausalLM"]},
        "enforce_eager": settings.eager,
        "disable_log_stats": True,
        "seed": 0,
    }
    if fast is not None:
        arguments["additional_config"] = {"folio": fast}
    if card_bytes:
        arguments |= _on_card(settings, card_bytes)
    return arguments


def _on_card(settings: EngineSettings, card_bytes: int) -> dict[str, Any]:
    cap = min(card_bytes * settings.memory_share, settings.memory_bytes or card_bytes)
    share = (cap - reserve_bytes(settings)) / card_bytes
    if share <= 0:
        raise FolioError(
            f"{cap / GIB:.1f} GiB of the card are not enough for the page encoder: use the profile 'small'"
        )
    arguments: dict[str, Any] = {
        "block_size": 64,
        "kv_cache_dtype": "fp8" if settings.fp8 else "auto",
        "gpu_memory_utilization": round(share, 4),
    }
    if not settings.eager:
        arguments["compilation_config"] = {"cudagraph_capture_sizes": graph_sizes(settings)}
    return arguments


def graph_sizes(settings: EngineSettings) -> list[int]:
    """Up to exactly the largest batch: one that is larger than its largest graph runs 40 % slower, kernel by kernel."""
    sizes = sorted({size for size in GRAPHS if size < settings.sequences} | {settings.sequences})
    sizes += [size for size in GRAPHS if settings.sequences < size <= settings.batch_tokens // 16]
    if max(sizes) < settings.sequences:
        raise FolioError("the largest CUDA graph is smaller than the largest batch: a defect of folio")
    return sizes
