"""A born-digital page's text layer as Markdown with blocks and boxes, or the sentence why it is not trusted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ingest.boxes import in_order
from ingest.columns import tables_of
from ingest.display import without_display
from ingest.drawn_bullets import with_drawn_bullets
from ingest.figures import find_pictures
from ingest.footnotes import part_notes
from ingest.fractions import find_shown
from ingest.furniture import Margins
from ingest.layout import Line, lines_of
from ingest.letters import cleaned
from ingest.links import Links
from ingest.listings import part_listings
from ingest.markdown import Writer, Written
from ingest.powers import with_powers
from ingest.sheet import Rect, Sheet, meet
from ingest.styles import Styles, plain
from ingest.trust import judge
from ingest.view import mirrored, mirrored_lines, on_its_side, reads_down, reads_leftward, upright

_FIRST_CHARS_MIN = 1500
_SIDE = 0.1


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
    """Reads pages of one document in order; learns its styles and its repeated margins on the way."""

    def __init__(self) -> None:
        self._styles = Styles()
        self._margins = Margins()

    def read(self, sheet: Sheet) -> PageRead:
        """One page."""
        verdict = judge(sheet)
        if not verdict.trusted:
            return PageRead("", [], trusted=False, detail=verdict.why, hidden=verdict.hidden)
        links = Links(sheet.links)
        runs = links.marked([with_powers([cleaned(span) for span in run]) for run in verdict.lines])
        lines = with_drawn_bullets(lines_of([[span for span in run if span.upright] for run in runs]), sheet)
        down = reads_down(runs)
        view = on_its_side(replace(sheet, lines=runs)) if down else upright(sheet)
        text = lines_of([[s for s in run if s.vertical] for run in view.sheet.lines]) if down else lines
        self._learn(text, sheet)
        lines = self._styles.told_apart(lines)
        margins, lines = self._margins.part(lines, sheet, self._styles.body)
        sideways = lines_of([[span for span in run if not (span.upright or span.vertical)] for run in runs])
        margins += [line for line in sideways if _is_at_the_side(line, sheet)]
        aside = [line for line in sideways if not _is_at_the_side(line, sheet)]
        if down:
            aside, lines = [*lines, *aside], text
        elif reads_leftward(lines):
            view = mirrored(sheet)
            lines = mirrored_lines(lines, view)
        writer = Writer(self._styles, links)
        written = [replace(block, box=view.back(block.box)) for block in self._body(lines, view.sheet, writer)]
        at = next((at for at, block in enumerate(written) if block.kind == "footnote"), len(written))
        written[at:at] = writer.plain([line for line in aside if not _is_in_a_table(line, written)])
        markdown, blocks = _assembled(written, writer.plain(margins), sheet)
        return PageRead(markdown, blocks, trusted=True, detail="", hidden=verdict.hidden)

    def _body(self, lines: Sequence[Line], sheet: Sheet, writer: Writer) -> list[Written]:
        """What the page says, in the order of reading; its footnotes last."""
        body = self._styles.body
        listings, free = part_listings(lines, self._styles)
        found, rest = tables_of(free, sheet, body)
        rest = [*listings, *rest]
        self._styles.weigh(rest)
        shown, rest = find_shown(rest, sheet)
        pictures, rest = find_pictures(rest, sheet, [item.box for item in found])
        flows, notes = part_notes(in_order([*rest, *found, *pictures, *shown], sheet, body), body, sheet.height)
        return [*without_display(writer.blocks(flows)), *writer.notes(notes)]

    def _learn(self, lines: Sequence[Line], sheet: Sheet) -> None:
        """A first page may be a title and little else: then the next ones say what running text looks like."""
        first = self._styles.chars == 0
        self._styles.outlined(sheet.outline)
        self._styles.note(lines)
        ahead = sheet.following() if first and self._styles.chars < _FIRST_CHARS_MIN else None
        if ahead is not None:
            self._styles.note(lines_of([[span for span in run if span.upright] for run in judge(ahead).lines]))


def _is_at_the_side(line: Line, sheet: Sheet) -> bool:
    """In the left or right margin: a stamp along the edge of the page."""
    return line.box[2] <= _SIDE * sheet.width or line.box[0] >= (1 - _SIDE) * sheet.width


def _is_in_a_table(line: Line, written: Sequence[Written]) -> bool:
    """A name of a column that runs upwards or aslant, which the table at its place has in a cell."""
    words = plain(line.text)
    return any(
        block.kind == "table" and meet(block.box, line.box, line.size) and words in plain(block.markdown)
        for block in written
    )


def _assembled(
    written: Sequence[Written], furniture: Sequence[Written], sheet: Sheet
) -> tuple[str, list[dict[str, Any]]]:
    """Join the blocks with blank lines; each knows its characters and its box. Furniture stands at the end."""
    markdown, blocks = "", []
    for at, block in enumerate([*written, *furniture]):
        start = len(markdown) + (2 if markdown and block.markdown else 0)
        markdown += f"\n\n{block.markdown}" if markdown and block.markdown else block.markdown
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
