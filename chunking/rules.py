"""The Markdown that OCR engines and readers really write: CommonMark blocks, pipe and HTML tables, display formulas.

Block level only: what stands inside a line is text here. Three rules differ from CommonMark: a fence that nobody
closed ends at the first blank line instead of swallowing the page, a display formula is a block, and so is an HTML
table, wherever on its line it begins and whatever it holds. Every scan is bounded: pages come from strangers.
"""

import re
from bisect import bisect_right

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock

FORMULA_LINES_MAX = 64
FORMULA = {"$$": "$$", "\\[": "\\]"}
HTML_TABLE = re.compile(r"<table\b[^<>]*>(?=\s*<(?:tr|td|th|thead|tbody|tfoot|caption|colgroup|col)\b)", re.IGNORECASE)
TABLE_TAG = re.compile(r"<(/?)table\b[^<>]*>", re.IGNORECASE)
_FENCE = re.compile(r"(`{3,})(?=[^`]*$)|(~{3,})")
_AFTER_FORMULA = re.compile(r"\s*(?:\(\S{1,12}\)|\\tag\{[^}]{1,12}\})?[\s.,;\uff0c\u3002\uff1b]*")
_INTERRUPTS: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}


def block_parser() -> MarkdownIt:
    """A parser whose tokens say which lines are what; links are not collected, so no definition is swallowed."""
    parser = MarkdownIt("commonmark").enable("table").disable(["reference", "html_block"])
    parser.core.ruler.enableOnly(["normalize", "block"])
    parser.block.ruler.at("fence", _fence, _INTERRUPTS)
    parser.block.ruler.before("fence", "formula", _formula, _INTERRUPTS)
    parser.block.ruler.before("table", "html_table", _html_table, _INTERRUPTS)
    return parser


def table_end(text: str, start: int) -> int | None:
    """Where the table that starts here is closed, inner tables considered; None if it never is."""
    depth, end = 0, None
    for tag in TABLE_TAG.finditer(text, start):
        depth += -1 if tag[1] else 1
        if tag[1]:
            end = tag.end()
        if depth <= 0:
            break
    return end


def is_fence_end(line: str, opening: str) -> bool:
    """Whether this line closes the fence that `opening`, its run of marks, began."""
    marks = line.strip()
    return len(marks) >= len(opening) and not marks.strip(opening[0])


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


def _done(state: StateBlock, kind: str, markup: str, end: int) -> bool:
    token = state.push(kind, "", 0)
    token.map = [state.line, end]
    token.markup = markup
    state.line = end
    return True


def _fence(state: StateBlock, start: int, last: int, silent: bool) -> bool:
    opening = None if state.is_code_block(start) else _FENCE.match(_line(state, start))
    if not opening:
        return False
    end = start + 1 if silent else _fence_end(state, start, last, opening[0])
    return silent or _done(state, "fence", opening[0], end)


def _fence_end(state: StateBlock, start: int, last: int, marks: str) -> int:
    """The line after the closing fence, or the first blank line when there is none (known from then on)."""
    shortest, stop = state.env.get(marks[0], (0, 0))
    line = start + 1
    if len(marks) < shortest or start >= stop:
        while line < last and (state.isEmpty(line) or state.sCount[line] >= state.blkIndent):
            if is_fence_end(_line(state, line), marks):
                return line + 1
            line += 1
        state.env[marks[0]] = (len(marks), line)
        stop = line
    blank = start + 1
    while blank < min(stop, last) and not state.isEmpty(blank):
        blank += 1
    return blank


def _formula(state: StateBlock, start: int, last: int, silent: bool) -> bool:
    opening = _line(state, start)[:2]
    closing = FORMULA.get(opening)
    if not closing or state.is_code_block(start):
        return False
    skip = 2
    for line in range(start, min(last, start + FORMULA_LINES_MAX)):
        text = _line(state, line)
        at = text.find(closing, skip)
        if at >= 0:
            closed = _AFTER_FORMULA.fullmatch(text, at + 2) is not None
            return closed and (silent or _done(state, "formula", opening, line + 1))
        if not text.strip():
            return False
        skip = 0
    return False


def _html_table(state: StateBlock, start: int, last: int, silent: bool) -> bool:
    if state.blkIndent or state.level or state.is_code_block(start):
        return False
    found = HTML_TABLE.search(state.src, state.bMarks[start], state.eMarks[start] + 80)
    if not found or found.start() > state.eMarks[start]:
        return False
    return silent or _done(state, "html_table", "", _html_table_last(state, start, last, found.start()) + 1)


def _html_table_last(state: StateBlock, start: int, last: int, at: int) -> int:
    """The last line of the table, and of any other that begins where it ends."""
    line = start
    while at >= 0:
        end = None if at >= state.env.get("closed_before", len(state.src) + 1) else table_end(state.src, at)
        if end is None:
            state.env["closed_before"] = min(at, state.env.get("closed_before", at))
            while line + 1 < last and not state.isEmpty(line + 1):
                line += 1
            return line
        line = min(bisect_right(state.eMarks, end - 1), last - 1)
        following = HTML_TABLE.search(state.src, end, state.eMarks[line])
        at = following.start() if following else -1
    return line
