"""What reading a scanned page costs: the CPU engine through its child process, beside bare RapidOCR.

Input: pages of the bundled documents as pictures of 1280 px, JPEG. Reference: `RapidOCR()` with its own defaults and
one thread, called on the same bytes; beside it RapidOCR with our settings (batches of one line, no padding, no
classifier). Ours: `RapidEngine`, as the OCR stage calls it, with the layout model. All in turn, page by page, one
thread each. Must reach: 0.9 of the pages per CPU-second of the reference.
"""

import argparse
import asyncio
import io
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pypdfium2

from benchmarks.synthetic import table
from ocr_stage.rapid import RapidEngine
from ocr_stage.recognition import RECIPE

DOCUMENTS = Path(__file__).parent.parent / "examples" / "documents"
PAGES = (
    ("scanned-letter.pdf", 0),
    ("annual-report.pdf", 2),
    ("two-column-paper.pdf", 0),
    ("product-manual-zh.pdf", 0),
    ("slides.pdf", 1),
)
EDGE = 1280
MUST_REACH = 0.9
ONE_THREAD = {name: value for name, value in RECIPE.items() if not name.startswith("Rec.")}

Reads = Callable[[bytes], Awaitable[float]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    spent, parts = asyncio.run(measured(asked.rounds))
    pages = [f"{name} {number + 1}" for name, number in PAGES]
    table([("CPU-s a page (best of rounds)", *spent), *rows(pages, spent)])
    totals = {way: sum(seconds) for way, seconds in spent.items()}
    print("pages per CPU-second: " + ", ".join(f"{way} {len(pages) / total:.2f}" for way, total in totals.items()))
    print(
        "ours, CPU-ms a page by part: " + ", ".join(f"{part} {1000 * seconds:.0f}" for part, seconds in parts.items())
    )
    ratio = totals["RapidOCR()"] / totals["folio"]
    print(f"folio against RapidOCR(): {ratio:.2f} of its pages per CPU-second, must reach {MUST_REACH}")
    return 0 if ratio >= MUST_REACH else 1


def rows(pages: list[str], spent: dict[str, list[float]]) -> list[tuple[str, ...]]:
    return [(page, *(f"{spent[way][at]:.2f}" for way in spent)) for at, page in enumerate(pages)]


async def measured(rounds: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """CPU-seconds of every page by each way, and of the parts of ours a page; a page before, so that all are warm."""
    pictures = [picture(DOCUMENTS / name, number) for name, number in PAGES]
    engine = RapidEngine(processes=1, edge_pixels=EDGE, page_seconds_max=300)
    bare = engine_of(ONE_THREAD)
    ours = engine_of({**RECIPE, "Global.use_cls": False})
    ways: dict[str, Reads] = {
        "RapidOCR()": lambda image: by_itself(bare, image),
        "RapidOCR, our settings": lambda image: by_itself(ours, image),
        "folio": lambda image: by_engine(engine, image),
    }
    try:
        for read in ways.values():
            await read(pictures[0])
        before = await spent_by(engine)
        times: dict[str, list[list[float]]] = {way: [[] for _ in pictures] for way in ways}
        for _ in range(rounds):
            for at, image in enumerate(pictures):
                for way, read in ways.items():
                    times[way][at].append(await read(image))
        after = await spent_by(engine)
    finally:
        await engine.close()
    count = rounds * len(pictures)
    parts = {part: (seconds - before.get(part, 0.0)) / count for part, seconds in after.items()}
    return {way: [min(each) for each in pages] for way, pages in times.items()}, parts


def picture(path: Path, number: int) -> bytes:
    """A page as a scanner sends it: no side over 1280 pixels."""
    with pypdfium2.PdfDocument(path) as pdf:
        drawn = pdf[number].render(scale=EDGE / max(pdf[number].get_size())).to_pil().convert("RGB")
    out = io.BytesIO()
    drawn.save(out, "JPEG", quality=90)
    return out.getvalue()


def engine_of(settings: dict[str, Any]) -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(params=settings)


async def by_itself(engine: Any, image: bytes) -> float:
    began = time.process_time()
    engine(image)
    return time.process_time() - began


async def by_engine(engine: RapidEngine, image: bytes) -> float:
    """CPU-seconds of its child, and of this process, which hands the page over."""
    began = time.process_time() + child_seconds(engine)
    await engine.read(image)
    return time.process_time() + child_seconds(engine) - began


def child_seconds(engine: RapidEngine) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in engine.pids]
    return sum(each.user + each.system for each in times)


async def spent_by(engine: RapidEngine) -> dict[str, float]:
    spent: dict[str, float] = await engine._children[0].call("spent")
    return spent


if __name__ == "__main__":
    sys.exit(main())
