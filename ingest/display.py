"""Display type: on a back cover or a poster large lines follow each other, and none of them heads a section."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from ingest.markdown import Written, escaped
from ingest.styles import NUMBERING

_BARE_MIN = 3


def without_display(blocks: Sequence[Written]) -> list[Written]:
    """Where several headings have no text below them, those of their levels are text; the page's largest stay."""
    headings = [block for block in blocks if block.kind == "heading"]
    largest = min((block.level for block in headings), default=0)
    bare = [one.level for one, following in pairwise(blocks) if _is_bare(one, following)]
    if len(bare) < _BARE_MIN:
        return list(blocks)
    return [_as_text(block) if block.level in bare and block.level > largest else block for block in blocks]


def _is_bare(block: Written, following: Written) -> bool:
    """A heading right above another one that is no part of it."""
    both = block.kind == following.kind == "heading"
    return both and following.level <= block.level and not NUMBERING.match(_words(block))


def _as_text(block: Written) -> Written:
    if NUMBERING.match(_words(block)):
        return block
    words = _words(block)
    return replace(block, kind="paragraph", markdown=words if "](" in words else escaped(words), level=0)


def _words(block: Written) -> str:
    return block.markdown.lstrip("#").lstrip()
