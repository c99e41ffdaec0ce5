"""How near the tables of a read Markdown are to those of the truth: TEDS, and TEDS-S for the structure alone."""

import re
from html import unescape
from typing import Any, NamedTuple

from lxml import html
from rapidfuzz.distance import Levenshtein

from quality.pipe_tables import with_html_tables
from quality.text_metrics import collapsed
from quality.tree_distance import Node, cut, edit_distance

_TABLE = re.compile(r"<table\b[^>]*>.*?(?:</table>|\Z)", re.IGNORECASE | re.DOTALL)
_BREAK = re.compile(r"<br\s*/?>")
_SPAN = re.compile(r"\d{1,4}")
_CELL_CHARS_MAX = 5000


class TableScores(NamedTuple):
    """Similarities, 0 to 1: with what stands in the cells, and of rows, cells and spans only."""

    teds: float
    teds_s: float


def teds(truth: str, read: str) -> TableScores | None:
    """Tree edit distance similarity of all tables together; None without any in the truth, 0 without any in the read.

    1 - distance / (nodes of the larger side). A tree holds every table of the document in order, its rows, its cells;
    head cells count as cells, `thead` and `tbody` do not count. Cells of unlike spans cost 1, others the Levenshtein
    distance of their texts by the longer one. From Zhong et al., arXiv 1911.10683, as opendataloader-bench computes it
    (`src/evaluator_table.py`: one score a document). Trees are cut at `tree_distance.NODES_MAX` nodes.
    """
    wanted, got = table_tree(truth), table_tree(read)
    if not wanted.children:
        return None
    if not got.children:
        return TableScores(0.0, 0.0)
    wanted, got = cut(wanted), cut(got)
    nodes = max(wanted.count(), got.count()) - 1  # the root is ours, no table
    text, structure = edit_distance(wanted, got, _unlike), edit_distance(wanted, got)
    return TableScores(max(0.0, 1 - text / nodes), max(0.0, 1 - structure / nodes))


def table_tree(markdown: str) -> Node:
    """The document's tables, pipe or HTML, under one root."""
    found = _TABLE.findall(with_html_tables(markdown))
    root = Node("document")
    if found:
        parsed = html.fromstring(f"<div>{''.join(found)}</div>")
        root.children = [_node(table) for table in parsed.iterchildren("table")]
    return root


def _node(element: Any) -> Node:
    tag = str(element.tag)
    if tag in {"td", "th"}:
        spans = _span(element.get("colspan")), _span(element.get("rowspan"))
        return Node("td", _cell_text(element), spans)
    node = Node(tag)
    for child in element.iterchildren("*"):
        node.children += _node(child).children if child.tag in {"thead", "tbody"} else [_node(child)]
    return node


def _cell_text(cell: Any) -> str:
    inner = (cell.text or "") + "".join(html.tostring(child, encoding="unicode") for child in cell)
    return collapsed(_BREAK.sub("\n", unescape(unescape(inner))))[:_CELL_CHARS_MAX]


def _span(value: str | None) -> int:
    found = _SPAN.fullmatch((value or "1").strip())
    return int(found.group()) if found else 1


def _unlike(one: str, other: str) -> float:
    return Levenshtein.normalized_distance(one, other)
