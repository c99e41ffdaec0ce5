"""Of the GPU benchmark: a checkpoint with the real architecture and no weights, pages, and what gauges say."""

import asyncio
import io
import json
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

BOS, EOS, PAD = (f"<\uff5c{name}\uff5c>" for name in ("begin▁of▁sentence", "end▁of▁sentence", "▁pad▁"))
VOCABULARY = 129280
SPECIAL_FROM = 128815
SPECIAL = "<image> <|ref|> <|/ref|> <|det|> <|/det|> <|grounding|> <td> </td> <tr> </tr>".split()
LANGUAGE = {
    "architectures": ["DeepseekV2ForCausalLM"], "bos_token_id": 0, "eos_token_id": 1, "first_k_dense_replace": 1,
    "hidden_size": 1280, "intermediate_size": 6848, "kv_lora_rank": None, "max_position_embeddings": 8192,
    "moe_intermediate_size": 896, "n_group": 1, "n_routed_experts": 64, "n_shared_experts": 2,
    "num_attention_heads": 10, "num_experts_per_tok": 6, "num_hidden_layers": 12, "num_key_value_heads": 10,
    "q_lora_rank": None, "qk_nope_head_dim": 0, "qk_rope_head_dim": 0, "topk_group": 1, "topk_method": "greedy",
    "torch_dtype": "bfloat16", "use_mla": False, "v_head_dim": 0, "vocab_size": VOCABULARY,
}  # fmt: skip
CONFIG = {
    "architectures": ["DeepseekOCRForCausalLM"], "model_type": "deepseek_vl_v2",
    "candidate_resolutions": [[1024, 1024]],
    "global_view_pos": "head", "tile_tag": "2D", "torch_dtype": "bfloat16", "bos_token_id": 0, "eos_token_id": 1,
    "language_config": LANGUAGE,
    "projector_config": {"input_dim": 2048, "model_type": "mlp_projector", "n_embed": 1280, "projector_type": "linear"},
    "vision_config": {"image_size": 1024, "mlp_ratio": 3.7362, "model_name": "deeplip_b_l", "model_type": "vision"},
}  # fmt: skip
PROCESSOR = {
    "processor_class": "DeepseekOCRProcessor", "image_token": "<image>", "patch_size": 16, "downsample_ratio": 4,
    "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "normalize": True, "pad_token": PAD, "add_special_token": False,
    "sft_format": "deepseek", "mask_prompt": False, "ignore_id": -100,
}  # fmt: skip


def write_checkpoint(folder: Path) -> Path:
    """The real architecture of 3.3 billion parameters; weights are made up when it is loaded as 'dummy'."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {BOS: 0, EOS: 1, PAD: 2}
    for letter in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary[letter] = len(vocabulary)
    special = dict(enumerate(SPECIAL, SPECIAL_FROM))
    for number in range(len(vocabulary), VOCABULARY):
        vocabulary[special.get(number, f"w{number}")] = number
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in (BOS, EOS, PAD, *SPECIAL)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    tokens = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS, "pad_token": PAD}
    files = {
        "config": {**CONFIG, "hidden_size": 1280, "vocab_size": VOCABULARY, "max_position_embeddings": 8192,
                   "num_hidden_layers": 12, "num_attention_heads": 10},
        "tokenizer_config": {**tokens, "model_max_length": 8192, "add_bos_token": True},
        "generation_config": {"bos_token_id": 0, "eos_token_id": 1},
        "processor_config": PROCESSOR,
    }  # fmt: skip
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False))
    return folder


def picture(seed: int, width: int = 1240, height: int = 1754) -> Image.Image:
    """A4 at 150 dpi: lines of dark words on white."""
    dice = random.Random(seed)
    page = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(page)
    for y in range(80, height - 80, 22):
        x = 80
        while x < width - 100:
            word = dice.randint(10, 60)
            pen.rectangle((x, y, x + word, y + 10), fill=(dice.randint(0, 60),) * 3)
            x += word + 8
    return page


def pages(count: int = 32) -> list[bytes]:
    kept = []
    for seed in range(count):
        out = io.BytesIO()
        picture(seed).save(out, "JPEG", quality=85)
        kept.append(out.getvalue())
    return kept


@dataclass
class Watched:
    """Samples of an engine's gauges while a run lasts."""

    gauges: Callable[[], dict[str, int]]
    unread: Callable[[], bool]
    sequences: int
    rows: list[tuple[float, dict[str, int], bool]] = field(default_factory=list)
    busy: list[int] = field(default_factory=list)

    @asynccontextmanager
    async def during(self, every_s: float = 0.05) -> AsyncIterator[None]:
        task = asyncio.create_task(self._sample(every_s))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _sample(self, every_s: float) -> None:
        read = _card_busy()
        while True:
            self.rows.append((time.monotonic(), self.gauges(), self.unread()))
            self.busy.append(read())
            await asyncio.sleep(every_s)

    def summary(self) -> dict[str, float]:
        """`starved`: share of the time that unread pages existed in which less than 70 % of the window ran.

        The window is what the engine says that its cache holds of these pages, `sequences` at most.
        """
        rows = [row for row in self.rows if row[2]] or self.rows[-1:]
        low = [self._is_low(row[1]) for row in rows]
        full = [row for row in rows if not self._is_low(row[1])]
        inside = [row for row in rows if full and row[0] >= full[0][0]]
        starved_full = [self._is_low(row[1]) for row in inside]
        found = {
            "starved_pct": 100 * statistics.mean(low),
            "starved_after_filling_pct": 100 * statistics.mean(starved_full) if starved_full else 100.0,
            "gpu_busy_pct": statistics.mean(self.busy or [0]),
        }
        if len(full) > 2:
            (t0, first, _), (t1, last, _) = full[0], full[-1]
            steps = max(1, last["steps"] - first["steps"])
            found |= {
                "steady_tokens_s": (last["tokens"] - first["tokens"]) / (t1 - t0),
                "step_ms": 1000 * (t1 - t0) / steps,
                "steps_with_prompts_pct": 100 * (last["steps_with_prompts"] - first["steps_with_prompts"]) / steps,
                "step_cpu_ms": (last["step_cpu_ns"] - first["step_cpu_ns"]) / steps / 1e6,
                "steady_encode_ms": (last["encode_ns"] - first["encode_ns"])
                / 1e6
                / max(1, last["encoded"] - first["encoded"]),
            }
        last = self.rows[-1][1]
        found["encode_ms"] = (
            (last["encode_ns"] - self.rows[0][1]["encode_ns"])
            / 1e6
            / max(1, last["encoded"] - self.rows[0][1]["encoded"])
        )
        found["preemptions"] = last["preemptions"] - self.rows[0][1]["preemptions"]
        found["window"] = statistics.median(row[1]["window"] for row in full or rows)
        return {name: round(value, 2) for name, value in found.items()}

    def _is_low(self, gauges: dict[str, int]) -> bool:
        return gauges["running"] < 0.7 * (gauges["window"] or self.sequences)


def _card_busy() -> Callable[[], int]:
    try:
        import pynvml

        pynvml.nvmlInit()
        card = pynvml.nvmlDeviceGetHandleByIndex(0)
    except Exception:
        return lambda: 0

    def read() -> int:
        return int(pynvml.nvmlDeviceGetUtilizationRates(card).gpu)

    return read


def say(**facts: Any) -> None:
    print(json.dumps(facts, ensure_ascii=False), flush=True)
