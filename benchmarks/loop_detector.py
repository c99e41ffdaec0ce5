"""Does the loop detector cry at real pages, does it catch loops, and how late.

Real text: every Markdown file of FOLIO_TEST_DATA, tables included, in pieces of a page; and with `--also FOLDER` the
text files there, in two halves by the hash of their names: thresholds are set by the one and judged by the other.
Loops: such a page that runs, at a random word, into 1 to 200 tokens of a real page again and again, read as they come,
twenty characters at a time.
Must reach: false alarms on at most 0.1 % of the pages; of loops of words at most 0.5 % missed, or caught later than two
periods after the third repeat. The reference does what vLLM's `repetition_detection` does: a pattern of 1 to 64 tokens
that came 12 times in a row, whatever it is made of.
"""

import argparse
import gzip
import hashlib
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.synthetic import table
from ocr_stage.repetition import TOKEN, Repetition, loop_in

PAGE_CHARS = 3000
TEXT_CHARS_MAX = 60_000
"""Of one text: no long one outweighs the others."""
TEXTS = {".md", ".rst", ".txt", ".gz", ".html", "METADATA"}
PACKED = b"\x1f\x8b"
REAL = "real pages"
PERIOD_MAX = 200
CHUNK_CHARS = 20
FALSE_MAX, MISSED_MAX = 0.001, 0.005
REPEATS_DUE = 6
"""A text, its third repeat, and two periods."""
TOKENS_MAX = 7000
"""Of an answer: what a model's context leaves for it."""
PATTERN_MAX, COUNT_MIN = 64, 12


@dataclass(frozen=True, slots=True)
class Looping:
    """`due` is the character by which it should be caught."""

    text: str
    due: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loops", type=int, default=1000)
    parser.add_argument("--also", type=Path, action="append", default=[], help="a folder of texts, repeatable")
    parser.add_argument("--show", action="store_true", help="print what was taken for a loop in the half to tune on")
    asked = parser.parse_args()
    if not os.environ.get("FOLIO_TEST_DATA"):
        print("FOLIO_TEST_DATA names no folder with Markdown: nothing was measured.")
        return 0
    pages = real_pages()
    if not pages:
        print("There is no page of Markdown in the folder that FOLIO_TEST_DATA names.")
        return 2
    rows: list[tuple[str, ...]] = [("", "count", "reference", "folio", "of these late")]
    began = time.process_time()
    failed = alarms(rows, REAL, pages)
    per_page = (time.process_time() - began) / len(pages)
    if asked.also:
        tuned, held = other_pages(asked.also)
        failed |= alarms(rows, "other texts, tuned on", tuned, show=asked.show)
        failed |= alarms(rows, "other texts, held out", held)
    source = Loops(pages)
    for kind in KINDS:
        loops = [source.made(random.Random(f"{kind} {seed}"), kind) for seed in range(asked.loops)]
        caught = [ours(loop.text) for loop in loops]
        late = sum(at is None or at > loop.due for at, loop in zip(caught, loops, strict=True))
        missed = sum(at is None for at in caught)
        theirs = sum(not reference(loop.text) for loop in loops)
        due = share(late - missed, loops) if kind == "words" else ""  # the others must come more often
        cells = (f"{len(loops):,}", share(theirs, loops), share(missed, loops), due)
        rows.append((f"loops of {kind}: missed", *cells))
        failed |= kind == "words" and late > MISSED_MAX * len(loops)
    table(rows)
    print(f"{1000 * per_page:.2f} ms a page")
    print(f"must reach {FALSE_MAX:.1%} false alarms, {MISSED_MAX:.1%} of loops of words missed or late")
    return int(failed)


def alarms(rows: list[tuple[str, ...]], name: str, pages: Sequence[str], *, show: bool = False) -> bool:
    """Adds a row; True when there are too many."""
    false = [page for page in pages if ours(page) is not None]
    theirs = sum(reference(page) for page in pages)
    rows.append((f"{name}: false alarms", f"{len(pages):,}", share(theirs, pages), share(len(false), pages), ""))
    for page in false if show else ():
        loop = loop_in(page)
        print(loop, ascii(page[loop.start :][:240]) if loop else "")
    return len(false) > FALSE_MAX * len(pages)


def share(count: int, of: Sequence[object]) -> str:
    return f"{100 * count / len(of):.2f} %"


