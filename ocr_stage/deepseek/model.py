"""DeepSeek-OCR inside vLLM with pages of every mode in one step; views of one size are encoded together."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from vllm.model_executor.models import deepseek_ocr as stock
from vllm.multimodal import MULTIMODAL_REGISTRY

from ocr_stage.deepseek import fast
from ocr_stage.deepseek.processor import ModesDescription, ModesInputs
from ocr_stage.modes import ALONE, Grid

PIXELS_AT_ONCE = 4 << 20
"""Through the encoder: four whole pages, ten tiles. Its attention over a page of 1024 px takes 0.4 GB in bf16."""


@MULTIMODAL_REGISTRY.register_processor(
    ModesInputs, info=ModesDescription, dummy_inputs=stock.DeepseekOCRDummyInputsBuilder
)
class OcrModes(stock.DeepseekOCRForCausalLM):
    """The stock model, weights and language part as they are; only what becomes of pictures is ours."""

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        if getattr(vllm_config.compilation_config, "cudagraph_mm_encoder", False):
            raise ValueError("cudagraph_mm_encoder knows one size of picture, folio's modes have five: leave it off")
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        fast.attach(self, vllm_config)

    def embed_multimodal(self, **kwargs: Any) -> list[torch.Tensor] | None:
        """Embeddings [tokens, width] of each picture: its tiles, row by row of the mosaic, then the page, then an end.

        `pixel_values` is a list where the pictures of a step differ in size; the tiles of all are one tensor.
        """
        ready = fast.embeddings(kwargs)
        if ready is not None:
            return ready
        pages = kwargs.get("pixel_values")
        if pages is None:
            return None
        grids = [(int(across), int(down)) for across, down in kwargs["images_spatial_crop"]]
        tiles = kwargs["images_crop"].split([across * down if across * down > 1 else 0 for across, down in grids])
        encoded = self._encoded([view for page, cut in zip(pages, tiles, strict=True) for view in (page, *cut)])
        return [self._embedding(encoded, grid) for grid in grids]

    def _encoded(self, views: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """[patches, width] of each view [3, side, side], in the order given."""
        by_side: defaultdict[int, list[int]] = defaultdict(list)
        for index, view in enumerate(views):
            by_side[view.shape[-1]].append(index)
        done: dict[int, torch.Tensor] = {}
        for side, indices in by_side.items():
            step = max(1, PIXELS_AT_ONCE // side**2)
            for start in range(0, len(indices), step):
                some = indices[start : start + step]
                done.update(zip(some, self._patches(torch.stack([views[index] for index in some])), strict=True))
        return (done[index] for index in range(len(views)))

    def _patches(self, views: torch.Tensor) -> torch.Tensor:
        """[n, patches, width] of views [n, 3, side, side]."""
        local = self.sam_model(views)
        whole = self.vision_model(views, local)
        return self.projector(torch.cat((whole[:, 1:], local.flatten(2).permute(0, 2, 1)), dim=-1))

    def _embedding(self, encoded: Iterator[torch.Tensor], grid: Grid) -> torch.Tensor:
        page = self._rows(next(encoded)[None], ALONE)
        end = self.view_seperator[None]
        if grid == ALONE:
            return torch.cat((page, end))
        tiles = torch.stack([next(encoded) for _ in range(grid[0] * grid[1])])
        return torch.cat((self._rows(tiles, grid), page, end))

    def _rows(self, tiles: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Tiles [n, patches, width] as one wide picture, with the embedding of a new line after each of its rows."""
        across, down = grid
        _, patches, width = tiles.shape
        side = int(patches**0.5)
        picture = tiles.view(down, across, side, side, width).permute(0, 2, 1, 3, 4)
        picture = picture.reshape(down * side, across * side, width)
        line_ends = self.image_newline.expand(down * side, 1, width)
        return torch.cat((picture, line_ends), dim=1).flatten(0, 1)
