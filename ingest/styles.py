"""What sizes and weights mean in one document: its running text, and a rank for every style that headings have."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ingest.layout import Line
from ingest.links import bare
from ingest.lists import BULLET

BODY_DEFAULT = 10.0
CAPTION = re.compile(
    r"^[\[(]?(?:Figures?|Figs?\.|Tables?|Tab\.|Chart|Exhibit|Scheme|Plate|Listing|Algorithm|Abbildung|Abb\.|Tabelle|"
    r"Figura|Tabla|Tableau|图|表|圖|図|그림|표)\s*(?:\d+(?:[.-]\d+)*|[A-Z]\.?\d+|[IVX]+)[a-z]?"
    r"(?=\s*[.:\uff1a|\u2013\u2014)\]]|\s+[^a-z\s]|\s*$)"
)
NUMBERING = re.compile(r"^(?:Chapter\s+|Section\s+)?((?:\d{1,2}|[A-Z](?=\.\d))(?:\.\d{1,2})*)[.)]?\s+(?=\S*[^\W\d_])")
_SIZE_STEP = 2
_RATIOS = ((1.6, 1), (1.3, 2), (1.12, 3))
_LARGER = 1.12
_BOLD_LEVEL = 4
_FIRST_LEVEL_MAX = 2
_LEVEL_MAX = 6
_RUNNING_SHARE = 0.15
_RUNNING_CHARS_MIN = 400
_RUNNING_LINE_CHARS = 30
_BOLD_SIZE_MIN = 0.95
_CAPS_LETTERS_MIN = 4
_CAPS_CHARS_MAX = 60
_CAPS_SHARE = 0.9
_NO_ENDS = (".", ",", ":", ";", "\u3002", "\uff0c", "\uff1a", "\uff1b")
HEADING_CHARS_MAX = 200
_BOLD_CHARS_MAX = 120
_LETTERS_SHARE_MIN = 0.5
_USUAL_SHARE = 0.4
_WEIGHED_MIN = 500
"""On a page of little text its headings may be most of it."""
_PITCH_CHARS_MIN, _PITCH_CHARS_MAX = 8, 40
"""In long lines of any font the widths of letters even out."""
_PITCH_LINES_MIN = 6
_PITCH_LENGTHS_MIN = 5
_PITCH_SHARE_MIN = 0.85
_PITCHES = (0.5, 0.55, 0.6)
_PITCH_SLACK, _PITCH_DRIFT, _PITCH_MORE = 0.06, 0.003, 14
_RARE_FONT_SHARE = 0.2
_SET_APART_CHARS_MAX = 80
_FORMULA = re.compile(r"[=∑∫∏√≤≥≈]")
_CODE_LIKE = re.compile(r"\w\(|\w_\w+_\w|_\w+\s\(|[{};<>|\\]")
_CALL = re.compile(r"_\w+\s?\(\w|^[^\s(]+\([^)]*[,'\"=][^)]*\)")
_WORD = re.compile(r"[^\W\d_]{3}|^[A-Z][a-z]$|[^\W\d_]{2}[\s.]+[^\W\d_]{2}|[\u0590-\U0010ffff]")
_SPACES = re.compile(r"\W+")


class Style(NamedTuple):
    """Ordered from the most to the least prominent: larger, then bold, then the shallower number (0: none)."""

    smaller: float
    plain: bool
    depth: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a line stands in its column: with white above; with white below too; short, and leading to text below."""

    apart: bool
    alone: bool
    leads: bool


