"""How long a page waits while another tenant has 10,000 in bulk: `pages` beside `pages.bulk`, one engine, one log.

Both lanes are read by their own stages and share one window of 8 pages, of which bulk may hold 6. The engine only
sleeps, 200 ms a page. Tenant B puts 10 pages on `pages` at once, in several rounds; its latency is from the append to
the text on the log. ``python -m benchmarks.lanes``
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import quantiles

from folio import topics
from folio.ids import Doc, page_key
from folio.log import Log, Record
from folio.records import Page, PageText
from folio.stage import StageLoop
from folio.telemetry import StageMeter, configure
from infra.folder_blobs import FolderBlobs
from infra.sqlite_log import SqliteLog
from ocr_stage.engine import ScriptedEngine
from ocr_stage.stage import OcrStage

BULK_PAGES = 10_000
PAGES = 10
ROUNDS = 8
WINDOW = 8
SLEEP_S = 0.2
RATIO_MAX = 2.0


def pages(doc: Doc, count: int, version: int) -> list[Record]:
    made = [Page(doc=doc, version=version, page=number, page_count=count) for number in range(1, count + 1)]
    return [Record(page_key(doc, page.page), f"folio:page {page.page}".encode(), page.headers()) for page in made]


@asynccontextmanager
async def reading(log: Log, blobs: FolderBlobs) -> AsyncIterator[StageMeter]:
    """Both lanes at work; yields the meter of bulk."""
    ocr = OcrStage(ScriptedEngine(seconds=SLEEP_S), blobs, keep_images=False, pages_at_once=WINDOW)
    stop = asyncio.Event()
    loops = [StageLoop(stage, log) for stage in (ocr.stage, ocr.bulk)]
    running = [asyncio.create_task(loop.run(stop)) for loop in loops]
    yield loops[1].meter
    stop.set()
    await asyncio.gather(*running)


async def round_of(log: Log, number: int) -> list[float]:
    """Latencies of one round of tenant B's pages, from before the append to the moment each text is read."""
    doc = Doc("b/letter")
    latencies: list[float] = []
    async with log.reader((topics.TEXTS,), f"watch-{number}") as reader:
        began = time.monotonic()
        await log.append(topics.PAGES, pages(doc, PAGES, number))
        while len(latencies) < PAGES:
            for entry in await reader.read(entries_max=1000, bytes_max=1 << 24, wait_s=1.0):
                text = PageText.decode(entry.value)
                if text.doc == doc and text.version == number:
                    latencies.append(time.monotonic() - began)
    return latencies


async def measured(bulk: int) -> tuple[list[float], int]:
    """All latencies of B, and how many pages of A were read meanwhile."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        blobs = FolderBlobs(folder / "blobs")
        log = await stack.enter_async_context(SqliteLog.open(folder / "log.sqlite", blobs))
        await log.append(topics.PAGES_BULK, pages(Doc("a/archive"), bulk, 1) if bulk else [])
        meter = await stack.enter_async_context(reading(log, blobs))
        await asyncio.sleep(4 * SLEEP_S)
        found: list[float] = []
        for number in range(1, ROUNDS + 1):
            found += await round_of(log, number)
        return found, meter.took


def p(latencies: Sequence[float], percent: int) -> float:
    return quantiles(latencies, n=100)[percent - 1]


def main() -> None:
    configure(level="WARNING")
    print(f"tenant B: {ROUNDS} rounds of {PAGES} pages; window {WINDOW}, engine {SLEEP_S * 1000:.0f} ms a page")
    idle, _ = asyncio.run(measured(0))
    beside, read = asyncio.run(measured(BULK_PAGES))
    print(f"{'':<42}{'p50 ms':>8}{'p95 ms':>8}")
    for what, found in (("idle", idle), (f"beside {BULK_PAGES:,} pages of tenant A in bulk", beside)):
        print(f"{what:<42}{p(found, 50) * 1000:>8.0f}{p(found, 95) * 1000:>8.0f}")
    ratio = p(beside, 95) / p(idle, 95)
    print(f"p95 beside bulk is {ratio:.2f} of idle (at most {RATIO_MAX:g} is asked for); bulk read {read:,} meanwhile")
    assert ratio <= RATIO_MAX


if __name__ == "__main__":
    main()
