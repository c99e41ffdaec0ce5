"""The end of an add or a watch: how many, what kinds of pages, what failed and why, how fast, what to type next."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from console.following import BAD, Result, is_flawed
from console.numbers import count
from console.pace import duration
from folio.errors import Cause

__all__ = ["Sum", "count", "lines", "next_step", "quoted", "sentence", "summed"]

NAMED_MAX = 3
KINDS = ("born_digital", "scanned", "skipped", "failed")
STATES = {
    "searchable": "searchable",
    "searchable with gaps": "searchable with gaps",
    "unchanged": "already there",
    "queued": "acknowledged, not read yet",
    "reading": "being read",
    "indexing": "being indexed",
    "failed": "failed",
    "refused": "refused",
    "cancelled": "cancelled",
}
REFUSALS = {
    "unreadable": "The file cannot be read from where it lies.",
    "changing": "The file was being written to.",
}


class Sum:
    """Of results as they come; keeps the names of those that failed, and only numbers of all others."""

    def __init__(self) -> None:
        self._documents = 0
        self._states: Counter[str] = Counter()
        self._pages: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
        self._causes: dict[str, list[str]] = defaultdict(list)
        self._details: dict[str, str] = {}
        """Of each cause what all its documents say more exactly; nothing where they differ."""

    def add(self, one: Result) -> None:
        self._documents += 1
        self._states[one["state"]] += 1
        self._pages.update({kind: one.get(f"pages_{kind}", 0) for kind in KINDS})
        for cause in _causes(one):
            self._causes[cause].append(one["document"])
            detail = one["detail"] if one["state"] in BAD else ""
            self._details[cause] = detail if self._details.get(cause, detail) == detail else ""

    def lacks(self, one: Result) -> None:
        """One that was added when its vectors were still to come, and now never will."""
        self._causes[one["lacking_cause"]].append(one["document"])

    def after(self, seconds: float) -> dict[str, Any]:
        """The summary as numbers, as --json prints it."""
        read = self._pages["born_digital"] + self._pages["scanned"]
        return {
            "documents": self._documents,
            "states": dict(self._states),
            "pages": dict(self._pages),
            "causes": {
                cause: {"sentence": self._details.get(cause) or sentence(cause), "documents": of}
                for cause, of in self._causes.items()
            },
            "seconds": round(seconds, 1),
            "pages_per_second": round(read / seconds, 2) if seconds > 0 else 0.0,
        }


def summed(results: Iterable[Result], seconds: float) -> dict[str, Any]:
    found = Sum()
    for one in results:
        found.add(one)
    return found.after(seconds)


def lines(summary: dict[str, Any]) -> Iterator[str]:
    """For people; nothing that is nothing is said."""
    states = ", ".join(f"{summary['states'][one]:,} {text}" for one, text in STATES.items() if one in summary["states"])
    yield f"{count(summary['documents'], 'document')} in {duration(summary['seconds'])}: {states or 'nothing'}"
    pages = summary["pages"]
    known = [f"{number:,} {kind.replace('_', ' ')}" for kind, number in pages.items() if number]
    if known:
        rate = f" ({summary['pages_per_second']:.1f} pages/s)" if summary["pages_per_second"] else ""
        yield f"pages: {', '.join(known)}{rate}"
    for cause, found in sorted(summary["causes"].items(), key=lambda one: -len(one[1]["documents"])):
        names = found["documents"]
        more = f" and {len(names) - NAMED_MAX:,} more" if len(names) > NAMED_MAX else ""
        yield f"{cause} ({len(names):,}): {found['sentence']}"
        yield f"  {', '.join(names[:NAMED_MAX])}{more}"


def next_step(results: Sequence[Result]) -> str:
    """The command that most likely comes next."""
    flawed = [one for one in results if one["state"] in ("failed", "cancelled") or is_flawed(one)]
    good = any(one["state"] in ("searchable", "searchable with gaps", "unchanged") for one in results)
    if any(one["state"] == "queued" for one in results):
        return "next: folio status"
    if flawed:
        return f"next: folio status {quoted(flawed[0]['document'])}"
    return 'next: folio search "your question"' if good else ""


def quoted(argument: str) -> str:
    """As a shell takes it."""
    from shlex import quote

    return quote(argument)


def sentence(cause: str) -> str:
    """The cause's own sentence; a refusal that has no cause of ours says what it is."""
    try:
        return Cause(cause).sentence
    except ValueError:
        return REFUSALS.get(cause, "It was refused.")


def _causes(one: Result) -> list[str]:
    """Why a document failed, or its pages; each once."""
    if one["state"] in BAD:
        return [str(one["cause"] or "error")]
    lacking = [one["lacking_cause"]] if one.get("lacking_cause") else []
    return list(dict.fromkeys([*one.get("gaps", {}).values(), *lacking]))
