"""Links of a page: marks in the text while it is laid out, Markdown when it is written."""

import re
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote, urlsplit

from ingest.sheet import Rect, Span

_FIRST = 0xF0000
_LINKS_MAX = 2000
_CLOSE = "\U0010fffd"
MARKS = dict.fromkeys([*range(_FIRST, _FIRST + _LINKS_MAX), ord(_CLOSE)])
"""Signs that stand in the text for the ends of a link: never in a file's own words, where they are taken out."""
_MARK = re.compile(rf"[\U000f0000-{chr(_FIRST + _LINKS_MAX - 1)}{_CLOSE}]")
_LINKED = re.compile(rf"([\U000f0000-{chr(_FIRST + _LINKS_MAX - 1)}])([^\U000f0000-\U0010ffff]*){_CLOSE}")
_SCHEMES = frozenset({"http", "https", "mailto"})
_URI_CHARS_MAX = 2000
_SAFE = "/:?#[]@!$&'*+,;=%~-._"
_ROW_POINTS, _ROWS_MAX = 8.0, 200
_OVERLAP_MIN = 0.5
_WHOLE_MIN = 0.8


def bare(text: str) -> str:
    """Without marks."""
    return text if text.isascii() else _MARK.sub("", text)


class Links:
    """The safe links of one page."""

    def __init__(self, links: Sequence[tuple[Rect, str]]) -> None:
        known = [(box, target) for box, uri in links[:_LINKS_MAX] if (target := safe(uri))]
        self._boxes = [box for box, _ in known]
        self._targets = [target for _, target in known]
        self._rows: dict[int, list[int]] = {}
        for at, box in enumerate(self._boxes):
            for row in range(_row(box[1]), min(_row(box[3]), _row(box[1]) + _ROWS_MAX) + 1):
                self._rows.setdefault(row, []).append(at)

    def marked(self, runs: list[list[Span]]) -> list[list[Span]]:
        """The same spans with marks around the words that are links."""
        if not self._boxes:
            return runs
        return [[self._span(span) for span in run] for run in runs]

    def _span(self, span: Span) -> Span:
        for at in self._rows.get(_row((span.box[1] + span.box[3]) / 2), ()):
            ends = _covered(span, self._boxes[at])
            if ends is not None:
                first, last = ends
                text = span.text
                marked = f"{text[:first]}{chr(_FIRST + at)}{text[first:last]}{_CLOSE}{text[last:]}"
                return replace(span, text=marked)
        return span

    def written(self, text: str) -> str:
        """Markdown for what is between marks. Neighbours with one target are one link; half a mark goes."""
        if text.isascii() or not _MARK.search(text):
            return text
        text = self._merged(text)
        return _MARK.sub("", _LINKED.sub(self._link, text))

    def _merged(self, text: str) -> str:
        parts = re.split(rf"{_CLOSE}(\s*)([\U000f0000-{chr(_FIRST + _LINKS_MAX - 1)}])", text)
        whole = parts[0]
        for at in range(1, len(parts), 3):
            before = [letter for letter in whole if self._target(letter)]
            same = before and self._target(before[-1]) == self._target(parts[at + 1])
            whole += parts[at] if same else f"{_CLOSE}{parts[at]}{parts[at + 1]}"
            whole += parts[at + 2]
        return whole

    def _target(self, mark: str) -> str:
        at = ord(mark) - _FIRST
        return self._targets[at] if 0 <= at < len(self._targets) else ""

    def _link(self, found: re.Match[str]) -> str:
        words = found[2].strip()
        target = self._target(found[1])
        if not words or not target:
            return found[2]
        label = words.replace("[", "\\[").replace("]", "\\]")
        around = found[2].split(words, 1)
        return f"{around[0]}[{label}]({target}){around[1]}"


def _row(y: float) -> int:
    return int(y // _ROW_POINTS)


def safe(uri: str) -> str:
    """A link that may be followed, spelled so that Markdown takes it whole; empty for any other."""
    uri = "".join(letter for letter in uri if letter.isprintable()).strip()
    try:
        parts = urlsplit(uri)
    except ValueError:
        return ""
    if parts.scheme.lower() not in _SCHEMES or len(uri) > _URI_CHARS_MAX or not (parts.netloc or parts.path):
        return ""
    return quote(uri, safe=_SAFE)


def _covered(span: Span, box: Rect) -> tuple[int, int] | None:
    """Which of the span's letters the box covers: all, or the words in its share of the width."""
    left, top, right, bottom = span.box
    high = min(bottom, box[3]) - max(top, box[1])
    wide = min(right, box[2]) - max(left, box[0])
    text = span.text
    if high < _OVERLAP_MIN * (bottom - top) or wide <= 0 or not text.strip():
        return None
    if wide >= _WHOLE_MIN * (right - left):
        return len(text) - len(text.lstrip()), len(text.rstrip())
    step = (right - left) / len(text)
    first, last = round((box[0] - left) / step), round((box[2] - left) / step)
    words = [
        (found.start(), found.end())
        for found in re.finditer(r"\S+", text)
        if first <= (found.start() + found.end()) / 2 <= last
    ]
    return (words[0][0], words[-1][1]) if words else None
