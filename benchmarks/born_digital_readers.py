"""The systems that benchmarks.born_digital compares: each makes one Markdown a page of a PDF, and says what it cost."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.synthetic import cpu_seconds
from ingest.mupdf import MuPdf
from ingest.pdfium import Pdfium
from ingest.render import PdfOpener
from ingest.textlayer import TextLayer
from ocr_stage.rapid import RapidEngine

OURS, OURS_OCR, PLAIN = "folio", "folio + its OCR", "page.get_text"
REFERENCE_OCR = "pymupdf4llm + its OCR"
REFERENCE: dict[str, dict[str, Any]] = {
    "pymupdf4llm": {"use_ocr": False, "header": False, "footer": False},
    "pymupdf4llm, heads and feet": {"use_ocr": False},
    REFERENCE_OCR: {"use_ocr": True, "header": False, "footer": False},
}
"""Its options, pinned: by default it would read pages by OCR where it likes, and keep running heads."""
ENGINES: dict[str, PdfOpener] = {"pymupdf": MuPdf, "pypdfium2": Pdfium}
EDGE_PIXELS, JPEG_QUALITY, PAGE_SECONDS_MAX = 1920, 85, 300.0


@dataclass(frozen=True, slots=True)
class PagesRead:
    """One Markdown a page, "" where nothing was read; `to_ocr`: pages, from 0, whose text layer is not trusted."""

    pages: list[str]
    seconds: float
    to_ocr: tuple[int, ...] = ()
    error: str = ""


Reader = Callable[[Sequence[Path]], dict[Path, PagesRead]]


def readers(*, fresh: bool, ocr: bool, engine: str = "pymupdf") -> dict[str, Reader]:
    """Every system by its name, ours first."""
    reference = {name: _reference(name, fresh=fresh) for name in REFERENCE if ocr or name != REFERENCE_OCR}
    found: dict[str, Reader] = {OURS: _each(partial(ours, engine=engine)), PLAIN: _each(plain)} | reference
    return found | ({OURS_OCR: partial(with_ocr, engine=engine)} if ocr else {})


def _each(read: Callable[[Path], PagesRead]) -> Reader:
    def read_all(paths: Sequence[Path]) -> dict[Path, PagesRead]:
        read(paths[0])  # what loads once is nobody's page
        return {path: read(path) for path in paths}

    return read_all


def ours(path: Path, engine: str = "pymupdf") -> PagesRead:
    """The text layer, less what is marked as furniture: the chunker leaves that out as well."""
    began = time.process_time()
    pdf, layer = ENGINES[engine](path, ""), TextLayer()
    frames = [layer.read(pdf.sheet(page)).frame() for page in range(1, pdf.page_count + 1)]
    seconds = time.process_time() - began
    untrusted = tuple(at for at, frame in enumerate(frames) if not frame["trusted"])
    return PagesRead([body(frame["markdown"], frame["blocks"]) for frame in frames], seconds, untrusted)


def body(markdown: str, blocks: Iterable[dict[str, Any]]) -> str:
    """The blocks that are no furniture, joined as pages join them."""
    kept = [markdown[block["start"] : block["end"]] for block in blocks if not block["furniture"]]
    return "\n\n".join(text for text in kept if text)


def plain(path: Path) -> PagesRead:
    import pymupdf  # after ingest.mupdf, which keeps its layout model out

    began = time.process_time()
    with pymupdf.open(path) as document:
        pages = [page.get_text() for page in document]
    return PagesRead(pages, time.process_time() - began)


def with_ocr(paths: Sequence[Path], engine: str = "pymupdf") -> dict[Path, PagesRead]:
    """Ours, and the pages that are not trusted read by the CPU engine, one process."""
    return asyncio.run(_with_ocr({path: ours(path, engine) for path in paths}))


async def _with_ocr(layers: Mapping[Path, PagesRead]) -> dict[Path, PagesRead]:
    engine = RapidEngine(processes=1, edge_pixels=EDGE_PIXELS, page_seconds_max=PAGE_SECONDS_MAX)
    found = {}
    try:
        for path, layer in layers.items():
            pages, seconds = list(layer.pages), layer.seconds
            for at in layer.to_ocr:
                read = await _read_picture(engine, path, at + 1)
                pages[at], seconds = read.pages[0], seconds + read.seconds
            found[path] = PagesRead(pages, seconds, layer.to_ocr)
    finally:
        await engine.close()
    return found


async def _read_picture(engine: RapidEngine, path: Path, page: int) -> PagesRead:
    """One page; kept by the picture and by our OCR's own code, so that a change of either asks again."""
    picture, _, _ = MuPdf(path).picture(page, edge=EDGE_PIXELS, quality=JPEG_QUALITY)
    kept = _kept(picture + b"".join(file.read_bytes() for file in sorted(Path("ocr_stage").glob("*.py"))), OURS_OCR)
    if kept.exists():
        return PagesRead(**json.loads(kept.read_text(encoding="utf-8")))
    me = psutil.Process()
    began = cpu_seconds(me)
    try:
        reading = await engine.read(picture)
    except Exception as error:
        print(f"{path.name} page {page}: {error}", file=sys.stderr)
        return PagesRead([""], 0.0)
    blocks = [block.model_dump() for block in reading.blocks]
    text = body(reading.markdown, blocks) if blocks else reading.markdown
    read = PagesRead([text], cpu_seconds(me) - began)
    kept.write_text(json.dumps(asdict(read)), encoding="utf-8")
    return read


def _reference(name: str, *, fresh: bool) -> Reader:
    def read_all(paths: Sequence[Path]) -> dict[Path, PagesRead]:
        missing = [path for path in paths if fresh or not _kept(path.read_bytes(), name).exists()]
        if missing:
            _run_reference(name, missing)
        found = {
            path: PagesRead(**json.loads(_kept(path.read_bytes(), name).read_text(encoding="utf-8"))) for path in paths
        }
        for path, read in found.items():
            if read.error:
                print(f"{name} cannot read {path.name}: {read.error}", file=sys.stderr)
        return found

    return read_all


def _run_reference(name: str, paths: Sequence[Path]) -> None:
    """One thread: onnxruntime's others spin, and their CPU-seconds would count against it."""
    command = [sys.executable, "-m", "benchmarks.pymupdf4llm_reference", json.dumps(REFERENCE[name]), *map(str, paths)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True, text=True)
    for line in done.stdout.splitlines():
        answer = json.loads(line)
        read = PagesRead(answer["pages"], answer["seconds"], error=answer["error"])
        _kept(Path(answer["path"]).read_bytes(), name).write_text(json.dumps(asdict(read)), encoding="utf-8")


def _kept(read: bytes, name: str) -> Path:
    """Where a slow system's answer for these bytes lies."""
    folder = Path(tempfile.gettempdir()) / f"folio-born-digital-{version('pymupdf')}"
    folder.mkdir(exist_ok=True)
    key = hashlib.sha256(read + json.dumps(REFERENCE.get(name, name)).encode()).hexdigest()[:32]
    return folder / f"{key}.json"
