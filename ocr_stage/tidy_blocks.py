"""The text of one piece as Markdown blocks: tables and code apart, formulas and lists mended, no special token left."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from folio.records import BlockKind
from ocr_stage.grammar import TAG
from ocr_stage.tidy_formulas import displayed, in_dollars
from ocr_stage.tidy_lists import ITEM, split
from ocr_stage.tidy_tables import segments

HEADING_CHARS_MAX = 200
"""A longer "heading" is a paragraph."""
_MARKS = re.compile(r"#{1,6}(?:[ \t]+|$)")
_CENTRE = re.compile(r"</?center>", re.IGNORECASE)
_PIPES = re.compile(r"\|[^\n]*\n[ \t]*\|?[ \t:|-]*-[ \t:|-]*(?:\n|$)")
_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})")
_FORMULA = re.compile(r"\$\$[^$]*\$\$[\s.,;]*")
_BLANK_LINES = re.compile(r"\n\n+")
_TRAILING = re.compile(r"[ \t]+(?=\n)")
_FIXED = frozenset({BlockKind.CAPTION, BlockKind.FOOTNOTE, BlockKind.FIGURE})
"""Kinds that a label gives to text of any shape."""
_RUNNING = frozenset({BlockKind.PARAGRAPH, BlockKind.LIST, *_FIXED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is mended: all of it, unless a profile says otherwise."""

    formulas: bool = True
    lists: bool = True


class Words(NamedTuple):
    """One block: `level` is a heading's, from the marks that it came with (0: none)."""

    kind: BlockKind
    text: str
    level: int = 0


def words(text: str, kind: BlockKind, rules: Rules, flags: dict[str, None]) -> Iterator[Words]:
    """In order, none empty. `kind` is what the model called it; what was wrong is put into `flags`."""
    for segment in segments(_CENTRE.sub("", text) if "<" in text else text):
        flags.update(dict.fromkeys(segment.flags))
        if segment.is_table:
            table = in_dollars(segment.text) if rules.formulas else segment.text
            yield Words(BlockKind.TABLE, without_tokens(table).strip())
        elif segment.text.strip():
            is_plain = rules.formulas and kind is not BlockKind.CODE and not _has_code(segment.text)
            yield from _blocks(in_dollars(segment.text) if is_plain else segment.text, kind, rules)


def _blocks(text: str, kind: BlockKind, rules: Rules) -> Iterator[Words]:
    """Paragraphs, or blocks of a list, that follow each other are one block: one box is around them."""
    if kind in {BlockKind.HEADING, BlockKind.FORMULA}:
        yield from _alone(text, kind, rules)
        return
    held: list[str] = []
    before: BlockKind = kind
    for part in _parts(text):
        found = _mended(part, kind, rules)
        if held and (found.kind is not before or before not in _RUNNING):
            yield Words(before, "\n\n".join(held))
            held = []
        if not found.text:
            continue
        if found.kind is BlockKind.HEADING:
            yield found
        else:
            before = found.kind
            held.append(found.text)
    if held:
        yield Words(before, "\n\n".join(held))


def _alone(text: str, kind: BlockKind, rules: Rules) -> Iterator[Words]:
    """A heading is its first lines, what follows a blank one is text; a formula is one, marked or not."""
    if kind is BlockKind.FORMULA and rules.formulas:
        formula = displayed(text)
        yield from [Words(kind, without_tokens(formula))] if formula else []
        return
    first, _, rest = text.strip().partition("\n\n")
    heading = _heading(first, rules)
    yield from [heading] if heading.text else []
    if rest.strip():
        yield from _blocks(rest, BlockKind.PARAGRAPH, rules)


def _heading(text: str, rules: Rules) -> Words:
    """On one line, without its marks."""
    line = " ".join(text.split())
    marks = _MARKS.match(line)
    bare = line[marks.end() :].rstrip("# ") if marks else line
    plain = without_tokens(in_dollars(bare) if rules.formulas else bare).strip()
    if len(plain) > HEADING_CHARS_MAX:
        return Words(BlockKind.PARAGRAPH, plain)
    return Words(BlockKind.HEADING, plain, len(marks[0].strip()) if marks else 0)


def _parts(text: str) -> Iterator[str]:
    """Between blank lines, a fence of code whole; no line ends in blanks."""
    if _has_code(text):
        yield from _fenced(text)
        return
    bare = _TRAILING.sub("", text) if " \n" in text or "\t\n" in text else text
    yield from _BLANK_LINES.split(bare.strip("\n").rstrip())


def _has_code(text: str) -> bool:
    return "```" in text or "~~~" in text


def _fenced(text: str) -> Iterator[str]:
    part: list[str] = []
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            part.append(line.rstrip())
            if mark and mark[1].startswith(fence) and not line.strip(" \t" + fence[0]):
                yield "\n".join(part)
                part, fence = [], ""
        elif mark or not line.strip():
            yield "\n".join(part)
            part, fence = ([line.rstrip()], mark[1]) if mark else ([], "")
        else:
            part.append(line.rstrip())
    yield "\n".join(part)


def _mended(part: str, kind: BlockKind, rules: Rules) -> Words:
    """What its Markdown shows it to be, where the label leaves that open."""
    if kind is BlockKind.CODE or _FENCE.match(part):
        return Words(BlockKind.CODE, without_tokens(part).strip("\n").rstrip())
    if kind in _FIXED:
        return Words(kind, without_tokens(in_dollars(part) if rules.formulas else part).strip())
    if part.startswith("#") and "\n" not in part and _MARKS.match(part):
        return _heading(part, rules)
    mended = split(part) if rules.lists else part
    mended = without_tokens(in_dollars(mended) if rules.formulas else mended).strip()
    return Words(_shown(mended, kind), mended)


def _shown(text: str, kind: BlockKind) -> BlockKind:
    if text.startswith("$$") and _FORMULA.fullmatch(text):
        return BlockKind.FORMULA
    if text.startswith("|") and _PIPES.match(text):
        return BlockKind.TABLE
    if ITEM.match(text):
        return BlockKind.LIST
    return kind


def without_tokens(text: str) -> str:
    """Those that came together when something between their halves was taken out. A blank keeps that from recurring."""
    if "<" not in text:
        return text
    return TAG.sub(" ", text)
