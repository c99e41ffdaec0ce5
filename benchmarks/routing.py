"""Which resolution `auto` gives to pages, what looking costs; and, with --fit, a table fitted on measured pages.

Input: every page of the bundled documents as ingest draws it (1,920 px), and with FOLIO_TEST_DATA the sample pages of
olmOCR-bench. Shown for each: the features, letters beside those of the text layer where there is one, and the mode.
Must reach: a few ms of CPU a page (at most 8), letters within half of the text layer's on pages in Latin script.

    python -m benchmarks.routing --fit measured.csv -o table.json     then: FOLIO_OCR__ROUTER=table.json

`measured.csv` has a line for each page: line_height, letters (both as --json prints them) and a score for each mode.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import pypdfium2

from benchmarks.scans import DOCUMENTS
from benchmarks.synthetic import table
from ocr_stage.features import features
from ocr_stage.modes import Mode, tokens
from ocr_stage.preprocess import Pixels, grey
from ocr_stage.router import Features, Router
from quality.mode_table import fitted, measurements, written

EDGE = 1920
MS_MAX = 8
IN_HAN = "-zh"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", type=Path, help="measured pages, CSV or JSON")
    parser.add_argument("-o", "--output", type=Path, help="where the fitted table goes; else it is printed")
    parser.add_argument("--table", type=Path, help="choose by this table")
    parser.add_argument("--json", action="store_true", help="the features, an object a line")
    asked = parser.parse_args()
    if asked.fit:
        if not asked.fit.is_file():
            sys.exit(f"{asked.fit}: there is no such file")
        return fit(asked.fit, asked.output)
    return show(Router.read(asked.table) if asked.table else Router(), as_json=asked.json)


def fit(source: Path, into: Path | None) -> int:
    pages = measurements(source)
    text = written(fitted(pages))
    if into:
        into.write_text(text, encoding="utf-8")
    print(text if not into else f"{into}: fitted on {len(pages)} pages")
    return 0


def show(router: Router, *, as_json: bool) -> int:
    cv2.setNumThreads(1)
    rows, spent, off = [], [], []
    for name, pixels, letters in pages():
        began = time.process_time()
        found = features(grey(pixels))
        spent.append(1000 * (time.process_time() - began))
        mode = router.mode(found)
        if letters and IN_HAN not in name:
            off.append(found.letters / letters)
        if as_json:
            print(json.dumps({"page": name, **asdict(found), "mode": mode}))
        rows.append(row(name, found, letters, mode))
    if as_json:
        return 0
    table([("page", "ink", "line, px of 1024", "lines", "letters", "text layer", "mode", "tokens", "Gundam"), *rows])
    print(
        f"CPU-ms a page: median {median(spent):.1f}, at most {MS_MAX}; letters, of the text layer's: {median(off):.2f}"
    )
    return 0 if median(spent) <= MS_MAX and 0.5 <= median(off) <= 1.5 else 1


def row(name: str, found: Features, letters: int, mode: Mode) -> tuple[str, ...]:
    size = (found.width, found.height)
    return (
        name,
        f"{found.ink:.3f}",
        f"{1024 * found.line_height:.0f}",
        str(found.lines),
        str(found.letters),
        str(letters or "-"),
        mode,
        str(tokens(mode, *size)),
        str(tokens(Mode.GUNDAM, *size)),
    )


def pages() -> Iterator[tuple[str, Pixels, int]]:
    """Name, pixels, and how many signs its text layer has."""
    for path in sorted(DOCUMENTS.glob("*.pdf")):
        yield from of_pdf(path)
    folder = Path(os.environ.get("FOLIO_TEST_DATA", ""), "olmocr-bench-sample")
    if not os.environ.get("FOLIO_TEST_DATA") or not folder.is_dir():
        print("olmOCR-bench: not run, FOLIO_TEST_DATA is unset", file=sys.stderr)
        return
    for path in sorted(folder.rglob("*.pdf")):
        yield from of_pdf(path)


def of_pdf(path: Path) -> Iterator[tuple[str, Pixels, int]]:
    with pypdfium2.PdfDocument(path) as pdf:
        for number, sheet in enumerate(pdf, start=1):
            drawn = sheet.render(scale=EDGE / max(sheet.get_size())).to_pil().convert("RGB")
            letters = len("".join(sheet.get_textpage().get_text_range().split()))
            yield f"{path.stem[:36]} {number}", np.asarray(drawn), letters


if __name__ == "__main__":
    sys.exit(main())