def real_pages() -> list[str]:
    paths = sorted(Path(os.environ["FOLIO_TEST_DATA"]).glob("**/*.md"))
    return cut([path.read_text(encoding="utf-8", errors="replace") for path in paths])


def cut(texts: Iterable[str]) -> list[str]:
    return [text[at : at + PAGE_CHARS] for text in texts for at in range(0, len(text), PAGE_CHARS)]


def other_pages(folders: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Of every text once, wherever it lies; packed ones too. By a hash, so that no text is in both halves."""
    halves: tuple[dict[bytes, str], dict[bytes, str]] = ({}, {})
    found = (path for folder in folders for path in folder.rglob("*") if path.suffix in TEXTS or path.name in TEXTS)
    for path in sorted(filter(Path.is_file, found)):
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(PACKED) else content
        if 0 not in content:
            half = halves[hashlib.sha256(path.name.encode()).digest()[0] % 2]
            half.setdefault(hashlib.sha256(content).digest(), content.decode(errors="replace")[:TEXT_CHARS_MAX])
    return cut(halves[0].values()), cut(halves[1].values())


def of_words(tokens: Sequence[re.Match[str]]) -> bool:
    kinds = {token.lastgroup for token in tokens}
    return "word" in kinds and "cell" not in kinds


def of_cells(tokens: Sequence[re.Match[str]]) -> bool:
    return {"word", "cell"} <= {token.lastgroup for token in tokens}


COUNTED, CELLS, SIGNS = "words with a number that counts on", "cells of tables", "dots, rules and digits"
KINDS: dict[str, Callable[[Sequence[re.Match[str]]], bool]] = {
    "words": of_words,
    COUNTED: lambda tokens: of_words(tokens) and sum(token.lastgroup == "word" for token in tokens) > 3,
    CELLS: of_cells,
    SIGNS: bool,
}


class Loops:
    """Made from real pages; any length from 1 to 200 tokens as likely as another."""

    def __init__(self, pages: Sequence[str]) -> None:
        self.pages = pages
        self.tokens = [list(TOKEN.finditer(page)) for page in pages]
        self.with_cells = [tokens for tokens in self.tokens if sum(token.lastgroup == "cell" for token in tokens) > 20]
        self.signs = [token[0] for tokens in self.tokens for token in tokens if token.lastgroup not in {"word", "cell"}]

    def made(self, chance: random.Random, kind: str) -> Looping:
        length = chance.randint(1, PERIOD_MAX)
        if kind == SIGNS:
            first = chance.randrange(len(self.signs) - length)
            period = " ".join(self.signs[first : first + length])
        else:
            period = self.period(chance, kind, max(length, 3 if kind == CELLS else 5 if kind == COUNTED else 1))
        before = chance.choice(self.pages)
        before = before[: chance.randrange(len(before))] + "\n"
        joint = chance.choice([" ", "\n"])
        times = max(REPEATS_DUE + 2, TOKENS_MAX // length)
        counted = [f"{period} {number}{joint}" if kind == COUNTED else period + joint for number in range(1, times)]
        return Looping(before + "".join(counted), len(before) + len("".join(counted[:REPEATS_DUE])) + CHUNK_CHARS)

    def period(self, chance: random.Random, kind: str, length: int) -> str:
        while True:
            tokens = chance.choice(self.with_cells if kind == CELLS else self.tokens)
            first = chance.randrange(max(1, len(tokens) - length))
            run = tokens[first : first + length]
            if len(run) == length and KINDS[kind](run):
                return run[0].string[run[0].start() : run[-1].end()]


def ours(text: str) -> int | None:
    """How much had to be read."""
    repetition = Repetition()
    for at in range(0, len(text), CHUNK_CHARS):
        if repetition.add(text[at : at + CHUNK_CHARS], last=at + CHUNK_CHARS >= len(text)):
            return at + CHUNK_CHARS
    return None


def reference(text: str) -> bool:
    names: dict[str, int] = {}
    tokens = np.array([names.setdefault(token[0], len(names)) for token in TOKEN.finditer(text)])
    for period in range(1, min(PATTERN_MAX, len(tokens)) + 1):
        differs = np.flatnonzero(tokens[period:] != tokens[:-period])
        ends = np.concatenate(([-1], differs, [len(tokens) - period]))
        if np.diff(ends).max() > (COUNT_MIN - 1) * period:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
