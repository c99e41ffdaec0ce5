"""What a person sees while documents become searchable: a live line a document, or plain lines without a terminal."""

import sys
import time
from types import TracebackType
from typing import Any, Self

LINE_EVERY_S = 5.0


class Progress:
    """Talks on stderr. `talk` False, and it is silent."""

    def __init__(self, *, talk: bool) -> None:
        self._talk = talk
        self._live: Any = None
        self._tasks: dict[str, Any] = {}
        self._line_at = time.monotonic()
        self._waiting = ""

    def __enter__(self) -> Self:
        if self._talk and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bars

            columns = (
                "{task.description}",
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("pages  {task.fields[state]}"),
            )
            self._live = Bars(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, result: dict[str, Any]) -> None:
        """One document's state: pages read of all, and the stage that it is in."""
        document, read, pages = result["document"], result["pages_read"], result["pages"] or None
        if self._live is not None:
            if document not in self._tasks:
                self._tasks[document] = self._live.add_task(document, total=pages, state=result["state"])
            self._live.update(self._tasks[document], completed=read, total=pages, state=result["state"])
        elif self._talk and time.monotonic() - self._line_at > LINE_EVERY_S:
            self._line_at = time.monotonic()
            print(f"{document}: {result['state']}, {read} of {pages or '?'} pages read", file=sys.stderr, flush=True)

    def waits_for(self, sentence: str) -> None:
        """Say once that a dependency is awaited."""
        if sentence != self._waiting and sentence and self._talk:
            print(f"waiting: {sentence}", file=sys.stderr, flush=True)
        self._waiting = sentence
