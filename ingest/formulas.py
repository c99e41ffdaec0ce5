r"""Simple formulas on lines of their own as LaTeX: powers, indices, Greek letters, operators; all else stays text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from ingest.layout import SPACE_EMS, Line, box_of, pieces_of, same_row
from ingest.powers import RAISED
from ingest.sheet import Rect, centre, union

_SMALL = 0.82
_SHIFT_EMS = 0.08
_LEVEL_SLACK = 0.16
_NEAR_EMS, _OVER_EMS = 0.25, 0.1
_ROW_MAX, _ROW_CHARS_MAX = 6, 40
_PIECES_MIN, _CHARS_MAX, _SCRIPT_CHARS_MAX = 2, 160, 12
_RELATION = re.compile(r"[=≤≥≠≈≡∈⊂⊆→∝<>]")
_WORD = re.compile(r"[^\W\d_]{3,}")
_REFUSED = re.compile(r"[%#&_{}$\\^~|√∑∏∫⌠⌡\ufffd\ue000-\uf8ff\u0590-\u1fff\u2e80-\U0010ffff]")
_LATEX_NAMES = ("sin", "cos", "tan", "log", "exp", "lim", "max", "min", "det", "dim", "ker", "gcd", "arg", "sup", "inf")
_NAMES = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(_LATEX_NAMES)}|ln)(?![A-Za-z])")
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho varsigma sigma tau upsilon"
    " phi chi psi omega"
)
_SIGNS = {chr(0x03B1 + at): name for at, name in enumerate(_GREEK.split())}
_CAPITALS = "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
_SIGNS |= dict(zip("ΓΔΘΛΞΠΣΦΨΩ", _CAPITALS.split(), strict=True))
_OPERATORS = (
    "\u03d5 phi \u03d1 vartheta \u03f5 epsilon \u00b5 mu \u00d7 times \u22c5 cdot \u00b7 cdot \u00b1 pm \u2213 mp"
    " \u00f7 div \u2264 leq \u2265 geq \u2260 neq \u2248 approx \u2261 equiv \u221d propto \u2208 in \u2209 notin"
    " \u2282 subset \u2286 subseteq \u222a cup \u2229 cap \u2192 to \u21d2 Rightarrow \u221e infty \u2202 partial"
    " \u2207 nabla \u2200 forall \u2203 exists \u2218 circ \u210f hbar \u2113 ell \u2026 ldots"
)
_SIGNS |= dict(zip(_OPERATORS.split()[::2], _OPERATORS.split()[1::2], strict=True))
_PLAIN = str.maketrans({"\u2212": "-", "\u2013": "-", "\u2217": "*", "\u00a0": " ", "\u200b": None, "\u2032": "'"})
_PLAIN |= {raised: chr(digit) for digit, raised in RAISED.items() if digit < 0x80}


@dataclass(slots=True)
class _Stem:
    """Letters on the line, whether a gap is before them, and what stands raised and lowered right behind them."""

    text: str
    box: Rect
    spaced: bool
    right: float
    raised: str = ""
    lowered: str = ""


def written(line: Line) -> str:
    """In Markdown; a full stop or a comma at the end is no part of it."""
    latex = latex_of(line)
    formula = latex.rstrip(".,;")
    return f"${formula.rstrip()}${latex[len(formula) :]}"


def latex_of(line: Line) -> str:
    """The line as LaTeX, without dollar signs; empty where it is no formula or its structure is in doubt."""
    if len(line.pieces) < _PIECES_MIN or len(line.text) > _CHARS_MAX or not _RELATION.search(line.text):
        return ""
    if _REFUSED.search(line.text) or any(not _NAMES.fullmatch(word) for word in _WORD.findall(line.text)):
        return ""
    stems = _stems(sorted((piece for piece in line.pieces if piece[0].strip()), key=lambda piece: piece[1][0]))
    if not any(stem.raised or stem.lowered for stem in stems) or not _ends_well(stems):
        return ""
    return "".join(f" {_written(stem)}" if stem.spaced else _written(stem) for stem in stems).strip()


def whole(lines: Sequence[Line], size_min: float) -> list[Line]:
    """The same lines; those in a row that are one formula only together, each in the gaps of the other, are one."""
    found: list[Line] = []
    for line in lines:
        found.append(line)
        for count in range(min(_ROW_MAX, len(found)), 1, -1):
            joined = _one(found[-count:]) if line.size >= size_min or found[-2].size >= size_min else None
            if joined is not None:
                found[-count:] = [joined]
                break
    return found


def _one(row: Sequence[Line]) -> Line | None:
    if any(len(line.text) > _ROW_CHARS_MAX for line in row) or not any(_RELATION.search(line.text) for line in row):
        return None
    if not all(same_row(one.box, other.box) for one, other in pairwise(row)):
        return None
    pieces = sorted((piece for line in row for piece in pieces_of(line)), key=lambda piece: piece[1][0])
    largest = max(row, key=lambda line: line.size)
    line = replace(largest, text=" ".join(text.strip() for text, _ in pieces), box=box_of(row), pieces=tuple(pieces))
    return line if latex_of(line) else None


def _scripts_joined(pieces: Sequence[tuple[str, Rect]], em: float) -> list[tuple[str, Rect]]:
    """Small pieces behind each other at one height are one: `n` in italics and `+1`."""
    found: list[tuple[str, Rect]] = []
    for text, box in pieces:
        if found and max(_height(found[-1][1]), _height(box)) <= _SMALL * em:
            said, before = found[-1]
            level = abs(centre(before)[1] - centre(box)[1]) <= _SHIFT_EMS * em
            if level and -_OVER_EMS * em <= box[0] - before[2] <= _NEAR_EMS * em:
                found[-1] = (said.rstrip() + text, union(before, box))
                continue
        found.append((text, box))
    return found


def _height(box: Rect) -> float:
    return box[3] - box[1]


def _stems(pieces: Sequence[tuple[str, Rect]]) -> list[_Stem]:
    """None where pieces lie above each other, as in a fraction, or a small one has nothing that it belongs to."""
    em = max(_height(box) for _, box in pieces)
    level = median(centre(box)[1] for _, box in pieces if _height(box) > _SMALL * em)
    stems: list[_Stem] = []
    for text, box in _scripts_joined(pieces, em):
        shift = level - centre(box)[1]
        last = stems[-1] if stems else None
        if _height(box) > _SMALL * em:
            if abs(shift) > _LEVEL_SLACK * em or (last and box[0] < last.right - _OVER_EMS * em):
                return []
            spaced = last is not None and (
                box[0] - last.right > SPACE_EMS * em or text[:1] == " " or last.text[-1:] == " "
            )
            stems.append(_Stem(text, box, spaced, box[2]))
        elif last is None or not _is_attached(last, text, box, em) or not _is_added(last, text, shift / em):
            return []
        else:
            last.right = max(last.right, box[2])
    return stems


def _is_attached(stem: _Stem, text: str, box: Rect, em: float) -> bool:
    """Right behind a letter, a number or a closing bracket."""
    near = box[0] >= stem.box[2] - _OVER_EMS * em and box[0] <= stem.right + _NEAR_EMS * em
    before = stem.text.rstrip()[-1]
    return near and len(text.strip()) <= _SCRIPT_CHARS_MAX and (before.isalnum() or before in ")]")


def _is_added(stem: _Stem, text: str, shift: float) -> bool:
    """Raised or lowered enough, and the place is free."""
    if shift >= _SHIFT_EMS and not stem.raised:
        stem.raised = text
    elif shift <= -_SHIFT_EMS and not stem.lowered:
        stem.lowered = text
    else:
        return False
    return True


def _ends_well(stems: Sequence[_Stem]) -> bool:
    """A raised number behind a number at the very end may be the mark of a footnote."""
    last = stems[-1]
    return last.lowered != "" or not (last.raised.strip().isdecimal() and last.text.rstrip()[-1:].isdecimal())


def _written(stem: _Stem) -> str:
    scripts = f"_{_braced(stem.lowered)}" if stem.lowered else ""
    return _signs(stem.text) + scripts + (f"^{_braced(stem.raised)}" if stem.raised else "")


def _braced(text: str) -> str:
    said = _signs(text)
    return said if len(said) == 1 else f"{{{said}}}"


def _signs(text: str) -> str:
    """Letters, operators and functions as LaTeX names them."""
    named = "".join(f"\\{_SIGNS[sign]} " if sign in _SIGNS else sign for sign in text.translate(_PLAIN))
    return " ".join(_NAMES.sub(r"\\\g<0>", named).split())
