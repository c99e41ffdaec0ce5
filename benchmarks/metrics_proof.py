"""Whether our metrics compute what they claim: our scores beside those that a benchmark published for the same files.

Input: the 200 documents of opendataloader-bench, the Markdown that three systems made of them, and the scores its
publisher printed for each document (found by FOLIO_TEST_DATA). Ours: quality's NID, TEDS and MHS of the same files.
Must reach, per system: NID within .005 and TEDS within .02 of the published ones, both the means and the mean absolute
difference over documents, on the same set of documents.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from benchmarks.synthetic import table
from quality.heading_metrics import mhs
from quality.table_metrics import teds
from quality.text_metrics import nid, nid_s

FOLDER = "opendataloader-bench"
WITHIN = {"nid": 0.005, "nid_s": 0.005, "teds": 0.02, "teds_s": 0.02, "mhs": None, "mhs_s": None}
Scores = dict[str, float | None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--details", action="store_true", help="print every document whose scores differ by over .001")
    asked = parser.parse_args()
    folder = Path(os.environ.get("FOLIO_TEST_DATA", "")) / FOLDER
    if not folder.is_dir():
        print(f"FOLIO_TEST_DATA names no folder with {FOLDER}: nothing was compared.")
        return 2
    began = time.process_time()
    rows: list[tuple[str, ...]] = [
        ("system", "metric", "documents", "published", "ours", "mean |difference|", "largest", "within", "reached")
    ]
    reached = True
    for system in sorted(path.name for path in (folder / "prediction").iterdir()):
        published, ours = published_scores(folder, system), our_scores(folder, system)
        for metric, within in WITHIN.items():
            row, good = compared(metric, published, ours, within)
            rows.append((system, *row))
            reached &= good
        if asked.details:
            print(*differing(system, published, ours), sep="\n")
    table(rows)
    print(f"{time.process_time() - began:.1f} CPU-s; {'reached' if reached else 'NOT reached'}")
    return 0 if reached else 1


def published_scores(folder: Path, system: str) -> dict[str, Scores]:
    found = json.loads((folder / "prediction" / system / "evaluation.json").read_text(encoding="utf-8"))
    return {one["document_id"]: one["scores"] for one in found["documents"]}


def our_scores(folder: Path, system: str) -> dict[str, Scores]:
    scores = {}
    for path in sorted((folder / "ground-truth" / "markdown").glob("*.md")):
        read = folder / "prediction" / system / "markdown" / path.name
        text = read.read_text(encoding="utf-8") if read.exists() else ""
        scores[path.stem] = scored(path.read_text(encoding="utf-8"), text)
    return scores


def scored(truth: str, read: str) -> Scores:
    """All six scores of one document."""
    tables, headings = teds(truth, read), mhs(truth, read)
    return {
        "nid": nid(truth, read),
        "nid_s": nid_s(truth, read),
        "teds": tables and tables.teds,
        "teds_s": tables and tables.teds_s,
        "mhs": headings and headings.mhs,
        "mhs_s": headings and headings.mhs_s,
    }


def compared(
    metric: str, published: dict[str, Scores], ours: dict[str, Scores], within: float | None
) -> tuple[tuple[str, ...], bool]:
    """One row, and whether the same documents count and the scores are as near as asked."""
    pairs = [(published[name][metric], ours[name][metric]) for name in published]
    both = [(theirs, own) for theirs, own in pairs if theirs is not None and own is not None]
    alike = all((theirs is None) == (own is None) for theirs, own in pairs) and len(both) > 0
    theirs, own = fmean(pair[0] for pair in both), fmean(pair[1] for pair in both)
    apart = [abs(pair[0] - pair[1]) for pair in both]
    good = alike and (within is None or max(fmean(apart), abs(theirs - own)) <= within)
    word = ("yes" if good else "NO") if within is not None else ("-" if alike else "NO")
    figures = (f"{theirs:.4f}", f"{own:.4f}", f"{fmean(apart):.5f}", f"{max(apart):.4f}")
    return (metric, str(len(both)), *figures, str(within or "-"), word), good


def differing(system: str, published: dict[str, Scores], ours: dict[str, Scores]) -> Iterator[str]:
    for name, scores in published.items():
        for metric, score in scores.items():
            own = ours[name].get(metric)
            if score is not None and own is not None and abs(score - own) > 0.001:
                yield f"{system} {name} {metric}: published {score:.4f}, ours {own:.4f}"


if __name__ == "__main__":
    sys.exit(main())
