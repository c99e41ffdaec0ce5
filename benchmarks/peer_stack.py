"""folio beside what people would write today, on the same files: time to searchable, and do the right pages come back.

Peer: PyMuPDF's get_text, RecursiveCharacterTextSplitter (1,000 characters, 200 of overlap), all-MiniLM-L6-v2 through
sentence-transformers, langchain-qdrant with a local path; each by its defaults (`benchmarks/peer.py`). folio: its
defaults, through the whole pipeline: searchable by its words first, while vectors follow. Both have their model loaded;
runs alternate. A question is answered when its page is among the first five pages that the first five passages name
(`benchmarks/known_items.py` makes the questions, and `examples/questions.toml` has eight more). Must reach: sooner
searchable, and more questions answered at that very moment, when folio has no vector yet (mode lexical, which looks at
none), the 95 % interval of the paired difference above 0 on the bundled documents and on the real PDFs; and so again
when all vectors are there. Files with scans are timed apart: the peer reads nothing there.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np

from benchmarks.known_items import Item, cells, keywords, sentences
from benchmarks.pipeline_speed import born_digital, by_part, pdfs, pipeline, settings_of
from benchmarks.synthetic import table
from folio.questions import Question
from folio.telemetry import configure
from infra.run import Owner, open_owner

EXAMPLES = Path(__file__).parents[1] / "examples"
HITS = 5
RESAMPLES = 10_000
Answers = list[list[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class Side:
    """One system on one set of files."""

    seconds: float
    cpu: float
    chunks: int
    answers: Answers
    """Once searchable: of folio by words alone."""
    read: float = 1.0
    """Share of its tokens that the model reads."""
    whole: "Side | None" = None
    """The same once all vectors are there, where that comes later."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--misses", action="store_true", help="list what only the peer found")
    asked = parser.parse_args()
    configure(level="ERROR")
    sets = {"bundled": bundled(), "real": real()}
    return 0 if compare(sets, asked.runs, misses=asked.misses) else 1


def bundled() -> dict[str, Path]:
    return {path.name: path for path in sorted((EXAMPLES / "documents").iterdir())}


def real() -> dict[str, Path]:
    """PDFs of FOLIO_TEST_DATA; nothing where it is unset."""
    return {f"{number:02}-{path.name}": path for number, path in enumerate(pdfs())}


def compare(sets: dict[str, dict[str, Path]], runs: int, *, misses: bool) -> bool:
    files = {name: path for some in sets.values() for name, path in some.items()}
    digital = {path for path, _ in born_digital([path for path in files.values() if path.suffix == ".pdf"])}
    born = {name: path for name, path in files.items() if path in digital}
    scans = {name: path for name, path in files.items() if path not in digital}
    items = [item for some, of in sets.items() for item in questions(some, of)]
    scanned = [item for item in items if item.document in scans]
    items = [item for item in items if item.document in born]
    peers, ours = [], list[Side]()
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as scratch:
            peers.append(peer(born, items, Path(scratch) / "peer"))
            ours.append(asyncio.run(folio(born, items, Path(scratch) / "data")))
            careful = peer(born, items, Path(scratch) / "careful", whole=True)
    print(f"{len(born)} born-digital files in one index, {len(items)} questions; {len(scans)} more files need OCR")
    ratio = median(one.seconds for one in ours) / median(one.seconds for one in peers)
    show_times(peers, ours)
    print("\nat the moment each is searchable: folio by words alone, no vector made")
    better = show_answers(items, peers[0].answers, ours[0].answers, misses=misses)
    print("\nwhen folio's vectors are there too")
    whole = whole_of(ours[0])
    still = show_answers(items, peers[0].answers, whole.answers, misses=misses)
    print(
        f"searchable: folio takes {ratio:.2f} of the peer's time, must reach less than 1; "
        f"better answers at that moment: {better}, with vectors: {still}"
    )
    show_careful(items, peers[0], careful, whole_of(ours[-1]))
    if scans:
        with_scans(scans, scanned)
    return ratio < 1 and better and still


def whole_of(side: Side) -> Side:
    assert side.whole is not None
    return side.whole


def show_careful(items: Sequence[Item], peer: Side, careful: Side, ours: Side) -> None:
    """The peer cuts off what its model does not read, and is quicker for it; split to fit, it does the same work."""
    right = sum(hits(items, careful.answers)) / len(items)
    print(
        f"the peer's model reads {peer.read:.0%} of its text; split to what it reads ({careful.read:.0%}), it takes "
        f"{careful.seconds:.2f} s, {careful.cpu:.2f} CPU-s, {careful.chunks} chunks, page hit@5 {right:.3f}; "
        f"folio with every vector takes {ours.seconds / careful.seconds:.2f} of that time"
    )


def questions(name: str, files: dict[str, Path]) -> list[Item]:
    """All questions of a set, its name before their kind."""
    readable = {name: path for name, path in files.items() if path.suffix == ".pdf"}
    items = [*(written() if name == "bundled" else []), *sentences(readable), *keywords(readable), *cells(readable)]
    return [replace(item, kind=f"{name}, {item.kind}") for item in items]


