"""Documents that were handed over, followed in the ledger: until each is searchable, then until it has its vectors."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from console.client import Refused
from console.numbers import count
from console.pace import Counts
from console.progress import Progress
from console.session import Session
from folio.ids import TENANT_DEFAULT, doc_of
from folio.settings import Settings
from infra.places import LEDGER_FILE
from ledger import audit

UNAVAILABLE = 503
"""What the owner waits for is away, and will be asked again."""
POLL_S = 0.05
POLL_SHARE = 4
"""Asking the ledger takes at most this part of the time, however many documents are waited for."""
OWNER_EVERY_S = 1.0

Result = dict[str, Any]
NUMBERS: Result = {"pages": 0, "pages_read": 0, "chunks": 0, "embedded": 0, "lacking": 0}
NOTHING: Result = NUMBERS | {"gaps": {}, "lacking_cause": None, "cause": None, "detail": ""}
PAGES_OF = {
    "announced": "pages",
    "digital": "pages_born_digital",
    "scanned": "pages_scanned",
    "skipped": "pages_skipped",
    "failed": "pages_failed",
    "searchable": "pages_searchable",
}
BAD = ("failed", "refused", "cancelled")


class Following:
    """Fills in what became of each result, and shows it. Give it results as they come, then wait."""

    def __init__(self, session: Session, settings: Settings, progress: Progress) -> None:
        self._session = session
        self._ledger = settings.data / LEDGER_FILE
        self._progress = progress
        if settings.kafka.servers:
            session_s = f"{settings.kafka.session_timeout_s:.0f} s"
            progress.still_because = f"what a killed process had in hand is taken over within {session_s}"
        self._pending: dict[str, list[Result]] = {}
        self._by_words: dict[str, list[Result]] = {}
        """Searchable, and settled for whoever waits for that; their vectors are to come."""
        self._without: list[Result] = []
        self._done = 0
        self._pages_done: Counter[str] = Counter()
        self._next_s = 0.0
        self._asked_s = time.monotonic()
        self._lags: Counter[str] = Counter()

    @property
    def pending(self) -> int:
        return len(self._waiting()) + sum(map(len, self._by_words.values()))

    def add(self, result: Result) -> None:
        result.update(NOTHING | result)
        self._pending.setdefault(result["document"], []).append(result)

    def wait(self) -> None:
        """Until nothing is pending. Raises what ended the owner, should this process be the owner."""
        told = False
        while self.pending:
            self.look()
            if self._by_words and not self._pending and not told:
                told = True
                self._progress.tell(self._searchable())
            if self.pending:
                time.sleep(POLL_S)

    def look(self, *, at_once: bool = False) -> list[Result]:
        """Ask once, if it is time to; returns what has become searchable, or never will, since the last look."""
        now = time.monotonic()
        if now < self._next_s and not at_once:
            return []
        settled = self._ask()
        self._next_s = now + max(POLL_S, POLL_SHARE * (time.monotonic() - now))
        if now - self._asked_s > OWNER_EVERY_S:
            self._asked_s = now
            self._ask_owner()
        self._progress.show(self._counts(), self._waiting(), self._lags)
        return settled

    def without_vectors(self) -> list[Result]:
        """Of what was settled: those whose vectors were given up since this was asked last."""
        given_up, self._without = self._without, []
        return given_up

    def _ask(self) -> list[Result]:
        names = {*self._pending, *self._by_words}
        known = audit.summaries(self._ledger, [doc_of(TENANT_DEFAULT, name) for name in names])
        settled = []
        for status in known.values():
            self._embed(status)
            for result in list(self._pending.get(status.document, ())):
                if status.version >= result["version"]:  # a newer one settles those before it
                    result.update(became(status))
                    settled += self._settle(result, status)
        return settled

    def _settle(self, result: Result, status: audit.DocumentStatus) -> list[Result]:
        if status.state in audit.UNSETTLED:
            return []
        result["gaps"] = gaps_of(self._ledger, status)
        left = self._pending[status.document]
        left.remove(result)
        if not left:
            del self._pending[status.document]
        self._done += 1
        self._pages_done.update(_pages(result))
        if status.awaits_vectors:
            self._by_words.setdefault(status.document, []).append(result)
        return [result]

    def _embed(self, status: audit.DocumentStatus) -> None:
        """Its vectors are there, or will never be; what is read again meanwhile is for whoever added that to await."""
        for result in self._by_words.get(status.document, ()):
            result.update(_vectors(status))
        if not status.awaits_vectors or status.state in audit.UNSETTLED:
            done = self._by_words.pop(status.document, [])
            self._without += done if status.lacking_cause else []

    def _searchable(self) -> str:
        lacking = count(sum(_lacking(of) for of in self._by_words.values()), "chunk")
        return (
            f"searchable by words; {lacking} to embed, to be found by meaning too (after Ctrl-C a later folio goes on)"
        )

    def _waiting(self) -> list[Result]:
        return [result for results in self._pending.values() for result in results]

    def _ask_owner(self) -> None:
        """What the stages wait for; also finds out that the owner is gone, and becomes the next one."""
        try:
            stages = self._session.call(lambda client: client.stages())["stages"]
        except Refused as error:
            if error.status != UNAVAILABLE:
                raise
            self._progress.waits_for(str(error))  # what was acknowledged is read when it is back
            return
        self._lags = Counter()
        for stage in stages:
            if stage["stage"] != "ocr-verify":  # what nobody waits for
                self._lags[stage["stage"].partition("-")[0]] += stage["lag"]
        waiting = (f"{one['stage'].partition('-')[0]}: {one['waits_for']}" for one in stages if not one["ready"])
        self._progress.waits_for("; ".join(dict.fromkeys(waiting)))

    def _counts(self) -> Counts:
        """What is settled was summed up when it was: a folder may be watched for months."""
        waiting = self._waiting()
        pages = self._pages_done.copy()
        for result in waiting:
            pages.update(_pages(result))
        unread = sum(max(0, (one["pages"] or 1) - one["pages_read"]) for one in waiting)
        return Counts(
            documents=self._done + len(waiting),
            settled=self._done,
            uncounted=sum(not one["pages"] for one in waiting),
            lacking=sum(_lacking(of) for of in self._by_words.values()),
            waiting_scanned=min(self._lags.get("ocr", 0), unread),  # the rest are pages of other commands
            **pages,
        )


def _pages(result: Result) -> dict[str, int]:
    return {count: result.get(name, 0) for count, name in PAGES_OF.items()}


def _lacking(of: list[Result]) -> int:
    """Results of one document say the same of it."""
    return int(of[0]["lacking"])


def became(known: audit.DocumentStatus) -> Result:
    """What a result says of a document, from the ledger."""
    read = known.pages_ok + known.pages_failed + known.pages_skipped
    pages = known.page_count or read
    return {
        "state": known.state,
        "pages": pages,
        "pages_read": read,
        "pages_born_digital": known.pages_born_digital,
        "pages_scanned": known.pages_ocr,
        "pages_skipped": known.pages_skipped,
        "pages_failed": known.pages_failed,
        "pages_searchable": known.pages_searchable if known.state in audit.UNSETTLED else pages,
        "searchable_version": known.searchable_version,
        "cause": known.cause,
        "detail": known.detail or known.sentence,
    } | _vectors(known)


def _vectors(known: audit.DocumentStatus) -> Result:
    why = str(known.lacking_cause) if known.lacking_cause else None
    return {"chunks": known.chunks, "embedded": known.embedded, "lacking": known.lacking, "lacking_cause": why}


def gaps_of(ledger: Path, status: audit.DocumentStatus) -> dict[int, str]:
    """Pages that could not be read, of a document that has some, and each one's cause."""
    whole = audit.document(ledger, status.doc) if status.pages_failed else None
    return {page.page: str(page.cause) for page in whole.pages if page.status == "failed"} if whole else {}


def fill_in_flaws(ledger: Path, results: Sequence[Result]) -> None:
    """What of documents that were there already is missing, and stays so."""
    docs = [doc_of(TENANT_DEFAULT, one["document"]) for one in results]
    known = audit.summaries(ledger, docs)
    for doc, result in zip(docs, results, strict=True):
        status = known.get(doc)
        if status is not None and status.state not in audit.UNSETTLED:
            result.update({"gaps": gaps_of(ledger, status)} | _vectors(status))


def is_flawed(result: Result) -> bool:
    """Whether something of a document that is searchable is missing: pages, or what its meaning is found by."""
    return bool(result["state"] == "searchable with gaps" or result["gaps"] or result["lacking_cause"])


def wait_until_settled(session: Session, settings: Settings, results: list[Result], *, talk: bool) -> list[Result]:
    """Follow the ledger until every result's version is settled; fills in what became of each."""
    with Progress(talk=talk) as progress:
        following = Following(session, settings, progress)
        for result in results:
            following.add(result)
        following.wait()
    return results
