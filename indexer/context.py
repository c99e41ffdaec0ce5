"""What stands around a hit in the same revision: the chunks before and after it, and the section it belongs to."""

from collections.abc import Mapping, Sequence
from typing import Any

from folio.records import Hit, Question
from indexer.store import Scored, Stretch

SECTION_CHUNKS = 24
"""Of a longer section, this many chunks to either side."""
SECTION_CHARS_MAX = 16_000
JOINT = "\n\n"


def stretches_of(question: Question, points: Sequence[Scored]) -> list[Stretch]:
    """What to fetch for the hits: first all neighbourhoods, then all sections."""
    around = [_around(point, question.neighbours) for point in points] if question.neighbours else []
    return around + [_section(point) for point in points] if question.section else around


def with_context(hit: Hit, point: Scored, question: Question, fetched: Sequence[Sequence[Mapping[str, Any]]]) -> Hit:
    """`fetched`: the stretches of this one hit, as they were asked for."""
    at, more = int(point.payload["metadata"]["order"]), {}
    if question.neighbours:
        more["before"] = JOINT.join(_text(one) for one in fetched[0] if _order(one) < at)
        more["after"] = JOINT.join(_text(one) for one in fetched[0] if _order(one) > at)
    if question.section:
        more["section"] = _bounded(fetched[-1], at)
    return hit.model_copy(update=more)


def _around(point: Scored, chunks: int, section: int | None = None) -> Stretch:
    at = int(point.payload["metadata"]["order"])
    return Stretch(point.doc, point.revision, max(0, at - chunks), at + chunks, section)


def _section(point: Scored) -> Stretch:
    return _around(point, SECTION_CHUNKS, int(point.payload["metadata"]["section"]))


def _bounded(chunks: Sequence[Mapping[str, Any]], at: int) -> str:
    """The section's text, growing from the hit to both sides for as long as it fits."""
    ordered = sorted(chunks, key=lambda one: abs(_order(one) - at))
    kept: list[Mapping[str, Any]] = []
    used = 0
    for chunk in ordered:
        used += len(_text(chunk)) + len(JOINT)
        if kept and used > SECTION_CHARS_MAX:
            break
        kept.append(chunk)
    return JOINT.join(_text(one) for one in sorted(kept, key=_order))


def _order(payload: Mapping[str, Any]) -> int:
    return int(payload["metadata"]["order"])


def _text(payload: Mapping[str, Any]) -> str:
    return str(payload["page_content"])
