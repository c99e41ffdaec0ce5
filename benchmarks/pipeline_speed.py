"""From file to searchable through the whole pipeline, defaults but for the embedder: pages a second and CPU-ms by part.

Lexical only (`indexer.embedder = none`), born digital, tables found: must reach 30 pages/s on two cores, in each of the
shapes. With MiniLM: must reach 3 pages/s, and 1.1x the time that the same embedder takes for the same chunks alone,
measured in turns. Scanned pages: 0.9 of what bare RapidOCR reads of the same pictures with as many processes of one
thread each, measured in turns. Reading the pages and finding their tables is also timed alone, in this process.
"""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.accounting import PARTS, Spent
from benchmarks.overhead import read
from benchmarks.synthetic import make_pdf, make_report, make_scan, table
from chunking.chunker import Chunker
from folio.child import cores
from folio.ids import Doc
from folio.records import Document
from folio.settings import Settings, load
from folio.telemetry import configure
from indexer.embedding import Embedder
from infra.indexing import open_indexer_embedder
from infra.intake import Named
from infra.run import Owner, open_owner
from ledger import audit

LEXICAL_MIN = 30.0
MINILM_MIN = 3.0
MINILM_RATIO_MAX = 1.1
SCANS_RATIO_MIN = 0.9
SCAN_DPI = 150
LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Ran:
    """One shape through the pipeline."""

    shape: str
    pages: int
    chunks: int
    seconds: float
    spent: Spent
    words_s: float
    """When everything was found by its words; `seconds` counts on until all vectors are there."""
    words_spent: Spent

    @property
    def rate(self) -> float:
        return self.pages / self.seconds

    def row(self, must: str) -> tuple[str, ...]:
        busy = self.spent.total / self.seconds
        each = self.spent.total * 1000 / self.pages
        return (
            *(self.shape, str(self.pages), str(self.chunks), f"{self.seconds:.2f}", f"{self.rate:.1f}", must),
            *(f"{each:.1f}", f"{busy:.2f}"),
        )


HEAD = ("shape", "pages", "chunks", "seconds", "pages/s", "must reach", "CPU-ms a page", "cores busy")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("lexical", "minilm", "scans"), action="append")
    parser.add_argument("--pages", type=int, default=500, help="of the lexical shapes")
    parser.add_argument("--minilm-pages", type=int, default=60)
    parser.add_argument("--scanned-pages", type=int, default=24)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--embedder", default="none", help="of the lexical part")
    asked = parser.parse_args()
    configure(level="ERROR")
    parts: dict[str, Callable[[Path], bool]] = {
        "lexical": lambda scratch: lexical(scratch, asked.pages, asked.embedder),
        "minilm": lambda scratch: minilm(scratch, asked.minilm_pages, asked.runs),
        "scans": lambda scratch: scans(scratch, asked.scanned_pages, asked.runs),
    }
    reached = []
    for name in asked.part or list(parts):
        with tempfile.TemporaryDirectory() as scratch:
            reached.append(parts[name](Path(scratch)))
            print()
    return 0 if all(reached) else 1


# Lexical only. ----------------------------------------------------------------------------------------


def lexical(scratch: Path, pages: int, embedder: str) -> bool:
    ran = []
    for shape, files in shapes(scratch, pages).items():
        ran.append(asyncio.run(pipeline(shape, files, scratch / "data", {"indexer": {"embedder": embedder}})))
        shutil.rmtree(scratch / "data")
    print(f"born digital, embedder {embedder}, {cores()} cores")
    table([HEAD, *(one.row(f"{LEXICAL_MIN:.0f}") for one in ran)])
    print()
    by_part(ran)
    return all(one.rate >= LEXICAL_MIN for one in ran)


