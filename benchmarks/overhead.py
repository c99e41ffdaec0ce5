"""What the pipeline costs beyond its parts: CPU-seconds of all processes against the same parts called alone.

Input: born-digital documents, and the same number with a quarter of them scanned (drawn; the scripted engine reads).
Reference: reading the text layer, drawing, chunking, and raw index upserts, each called directly on the same
documents in one process. Ours: the owner with all its children, from hand-over to the last receipt. Embedding is
excluded: both sides use the hash embedder, whose time is measured alone and subtracted. Must reach: 1.25 x.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil

from benchmarks.index_speed import points_of, raw
from benchmarks.synthetic import cpu_seconds, make_pdf, make_scan, table
from chunking.chunker import Chunker
from folio.ids import Doc
from folio.records import ChunkSet, Document, PageText, Source
from folio.settings import Settings, load
from indexer.embedding import HashEmbedder
from infra.intake import Named
from infra.run import Owner, open_owner
from ingest.mupdf import MuPdf
from ingest.textlayer import TextLayer
from ledger import audit
from ocr_stage.engine import ScriptedEngine

RATIO_MAX = 1.25


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=8)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    rows = [("input", "run", "parts alone, CPU-s", "whole pipeline, CPU-s", "ratio", "read / chunk / upsert alone")]
    medians = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, every in (("born digital", 0), ("a quarter scanned", 4)):
            folder = Path(scratch) / name
            folder.mkdir()
            files = make_files(folder, asked.documents, asked.pages, scan_every=every)
            runs = [compare(files, folder / str(run)) for run in range(asked.runs)]
            medians[name] = median(whole / sum(parts) for parts, whole in runs)
            rows += [(name, str(n + 1), *figures(parts, whole)) for n, (parts, whole) in enumerate(runs)]
    print(f"{asked.documents} documents of {asked.pages} pages; embedding excluded")
    table(rows)
    for name, ratio in medians.items():
        print(f"{name}: median {ratio:.2f}, must reach {RATIO_MAX}")
    return 0 if max(medians.values()) <= RATIO_MAX else 1


def make_files(folder: Path, documents: int, pages: int, *, scan_every: int) -> list[Path]:
    scanned = [bool(scan_every) and n % scan_every == 0 for n in range(documents)]
    makers = [make_scan if scan else make_pdf for scan in scanned]
    return [make(folder / f"{n}.pdf", pages=pages, seed=n) for n, make in enumerate(makers)]


def compare(files: list[Path], folder: Path) -> tuple[tuple[float, float, float], float]:
    """CPU-seconds of the parts, and of the whole less the embedding."""
    folder.mkdir()
    parts, embedding = alone(files, folder / "raw")
    return parts, asyncio.run(pipeline(files, folder / "data")) - embedding


def figures(parts: tuple[float, float, float], whole: float) -> tuple[str, ...]:
    split = " / ".join(f"{part:.2f}" for part in parts)
    return f"{sum(parts):.2f}", f"{whole:.2f}", f"{whole / sum(parts):.2f}", split


def alone(files: list[Path], folder: Path) -> tuple[tuple[float, float, float], float]:
    """CPU-seconds of reading, chunking and upserting, and of the embedding that is excluded."""
    embedder = HashEmbedder()
    chunker = Chunker(embedder.tokenizer, tokens_max=256, context_tokens_max=48, model=embedder.name)
    at = time.process_time()
    documents = [Document(doc=Doc(f"default/{file.name}"), version=1, revision=1, pages=read(file)) for file in files]
    reading = time.process_time() - at
    at = time.process_time()
    sets = [chunker.chunk(document) for document in documents]
    chunking = time.process_time() - at
    at = time.process_time()
    vectors = asyncio.run(embedder.documents([chunk.embedded_text for one in sets for chunk in one.chunks]))
    embedding = time.process_time() - at
    return (reading, chunking, upserting(folder, sets, vectors)), embedding


def read(file: Path) -> tuple[PageText, ...]:
    """Every page's text layer, or its picture where there is none, without sandbox, log or ledger."""
    pdf, layer = MuPdf(file), TextLayer()
    pages = []
    for number in range(1, pdf.page_count + 1):
        found = layer.read(pdf.sheet(number))
        if not found.trusted:
            picture, _, _ = pdf.picture(number, edge=1920, quality=85)
            pages.append(read_by_script(number, picture))
            continue
        text = PageText(
            doc=Doc("default/x"),
            version=1,
            page=number,
            source=Source.TEXT_LAYER,
            markdown=found.markdown,
            blocks=found.blocks,
        )
        pages.append(text)
    return tuple(pages)


def read_by_script(number: int, picture: bytes) -> PageText:
    reading = asyncio.run(ScriptedEngine().read(picture))
    return PageText(doc=Doc("default/x"), version=1, page=number, source=Source.OCR, markdown=reading.markdown)


def upserting(folder: Path, sets: list[ChunkSet], vectors: object) -> float:
    at = time.process_time()
    raw(folder, points_of(sets, vectors))
    return time.process_time() - at


async def pipeline(files: list[Path], data: Path) -> float:
    """CPU-seconds of the owner and all its children for these files; two documents before, so that all are started."""
    async with open_owner(settings(data)) as owner:
        await owner.intake.put(make_pdf(data / "warm.pdf", pages=1, seed=999), Named(name="warm.pdf"))
        await owner.intake.put(make_scan(data / "warm-scan.pdf", pages=1, seed=998), Named(name="warm-scan.pdf"))
        await searchable(owner, 2)
        me = psutil.Process()
        began = cpu_seconds(me)
        for file in files:
            await owner.intake.put(file, Named(name=file.name, document=file.name))
        await searchable(owner, len(files) + 2)
        return cpu_seconds(me) - began


async def searchable(owner: Owner, count: int) -> None:
    while audit.counts(owner.ledger_file)["settled"] < count:
        await asyncio.sleep(0.5)


def settings(data: Path) -> Settings:
    overrides = {
        "data": data,
        "indexer": {"embedder": "hash"},
        "ingest": {"verify_share": 0},
        "ocr": {"engine": "scripted"},
    }
    return load(environment={}, overrides=overrides)


if __name__ == "__main__":
    sys.exit(main())
