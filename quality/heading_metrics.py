"""How near the headings of a read Markdown, and what stands under them, are to the truth: MHS, and MHS-S."""

import re
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from quality.pipe_tables import with_html_tables
from quality.text_metrics import collapsed
from quality.tree_distance import Node, cut, edit_distance

_HEADING = re.compile(r"^#{1,6}\s+(.*)$")
_TEXT_CHARS_MAX = 50_000


class HeadingScores(NamedTuple):
    """Similarities, 0 to 1: with the words of headings and sections, and of the sequence of headings only."""

    mhs: float
    mhs_s: float


def mhs(truth: str, read: str) -> HeadingScores | None:
    """Markdown heading similarity; None when the truth has no heading, 0 when only the read text has none.

    1 - edit distance / (nodes of the larger tree). The tree has one node for each heading, whatever its level, and
    under it one for the text up to the next heading; text before the first heading hangs at the root. Texts differ by
    their Levenshtein distance over the longer one. The definition is that of opendataloader-bench
    (`src/evaluator_heading_level.py`). Trees are cut at `tree_distance.NODES_MAX` nodes.
    """
    wanted, got = heading_tree(truth), heading_tree(read)
    if not _has_heading(wanted):
        return None
    if not _has_heading(got):
        return HeadingScores(0.0, 0.0)
    wanted, got = cut(wanted), cut(got)
    nodes = max(wanted.count(), got.count())
    text, structure = edit_distance(wanted, got, _unlike), edit_distance(wanted, got)
    return HeadingScores(max(0.0, 1 - text / nodes), max(0.0, 1 - structure / nodes))


def heading_tree(markdown: str) -> Node:
    """Headings in order under one root, each with the text of its section as its only child."""
    root = Node("document")
    section, pending = root, list[str]()
    for line in [*with_html_tables(markdown).splitlines(), "# "]:
        found = _HEADING.match(line)
        if not found:
            pending.append(line)
            continue
        text = collapsed(" ".join(pending))[:_TEXT_CHARS_MAX]
        if text:
            section.children.append(Node("content", text))
        section, pending = Node("heading", collapsed(found.group(1))), []
        root.children.append(section)
    root.children.pop()  # the closing mark above
    return root


def _has_heading(tree: Node) -> bool:
    return any(node.name == "heading" for node in tree.children)


def _unlike(one: str, other: str) -> float:
    return Levenshtein.normalized_distance(one, other)
