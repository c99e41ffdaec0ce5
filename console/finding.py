"""A search from a terminal: asked for documents that exist, of an index that has been filled."""

import sys
import time
from typing import Any

from console.numbers import count
from console.options import say
from console.reading import remember
from console.session import Session
from folio.errors import FolioError
from folio.ids import TENANT_DEFAULT, doc_of
from folio.questions import Question
from folio.settings import Settings
from infra.places import LEDGER_FILE
from ledger import audit

POLL_S = 0.2
NO_INDEX = {"lag": 0, "filling": False, "ready": True, "waits_for": ""}
"""Of an owner that only answers: others fill the index."""
STUCK_S_MAX = 30.0
"""For so long an index that says it is not ready is waited for."""


def find(session: Session, settings: Settings, asked: Question) -> dict[str, Any]:
    """What the owner answers, remembered for `folio open`. Raises FolioError for documents that do not exist."""
    fill(session)
    answer = session.told(lambda client: client.search(asked))
    remember(settings.data, asked.question, answer["hits"])
    if not answer["hits"]:
        _check_documents(settings, asked.filters.documents)
    return answer


def fill(session: Session) -> None:
    """Wait for an index that was just made, for another embedder or in place of a lost one, with a line that says so.

    Words are waited for, no vectors; an index that only misses a few documents answers.
    """
    if session.address and not session.is_owner:  # finds the owner, or becomes it
        return
    index = _index(session)
    if not (index["filling"] and index["lag"]):
        return
    waiting = count(index["lag"], "document")
    say(f"filling the index for this embedder from what was read: {waiting} in line (Ctrl-C stops)")
    _wait_until_filled(session)


def _wait_until_filled(session: Session) -> None:
    ready_s = time.monotonic()
    drawn = False
    while (index := _index(session))["lag"]:
        ready_s = time.monotonic() if index["ready"] else ready_s
        if time.monotonic() - ready_s > STUCK_S_MAX:
            say(f"the index is not filled: {index['waits_for'] or 'it does not answer'}")
            break
        if sys.stderr.isatty():
            print(f"\r  {count(index['lag'], 'document')} in line \033[K", end="", file=sys.stderr, flush=True)
            drawn = True
        time.sleep(POLL_S)
    if drawn:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _index(session: Session) -> dict[str, Any]:
    stages = session.call(lambda client: client.stages())["stages"]
    return next((dict(stage) for stage in stages if stage["stage"].startswith("index-")), NO_INDEX)


def _check_documents(settings: Settings, documents: tuple[str, ...]) -> None:
    """Nothing was found: perhaps because what was asked for by name does not exist."""
    for document in documents:
        try:
            known = audit.summary(settings.data / LEDGER_FILE, doc_of(TENANT_DEFAULT, document))
        except ValueError:  # not even an id
            known = None
        if known is None or known.state == "deleted":
            raise FolioError(f"there is no document {document!r}: folio status lists what there is")
