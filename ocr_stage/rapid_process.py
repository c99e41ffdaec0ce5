"""The child's side of the CPU engine: decodes one image, finds its lines with RapidOCR, and answers Markdown."""

import ctypes
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from folio.errors import Cause, Permanent
from ocr_stage.layout import Line
from ocr_stage.markdown import page_markdown
from ocr_stage.picture import has_ink, upright

MODELS = {"Det": "*_det_*.onnx", "Cls": "*_cls_*.onnx", "Rec": "*_rec_*.onnx"}
"""Named by file, so that the package's own way to a model, a download, is never taken."""
RECIPE = {
    "Global.log_level": "critical",
    "Rec.rec_batch_num": 1,  # no padding to the widest line of a batch: a fifth quicker on a CPU
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}


class RapidReader:
    """Loads the models that lie in RapidOCR's own wheel; downloads nothing."""

    def __init__(self, edge_pixels: int, pixels_max: int) -> None:
        import cv2
        import rapidocr

        cv2.setNumThreads(1)
        models = Path(rapidocr.__file__).parent / "models"
        paths = {f"{part}.model_path": _model(models, pattern) for part, pattern in MODELS.items()}
        self._edge_pixels = edge_pixels
        self._pixels_max = pixels_max
        self._ocr: Any = rapidocr.RapidOCR(params={**RECIPE, **paths})

    def read(self, image: bytes) -> dict[str, Any]:
        """Raises Permanent: corrupt, pixel_limit, or ocr_empty (no text although there is ink)."""
        began = time.monotonic()
        picture = upright(image, edge_pixels=self._edge_pixels, pixels_max=self._pixels_max)
        try:
            return self._read(picture) | {"seconds": time.monotonic() - began}
        finally:
            give_back()

    def _read(self, picture: Image.Image) -> dict[str, Any]:
        lines = self._lines(np.asarray(picture)[:, :, ::-1])
        if not lines and has_ink(picture):
            raise Permanent(Cause.OCR_EMPTY)
        markdown, blocks = page_markdown(lines, width=picture.width, height=picture.height)
        return {
            "markdown": markdown,
            "blocks": [block.model_dump(mode="json", exclude_defaults=True) for block in blocks],
        }

    def _lines(self, pixels: Any) -> list[Line]:
        found = self._ocr(np.ascontiguousarray(pixels))
        if found.boxes is None or found.txts is None:
            return []
        return [
            Line.of(quad, text) for quad, text in zip(found.boxes.tolist(), found.txts, strict=True) if text.strip()
        ]


def _model(folder: Path, pattern: str) -> str:
    found = sorted(folder.glob(pattern))
    if not found:
        raise FileNotFoundError(f"no {pattern} in {folder}: install the rapidocr wheel that carries its models")
    return str(found[-1])


def give_back() -> None:
    """Return freed memory to the system, a tenth of a second a page. Every line of text is a tensor of another size,
    and the holes that they leave in glibc's heap grew a child from 370 to 800 MB within 120 pages.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
