"""RapidOCR's three models, called one by one: where lines are, which way up they stand, and what they say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from ocr_stage.lines import Line
from ocr_stage.paper import Paper, Pixels, points, skew

MODELS = {"Det": "*_det_*.onnx", "Cls": "*_cls_*.onnx", "Rec": "*_rec_*.onnx"}
"""Named by file, so that the package's own way to a model, a download, is never taken."""
RECIPE = {
    "Global.log_level": "critical",
    "Rec.rec_batch_num": 1,  # no padding to the widest line of a batch: a fifth quicker on a CPU
    "Rec.rec_img_shape": [3, 48, 48],  # nor to 320 pixels, which most cells of a table fall short of
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}
SIDE_MIN, SLIM_MAX = 64, 7
"""A shorter side, in pixels and as a part of the longer one, is made longer before lines are looked for."""
TALL = 1.5
"""A line this much taller than wide lies on its side; RapidOCR turns its cut-out against the clock."""
TALL_SHARE = 0.6
VOTERS = 9
READERS = 3
FLIPPED_SHARE = 0.5
SURE = 0.5
READ_WELL = 0.75
"""Mean score of text that is the right way up; Chinese set from top to bottom, read lying, stays far below."""


@dataclass(frozen=True, slots=True)
class Found:
    """Quads of lines on the picture `pixels`, and the picture of each."""

    pixels: Pixels
    quads: Any
    cuts: list[Any]


class Recognition:
    """Loads the models that lie in RapidOCR's own wheel; downloads nothing."""

    def __init__(self) -> None:
        import cv2
        import rapidocr

        cv2.setNumThreads(1)
        models = Path(rapidocr.__file__).parent / "models"
        paths = {f"{part}.model_path": _model(models, pattern) for part, pattern in MODELS.items()}
        self._ocr: Any = rapidocr.RapidOCR(params={**RECIPE, **paths})
        self._sure: float = self._ocr.text_score

    def find(self, pixels: Pixels) -> Found:
        """Lines of a picture in BGR."""
        record: dict[str, Any] = {}
        try:
            cuts, found = self._ocr.detect_and_crop(np.ascontiguousarray(_widened(pixels)), record)
        except _no_text():
            return Found(pixels, np.zeros((0, 4, 2)), [])
        padding = record["padding_1"]
        return Found(pixels, found.boxes - np.array([padding["left"], padding["top"]], dtype=np.float32), cuts)

    def quarters(self, found: Found) -> int:
        """How many quarter turns against the clock set the page upright; few lines are looked at, and read only when
        their shape or the classifier says that it does not stand upright.
        """
        lengths = [(max(cut.shape[:2]), index) for index, cut in enumerate(found.cuts)]
        longest = [found.cuts[index] for _, index in sorted(lengths, reverse=True)[:VOTERS]]
        if not longest:
            return 0
        lies = _tall_share(found.quads) > TALL_SHARE
        if not lies and self._flipped(longest) <= FLIPPED_SHARE:
            return 0
        asked = longest[:READERS]
        straight, flipped = self._score(asked), self._score([np.ascontiguousarray(cut[::-1, ::-1]) for cut in asked])
        if lies:
            return 0 if max(straight, flipped) < READ_WELL else 1 if straight >= flipped else 3
        return 2 if flipped > straight else 0

    def read(self, found: Found, paper: Paper, place: Callable[[Any], Any]) -> list[Line]:
        """What the lines say; `place` leads from a quad on the picture to its quad on the level page."""
        texts, scores = self._read(found.cuts)
        said = [bool(text.strip()) and score >= self._sure for text, score in zip(texts, scores, strict=True)]
        return [
            paper.line(place(quad).tolist(), text)
            for quad, text in compress(zip(found.quads, texts, strict=True), said)
        ]

    def _flipped(self, cuts: Sequence[Any]) -> float:
        """Share of the lines that the classifier takes to stand on their heads."""
        _, answer = self._ocr.cls_and_rotate(list(cuts))
        flipped = [label for label, score in answer.cls_res if "180" in label and score > SURE]
        return len(flipped) / len(cuts)

    def _score(self, cuts: Sequence[Any]) -> float:
        scores = self._read(cuts)[1]
        return float(sum(scores) / len(scores))

    def _read(self, cuts: Sequence[Any]) -> tuple[Sequence[str], Sequence[float]]:
        if not cuts:
            return (), ()
        answer = self._ocr.recognize_txt(list(cuts))
        return answer.txts, answer.scores


def _widened(pixels: Pixels) -> Pixels:
    """A sliver gets room at its right or below: the detector enlarges a picture until its short side has 736 pixels,
    and of one of 1 x 5,000 that took 23 GB.
    """
    import cv2

    height, width = pixels.shape[:2]
    side = max(SIDE_MIN, max(height, width) // SLIM_MAX)
    below, right = max(0, side - height), max(0, side - width)
    if not (below or right):
        return pixels
    wide: Pixels = cv2.copyMakeBorder(np.ascontiguousarray(pixels), 0, below, 0, right, cv2.BORDER_REPLICATE)
    return wide


def level(found: Found, paper: Paper) -> tuple[Paper, Callable[[Any], Any]]:
    """The level page of a picture that may lie a little crooked, and the way from the picture to it."""
    angle = skew(found.quads.tolist())
    if not angle:
        return paper, np.asarray
    flat = paper.levelled(angle)
    forth = np.linalg.inv(flat.back) @ paper.back
    return flat, lambda places: points(forth, places)


def _tall_share(quads: Any) -> float:
    """Of the length of all lines that are clearly longer than wide, how much stands on end."""
    across = np.linalg.norm(quads[:, 0] - quads[:, 1], axis=1)
    down = np.linalg.norm(quads[:, 0] - quads[:, 3], axis=1)
    standing, lying = down[down > TALL * across].sum(), across[across > TALL * down].sum()
    return float(standing / (standing + lying)) if standing else 0.0


def _no_text() -> type[Exception]:
    """RapidOCR's exception for a picture without lines; its package is imported late, with its models."""
    from rapidocr.main import RapidOCRError

    found: type[Exception] = RapidOCRError
    return found


def _model(folder: Path, pattern: str) -> str:
    found = sorted(folder.glob(pattern))
    if not found:
        raise FileNotFoundError(f"no {pattern} in {folder}: install the rapidocr wheel that carries its models")
    return str(found[-1])
