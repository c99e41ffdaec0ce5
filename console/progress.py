"""What a person sees while documents become searchable: one live block however many they are, or plain lines."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from console.numbers import count
from console.pace import Counts, Pace, duration
from console.shown import shown, tell
from folio.legible import legible

LINE_EVERY_S = 5.0
REDRAWN_EVERY_S = 0.2
ACTIVE_MAX = 5
BAR_CHARS = 30
IN_LINE = {
    "ingest": "opening files",
    "ocr": "OCR",
    "ledger": "putting pages in order",
    "index": "chunking",
    "embed": "embedding what is found by its words",
}
"""What a backlog waits for, by stage."""


class Progress:
    """Talks on stderr. `talk` False, and it is silent."""

    def __init__(self, *, talk: bool) -> None:
        self._talk = talk
        self._live: Any = None
        self._pace = Pace()
        self._shown_s = time.monotonic()
        self._waiting = ""
        self.still_because = ""
        """What may be the reason when nothing has moved for a while."""
        self.to_come = 0
        """Files that are not handed over yet."""

    def __enter__(self) -> Self:
        if self._talk and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, counts: Counts, active: Sequence[Mapping[str, Any]], lags: Mapping[str, int]) -> None:
        """How far all of it is; `active` are the documents that are not settled, `lags` what waits at each stage."""
        if not self._talk:
            return
        now = time.monotonic()
        self._pace.feed(counts, now)
        every_s = LINE_EVERY_S if self._live is None else REDRAWN_EVERY_S
        if not (active or self.to_come or counts.lacking):
            self._blank()
            return
        if now - self._shown_s < every_s:
            return
        self._shown_s = now
        if self._live is None and not (active or self.to_come):
            print(to_embed(counts), file=sys.stderr, flush=True)
        elif self._live is None:
            print("  ".join(part.strip() for part in headline(counts, self._pace, self.to_come)), file=sys.stderr)
            print(f"  {self._why(lags)}", file=sys.stderr, flush=True)
        else:
            from rich.text import Text

            lines = [bar(counts), *headline(counts, self._pace, self.to_come), self._why(lags), *current(active)]
            lines += [to_embed(counts)] if counts.lacking else []
            self._live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)

    def waits_for(self, sentence: str) -> None:
        """Say once that a dependency is awaited."""
        if sentence != self._waiting and sentence and self._talk:
            self.say(f"waiting: {sentence}")
        self._waiting = sentence

    def say(self, line: str) -> None:
        """A line that stays, above what is live."""
        if self._live is not None:
            from rich.text import Text

            self._live.console.print(Text(legible(line)), soft_wrap=True)
        else:
            tell(line, file=sys.stderr)

    def tell(self, line: str) -> None:
        """A line that stays, unless we are silent."""
        if self._talk:
            self.say(line)

    def out(self, line: str) -> None:
        """A line of the command's answer, on stdout, while something is live on the same terminal."""
        self._blank()
        print(line, flush=True)

    def _blank(self) -> None:
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text(""), refresh=True)

    def _why(self, lags: Mapping[str, int]) -> str:
        if self._waiting or not self._pace.still_s:
            return self._waiting or in_line(lags)
        because = f" ({self.still_because})" if self.still_because else ""
        return f"{in_line(lags)}; nothing has moved for {duration(self._pace.still_s)}{because}"


def bar(counts: Counts) -> str:
    """A bar over all pages; nothing is drawn of nothing."""
    if not counts.total:
        return "waiting for the first page"
    full = round(BAR_CHARS * counts.searchable / counts.total)
    read = max(full, round(BAR_CHARS * counts.read / counts.total))
    drawn = "█" * full + "▒" * (read - full) + "·" * (BAR_CHARS - read)
    return f"{drawn}  {counts.searchable:,} of {_about(counts)} pages searchable"


def headline(counts: Counts, pace: Pace, to_come: int) -> Iterator[str]:
    """How much, how fast, how long; then what kinds of pages."""
    documents = f"{counts.settled:,} of {counts.documents + to_come:,} documents done"
    rate = f", {pace.read.value:.1f} pages/s" if pace.read.value else ""
    left = pace.steady_left() if not to_come else None
    yield f"{documents}, {counts.read:,} of {_about(counts)} pages read{rate}, {_left(left)}"
    kinds = [(counts.digital, "born digital"), (counts.scanned, "scanned"), (counts.skipped, "skipped")]
    known = [f"{number:,} {kind}" for number, kind in kinds if number]
    waits = [f"{counts.waiting_scanned:,} wait for OCR"] if counts.waiting_scanned else []
    failed = [f"{counts.failed:,} failed"] if counts.failed else []
    yield f"  pages: {', '.join([*known, *waits, *failed]) or 'none read yet'}"


def to_embed(counts: Counts) -> str:
    return f"found by words; {count(counts.lacking, 'chunk')} to embed for meaning"


def current(active: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The documents that are being worked on, the furthest first; the rest as a number."""
    begun = [one for one in active if one["pages_read"] or one["state"] != "queued"]
    for one in begun[:ACTIVE_MAX]:
        yield f"  {shown(one['document'])}: {one['state']}, {one['pages_read']:,} of {one['pages'] or '?'} pages"
    if len(active) > min(len(begun), ACTIVE_MAX):
        yield f"  and {len(active) - min(len(begun), ACTIVE_MAX):,} more"


def in_line(lags: Mapping[str, int]) -> str:
    """Where most is waiting, in words."""
    backlog = {stage: lag for stage, lag in lags.items() if lag and stage in IN_LINE}
    if not backlog:
        return "waits for: the next page"
    # A scanned page is the dearest thing there is, and no vector holds anything up.
    stage = max(backlog, key=lambda one: (one == "ocr", one != "embed", backlog[one]))
    return f"waits for: {IN_LINE[stage]} ({backlog[stage]:,} in line)"


def _about(counts: Counts) -> str:
    if not counts.announced:
        return "?"
    at_least = max(counts.announced + counts.uncounted, counts.read)  # a document not counted yet has a page too
    return f"at least {at_least:,}" if counts.uncounted else f"{counts.total:,}"


def _left(seconds: float | None) -> str:
    return "time left: not known yet" if seconds is None else f"about {duration(seconds)} left"
