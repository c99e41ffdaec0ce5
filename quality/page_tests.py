"""Unit tests of a page's Markdown, as olmOCR-bench words them: what is there, what not, in which order and cell.

The rules are those of `olmocr/bench/tests.py` (Apache-2.0): texts are compared after `plain`, `max_diffs` characters
may differ. One kind is judged otherwise: a formula is compared as normalised LaTeX, where the original renders both in
a browser, so a formula written in another way fails here.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict
from rapidfuzz import fuzz

from quality.cell_relations import DIRECTIONS, Cell, tables_of
from quality.near_matches import starts_of

Kind = Literal["present", "absent", "order", "table", "math", "baseline"]
_REPEATS_MAX = 30
_SAME_CELL_MIN = 0.5
_PAIRS = re.compile(r"(\*\*|__)(.*?)\1")
_SINGLES = re.compile(r"(\*|_)(.*?)\1")
_TAGS = re.compile(r"</?[bi]>")
_BREAK = re.compile(r"<br/?>")
_SPACE = re.compile(r"\s+")
_SIGNS = str.maketrans("‘’‚“”„＿–—‑‒−\u00b5", "'''\"\"\"_-----\u03bc")  # noqa: RUF001  # they are what is replaced
_FORMULAS = [
    re.compile(mark, re.DOTALL) for mark in (r"\\\((.+?)\\\)", r"\\\[(.+?)\\\]", r"\$\$(.+?)\$\$", r"\$(.+?)\$")
]
_TEX_NOISE = re.compile(r"\\(?:left|right|bigl?|bigr|displaystyle|,|;|!|:)(?![a-zA-Z])|[\s~]|\\ ")
_TEX_GROUP = re.compile(r"{(\\[a-zA-Z]+|[^\\{}])}")
_FOREIGN = re.compile(
    "[\u4e00-\u9fff\u3040-\u309f\u30a0-\u30ff\U0001f600-\U0001f64f\U0001f300-\U0001f5ff\U0001f680-\U0001f6ff]"
)


class PageTest(BaseModel):
    """One test. Which fields count depends on its kind."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pdf: str
    page: int
    id: str
    type: Kind
    max_diffs: int = 0
    text: str = ""
    case_sensitive: bool = True
    first_n: int = 0
    last_n: int = 0
    before: str = ""
    after: str = ""
    cell: str = ""
    up: str = ""
    down: str = ""
    left: str = ""
    right: str = ""
    top_heading: str = ""
    left_heading: str = ""
    math: str = ""

    def passes(self, markdown: str) -> bool:
        """Whether the page's Markdown is as the test says."""
        return _CHECKS[self.type](self, markdown)


def load(path: Path) -> list[PageTest]:
    """The tests of a JSON-lines file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [PageTest.model_validate(json.loads(line)) for line in lines if line.strip()]


def plain(text: str) -> str:
    """Without bold and italic marks and line breaks, white space collapsed, quotes and dashes as ASCII has them."""
    text = _TAGS.sub("", _PAIRS.sub(r"\2", _BREAK.sub(" ", text)))
    text = _SINGLES.sub(r"\2", text)
    return unicodedata.normalize("NFC", _SPACE.sub(" ", text)).translate(_SIGNS)


def _present(test: PageTest, markdown: str) -> bool:
    wanted, text = plain(test.text), plain(markdown)
    if not test.case_sensitive:
        wanted, text = wanted.lower(), text.lower()
    if test.first_n or test.last_n:
        text = text[: test.first_n] + (text[-test.last_n :] if test.last_n else "")
    return fuzz.partial_ratio(wanted, text) / 100 >= _threshold(test, wanted)


def _absent(test: PageTest, markdown: str) -> bool:
    return not _present(test, markdown)


def _order(test: PageTest, markdown: str) -> bool:
    text = plain(markdown)
    before, after = (starts_of(plain(part), text, test.max_diffs) for part in (test.before, test.after))
    return bool(before and after) and min(before) < max(after)


def _table(test: PageTest, markdown: str) -> bool:
    wanted = plain(test.cell)
    found = [cell for cells in tables_of(markdown) for cell in cells if _same(test, wanted, cell)]
    return any(_placed(test, cell) for cell in found)


def _placed(test: PageTest, cell: Cell) -> bool:
    asked = {name: (getattr(test, name), cell.next_to[name]) for name in DIRECTIONS}
    asked["top"] = test.top_heading, cell.headings("up")
    asked["side"] = test.left_heading, cell.headings("left")
    return all(any(_same(test, plain(text), other) for other in cells) for text, cells in asked.values() if text)


def _same(test: PageTest, wanted: str, cell: Cell) -> bool:
    return fuzz.ratio(wanted, plain(cell.text)) / 100 >= max(_SAME_CELL_MIN, _threshold(test, wanted))


def _threshold(test: PageTest, wanted: str) -> float:
    return 1 - test.max_diffs / max(1, len(wanted))


def _math(test: PageTest, markdown: str) -> bool:
    found: list[str] = []
    for marks in _FORMULAS:
        found += marks.findall(markdown)
        markdown = marks.sub("", markdown)
    return _bare(test.math) in map(_bare, found)


def _bare(formula: str) -> str:
    """LaTeX without white space, braces around one sign, and what only sets sizes and gaps."""
    return _TEX_GROUP.sub(r"\1", _TEX_NOISE.sub("", formula))


def _baseline(test: PageTest, markdown: str) -> bool:
    """There is text, it does not end in a loop, and it holds no signs of scripts that the set's pages do not have."""
    if not any(letter.isalnum() for letter in markdown) or _FOREIGN.search(markdown):
        return False
    return all(_repeats(markdown, size) <= _REPEATS_MAX for size in range(1, 6))


def _repeats(text: str, size: int) -> int:
    """How often the last `size` characters stand at the end in a row."""
    unit, count = text[-size:], 0
    while text.endswith(unit, 0, len(text) - count * size):
        count += 1
    return count


_CHECKS: dict[str, Callable[[PageTest, str], bool]] = {
    "present": _present,
    "absent": _absent,
    "order": _order,
    "table": _table,
    "math": _math,
    "baseline": _baseline,
}
