"""vLLM's side of the engine: how it is started, prompts, parameters, answers. Imported when the engine starts."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
import vllm
from transformers import BatchFeature
from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.inputs.engine import mm_input
from vllm.multimodal.inputs import (
    MultiModalBatchedField,
    MultiModalFieldConfig,
    MultiModalFieldElem,
    MultiModalKwargsItem,
    MultiModalKwargsItems,
    PlaceholderRange,
)
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from folio.errors import FolioError
from folio.telemetry import log
from ocr_stage.deepseek import patches
from ocr_stage.deepseek.arena import Arena, as_tensor
from ocr_stage.deepseek.asking import ALLOWED, extra_args, guard_class, repetition, verify_guard
from ocr_stage.deepseek.fast import FastConfig
from ocr_stage.deepseek.launch import EngineSettings, engine_arguments
from ocr_stage.deepseek.tickets import Ticket
from ocr_stage.model import Ask
from ocr_stage.modes import TILE
from ocr_stage.prompts import IMAGE

GPU_ONLY = ("priority",)


class VllmTalk:
    """One engine. `lends`: the engine reads pages from the arena itself; else their pixels travel with the request."""

    def __init__(self, settings: EngineSettings, arena: Arena) -> None:
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        _check_plugin()
        card = _card_bytes()
        if not card:
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # else vLLM on a CPU takes a process for its model alone
        self.lends = not settings.stock and patches.fits(vllm.__version__)
        if not self.lends:
            log().warning("stock vLLM", version=vllm.__version__, reason="folio's changes do not fit it, or are off")
        self._arena = arena
        arguments = engine_arguments(settings, _fast(settings, arena, card) if self.lends else None, card)
        if not self.lends:
            arguments["logits_processors"] = [guard_class()]
        self.engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        self._dtype = self.engine.model_config.dtype
        self._tokens_max, self._forced_tokens = settings.tokens_max, settings.forced_tokens
        self._tokenizer = self.engine.renderer.get_tokenizer()
        self._image = self._tokenizer.convert_tokens_to_ids(IMAGE)
        self._texts: dict[str, list[int]] = {}
        self._allowed = [self._tokenizer.convert_tokens_to_ids(token) for token in ALLOWED]
        self._field = MultiModalBatchedField(keep_on_cpu=True)

    def prompt(self, ticket: Ticket, ask: Ask) -> Any:
        """Begin, the image's places, what is asked; the id is the page's own, never one that vLLM counts."""
        places = ticket.places
        text = self._text(ask.prompt.text)
        items = self._told(ticket) if self.lends else self._pixels(ticket)
        return mm_input(
            [self._tokenizer.bos_token_id, *([self._image] * places), *text],
            items,
            {"image": [f"{os.getpid()}-{ticket.number}"]},
            {"image": [PlaceholderRange(offset=1, length=places)]},
        )

    def params(self, ask: Ask, prompt: Any) -> SamplingParams:
        room, forced = self._tokens_max - len(prompt["prompt_token_ids"]), self._forced_tokens
        return SamplingParams(
            temperature=ask.temperature,
            max_tokens=max(1, min(room, ask.tokens_max or forced or room)),
            ignore_eos=bool(forced),
            skip_special_tokens=False,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            extra_args=extra_args(ask.guard, self._allowed),
            repetition_detection=None if forced else repetition(),
        )

    def answer(self, output: Any) -> tuple[str, Sequence[int], str]:
        """(text with special tokens, its tokens, why it ended)"""
        (only,) = output.outputs
        tokens = list(only.token_ids)
        finish = str(only.finish_reason)
        if finish == "stop" and tokens and tokens[-1] == self._tokenizer.eos_token_id:
            tokens.pop()
        return self._tokenizer.decode(tokens, skip_special_tokens=False), tokens, finish

    def is_dead(self, error: BaseException) -> bool:
        return isinstance(error, EngineDeadError) or bool(self.engine.errored)

    async def verify(self) -> None:
        """A probe that repeats one token must be cut."""
        word = self._tokenizer.encode("a", add_special_tokens=False)

        async def answer(arguments: dict[str, Any]) -> Sequence[int]:
            params = SamplingParams(**arguments, output_kind=RequestOutputKind.FINAL_ONLY)
            probe = {"prompt_token_ids": [self._tokenizer.bos_token_id, *word]}
            asked = await self.engine.add_request(f"{os.getpid()}-probe", probe, params)
            return list((await asked.get()).outputs[0].token_ids)

        await verify_guard(answer, token=word[0], allowed=self._allowed)

    def _text(self, text: str) -> list[int]:
        if text not in self._texts:
            if len(self._texts) > 1000:
                self._texts.clear()
            self._texts[text] = self._tokenizer.encode(f"\n{text}", add_special_tokens=False)
        return self._texts[text]

    def _told(self, ticket: Ticket) -> MultiModalKwargsItems:
        element = MultiModalFieldElem(data=torch.tensor(ticket.words), field=self._field)
        return MultiModalKwargsItems({"image": [MultiModalKwargsItem({"pixel_values": element})]})

    def _pixels(self, ticket: Ticket) -> MultiModalKwargsItems:
        slot, edge, tiles = as_tensor(self._arena.slot(ticket.slot)), 3 * ticket.canvas**2, ticket.shape.tiles
        made = {
            "pixel_values": self._floats(slot[:edge].view(1, ticket.canvas, ticket.canvas, 3)),
            "images_crop": self._floats(slot[edge : edge + 3 * tiles * TILE**2].view(tiles, TILE, TILE, 3)),
            "images_spatial_crop": torch.tensor([ticket.grid]),
        }
        fields = {
            "pixel_values": MultiModalFieldConfig.batched("image"),
            "images_crop": MultiModalFieldConfig.flat_from_sizes("image", torch.tensor([tiles])),
            "images_spatial_crop": MultiModalFieldConfig.batched("image", keep_on_cpu=True),
        }
        return MultiModalKwargsItems.from_hf_inputs(BatchFeature(made), fields)

    def _floats(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.permute(0, 3, 1, 2).float().sub(127.5).div(127.5).to(self._dtype)


def _fast(settings: EngineSettings, arena: Arena, card_bytes: int) -> dict[str, Any]:
    wanted = patches.ALL if settings.patches is None else settings.patches
    share = settings.memory_bytes / card_bytes if card_bytes and settings.memory_bytes else 1.0
    config = FastConfig(
        arena=str(arena.path),
        slots=arena.slots,
        slot_bytes=arena.slot_bytes,
        group=settings.group,
        groups=settings.groups,
        hold=settings.hold,
        graphs=settings.graphs,
        patches=tuple(name for name in wanted if card_bytes or name not in GPU_ONLY),
        memory_share_max=min(1.0, share),
    )
    return asdict(config)


def _card_bytes() -> int:
    return int(current_platform.get_device_total_memory()) if current_platform.is_cuda() else 0


def _check_plugin() -> None:
    """Without it vLLM takes the stock model, and a page in any mode but Gundam would end the engine."""
    from importlib.metadata import entry_points

    if not any(one.value.startswith("ocr_stage.deepseek.") for one in entry_points(group="vllm.general_plugins")):
        raise FolioError("vLLM does not know folio's model: install folio in vLLM's environment (pip install folio)")
