"""Fits the table by which pages get their resolution: from measured pages to the cheapest modes that lose little.

A measurement is one page: its features, and how well each mode read it (0 to 1). A mode takes a page when the page's
lines stand tall enough on the mode's canvas and it has not too many letters; both limits are chosen here.
"""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from folio.errors import FolioError

CANVAS = {"tiny": 512, "small": 640, "base": 1024, "large": 1280, "gundam": 1024}
"""Modes from the cheapest to the dearest, and the side of each one's canvas in pixels."""
LOSS_MAX = 0.02
"""A page may be read so much worse than by the mode that reads it best."""
GOOD_MIN = 0.95
"""Of the pages that a mode takes, so many must lose no more than that."""
TRIED = 24
"""Limits tried for each feature: quantiles of what was measured."""


@dataclass(frozen=True, slots=True)
class Measured:
    """`line_height` is a share of the page's longest edge; `scores` by mode."""

    line_height: float
    letters: float
    scores: Mapping[str, float]

    def loss(self, mode: str) -> float:
        return max(self.scores.values()) - self.scores.get(mode, 0.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a mode takes."""

    mode: str
    line_pixels_min: float = 0.0
    letters_max: float = float("inf")

    def takes(self, page: Measured) -> bool:
        return page.letters <= self.letters_max and page.line_height * CANVAS[self.mode] >= self.line_pixels_min

    def row(self) -> dict[str, Any]:
        """As ocr.router reads it; a limit that limits nothing is left out."""
        row: dict[str, Any] = {"mode": self.mode}
        if self.line_pixels_min > 0:
            row["line_pixels_min"] = self.line_pixels_min
        if self.letters_max < float("inf"):
            row["letters_max"] = self.letters_max
        return row


def fitted(pages: Sequence[Measured], *, loss_max: float = LOSS_MAX, good_min: float = GOOD_MIN) -> list[Limits]:
    """Rows from the cheapest mode that is worth one to the mode that takes the rest. Raises FolioError without pages.

    Each mode gets the limits that let in most of the pages that no cheaper one took, `good_min` of them good ones.
    The last row is the mode that reads what is left best.
    """
    if not pages:
        raise FolioError("no measured pages: each needs line_height, letters and a score for each mode")
    rows, left = [], list(pages)
    modes = [name for name in CANVAS if any(name in page.scores for page in pages)]
    for mode in modes:
        best = max(_tried(mode, left), key=lambda limits: _worth(limits, left, loss_max, good_min), default=None)
        if best is None or _worth(best, left, loss_max, good_min) <= 0:
            continue
        rows.append(best)
        left = [page for page in left if not best.takes(page)]
    last = max(modes, key=lambda mode: (_mean(left or pages, mode), CANVAS[mode]))
    return [*(row for row in rows if row.mode != last), Limits(last)]


def _tried(mode: str, pages: Sequence[Measured]) -> Iterable[Limits]:
    heights = _quantiles([page.line_height * CANVAS[mode] for page in pages])
    for height in (0.0, *heights):
        for letters in _quantiles([page.letters for page in pages]):
            yield Limits(mode, round(height, 2), round(letters))


def _worth(limits: Limits, pages: Sequence[Measured], loss_max: float, good_min: float) -> float:
    """How many pages it takes; 0 when too many of them are bad ones."""
    taken = [page for page in pages if limits.takes(page)]
    good = sum(page.loss(limits.mode) <= loss_max for page in taken)
    return len(taken) if taken and good >= good_min * len(taken) else 0


def _quantiles(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return sorted({ordered[round(at * (len(ordered) - 1) / TRIED)] for at in range(TRIED + 1)}) if ordered else []


def _mean(pages: Sequence[Measured], mode: str) -> float:
    return sum(page.scores.get(mode, 0.0) for page in pages) / len(pages)


def measurements(path: Path) -> list[Measured]:
    """From a CSV with a header or a JSON list of objects: line_height, letters, and a column for each mode.

    Raises FolioError naming the line that is wrong.
    """
    text = path.read_text(encoding="utf-8")
    rows = json.loads(text) if path.suffix == ".json" else list(csv.DictReader(text.splitlines()))
    return [_measured(row, f"{path}, page {number}") for number, row in enumerate(rows, start=1)]


def _measured(row: Mapping[str, Any], where: str) -> Measured:
    try:
        scores = {mode: float(row[mode]) for mode in CANVAS if row.get(mode) not in (None, "")}
        measured = Measured(float(row["line_height"]), float(row["letters"]), scores)
    except (KeyError, TypeError, ValueError) as error:
        raise FolioError(f"{where}: {error}: line_height, letters and scores by mode are wanted") from None
    if not scores:
        raise FolioError(f"{where}: no score of any mode ({', '.join(CANVAS)})")
    return measured


def written(rows: Sequence[Limits]) -> str:
    """The file that ocr.router takes."""
    return json.dumps([row.row() for row in rows], indent=1) + "\n"