class Styles:
    """Learns as pages come. A level once given to a style stays, so that a document's headings agree."""

    def __init__(self) -> None:
        self._chars: Counter[float] = Counter()
        self._lines: Counter[float] = Counter()
        self._kinds: Counter[str] = Counter()
        self._fonts: Counter[str] = Counter()
        self._fitting: dict[str, Counter[float]] = {}
        self._lengths: dict[str, set[int]] = {}
        self._apart: set[tuple[str, int]] = set()
        self._levels: dict[Style, int] = {}
        self._titles: dict[str, int] = {}
        self._body = self._running = BODY_DEFAULT

    def note(self, lines: Sequence[Line]) -> None:
        """Count a page's letters by size and kind; letters of other scripts by how many Latin ones are as wide."""
        for line in lines:
            size = round(line.size * _SIZE_STEP) / _SIZE_STEP
            count = max(len(line.text), round(2 * (line.box[2] - line.box[0]) / max(line.size, 1.0)))
            self._chars[size] += count
            self._lines[size] += 1
            self._kinds["mono"] += count * line.mono
            self._fonts[line.font] += count
            if _PITCH_CHARS_MIN <= len(line.text) <= _PITCH_CHARS_MAX and size and line.text.isascii():
                self._pitch(line, len(line.text))
        if self._chars:
            self._body = self._chars.most_common(1)[0][0] or BODY_DEFAULT
            self._running = max(self._body, self._running_max())

    def weigh(self, lines: Sequence[Line]) -> None:
        """Count bold letters outside of tables, whose heads and names of rows say nothing of the text."""
        for line in lines:
            self._kinds["weighed"] += len(line.text)
            self._kinds["bold"] += len(line.text) * line.bold

    def _pitch(self, line: Line, count: int) -> None:
        """Note whether the line is as wide as that many letters of a usual width, spaces at its ends counted in."""
        fits = self._fitting.setdefault(line.font, Counter())
        fits[0.0] += 1
        for pitch in _PITCHES:
            letters = (line.box[2] - line.box[0]) / (pitch * line.size)
            near = abs(letters - round(letters)) <= _PITCH_SLACK + _PITCH_DRIFT * letters
            fits[pitch] += near and 0 <= round(letters) - count <= _PITCH_MORE
        self._lengths.setdefault(line.font, set()).add(count)

    def _running_max(self) -> float:
        """The largest size that whole paragraphs are set in: a page of references must not make the text a heading."""
        total = self._chars.total()
        return max(
            (
                size
                for size, chars in self._chars.items()
                if chars >= max(_RUNNING_CHARS_MIN, _RUNNING_SHARE * total)
                and chars >= _RUNNING_LINE_CHARS * self._lines[size]
            ),
            default=0.0,
        )

    @property
    def body(self) -> float:
        return self._body

    @property
    def chars(self) -> int:
        return self._chars.total()

    def told_apart(self, lines: Sequence[Line]) -> list[Line]:
        """The same lines; those in a font whose letters are all as wide as each other are marked so."""
        mono = {
            font
            for font, fits in self._fitting.items()
            if _is_one(fits) and len(self._lengths[font]) >= _PITCH_LENGTHS_MIN
        }
        if not mono:
            return list(lines)
        return [replace(line, mono=True) if line.font in mono and not line.mono else line for line in lines]

    def is_code(self, line: Line) -> bool:
        """A fixed width means code, unless the whole document is typed in one."""
        return line.mono and self._kinds["mono"] < _USUAL_SHARE * self._chars.total()

    def outlined(self, outline: Sequence[tuple[int, str]]) -> None:
        """The bookmarks that point to this page."""
        self._titles = {plain(title): level for level, title in outline}

    def level(self, line: Line, standing: Standing) -> int:
        """The level of a heading, 0 for any other line."""
        if not self._may_be_heading(line):
            return 0
        listed = self._titles.get(plain(line.text), 0)
        larger = line.size >= _LARGER * self._running
        by_weight = (self._is_bold_heading(line) and not _CALL.search(line.text)) or (
            standing.apart and _is_in_capitals(line, self._body)
        )
        if not (larger or listed or by_weight or self._is_set_apart(line, standing)):
            return 0
        return self._levels.get(style := _style(line)) or self._ranked(style, line, listed)

    def _may_be_heading(self, line: Line) -> bool:
        text = line.text
        if (
            len(text) > HEADING_CHARS_MAX
            or line.label
            or self.is_code(line)
            or _FORMULA.search(text)
            or BULLET.match(text)
        ):
            return False
        if any(map(str.islower, text)) and not _WORD.search(text):
            return False  # letters and indices of a formula, however large
        letters = sum(letter.isalpha() for letter in text)
        inked = len(text) - text.count(" ")
        return letters >= 2 and letters >= _LETTERS_SHARE_MIN * inked and not CAPTION.match(text)

    def _is_bold_heading(self, line: Line) -> bool:
        if not line.bold or self._kinds["bold"] > _USUAL_SHARE * max(self._kinds["weighed"], _WEIGHED_MIN):
            return False
        fits = line.size >= _BOLD_SIZE_MIN * self._body and len(line.text) <= _BOLD_CHARS_MAX
        return fits and not bare(line.text).endswith(_NO_ENDS)

    def _is_set_apart(self, line: Line, standing: Standing) -> bool:
        """In a font that running text seldom has, italics for one; where one was a heading, others are."""
        known = (line.font, round(line.size * _SIZE_STEP)) in self._apart
        if not (standing.leads or (known and standing.apart)):
            return False
        rare = self._fonts[line.font] <= _RARE_FONT_SHARE * self._chars.total()
        if not rare or line.size < _BOLD_SIZE_MIN * self._body or len(line.text) > _SET_APART_CHARS_MAX:
            return False
        text = bare(line.text)
        fits = not (text.endswith((*_NO_ENDS, "?", "!")) or text[:1].islower() or _CODE_LIKE.search(text))
        if fits:
            self._apart.add((line.font, round(line.size * _SIZE_STEP)))
        return fits

    def _ranked(self, style: Style, line: Line, listed: int) -> int:
        """By number and size against what is known, but never deeper than one below the next larger style."""
        ratio = line.size / self._body
        level = next((level for least, level in _RATIOS if ratio >= least), _BOLD_LEVEL)
        above = [known for other, known in self._levels.items() if other < style]
        below = [known for other, known in self._levels.items() if other[:2] > style[:2]]
        level = min(level, max(above) + 1) if above else min(level, _FIRST_LEVEL_MAX)
        level = max(level, max(above, default=1))
        counted = self._counted(style)
        if listed or counted:
            level = listed + 1 if listed else counted
        level = max(1, min(level, min(below, default=_LEVEL_MAX), _LEVEL_MAX))
        self._levels[style] = level
        return level

    def _counted(self, style: Style) -> int:
        """The level that follows from the style's numbers and those of others; 0 where there are none."""
        alike = {other.depth: level for other, level in self._levels.items() if other[:2] == style[:2]}
        if alike and (not style.depth or not any(alike)):
            return min(alike.values())
        outer = alike or {other.depth: level for other, level in self._levels.items() if other < style}
        outer = {depth: level for depth, level in outer.items() if depth and (alike or depth < style.depth)}
        if not outer or not style.depth:
            return 0
        near = min(outer, key=lambda depth: abs(depth - style.depth))
        return outer[near] + style.depth - near


