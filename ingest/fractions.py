"""Display formulas with fractions: the pieces around their bars are one block, in the order of reading."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ingest.layout import Line, box_of
from ingest.sheet import Rect, Sheet, centre, union

_RULES_MAX, _BAR_POINTS_MAX, _BAR_SHARE_MAX = 400, 2.0, 0.5
_LINES_MAX = 3000
_CHARS_MAX, _WORDS_MAX = 40, 1
_NEAR_EMS, _OVER_EMS, _WITHIN = 0.7, 0.4, 0.75
_LEVEL_EMS, _GAP_EMS = 0.6, 1.6
_LIMIT_SIZE, _LIMIT_GAP_EMS = 0.8, 0.3
_WORD = re.compile(r"[^\W\d_]{3,}")
_RELATION = re.compile(r"[=≤≥≠≈≡<>∝]")
_NUMBER = re.compile(r"^\(\w{1,3}(?:\.\d{1,3})*\)$")


@dataclass(frozen=True, slots=True)
class Shown:
    """A formula of several levels, or one fraction of it; `level` is the height of its bar or of its letters."""

    text: str
    box: Rect
    level: float
    size: float
    parts: tuple[Line, ...]


def find_shown(lines: Sequence[Line], sheet: Sheet) -> tuple[list[Shown], list[Line]]:
    """The page's formulas with fractions, and the lines that are in none. Each says what it equals on its level."""
    bars = [rule for rule in sheet.rules[:_RULES_MAX] if _is_bar(rule, sheet)]
    if not bars or len(lines) > _LINES_MAX:
        return [], list(lines)
    pieces = [_piece(line) for line in lines if _is_piece(line)]
    fractions = [found for bar in bars if (found := _fraction(bar, pieces)) is not None]
    inside = {id(part) for fraction in fractions for part in fraction.parts}
    free = [*fractions, *(piece for piece in pieces if id(piece.parts[0]) not in inside)]
    formulas: list[Shown] = []
    for fraction in fractions:
        if fraction in free:
            formula, others = _grown(fraction, [item for item in free if item is not fraction])
            if formula is not None:
                formulas.append(formula)
                free = others
    gone = {id(part) for formula in formulas for part in formula.parts}
    return formulas, [line for line in lines if id(line) not in gone]


def _is_bar(rule: Rect, sheet: Sheet) -> bool:
    return rule[3] - rule[1] <= _BAR_POINTS_MAX < rule[2] - rule[0] <= _BAR_SHARE_MAX * sheet.width


def _is_piece(line: Line) -> bool:
    return len(line.text) <= _CHARS_MAX and len(_WORD.findall(line.text)) <= _WORDS_MAX


def _piece(line: Line) -> Shown:
    return Shown(line.text, line.box, centre(line.box)[1], line.size, (line,))


def _fraction(bar: Rect, pieces: Sequence[Shown]) -> Shown | None:
    """What stands close above the bar and close below it, within its ends."""
    level = centre(bar)[1]
    over = [piece for piece in pieces if _is_at(piece, bar, level - piece.box[3])]
    under = [piece for piece in pieces if _is_at(piece, bar, piece.box[1] - level)]
    if not over or not under or {id(piece) for piece in over} & {id(piece) for piece in under}:
        return None
    parts = tuple(part for piece in (*over, *under) for part in piece.parts)
    size = max(piece.size for piece in (*over, *under))
    return Shown(f"{_bracketed(over)} / {_bracketed(under)}", union(bar, box_of(parts)), level, size, parts)


def _is_at(piece: Shown, bar: Rect, gap: float) -> bool:
    common = min(piece.box[2], bar[2]) - max(piece.box[0], bar[0])
    near = -_OVER_EMS * piece.size <= gap <= _NEAR_EMS * piece.size
    return near and common >= _WITHIN * (piece.box[2] - piece.box[0])


def _bracketed(pieces: Sequence[Shown]) -> str:
    text = " ".join(piece.text for piece in sorted(pieces, key=lambda piece: piece.box[0]))
    return f"({text})" if " " in text else text


def _grown(seed: Shown, items: Sequence[Shown]) -> tuple[Shown | None, list[Shown]]:
    """The fraction with all that stands beside it, on its level or as a limit; None where nothing equals it."""
    found, rest, box = [seed], list(items), seed.box
    while more := [item for item in rest if _belongs(item, seed, box)]:
        taken = {id(item) for item in more}
        found += more
        rest = [item for item in rest if id(item) not in taken]
        for item in more:
            box = box if _NUMBER.match(item.text) else union(box, item.box)
    beside = [item for item in found if len(item.parts) == 1 and abs(item.level - seed.level) <= _LEVEL_EMS * seed.size]
    if not any(_RELATION.search(item.text) for item in beside):
        return None, list(items)
    found.sort(key=lambda item: item.box[0])
    parts = tuple(part for item in found for part in item.parts)
    text = " ".join(item.text for item in found)
    return Shown(text, union(box, box_of(parts)), seed.level, seed.size, parts), rest


def _belongs(item: Shown, seed: Shown, box: Rect) -> bool:
    gap = max(item.box[0] - box[2], box[0] - item.box[2])
    if abs(item.level - seed.level) <= _LEVEL_EMS * seed.size:
        return gap <= _GAP_EMS * seed.size or (_NUMBER.match(item.text) is not None and item.box[0] > box[0])
    within = box[0] - 1 <= item.box[0] and item.box[2] <= box[2] + 1
    apart = max(item.box[1] - box[3], box[1] - item.box[3])
    return within and item.size <= _LIMIT_SIZE * seed.size and apart <= _LIMIT_GAP_EMS * seed.size
