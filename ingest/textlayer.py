"""A born-digital page's text layer as Markdown with blocks and boxes, or the sentence why it is not trusted."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ingest.layout import Line, lines_of, reading_order
from ingest.markdown import Written, write_blocks
from ingest.sheet import Rect, Sheet, Span
from ingest.tables import find_tables
from ingest.trust import judge

_MARGIN = 0.08
_MARGIN_LINES_MAX = 200
_HEADING = 1.15
_PAGE_NUMBER = re.compile(
    r"^(?:page\s*)?[-\u2013\u2014\s]*(?:\d{1,5}|[ivxlc]{1,7})(?:\s*(?:/|of)\s*\d{1,5})?[-\u2013\u2014\s]*$",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+")
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_SIGNS = _LIGATURES | {0x00A0: " ", 0x00AD: "-", 0x200B: None, 0x200C: None, 0x200D: None, 0xFEFF: None, 0x2060: None}
_SIGNS |= dict.fromkeys([*range(32), *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xE0000, 0xE0080)])
_SIGNS |= {9: " ", 10: " ", 13: " "}


@dataclass(frozen=True, slots=True)
class PageRead:
    """What a page's text layer says."""

    markdown: str
    blocks: list[dict[str, Any]]
    trusted: bool
    detail: str
    hidden: bool

    def frame(self) -> dict[str, Any]:
        """As the child sends it."""
        return {
            "markdown": self.markdown if self.trusted else "",
            "blocks": self.blocks if self.trusted else [],
            "trusted": self.trusted,
            "detail": self.detail,
            "hidden_text": self.hidden,
        }


class TextLayer:
    """Reads pages of one document in order; learns its running text's size and its repeated margins on the way."""

    def __init__(self) -> None:
        self._sizes: Counter[float] = Counter()
        self._margins: set[str] = set()

    def read(self, sheet: Sheet) -> PageRead:
        """One page."""
        verdict = judge(sheet)
        if not verdict.trusted:
            return PageRead("", [], trusted=False, detail=verdict.why, hidden=verdict.hidden)
        cleaned = [[_cleaned(span) for span in run] for run in verdict.lines]
        lines = lines_of([[span for span in run if span.upright] for run in cleaned])
        for line in lines:
            self._sizes[round(line.size * 2) / 2] += len(line.text)
        body = self._sizes.most_common(1)[0][0] if self._sizes else 10.0
        margins, lines = self._furniture(lines, sheet.height, body)
        margins += lines_of([[span for span in run if not span.upright] for run in cleaned])
        found, rest = find_tables(lines, sheet)
        written = write_blocks(reading_order([*rest, *found], body), body)
        markdown, blocks = _assembled(written, margins, sheet)
        return PageRead(markdown, blocks, trusted=True, detail="", hidden=verdict.hidden)

    def _furniture(self, lines: Sequence[Line], height: float, body: float) -> tuple[list[Line], list[Line]]:
        """Page numbers and lines in the margins that an earlier page had there too; and all the rest.

        What is larger than running text is a heading, even when every chapter begins with one like it.
        """
        found: list[Line] = []
        rest: list[Line] = []
        for line in lines:
            top = line.box[3] <= _MARGIN * height
            inside = not top and line.box[1] < (1 - _MARGIN) * height
            if inside or line.size > _HEADING * body:
                rest.append(line)
                continue
            key = f"{'top' if top else 'bottom'} {_DIGITS.sub('0', line.text)}"
            repeated = key in self._margins
            if len(self._margins) < _MARGIN_LINES_MAX:
                self._margins.add(key)
            (found if repeated or _PAGE_NUMBER.match(line.text) else rest).append(line)
        return found, rest


def _cleaned(span: Span) -> Span:
    """Ligatures spelled out, signs without ink removed."""
    text = span.text
    return span if text.isascii() and text.isprintable() else replace(span, text=text.translate(_SIGNS))


def _assembled(written: Sequence[Written], margins: Sequence[Line], sheet: Sheet) -> tuple[str, list[dict[str, Any]]]:
    """Join the blocks with blank lines; each knows its characters and its box. Furniture stands at the end."""
    markdown, blocks = "", []
    furniture = write_blocks([[line] for line in margins], float("inf"))
    for at, block in enumerate([*written, *furniture]):
        start = len(markdown) + (2 if markdown else 0)
        markdown = f"{markdown}\n\n{block.markdown}" if markdown else block.markdown
        blocks.append(
            {
                "kind": block.kind,
                "start": start,
                "end": len(markdown),
                "box": _fractions(block.box, sheet),
                "level": block.level,
                "furniture": at >= len(written),
            }
        )
    return markdown, blocks


def _fractions(box: Rect, sheet: Sheet) -> dict[str, float]:
    left, top, right, bottom = box
    return {
        "x0": _unit(left / sheet.width),
        "y0": _unit(top / sheet.height),
        "x1": _unit(right / sheet.width),
        "y1": _unit(bottom / sheet.height),
    }


def _unit(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 4)
