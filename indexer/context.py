"""What stands around a hit in the same revision: the chunks before and after it, and the section it belongs to."""

from collections.abc import Mapping, Sequence
from typing import Any

from folio.questions import Hit, Question
from indexer.store import Stretch

SECTION_CHUNKS = 24
"""Of a longer section, this many chunks to either side."""
SECTION_CHARS_MAX = 16_000
JOINT = "\n\n"


def stretches_of(question: Question, payloads: Sequence[Mapping[str, Any]]) -> list[Stretch]:
    """What to fetch for the hits: first all neighbourhoods, then all sections."""
    around = [_around(payload, question.neighbours) for payload in payloads] if question.neighbours else []
    return around + [_section(payload) for payload in payloads] if question.section else around


def with_context(hit: Hit, question: Question, *, order: int, fetched: Sequence[Sequence[Mapping[str, Any]]]) -> Hit:
    """`order` is the hit's own; `fetched` are the stretches of this one hit, as they were asked for."""
    at, more = order, {}
    if question.neighbours:
        more["before"] = JOINT.join(_text(one) for one in fetched[0] if order_of(one) < at)
        more["after"] = JOINT.join(_text(one) for one in fetched[0] if order_of(one) > at)
    if question.section:
        more["section"] = _bounded(fetched[-1], at)
    return hit.model_copy(update=more)


def _around(payload: Mapping[str, Any], chunks: int, section: int | None = None) -> Stretch:
    at = order_of(payload)
    return Stretch(payload["doc"], payload["revision"], max(0, at - chunks), at + chunks, section)


def _section(payload: Mapping[str, Any]) -> Stretch:
    return _around(payload, SECTION_CHUNKS, int(payload["metadata"]["section"]))


def _bounded(chunks: Sequence[Mapping[str, Any]], at: int) -> str:
    """The section's text, growing from the hit to both sides for as long as it fits."""
    ordered = sorted(chunks, key=lambda one: abs(order_of(one) - at))
    kept: list[Mapping[str, Any]] = []
    used = 0
    for chunk in ordered:
        used += len(_text(chunk)) + len(JOINT)
        if kept and used > SECTION_CHARS_MAX:
            break
        kept.append(chunk)
    return JOINT.join(_text(one) for one in sorted(kept, key=order_of))


def order_of(payload: Mapping[str, Any]) -> int:
    return int(payload["metadata"]["order"])


def _text(payload: Mapping[str, Any]) -> str:
    return str(payload["page_content"])