def written() -> list[Item]:
    """The questions that come with the examples."""
    asked = tomllib.loads((EXAMPLES / "questions.toml").read_text(encoding="utf-8"))["question"]
    return [Item("written", one["ask"], one["document"], frozenset(one["pages"])) for one in asked]


def with_scans(scans: dict[str, Path], items: Sequence[Item]) -> None:
    """What the peer does not read at all; PNG and JPEG files it cannot even open for text."""
    with tempfile.TemporaryDirectory() as scratch:
        readable = {name: path for name, path in scans.items() if path.suffix == ".pdf"}
        theirs = peer(readable, items, Path(scratch) / "peer")
        mine = whole_of(asyncio.run(folio(scans, items, Path(scratch) / "data")))
    right = [sum(hits(items, one.answers)) for one in (theirs, mine)]
    print(f"{len(scans)} files with scans: peer {theirs.chunks} chunks in {theirs.seconds:.1f} s, ", end="")
    print(f"folio {mine.chunks} in {mine.seconds:.1f} s; of {len(items)} questions {right[0]:.0f} and {right[1]:.0f}")


def peer(files: dict[str, Path], items: Sequence[Item], path: Path, *, whole: bool = False) -> Side:
    job = {"files": {name: str(file) for name, file in files.items()}, "path": str(path), "whole": whole}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.peer"],
        input=json.dumps(job | {"questions": [item.ask for item in items]}),
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    answers = [five_pages(passages) for passages in said["answers"]]
    return Side(said["seconds"], said["cpu"], said["chunks"], answers, said["read"])


async def folio(files: dict[str, Path], items: Sequence[Item], data: Path) -> Side:
    ran = await pipeline(f"folio, {len(files)} files", files, data, {}, complete=False)
    by_part([ran])
    async with open_owner(settings_of(data, {})) as owner:
        by_words = [await answer(owner, item.ask, mode="lexical") for item in items]
        answers = [await answer(owner, item.ask, mode="hybrid") for item in items]
    whole = Side(ran.seconds, ran.spent.total, ran.chunks, answers)
    return Side(ran.words_s, ran.words_spent.total, ran.chunks, by_words, whole=whole)


async def answer(owner: Owner, ask: str, *, mode: Literal["lexical", "hybrid"]) -> list[tuple[str, int]]:
    found = await owner.search(Question(question=ask, k=HITS, mode=mode))
    return five_pages([(hit.document, hit.pages) for hit in found])


def five_pages(passages: Sequence[tuple[str, Sequence[int]]]) -> list[tuple[str, int]]:
    """The first five pages that the passages name: one that runs over two pages has no advantage."""
    named = [(document, page) for document, pages in passages for page in pages]
    return list(dict.fromkeys(named))[:HITS]


def hits(items: Sequence[Item], answers: Answers) -> list[float]:
    return [
        float(any((item.document, page) in pages for page in item.pages))
        for item, pages in zip(items, answers, strict=True)
    ]


def show_times(peers: Sequence[Side], ours: Sequence[Side]) -> None:
    rows = [("time to searchable", "chunks", *(f"run {n + 1}, s" for n in range(len(peers))), "CPU-s")]
    every = [whole_of(side) for side in ours]
    for name, sides in (("peer", peers), ("folio, by words", ours), ("folio, every vector", every)):
        each = [f"{side.seconds:.2f}" for side in sides]
        rows.append((name, str(sides[0].chunks), *each, f"{median(side.cpu for side in sides):.2f}"))
    table(rows)


def show_answers(items: Sequence[Item], theirs: Answers, ours: Answers, *, misses: bool) -> bool:
    """Page hit@5 by kind of question, and the paired difference; whether each set's interval lies above 0."""
    rows = [("page hit@5", "questions", "peer", "folio", "difference", "95 % interval")]
    lows: dict[str, float] = {}
    sets = dict.fromkeys(item.kind.split(",")[0] for item in items)
    for kind in (*dict.fromkeys(item.kind for item in items), *sets, ""):
        chosen = [at for at, item in enumerate(items) if item.kind.startswith(kind)]
        some = [items[at] for at in chosen]
        pair = [np.array(hits(some, [side[at] for at in chosen])) for side in (theirs, ours)]
        low, high = interval(pair[1] - pair[0])
        means = [f"{one.mean():.3f}" for one in pair]
        lows[kind] = low
        rows.append(
            (kind or "all", str(len(some)), *means, f"{(pair[1] - pair[0]).mean():+.3f}", f"{low:+.3f} to {high:+.3f}")
        )
    table(rows)
    if misses:
        for item, mine, other in zip(items, hits(items, ours), hits(items, theirs), strict=True):
            if mine < other:
                print(f"  only the peer: {item.kind} {item.document} {sorted(item.pages)} {item.ask}")
    return all(lows[some] > 0 for some in sets)


def interval(differences: "np.ndarray") -> tuple[float, float]:
    """95 % of the means of resampled questions."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(differences), (RESAMPLES, len(differences)))
    low, high = np.percentile(differences[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    sys.exit(main())
