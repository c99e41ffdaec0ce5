"""Ordered trees and the edit distance between them (APTED), which tables and heading trees are scored by."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from apted import APTED, Config

NODES_MAX = 700
"""A larger tree is cut: APTED takes about 7 s for two tables of this size, and grows with the cube of it."""


@dataclass(slots=True)
class Node:
    """`name` and `spans` must be equal for two nodes to be the same kind; `text` is compared when the texts count."""

    name: str
    text: str = ""
    spans: tuple[int, int] = (1, 1)
    children: list["Node"] = field(default_factory=list)

    def count(self) -> int:
        return 1 + sum(child.count() for child in self.children)


def edit_distance(one: Node, other: Node, unlike: Callable[[str, str], float] | None = None) -> float:
    """The least cost of turning one tree into the other: 1 for an added or removed node, 0 to 1 for a changed one.

    Without `unlike`, texts are ignored and only the structure counts.
    """
    return float(APTED(one, other, _Costs(unlike)).compute_edit_distance())


def cut(tree: Node, nodes_max: int = NODES_MAX) -> Node:
    """The tree's first nodes in document order, at most `nodes_max` of them."""
    return _cut(tree, nodes_max)[0]


def _cut(tree: Node, left: int) -> tuple[Node, int]:
    kept = Node(tree.name, tree.text, tree.spans)
    left -= 1
    for child in tree.children:
        if left < 1:
            break
        copied, left = _cut(child, left)
        kept.children.append(copied)
    return kept, left


class _Costs(Config):  # type: ignore[misc]  # apted carries no types
    def __init__(self, unlike: Callable[[str, str], float] | None) -> None:
        self._unlike = unlike

    def rename(self, one: Node, other: Node) -> float:
        if one.name != other.name or one.spans != other.spans:
            return 1.0
        return self._unlike(one.text, other.text) if self._unlike else 0.0

    def children(self, node: Node) -> Any:
        return node.children
