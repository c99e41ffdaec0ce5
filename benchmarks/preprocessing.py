"""What preprocessing does for scans: word F1 of the CPU engine with it off and on auto, in the same run, and its cost.

Input: pages of the bundled documents, drawn at 1280 px, as they are and made worse: photographed at an angle on a
table, crooked, with grain, with salt and pepper, pale, shaded, blurred. Truth: their text layer. `off` is the engine on
the picture as it came; it levels crooked pages by itself, in both columns. Must reach: better over all that was made
worse, and on no clean page more than half a point below `off`.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from statistics import mean

import cv2
import numpy as np
from PIL import Image, ImageFilter

from benchmarks.scans import DOCUMENTS, EDGE, crooked, encoded, noisy, page, plain, scored
from benchmarks.synthetic import table
from folio.errors import Permanent
from ocr_stage.plans import AUTO, OFF
from ocr_stage.rapid_process import RapidReader

PAGES = (
    ("annual-report.pdf", 2),
    ("two-column-paper.pdf", 0),
    ("product-manual-zh.pdf", 0),
    ("slides.pdf", 1),
)
CLEAN_TOO = (("annual-report.pdf", 0), ("slides.pdf", 0), ("formulas.pdf", 0), ("product-manual-zh.pdf", 1))
CLEAN = "clean"
CLEAN_LOSS_MAX = 0.005

Spoil = Callable[[Image.Image], Image.Image]
Row = tuple[float, float, float, float, set[str]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="names of spoilings, separated by commas")
    asked = parser.parse_args()
    chosen = {name: spoil for name, spoil in SPOILINGS.items() if not asked.only or name in asked.only.split(",")}
    rows = dict(compared(chosen))
    print(f"{len(PAGES)} pages, spoiled in {len(chosen)} ways; clean: {len(CLEAN_TOO)} more")
    lines = [
        (name, f"{off:.3f}", f"{auto:.3f}", f"{auto - off:+.3f}", f"{ms:.0f}", ", ".join(sorted(steps)) or "-")
        for name, (off, auto, _, ms, steps) in rows.items()
    ]
    table([("scan", "off", "auto", "gain", "ms a page", "what auto did"), *lines])
    return verdict(rows)


def verdict(rows: dict[str, Row]) -> int:
    worse = [row for name, row in rows.items() if name != CLEAN]
    off, auto = (mean(row[at] for row in worse) if worse else 0.0 for at in (0, 1))
    lowest = rows[CLEAN][2] if CLEAN in rows else 0.0
    print(f"made worse: word F1 {off:.3f} off, {auto:.3f} auto; clean, the page that loses most: {lowest:+.3f}")
    return 0 if auto > off and lowest >= -CLEAN_LOSS_MAX else 1


def compared(spoilings: dict[str, Spoil]) -> Iterator[tuple[str, Row]]:
    """For each: mean word F1 off and auto, the smallest gain of a page, CPU-ms of preparing a page, and the steps."""
    readers = {way: RapidReader(edge_pixels=EDGE, pixels_max=64_000_000, preprocess=way) for way in (OFF, AUTO)}
    drawn = [page(DOCUMENTS / name, number) for name, number in PAGES]
    more = [page(DOCUMENTS / name, number) for name, number in CLEAN_TOO]
    for name, spoil in spoilings.items():
        pages = [*drawn, *more] if name == CLEAN else drawn
        scores: dict[str, list[float]] = {OFF: [], AUTO: []}
        steps: set[str] = set()
        readers[AUTO].cpu_seconds.clear()
        for picture, truth in pages:
            scan = encoded(spoil(picture))
            for way, reader in readers.items():
                markdown, done = read(reader, scan)
                scores[way].append(scored(truth, plain(markdown))[0])
                steps |= done
        gain = min(auto - off for off, auto in zip(scores[OFF], scores[AUTO], strict=True))
        ms = 1000 * readers[AUTO].cpu_seconds["prepare"] / len(pages)
        yield name, (mean(scores[OFF]), mean(scores[AUTO]), gain, ms, steps)


def read(reader: RapidReader, scan: bytes) -> tuple[str, set[str]]:
    """A page on which nothing was found counts as one without a word."""
    try:
        answer = reader.read(scan)
    except Permanent:
        return "", set()
    return answer["markdown"], set(answer["prepared"])


def grainy(deviation: float) -> Spoil:
    def spoil(picture: Image.Image) -> Image.Image:
        grain = np.random.default_rng(4).normal(0, deviation, (picture.height, picture.width, 1))
        return Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))

    return spoil


def peppered(share: float) -> Spoil:
    def spoil(picture: Image.Image) -> Image.Image:
        pixels, chance = np.array(picture), np.random.default_rng(4).random((picture.height, picture.width))
        pixels[chance < share / 2], pixels[chance > 1 - share / 2] = 0, 255
        return Image.fromarray(pixels)

    return spoil


def photographed(tilt: float) -> Spoil:
    """On a dark table, from the side; `tilt` is the share of the width that the far corners move in."""

    def spoil(picture: Image.Image) -> Image.Image:
        width, height = picture.size
        size = (round(width * 1.25), round(height * 1.2))
        left, top, right, bottom = width * 0.125, height * 0.1, width * 1.125, height * 1.1
        near = [(0, 0), (width, 0), (width, height), (0, height)]
        far = [
            (left + tilt * width, top),
            (right - 1.2 * tilt * width, top + 0.4 * tilt * height),
            (right, bottom),
            (left, bottom - 0.3 * tilt * height),
        ]
        way = cv2.getPerspectiveTransform(np.array(near, np.float32), np.array(far, np.float32))
        grain = np.random.default_rng(1).normal(0, 6, (size[1], size[0], 1))
        scene = np.clip(np.full((size[1], size[0], 3), (96, 72, 52)) + grain, 0, 255).astype(np.uint8)
        sheet = cv2.warpPerspective(np.asarray(picture), way, size, flags=cv2.INTER_AREA)
        mask = cv2.warpPerspective(np.full((height, width), 255, np.uint8), way, size) > 127
        scene[mask] = sheet[mask]
        return Image.fromarray(scene)

    return spoil


def pale(levels: int) -> Spoil:
    return lambda picture: picture.point(lambda value: 220 - levels + value * levels // 255)


def shaded(least: float) -> Spoil:
    """Light from the left."""
    return lambda picture: Image.fromarray(
        (np.asarray(picture) * np.linspace(1, least, picture.width)[None, :, None]).astype(np.uint8)
    )


def blurred(radius: float) -> Spoil:
    return lambda picture: picture.filter(ImageFilter.GaussianBlur(radius))


def after(*spoils: Spoil) -> Spoil:
    def spoil(picture: Image.Image) -> Image.Image:
        for each in spoils:
            picture = each(picture)
        return picture

    return spoil


SPOILINGS: dict[str, Spoil] = {
    CLEAN: lambda picture: picture,
    "skew 3": crooked(3),
    "skew -9": crooked(-9),
    "photographed, slightly": photographed(0.05),
    "photographed": photographed(0.12),
    "photographed, far": photographed(0.2),
    "photographed, grainy": after(photographed(0.12), grainy(12)),
    "grain": noisy,
    "grain, heavy": grainy(80),
    "salt and pepper": peppered(0.02),
    "salt and pepper, heavy": peppered(0.06),
    "pale": pale(45),
    "pale, very": pale(18),
    "pale, grainy": after(pale(60), grainy(10)),
    "shaded": shaded(0.25),
    "blurred": blurred(1.6),
    "blurred, heavily": blurred(2.2),
}


if __name__ == "__main__":
    sys.exit(main())
