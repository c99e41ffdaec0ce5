"""What a search may look at, said once for every engine: all of several conditions, each with its alternatives."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from folio.ids import sha256
from indexer.store import Where

FACTS = "facts"
"""A producer's metadata as `key=value` words in one index: any key can be asked for, and none has to be foreseen."""
FACTS_MAX = 256
FACT_CHARS_MAX = 256
KEYWORDS = ("doc", "tenant", FACTS, "metadata.source", "metadata.uri", "metadata.kind")
INTEGERS = ("revision", "metadata.pages", "metadata.added_ms", "metadata.order", "metadata.section")
"""What both engines keep an index of."""


class Test(NamedTuple):
    """A payload field that is one of `values`, or, when there are none, lies in `first` to `last` inclusive."""

    key: str
    values: tuple[str | int, ...] = ()
    first: int | None = None
    last: int | None = None


Conditions = Sequence[Sequence[Test]]


def conditions_of(where: Where) -> list[list[Test]]:
    """Every one of these must hold, by any one of its tests."""
    return [[Test("tenant", (where.tenant,))], *_filters(where)]


def _filters(where: Where) -> Iterator[list[Test]]:
    asked = where.filters
    if where.docs:
        yield [Test("doc", tuple(where.docs))]
    if asked.sources:
        yield [Test("metadata.source", asked.sources), Test("metadata.uri", asked.sources)]
    if asked.page_first or asked.page_last:
        yield [Test("metadata.pages", first=asked.page_first, last=asked.page_last)]
    if asked.kinds:
        yield [Test("metadata.kind", tuple(kind.value for kind in asked.kinds))]
    if asked.since_ms is not None or asked.until_ms is not None:
        yield [Test("metadata.added_ms", first=asked.since_ms, last=asked.until_ms)]
    for key, value in asked.metadata.items():
        yield [Test(FACTS, (_fact(key, value),))]


def facts_of(metadata: Mapping[str, Any]) -> list[str]:
    """Every single value in a producer's metadata; of a list each, of what is nested under `outer.inner`."""
    found = dict.fromkeys(_fact(key, value) for key, value in _leaves("", metadata))
    return list(found)[:FACTS_MAX]


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str | int | float | bool]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(path, inner)
    elif isinstance(value, str | int | float):
        yield path, value


def _fact(key: str, value: str | float | bool) -> str:
    """`2024` and `"2024"` and `2024.0` are one value: who filters from a command line has only words."""
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    word = f"{key}={value}"
    return word if len(word) <= FACT_CHARS_MAX else f"{key[:FACT_CHARS_MAX]}=sha256:{sha256(word.encode())}"
