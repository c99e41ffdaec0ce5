"""The child's side of the CPU engine: decodes one image, finds and reads its lines, and answers Markdown."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from folio.errors import Cause, Permanent
from folio.inside import give_back
from ocr_stage.ink import Drawn
from ocr_stage.lines import Line, Region
from ocr_stage.markdown import page_markdown
from ocr_stage.paper import Paper, Pixels
from ocr_stage.picture import decoded, has_ink
from ocr_stage.plans import Plan
from ocr_stage.preprocess import cleaned, shaped
from ocr_stage.recognition import Recognition, level
from ocr_stage.regions import LayoutModel
from ocr_stage.transform import Transform

PAGES_A_TRIM = 4
"""Memory is given back to the system every so many pages, in a tenth of a second. Every line of text is a tensor of
another size, and the holes that they leave in glibc's heap grew a child from 370 to 800 MB within 120 pages."""


class RapidReader:
    """One reader a process, one thread; `layout` says whether the layout model looks at pages too."""

    def __init__(self, edge_pixels: int, pixels_max: int, layout: bool = True, preprocess: str = "auto") -> None:
        self._edge_pixels = edge_pixels
        self._pixels_max = pixels_max
        self._recognition = Recognition()
        self._layout = LayoutModel() if layout else None
        self._plan = Plan.of(preprocess, levelled=True)
        self._pages = 0
        self.cpu_seconds: dict[str, float] = {}

    def read(self, image: bytes) -> dict[str, Any]:
        """Raises Permanent: corrupt, pixel_limit, or ocr_empty (no text although there is ink)."""
        began = time.monotonic()
        with self._part("decode"):
            picture = decoded(image, edge_pixels=self._edge_pixels, pixels_max=self._pixels_max)
        try:
            return self._read(picture) | {"seconds": time.monotonic() - began}
        finally:
            self._pages += 1
            if self._pages % PAGES_A_TRIM == 0:
                give_back()

    def spent(self) -> dict[str, float]:
        """CPU-seconds of each part so far; for the benchmark."""
        return self.cpu_seconds

    def _read(self, picture: Image.Image) -> dict[str, Any]:
        with self._part("prepare"):
            shape = shaped(np.asarray(picture), self._plan)
            picture = Image.fromarray(shape.pixels) if shape.steps else picture
            picture.thumbnail((self._edge_pixels, self._edge_pixels), Image.Resampling.LANCZOS)
            clean = cleaned(np.asarray(picture)[:, :, ::-1], self._plan)
        lines, paper, regions = self._seen(clean.pixels, shape.transform.resized(*picture.size))
        if not lines and has_ink(picture):
            raise Permanent(Cause.OCR_EMPTY)
        with self._part("assemble"):
            markdown, blocks = page_markdown(lines, paper, regions)
        return {
            "markdown": markdown,
            "blocks": [block.model_dump(mode="json", exclude_defaults=True) for block in blocks],
            "prepared": [*shape.steps, *clean.steps],
        }

    def _seen(self, pixels: Pixels, before: Transform) -> tuple[list[Line], Paper, list[Region]]:
        """Lines and regions on the upright, level page; found once more only where the page was turned."""
        height, width = pixels.shape[:2]
        with self._part("detect"):
            found = self._recognition.find(pixels)
        with self._part("orientation"):
            quarters = self._recognition.quarters(found)
            paper = Paper.turned(width, height, quarters).after(before)
        if quarters:
            with self._part("detect"):
                found = self._recognition.find(np.rot90(pixels, quarters))
        upright_paper = paper
        paper, place = level(found, paper)
        with self._part("layout"):
            flat = _flattened(found.pixels, upright_paper, paper)
            regions = self._layout.regions(flat) if self._layout else []
        paper = replace(paper, ink=Drawn(_grey(flat)))
        with self._part("recognise"):
            return self._recognition.read(found, paper, place), paper, regions

    @contextmanager
    def _part(self, name: str) -> Iterator[None]:
        began = time.process_time()
        try:
            yield
        finally:
            self.cpu_seconds[name] = self.cpu_seconds.get(name, 0.0) + time.process_time() - began


def _flattened(pixels: Pixels, turned: Paper, flat: Paper) -> Pixels:
    """The picture of the level page."""
    if turned is flat:
        return pixels
    import cv2

    forth = np.linalg.inv(flat.back) @ turned.back
    size = (round(flat.width), round(flat.height))
    level_pixels: Pixels = cv2.warpAffine(pixels, forth[:2], size, borderMode=cv2.BORDER_REPLICATE)
    return level_pixels


def _grey(pixels: Pixels) -> Pixels:
    import cv2

    grey: Pixels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BGR2GRAY)
    return grey
