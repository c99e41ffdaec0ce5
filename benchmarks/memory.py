"""Is memory flat? Resident memory of every process from page 1,000 to page 10,000 of a synthetic stream.

Half of the pages come as PDF files (sandbox, text layer), half as page images read by the scripted engine.
Must reach: every process but the index within 10 % of what it had at page 1,000; the index's growth is reported.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import psutil

from benchmarks.synthetic import make_pdf, markdown, table
from folio import topics
from folio.ids import Doc, page_key
from folio.log import Record
from folio.records import Page
from folio.settings import load
from infra.intake import Named
from infra.run import Owner, open_owner
from ledger import audit

PAGES_A_DOCUMENT = 10
GROWTH_MAX = 1.10
MIB = 1 << 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--from-page", type=int, default=1_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return asyncio.run(measure(Path(scratch), pages=asked.pages, first=asked.from_page))


async def measure(scratch: Path, *, pages: int, first: int) -> int:
    settings = load(
        environment={},
        overrides={
            "data": scratch / "data",
            "indexer": {"embedder": "hash"},
            "ocr": {"engine": "scripted"},
            "ingest": {"verify_share": 0},
        },
    )
    samples: list[dict[str, float]] = []
    async with open_owner(settings) as owner:
        every = max(1, (pages - first) // 9)
        async for done in stream(owner, scratch, pages):
            if done >= first and (done - first) // every >= len(samples):
                samples.append(resident() | {"pages": done, "chunks": chunks(owner)})
    return report(samples)


async def stream(owner: Owner, scratch: Path, pages: int) -> AsyncIterator[int]:
    """Hand over documents, a bounded number ahead, and yield how many pages are searchable."""
    files = [make_pdf(scratch / f"{n}.pdf", pages=PAGES_A_DOCUMENT, seed=n) for n in range(10)]
    total = pages // PAGES_A_DOCUMENT
    for number in range(0, total, 20):
        for document in range(number, min(number + 20, total)):
            if document % 2:
                await owner.intake.put(
                    files[document // 2 % 10], Named(name=f"{document}.pdf", document=f"{document}.pdf")
                )
            else:
                await owner.parts.log.append(topics.PAGES, page_images(document))
        while audit.counts(owner.ledger_file)["settled"] < min(number + 20, total):
            await asyncio.sleep(0.05)
        yield min(number + 20, total) * PAGES_A_DOCUMENT


def page_images(document: int) -> list[Record]:
    doc = Doc(f"default/images-{document}")
    records = []
    for number in range(1, PAGES_A_DOCUMENT + 1):
        page = Page(doc=doc, version=1, page=number, page_count=PAGES_A_DOCUMENT, name=f"images-{document}")
        image = b"folio:" + markdown(document, number).encode()
        records.append(Record(page_key(doc, number), image, page.headers()))
    return records


def chunks(owner: Owner) -> int:
    return audit.counts(owner.ledger_file)["chunks"]


def resident() -> dict[str, float]:
    """MiB of every long-lived process, by what it runs."""
    me = psutil.Process()
    found = {"owner": me.memory_info().rss / MIB}
    for child in me.children():
        words = child.cmdline()
        name = words[4].partition(":")[0] if len(words) > 4 else "?"
        found[name] = found.get(name, 0) + child.memory_info().rss / MIB
    return found


def report(samples: list[dict[str, float]]) -> int:
    names = [name for name in samples[0] if name not in ("pages", "chunks")]
    table(
        [("page", *names)]
        + [(f"{one['pages']:.0f}", *(f"{one.get(name, 0):.1f} MiB" for name in names)) for one in samples]
    )
    first, last = samples[0], samples[-1]
    grown = {name: max(one.get(name, 0) for one in samples) / first[name] for name in names}
    thousands = (last["chunks"] - first["chunks"]) / 1000
    index = [name for name in names if "edge" in name]
    for name in index:
        print(f"{name}: {(last[name] - first[name]) / thousands:.2f} MiB for 1,000 chunks")
    worst = max(ratio for name, ratio in grown.items() if name not in index)
    print(f"largest / first, every process but the index: {worst:.2f}, must stay under {GROWTH_MAX:.2f}")
    return 0 if worst <= GROWTH_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
