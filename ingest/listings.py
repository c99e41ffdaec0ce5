"""Listings of code: lines of one width of letters that no table may take, however their words line up."""

import re
from collections.abc import Sequence

from ingest.layout import Line
from ingest.styles import Styles

_LINES_MIN, _SHARE_MIN, _PITCH_EMS = 2, 0.4, 2.2
_CODE = re.compile(r"[{};,]$|^[{}]|^(?:return|def|if|for|while|SELECT|FROM|WHERE)\b|\w\([^()]*\)")


def part_listings(lines: Sequence[Line], styles: Styles) -> tuple[list[Line], list[Line]]:
    """The lines of listings, and all the others."""
    typed = sorted((line for line in lines if styles.is_code(line)), key=lambda line: line.box[1])
    runs: list[list[Line]] = []
    for line in typed:
        if runs and line.box[1] - runs[-1][-1].box[1] <= _PITCH_EMS * line.size:
            runs[-1].append(line)
        else:
            runs.append([line])
    own = {id(line) for run in runs if _is_listing(run) for line in run}
    return [line for line in lines if id(line) in own], [line for line in lines if id(line) not in own]


def _is_listing(run: Sequence[Line]) -> bool:
    """One text to a row, and signs of code in many of them."""
    rows = {round(line.box[1]) for line in run}
    signs = sum(_CODE.search(line.text) is not None for line in run)
    return len(rows) == len(run) >= _LINES_MIN and signs >= _SHARE_MIN * len(run)
