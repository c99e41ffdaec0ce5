"""Conditions in the words of the embedded engine."""

from collections.abc import Sequence
from typing import Any, cast

import qdrant_edge as edge

from indexer.conditions import Conditions, Test


def asked_for(conditions: Conditions, pins: Sequence[tuple[str, int]] = ()) -> Any:
    """A filter with all conditions; of a pinned document only that revision."""
    others: list[Any] = [
        edge.Filter(must=[is_value("doc", doc)], must_not=[is_value("revision", at)]) for doc, at in pins
    ]
    return edge.Filter(must=[_any_of(tests) for tests in conditions], must_not=others)


def is_value(key: str, value: str | int) -> Any:
    return edge.FieldCondition(key, match=edge.MatchValue(value))


def within(key: str, first: float | None, last: float | None) -> Any:
    return edge.FieldCondition(key, range=edge.RangeFloat(gte=first, lte=last))


def _any_of(tests: Sequence[Sequence[Any]]) -> Any:
    made = [_condition(Test(*test)) for test in tests]
    return made[0] if len(made) == 1 else edge.Filter(should=made)


def _condition(test: Test) -> Any:
    if not test.values:
        return within(test.key, test.first, test.last)
    if len(test.values) == 1:
        return is_value(test.key, test.values[0])
    return edge.FieldCondition(test.key, match=edge.MatchAny(cast(list[str], list(test.values))))
