"""A figure that a model saw: from its answer over the box on the page to the picture in the exported Markdown."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.acceptance.conftest import Desk, desk_at, running
from tests.unit.test_ocr_remote import Scripted

WIDTH, HEIGHT = 1000, 1400
FIGURE = (200, 500, 800, 1000)
"""Pixels: left, top, right, bottom."""
COLOURS = ("#b71c1c", "#1b5e20", "#0d47a1", "#f9a825")
SAID = (
    "<|ref|>title<|/ref|><|det|>[[100, 70, 900, 100]]<|/det|>\n# Crossings\n\n"
    "<|ref|>text<|/ref|><|det|>[[100, 120, 900, 300]]<|/det|>\nFerries cross twice a day.\n\n"
    "<|ref|>image<|/ref|><|det|>[[{}, {}, {}, {}]]<|/det|>\n\n"
    "<|ref|>image_caption<|/ref|><|det|>[[200, 720, 800, 740]]<|/det|>\nFigure 1: The four piers\n\n"
    "<|ref|>text<|/ref|><|det|>[[100, 760, 900, 800]]<|/det|>\nIn winter once."
)


class Seeing(Scripted):
    """Answers about every page what a model says of the one drawn here."""

    def _said(self, asked: dict[str, Any]) -> dict[str, Any]:
        answer = super()._said(asked)
        sides = zip(FIGURE, (WIDTH, HEIGHT, WIDTH, HEIGHT), strict=True)
        answer["choices"][0]["message"]["content"] = SAID.format(*(round(999 * at / side) for at, side in sides))
        return answer


def drawn() -> Image.Image:
    """Lines that look like text, and a picture of four colours, none of which is at home elsewhere on the page."""
    page = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(page)
    for top in (*range(170, 420, 30), *range(1070, 1110, 30)):
        draw.rectangle((100, top, 900, top + 8), fill="black")
    left, top, right, bottom = FIGURE
    middle, centre = (left + right) // 2, (top + bottom) // 2
    corners = ((left, top, middle, centre), (middle, top, right, centre), (left, centre, middle, bottom))
    for corner, colour in zip((*corners, (middle, centre, right, bottom)), COLOURS, strict=True):
        draw.rectangle(corner, fill=colour)
    return page


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with Seeing().running() as server:
        made = desk_at(tmp_path, FOLIO_OCR__ENGINE="remote", FOLIO_REMOTE__URL=server.url, FOLIO_OCR__SECOND="none")
        owner = running(made)
        await asyncio.to_thread(owner.__enter__)
        yield made
        await asyncio.to_thread(owner.__exit__, None, None, None)


def is_the_figure(jpeg: bytes, page: Image.Image) -> bool:
    """As large as it should be to two pixels; just inside its edges its colours: a crop six pixels off has not."""
    crop = Image.open(BytesIO(jpeg)).convert("RGB")
    left, top, right, bottom = FIGURE
    off = max(abs(crop.width - (right - left)), abs(crop.height - (bottom - top)))
    differs = np.abs(np.asarray(crop, dtype=float) - np.asarray(page.crop(FIGURE).resize(crop.size), dtype=float))
    edges = (differs[4:8], differs[-8:-4], differs[:, 4:8], differs[:, -8:-4])
    return off <= 2 and differs.mean() < 3 and all(edge.mean() < 10 for edge in edges)


async def test_a_figure_in_a_model_s_answer_is_a_picture_in_the_exported_markdown(desk: Desk, tmp_path: Path) -> None:
    page, path = drawn(), tmp_path / "piers.png"
    page.save(path)
    await asyncio.to_thread(desk.ok, "add", str(path))
    read = (await asyncio.to_thread(desk.ok, "page", "piers.png", "1", "--json")).json()
    figure = next(block for block in read["blocks"] if block["kind"] == "figure")
    await asyncio.to_thread(desk.ok, "export", "piers.png", str(tmp_path / "out"))
    folder = tmp_path / "out" / "piers.png"
    box = figure["box"]
    wanted = [at / side for at, side in zip(FIGURE, (WIDTH, HEIGHT, WIDTH, HEIGHT), strict=True)]
    assert [box["x0"], box["y0"], box["x1"], box["y1"]] == pytest.approx(wanted, abs=0.001)
    markdown = (folder / "document.md").read_text()
    order = ["# Crossings", "twice a day.", "![](figures/page-1-1.jpg)", "Figure 1: The four piers", "In winter once."]
    assert [markdown.index(piece) for piece in order] == sorted(markdown.index(piece) for piece in order)
    assert "<|" not in markdown
    assert is_the_figure((folder / "figures" / "page-1-1.jpg").read_bytes(), page)
    assert is_the_figure(await asyncio.to_thread(fetched, desk, box), page)


def fetched(desk: Desk, box: dict[str, float]) -> bytes:
    """The same part of the page over HTTP."""
    owner = json.loads((desk.data / "owner.json").read_text())
    crop = ",".join(str(box[side]) for side in ("x0", "y0", "x1", "y1"))
    address = f"http://127.0.0.1:{owner['port']}/v1/documents/picture?document=piers.png&page=1&crop={crop}"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {owner['token']}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return bytes(answer.read())