def _style(line: Line) -> Style:
    found = NUMBERING.match(bare(line.text))
    depth = found[1].count(".") + 1 if found else 0
    return Style(-round(line.size * _SIZE_STEP) / _SIZE_STEP, not line.bold, depth)


def _is_in_capitals(line: Line, body: float) -> bool:
    if len(line.text) > _CAPS_CHARS_MAX or not line.text.isupper() or _CODE_LIKE.search(line.text):
        return False
    if line.size < _BOLD_SIZE_MIN * body:
        return False
    letters = [letter for letter in line.text if letter.isalpha()]
    capitals = sum(map(str.isupper, letters))  # most scripts have none: Chinese beside a name in capitals is a sentence
    return capitals >= max(_CAPS_LETTERS_MIN, _CAPS_SHARE * len(letters)) and not line.text.endswith((",", ";"))


def _is_one(fits: Counter[float]) -> bool:
    """Nearly all lines are made of letters of one width."""
    total = fits[0.0]
    return total >= _PITCH_LINES_MIN and max(fits[pitch] for pitch in _PITCHES) >= _PITCH_SHARE_MIN * total


def plain(text: str) -> str:
    """Letters and digits alone: bookmarks and headings differ in their spaces."""
    return _SPACES.sub("", bare(text)).casefold()