def shapes(scratch: Path, pages: int) -> dict[str, list[Path]]:
    """One long document, many short ones, and what people really have, where FOLIO_TEST_DATA has it."""
    long = [make_report(scratch / "long.pdf", pages=pages, seed=1)]
    short = [make_report(scratch / f"short-{n}.pdf", pages=3, seed=n) for n in range(max(1, pages // 5))]
    found = {f"1 x {pages} pages": long, f"{len(short)} x 3 pages": short}
    real = real_files(scratch / "real", pages // 2)
    return found | ({f"{len(real)} real PDFs": real} if real else {})


def real_files(folder: Path, pages: int) -> list[Path]:
    """PDFs whose every page is born digital, copied under other names until there are enough pages."""
    chosen = born_digital(pdfs())
    folder.mkdir()
    made: list[Path] = []
    while chosen and pages > 0:
        for path, count in chosen:
            made.append(Path(shutil.copy(path, folder / f"{len(made)}-{path.name}")))
            pages -= count
    return made


def pdfs() -> list[Path]:
    data = os.environ.get("FOLIO_TEST_DATA")
    folders = ("docling/tests/data/pdf/sources", "olmocr-bench-sample/olmocr/bench/sample_data/pdfs")
    return sorted(path for name in folders for path in Path(data, name).rglob("*.pdf")) if data else []


def born_digital(paths: Sequence[Path]) -> list[tuple[Path, int]]:
    """Files that need no OCR, with their number of pages."""
    from ingest.mupdf import MuPdf
    from ingest.textlayer import TextLayer

    found = []
    for path in paths:
        pdf, layer = MuPdf(path), TextLayer()
        if all(layer.read(pdf.sheet(page)).trusted for page in range(1, pdf.page_count + 1)):
            found.append((path, pdf.page_count))
    return found


# With MiniLM. -----------------------------------------------------------------------------------------


def minilm(scratch: Path, pages: int, runs: int) -> bool:
    files = [make_report(scratch / f"{n}.pdf", pages=pages // 3, seed=n) for n in range(3)]
    alone, whole = [], list[Ran]()
    for run in range(runs):
        settings = settings_of(scratch / f"data-{run}", {})
        texts = chunk_texts(files, settings)
        alone.append(asyncio.run(embedding_alone(texts, settings)))
        whole.append(asyncio.run(pipeline(f"MiniLM, run {run + 1}", files, settings.data, {})))
    print(
        f"born digital with MiniLM until every vector is there, {cores()} cores; "
        f"alone: the same {len(texts)} chunks, same settings, nothing else"
    )
    rows = [(*HEAD, "alone, s", "ratio", "alone, CPU-s", "embed, CPU-s", "by words after, s")]
    for (seconds, spent), ran in zip(alone, whole, strict=True):
        ratio = ran.seconds / seconds
        embed = ran.spent.parts["embed"]
        rows.append(
            (
                *(*ran.row(f"{MINILM_MIN:.0f}"), f"{seconds:.2f}", f"{ratio:.2f}"),
                *(f"{spent.total:.2f}", f"{embed:.2f}", f"{ran.words_s:.2f}"),
            )
        )
    table(rows)
    print()
    by_part(whole)
    ratio = median(ran.seconds / seconds for (seconds, _), ran in zip(alone, whole, strict=True))
    rate = median(ran.rate for ran in whole)
    print(f"median {rate:.1f} pages/s, must reach {MINILM_MIN:.0f}; {ratio:.2f}x of embedding alone, must reach 1.1")
    return rate >= MINILM_MIN and ratio <= MINILM_RATIO_MAX


def chunk_texts(files: Sequence[Path], settings: Settings) -> list[str]:
    """What the pipeline embeds: read and chunked here, with the same settings."""
    embedder = open_indexer_embedder(settings)
    chunker = Chunker(
        embedder.tokenizer,
        tokens_max=min(settings.chunking.tokens_max, embedder.tokens_max),
        context_tokens_max=settings.chunking.context_tokens_max,
        model=embedder.name,
    )
    documents = [Document(doc=Doc(f"default/{file.name}"), version=1, revision=1, pages=read(file)) for file in files]
    return [chunk.embedded_text for one in documents for chunk in chunker.chunk(one).chunks]


async def embedding_alone(texts: Sequence[str], settings: Settings) -> tuple[float, Spent]:
    """Seconds and CPU for the same texts in one call, the model loaded and warm."""
    embedder = open_indexer_embedder(settings)
    await warm(embedder)
    before, began = Spent.now(), time.monotonic()
    await embedder.documents(texts)
    seconds, spent = time.monotonic() - began, Spent.now().since(before)
    await embedder.close()
    return seconds, spent


async def warm(embedder: Embedder) -> None:
    await embedder.documents(["What is warm has run once."] * 8)


# Scans. -----------------------------------------------------------------------------------------------


def scans(scratch: Path, pages: int, runs: int) -> bool:
    """The pipeline reads PDFs of pictures; bare RapidOCR gets the very pictures that the pipeline's engine gets."""
    files = [make_scan(scratch / f"{n}.pdf", pages=pages // 4, seed=n) for n in range(4)]
    pictures = drawn(files)
    bare, whole = [], list[Ran]()
    for run in range(runs):
        bare.append(bare_rapidocr(pictures, scratch / f"pictures-{run}"))
        overrides = {"indexer": {"embedder": "none"}}
        whole.append(asyncio.run(pipeline(f"scans, run {run + 1}", files, scratch / f"data-{run}", overrides)))
    print(f"scanned pages ({SCAN_DPI} dpi), {cores()} readers of one thread; bare: RapidOCR() as its README calls it")
    rows = [(*HEAD, "bare, pages/s", "ratio", "ratio by CPU")]
    ratios = []
    for (seconds, spent), ran in zip(bare, whole, strict=True):
        ratios.append(ran.rate * seconds / len(pictures))
        by_cpu = spent / ran.spent.total
        rows.append((*ran.row(""), f"{len(pictures) / seconds:.2f}", f"{ratios[-1]:.2f}", f"{by_cpu:.2f}"))
    table(rows)
    print()
    by_part(whole)
    print(f"median {median(ratios):.2f} of bare RapidOCR, must reach {SCANS_RATIO_MIN}")
    return median(ratios) >= SCANS_RATIO_MIN


def drawn(files: Sequence[Path]) -> list[bytes]:
    """Every page as the sandbox draws it for the engine."""
    from ingest.mupdf import MuPdf

    found = []
    for file in files:
        pdf = MuPdf(file)
        found += [pdf.picture(page, edge=1920, quality=85)[0] for page in range(1, pdf.page_count + 1)]
    return found


def bare_rapidocr(pictures: Sequence[bytes], folder: Path) -> tuple[float, float]:
    """Seconds and CPU-seconds of as many processes as there are cores, each with one thread and its share of pages."""
    import subprocess

    folder.mkdir()
    paths = [folder / f"{number}.jpg" for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        path.write_bytes(picture)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    shares = [[str(path) for path in paths[core :: cores()]] for core in range(cores())]
    readers = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bare_rapidocr", *share],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for share in shares
    ]
    for reader in readers:
        assert reader.stdout is not None
        reader.stdout.readline()  # it is loaded and has read one page
    began = time.monotonic()
    for reader in readers:
        assert reader.stdin is not None
        reader.stdin.write("go\n")
        reader.stdin.flush()
    spent = [float(reader.stdout.readline()) for reader in readers if reader.stdout is not None]
    seconds = time.monotonic() - began
    for reader in readers:
        reader.communicate()
    return seconds, sum(spent)


# The pipeline. ----------------------------------------------------------------------------------------


async def pipeline(
    shape: str,
    files: "Sequence[Path] | Mapping[str, Path]",
    data: Path,
    overrides: dict[str, object],
    *,
    complete: bool = True,
) -> Ran:
    """From the first hand-over until all vectors are there; small documents before, so that everything is started.

    `files` may have names of their own. `complete`: a page that could not be read is an error.
    """
    named = dict(files) if isinstance(files, Mapping) else {file.name: file for file in files}
    with ThreadPoolExecutor(1, "watching") as watching:
        async with open_owner(settings_of(data, overrides)) as owner:
            owner.warm()
            ran = await _timed(owner, watching, shape=shape, named=named, scratch=data)
            bad = [one for one in audit.documents(owner.ledger_file) if one.state != "searchable"]
            assert not bad or not complete, f"{bad[0].document}: {bad[0].state} {bad[0].detail}"
            return ran


async def _timed(owner: Owner, watching: Executor, *, shape: str, named: Mapping[str, Path], scratch: Path) -> Ran:
    scanned = shape.startswith("scan")
    warming = [(make_scan if scanned else make_pdf)(scratch / f"warm-{n}.pdf", pages=2, seed=900 + n) for n in (1, 2)]
    await put_all(owner, {file.name: file for file in warming})
    await reached(owner, "settled", len(warming), watching)
    before, counts, began = Spent.now(), audit.counts(owner.ledger_file), time.monotonic()
    await put_all(owner, named)
    count = len(named) + len(warming)
    await reached(owner, "read", count, watching)
    words_s, words_spent = time.monotonic() - began, Spent.now().since(before)
    await reached(owner, "settled", count, watching)
    seconds, spent = time.monotonic() - began, Spent.now().since(before)
    known = audit.documents(owner.ledger_file)
    pages = sum(one.pages_ok for one in known) - 2 * len(warming)
    chunks = sum(one.chunks for one in known) - counts["chunks"]
    return Ran(shape, pages, chunks, seconds, spent, words_s, words_spent)


async def put_all(owner: Owner, files: Mapping[str, Path]) -> None:
    for name, file in files.items():
        await owner.intake.put(file, Named(name=name, document=name))


async def reached(owner: Owner, stage: str, count: int, watching: Executor) -> None:
    """Until so many are "read" (found by their words) or "settled" (every vector is there).

    Looks from a thread of its own, whose time is not the pipeline's: it is a query over all documents.
    """
    loop = asyncio.get_running_loop()
    while (await loop.run_in_executor(watching, audit.counts, owner.ledger_file))[stage] < count:
        await asyncio.sleep(LOOK_S)
        if owner.failed.done():
            owner.failed.result()


def settings_of(data: Path, overrides: dict[str, object]) -> Settings:
    return load(environment={}, overrides={"data": data, **overrides})


def by_part(ran: Sequence[Ran]) -> None:
    """CPU-ms a page by process and thread; parts that nothing used are left out."""
    used = [part for part in PARTS if any(one.spent.parts[part] * 1000 / one.pages >= 0.05 for one in ran)]
    rows = [("CPU-ms a page", *used, "all")]
    for one in ran:
        each = {part: one.spent.parts[part] * 1000 / one.pages for part in used}
        rows.append((one.shape, *(f"{ms:.1f}" for ms in each.values()), f"{sum(each.values()):.1f}"))
    table(rows)


if __name__ == "__main__":
    sys.exit(main())
