"""Renderers that misbehave in a sandbox child, for the tests of what its owner makes of that."""

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from ingest.mupdf import MuPdf
from ingest.render import Renderer
from ingest.sheet import Sheet


def _raise(error: Exception) -> None:
    raise error


class _Fragile(MuPdf):
    """Does on page 3, or on that which the file's name says, what the file's name says: also when looked ahead to."""

    def __init__(self, path: Path, password: str = "") -> None:
        super().__init__(path, password)
        way, _, pages = path.stem.partition(" at ")
        self._fails = WAYS[way]
        self._bad = [int(page) for page in (pages or "3").split(",")]

    def _read(self, page: int) -> Sheet:
        if page in self._bad:
            self._fails()
        return super()._read(page)


WAYS: dict[str, Callable[[], Any]] = {
    "dies": lambda: os.kill(os.getpid(), 9),
    "hangs": lambda: time.sleep(60),
    "eats memory": lambda: bytearray(1 << 40),
    "runs out of memory": lambda: _raise(MemoryError()),
    "raises": lambda: 1 / 0,
}


class Fragile(Renderer):
    open_pdf = _Fragile


class Babbling(Renderer):
    """Answers page 3 with something that is no page."""

    open_pdf = MuPdf

    def pages(self, numbers: Sequence[int], verify: Collection[int], ahead: bool) -> Iterator[Any]:
        for page in numbers:
            nonsense = [{"page": page, "blocks": [{"kind": "paragraph", "start": 0, "end": 99}], "trusted": True}]
            nonsense += ["page", {"page": 1, "trusted": True}, {"page": page, "image": b"<html>"}, None]
            nonsense += [{"page": page, "trusted": True, "markdown": 7}, {"page": page, "cause": "magic"}]
            yield nonsense[page % 7] if page % 2 else {"page": page, "trusted": True, "markdown": f"page {page}"}


class Overcounting(Renderer):
    open_pdf = MuPdf

    def open(self, path: str, media_type: str, password: str) -> Any:
        return 10**9
