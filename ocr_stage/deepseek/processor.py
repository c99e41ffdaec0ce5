"""Pictures to tensors, inside vLLM, in the mode that the request names; placeholders are counted from the tensors made.

Stock vLLM counts them from constants instead, so a request with other sizes than its own ends the engine for everybody.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image, ImageOps
from vllm.model_executor.models import deepseek_ocr as stock
from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.parse import ImageSize
from vllm.multimodal.processing import PromptReplacement
from vllm.transformers_utils.processors.deepseek_ocr import DeepseekOCRProcessor

from ocr_stage.modes import GRIDS, PADDING, TILE, Mode, canvas_tokens, tile_tokens, tokens

REFUSED = frozenset({"base_size", "image_size", "crop_mode", "max_crops", "strategy"})
"""What stock takes from anybody; here a mode says it all."""


class ModesProcessor(DeepseekOCRProcessor):
    """One mode's; vLLM keeps one for each mode that was asked for."""

    def __init__(self, tokenizer: Any, mode: str = Mode.GUNDAM, **settings: Any) -> None:
        self.mode = Mode(mode)
        side = TILE if self.mode is Mode.GUNDAM else self.mode.canvas
        super().__init__(tokenizer, image_size=side, strategy="v1", **{**settings, "base_size": self.mode.canvas})

    def __call__(self, *, prompt: str, images: Sequence[Image.Image], **_: Any) -> Any:
        """Base and Large keep the page's shape, as the model's own scripts do; stock would squash it."""
        cuts = self.mode is Mode.GUNDAM
        if not cuts and not self.mode.squashes:
            side = self.mode.canvas
            images = [ImageOps.pad(image, (side, side), color=PADDING) for image in images]
        made = super().__call__(prompt=prompt, images=list(images), crop_mode=cuts)
        if not len(made["images_crop"]):  # of a tile's size too: vLLM pads the tiles of a step to the largest it finds
            made["images_crop"] = torch.zeros((0, 3, TILE, TILE))
        return made


class ModesDescription(stock.DeepseekOCRProcessingInfo):
    """What vLLM asks before it makes tensors."""

    def get_hf_processor(self, **asked: object) -> ModesProcessor:
        """Raises ValueError, which refuses the one request, for what it may not choose and for an unknown mode."""
        refused = sorted(REFUSED & asked.keys())
        if refused:
            raise ValueError(f"{', '.join(refused)}: not for a request to say; name a mode ({', '.join(Mode)})")
        if "mode" not in asked:
            return self.ctx.get_hf_processor(ModesProcessor)
        if asked["mode"] not in set(Mode):
            raise ValueError(f"there is no mode {asked['mode']!r}: name one of {', '.join(Mode)}")
        return self.ctx.get_hf_processor(ModesProcessor, mode=str(asked["mode"]))

    def get_num_image_tokens(self, *, image_width: int, image_height: int, cropping: bool = True) -> int:
        return tokens(Mode.GUNDAM if cropping else Mode.BASE, image_width, image_height)

    def get_image_size_with_most_features(self) -> ImageSize:
        """Memory is reserved for this one; stock names a page that is far from the largest."""
        across, down = max(GRIDS, key=tile_tokens)
        return ImageSize(width=across * TILE, height=down * TILE)


class ModesInputs(stock.DeepseekOCRMultiModalProcessor):
    """From a request with a picture to what the engine takes."""

    def _get_mm_fields_config(self, hf_inputs: Any, hf_processor_mm_kwargs: Mapping[str, object]) -> Mapping[str, Any]:
        """The grid stays on the CPU: the model reads it there without waiting for the GPU."""
        fields = super()._get_mm_fields_config(hf_inputs, hf_processor_mm_kwargs)
        return {**fields, "images_spatial_crop": MultiModalFieldConfig.batched("image", keep_on_cpu=True)}

    def _get_prompt_updates(
        self, mm_items: Any, hf_processor_mm_kwargs: Mapping[str, object], out_mm_kwargs: Any
    ) -> Sequence[Any]:
        token = self.info.get_hf_processor(**hf_processor_mm_kwargs).image_token_id

        def placeholders(index: int) -> list[int]:
            return [token] * placeholder_count(out_mm_kwargs["image"][index].get_data())

        return [PromptReplacement(modality="image", target=[token], replacement=placeholders)]


def placeholder_count(made: Mapping[str, torch.Tensor]) -> int:
    """Tokens that the model will make of one picture's tensors."""
    across, down = (int(count) for count in made["images_spatial_crop"])
    tiles = tile_tokens((across, down)) if across * down > 1 else 0
    return canvas_tokens(made["pixel_values"].shape[-1]) + tiles
