"""`folio watch`: a folder that keeps filling. The ledger remembers what was added, so a restart adds nothing twice."""

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from console.adding import CHANGING, file_at, put
from console.client import AS_IT_IS, Reading
from console.following import Following, Result
from console.options import Exit
from console.progress import Progress
from console.session import Session
from console.summary import Sum
from folio.settings import Settings
from infra.places import LEDGER_FILE
from ingest.folder import Choice, walk
from ingest.watch import settled_files
from ledger import audit

LOOK_S = 0.2
PATIENCE = 5
"""With --once a file that is still written to is waited for this many times as long as it must be left alone."""


@dataclass(slots=True, kw_only=True)
class Watching:
    """One folder. `tell` gets each document as it settles; `summary` grows as it goes."""

    session: Session
    settings: Settings
    folder: Path
    choice: Choice
    settle_s: float
    reading: Reading = AS_IT_IS
    once: bool = False
    summary: Sum = field(default_factory=Sum)
    known: int = 0
    """Files that the ledger knows as they are."""
    deleted: list[str] = field(default_factory=list)
    """Documents that were deleted while their files lie there: deleted ones stay so."""
    failed_before: list[str] = field(default_factory=list)
    left_alone: list[Path] = field(default_factory=list)
    unsettled: int = 0
    began_s: float = field(default_factory=time.monotonic)
    _idle_since_s: float | None = None

    def run(self, tell: Callable[[Result], None], progress: Progress) -> dict[str, Any]:
        """Until Ctrl-C or SIGTERM, with `once` until what is there is settled. Returns the summary."""
        asyncio.run(self._run(tell, Following(self.session, self.settings, progress)))
        return self.summary.after(time.monotonic() - self.began_s) | {
            "already_there": self.known,
            "deleted": len(self.deleted),
        }

    async def _run(self, tell: Callable[[Result], None], following: Following) -> None:
        stop, interrupted = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, _stop_or_end, stop, interrupted)
        adding = asyncio.create_task(self._add(tell, following, stop))
        try:
            while not adding.done() or (following.pending and not interrupted.is_set()):
                self._look(following, tell)
                if self.once and self._is_stuck():
                    stop.set()
                await asyncio.wait({adding}, timeout=LOOK_S) if not adding.done() else await asyncio.sleep(LOOK_S)
        finally:
            stop.set()
            await adding
        self._look(following, tell, at_once=True)  # what was done while it ended is told, not left open
        self.unsettled = following.pending

    def _look(self, following: Following, tell: Callable[[Result], None], *, at_once: bool = False) -> None:
        for result in following.look(at_once=at_once):
            self._settled(result, tell)
        for result in following.without_vectors():
            self.summary.lacks(result)
            tell(result)

    async def _add(self, tell: Callable[[Result], None], following: Following, stop: asyncio.Event) -> None:
        """Hand over each file as it settles; with `once` until all have been that are there now."""
        awaited = _there(self.folder, self.choice) if self.once else None
        if awaited is not None and not awaited:
            return
        async with aclosing(settled_files(self.folder, self.choice, settle_s=self.settle_s, stop=stop)) as files:
            self._idle_since_s = time.monotonic()
            async for found in files:
                self._idle_since_s = None
                result = await asyncio.to_thread(self._put, found.path, found.problem)
                self._idle_since_s = time.monotonic()
                if result is not None and result["cause"] == CHANGING:
                    continue  # it comes again once it has settled again
                if result is not None and result["state"] == "queued":
                    following.add(result)
                elif result is not None:
                    self._settled(result, tell)
                if awaited is not None:
                    awaited.discard(found.path)
                if stop.is_set() or (awaited is not None and not awaited):
                    break
        self.left_alone = sorted(awaited or ())

    def _is_stuck(self) -> bool:
        """Nothing has settled for so long that what is left is still being written."""
        idle_s = self._idle_since_s
        return idle_s is not None and time.monotonic() - idle_s > PATIENCE * self.settle_s

    def _put(self, path: Path, problem: str) -> Result | None:
        """None for a file that the ledger knows as it is."""
        file = file_at(path, problem=problem)
        try:
            if not problem and self._is_known(path, file.uri):
                return None
        except OSError:
            pass  # whatever it is, handing it over says it
        result = put(self.session, file, self.reading)
        if result["state"] == "unchanged":
            self.known += 1
            return None
        return result

    def _is_known(self, path: Path, uri: str) -> bool:
        """Whether these bytes were added from here, to be read in the same way, and counts them; failed ones stay so.

        Deleted ones do however they are asked for: somebody decided that.

        Hashing is cheaper than handing over, and a restart must not try for ever what cannot be read.
        """
        before = [one for one in audit.find(self.settings.data / LEDGER_FILE, uri=uri) if one.sha256]
        if not before:
            return False
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        gone = [one.document for one in before if one.sha256 == sha256 and one.state == "deleted"]
        if gone:
            self.deleted += gone
            return True
        same = [one for one in before if one.sha256 == sha256 and self._is_asked(one)]
        if any(one.cause == "encrypted" for one in same) and self.reading.password:
            return False
        self.failed_before += [one.document for one in same if one.state == "failed"]
        settled = any(one.state not in audit.UNSETTLED for one in same)
        self.known += settled
        return settled

    def _is_asked(self, one: audit.DocumentStatus) -> bool:
        metadata = self.reading.metadata
        return one.page_range == self.reading.pages and metadata in (None, one.metadata)

    def _settled(self, result: Result, tell: Callable[[Result], None]) -> None:
        self.summary.add(result)
        tell(result)


def exit_code(summary: dict[str, Any]) -> Exit:
    """Of what was added: all bad, some bad, none."""
    states = summary["states"]
    bad = sum(states.get(state, 0) for state in ("failed", "refused", "cancelled"))
    if bad and bad == summary["documents"] and not summary["already_there"]:
        return Exit.ERROR
    return Exit.PARTIAL if bad or summary["causes"] else Exit.OK


def _there(folder: Path, choice: Choice) -> set[Path]:
    """What is to be added once: the files there now, but for empty ones, which somebody is about to fill."""
    found = set()
    for path in walk(folder, choice, trouble=lambda *_: None):
        with suppress(OSError):
            if path.stat().st_size:
                found.add(path)
    return found


def _stop_or_end(stop: asyncio.Event, interrupted: asyncio.Event) -> None:
    """The first Ctrl-C stops cleanly, the second ends at once; the log makes both safe."""
    if interrupted.is_set():
        os._exit(Exit.INTERRUPTED)
    stop.set()
    interrupted.set()
