"""How fast a backlog of pages is drained by one to four OCR processes on Kafka, with an engine that only sleeps.

An engine that sleeps 500 ms and 8 pages in flight make 16 pages/s a process: what is missing is what folio, the client
and the broker cost. Measured once every process holds its share of the partitions; a page counts when its text is on
the log. ``FOLIO_KAFKA=host:9092 python -m benchmarks.drain_rate`` (`make kafka` starts a broker).
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from folio import topics
from folio.ids import Doc, page_key
from folio.log import Record
from folio.records import Page
from infra.kafka_log import KafkaLog
from tests.processes import Process, Site, site

PROCESSES_MAX = 4
PARTITIONS = 24
SLEEP_S = 0.5
IN_FLIGHT = 8
MEASURED_S = 20.0
SETTLED_S = 8.0
IDEAL = IN_FLIGHT / SLEEP_S
SHARE_MIN = 0.95


def backlog(count: int) -> list[Record]:
    """Pages of one document, which spread over all partitions by their keys."""
    doc = Doc("default/backlog")
    image = f"folio~{SLEEP_S}:a page".encode()
    return [Record(page_key(doc, n), image, Page(doc=doc, version=1, page=n).headers()) for n in range(1, count + 1)]


async def texts(log: KafkaLog) -> int:
    return sum(end for _, end in (await log.spans(topics.TEXTS)).values())


async def rate(made: Site, count: int) -> float:
    """Pages a second that `count` processes drain, once the group has settled."""
    async with KafkaLog.open(made.cluster()) as log:
        await log.append(topics.PAGES, backlog(int(count * IDEAL * (MEASURED_S + 4 * SETTLED_S))))
        workers: list[Process] = [made.start("ocr", data=f"ocr-{n}", wait=False) for n in range(count)]
        for worker in workers:
            await asyncio.to_thread(made.wait_for, worker)
        await asyncio.sleep(SETTLED_S)
        began, before = time.monotonic(), await texts(log)
        await asyncio.sleep(MEASURED_S)
        done, seconds = await texts(log) - before, time.monotonic() - began
        left = await log.lag("ocr", topics.PAGES)
    assert left > 0, "the backlog was too small to measure"
    for worker in workers:
        worker.stop()
    return done / seconds


def main() -> None:
    servers = os.environ.get("FOLIO_KAFKA") or sys.exit("name a broker: FOLIO_KAFKA=host:9092 (make kafka starts one)")
    print(f"engine sleeps {SLEEP_S * 1000:.0f} ms, {IN_FLIGHT} in flight, {PARTITIONS} partitions, {MEASURED_S:.0f} s")
    print(f"{'processes':>9}  {'pages/s':>8}  {'of ideal':>8}  {'of linear':>9}")
    first = 0.0
    for count in range(1, PROCESSES_MAX + 1):
        more = {"FOLIO_KAFKA__PARTITIONS": str(PARTITIONS), "FOLIO_OCR__PROCESSES": str(IN_FLIGHT // 2)}
        more["FOLIO_OCR__KEEP_IMAGES"] = "false"
        with tempfile.TemporaryDirectory() as folder, site(servers, Path(folder), **more) as made:
            pages_s = asyncio.run(rate(made, count))
        first = first or pages_s
        linear = pages_s / (count * first)
        print(f"{count:>9}  {pages_s:>8.2f}  {pages_s / (count * IDEAL):>8.3f}  {linear:>9.3f}", flush=True)
        if linear < SHARE_MIN:
            print(f"           below {SHARE_MIN} of linear")


if __name__ == "__main__":
    main()
