"""What the pipeline costs beyond its parts: CPU-seconds of all processes against the same parts called alone.

Reference: the sandbox's own reader, the chunker and raw index upserts, each called directly on the same documents in one
process. Ours: the owner with all its children, from hand-over to the last receipt. Embedding is excluded on both sides
(a hash embedder, its own time subtracted). Must reach: 1.25 x.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil

from benchmarks.synthetic import cpu_seconds, make_pdf, table
from chunking.chunker import Chunker
from folio.ids import Doc, point_id
from folio.records import ChunkSet, Document, PageText, Source
from folio.settings import Settings, load
from indexer.embedding import Embedder, open_embedder
from infra.intake import Named
from infra.run import Owner, open_owner
from infra.wiring import limits
from ingest.render import Renderer

RATIO_MAX = 1.25


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20)
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    ratios = []
    rows = [("run", "parts alone, CPU-s", "whole pipeline, CPU-s", "ratio", "parts: read / chunk / upsert")]
    with tempfile.TemporaryDirectory() as scratch:
        files = [make_pdf(Path(scratch) / f"{n}.pdf", pages=asked.pages, seed=n) for n in range(asked.documents)]
        for run in range(1, asked.runs + 1):
            parts, embedding = alone(files, Path(scratch) / f"raw{run}")
            whole = asyncio.run(pipeline(files, Path(scratch) / f"data{run}")) - embedding
            ratios.append(whole / sum(parts))
            split = " / ".join(f"{part:.2f}" for part in parts)
            rows.append((str(run), f"{sum(parts):.2f}", f"{whole:.2f}", f"{ratios[-1]:.2f}", split))
    print(f"{asked.documents} documents of {asked.pages} pages; embedding excluded")
    table(rows)
    print(f"median {median(ratios):.2f}, must reach {RATIO_MAX}")
    return 0 if median(ratios) <= RATIO_MAX else 1


def alone(files: list[Path], folder: Path) -> tuple[tuple[float, float, float], float]:
    """CPU-seconds of reading, chunking and upserting, and of the embedding that is excluded."""
    embedder = open_embedder("hash", threads=1, batch_tokens=2048)
    chunker = Chunker(embedder.tokenizer, tokens_max=256, context_tokens_max=48, model=embedder.name)
    index = RawIndex(folder, embedder.dimension)
    read = chunk = upsert = embedding = 0.0
    for file in files:
        at = time.process_time()
        pages = tuple(read_pages(file))
        read += time.process_time() - at
        document = Document(doc=Doc(f"default/{file.name}"), version=1, revision=1, pages=pages, complete=True)
        at = time.process_time()
        chunks = chunker.chunk(document)
        chunk += time.process_time() - at
        at = time.process_time()
        vectors = asyncio.run(embedder.documents([one.embedded_text for one in chunks.chunks]))
        embedding += time.process_time() - at
        at = time.process_time()
        index.upsert(chunks, vectors)
        upsert += time.process_time() - at
    at = time.process_time()
    index.flush()
    return (read, chunk, upsert + time.process_time() - at), embedding


