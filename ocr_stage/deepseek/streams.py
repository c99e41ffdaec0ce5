"""The vision tower on a CUDA stream of its own, beside the language model; pixels are copied from the arena."""

import logging
from collections.abc import Sequence
from typing import Any

import torch

from ocr_stage.deepseek.arena import Arena, as_tensor
from ocr_stage.deepseek.encoder import Encoder, shapes
from ocr_stage.deepseek.fast import LOGGER, FastConfig
from ocr_stage.deepseek.tickets import Ticket
from ocr_stage.modes import Mode


class StreamEncoder:
    """Encodes on its own stream; a call returns when its pages are done, and sleeps until then."""

    def __init__(self, model: Any, config: FastConfig, arena: Arena) -> None:
        _register(arena)
        self._encoder = Encoder(model, config.groups)
        self._stream = torch.cuda.Stream()
        self._stream.wait_stream(torch.cuda.default_stream())
        canvases = {Mode(name).canvas for name in config.graphs}
        with torch.cuda.stream(self._stream):
            self._encoder.capture(
                (shape, count)
                for shape in shapes()
                for count in config.groups
                if shape.canvas in canvases and (not shape.tiles or Mode.GUNDAM in config.graphs)
            )

    def fit(self, count: int) -> int:
        return self._encoder.fit(count)

    def encode(self, pages: Sequence[Ticket], pixels: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        with torch.cuda.stream(self._stream):
            embeddings = self._encoder.encode(pages, pixels)
            done = torch.cuda.Event(blocking=True)
            done.record()
        done.synchronize()
        return embeddings


def _register(arena: Arena) -> None:
    """Tell the device of the arena's memory, so that copies from it run beside everything else."""
    whole = as_tensor(arena.whole)
    failed = int(torch.cuda.cudart().cudaHostRegister(whole.data_ptr(), whole.numel(), 0))
    if failed:
        logging.getLogger(LOGGER).warning("pages are copied the slow way: cudaHostRegister says %d", failed)
