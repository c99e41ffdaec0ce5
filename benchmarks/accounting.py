"""Whose CPU time it was: of every process under the owner and of the owner's threads, as the kernel counts it."""

import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.synthetic import cpu_seconds

FACTORY_AT = 4
"""Where `python -m folio.inside serve FACTORY` names what runs in it."""
TASKS = Path("/proc/self/task")
THREADS = {"ledger": "ledger", "log-writer": "log", "log-reader": "log", "asyncio": "blobs", "watching": "watching"}
PROCESSES = {
    "ingest.": "read",
    "ocr_stage.": "ocr",
    "chunking.": "chunk",
    "indexer.embedding": "embed",
    "indexer.edge": "index",
}
PARTS = ("read", "ocr", "ledger", "log", "blobs", "chunk", "embed", "index", "owner")
"""`owner` is what is left in the owner's process: the loops, the records, the sockets to the children. The benchmark's
own looking, from a thread named `watching`, is none of them."""


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds by part, since some moment."""

    parts: Counter[str]

    @classmethod
    def now(cls) -> "Spent":
        """Everything that this process and its children have used so far."""
        me = psutil.Process()
        parts = _of_threads(me)
        for child in me.children():
            words = child.cmdline()
            factory = words[FACTORY_AT] if len(words) > FACTORY_AT else ""
            name = next((part for start, part in PROCESSES.items() if factory.startswith(start)), "owner")
            parts[name] += cpu_seconds(child)
        return cls(parts)

    def since(self, before: "Spent") -> "Spent":
        """What was used between two moments."""
        return Spent(Counter({part: self.parts[part] - before.parts[part] for part in PARTS}))

    @property
    def total(self) -> float:
        return sum(self.parts.values())


def _of_threads(me: psutil.Process) -> "Counter[str]":
    """The owner's own process, thread by thread; threads that ended count as the owner's."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    parts: Counter[str] = Counter()
    for thread in TASKS.iterdir() if TASKS.is_dir() else ():
        name = names.get(int(thread.name), "")
        part = next((part for start, part in THREADS.items() if name.startswith(start)), "owner")
        parts[part] += _thread_seconds(thread)
    used = sum(me.cpu_times()[:2])
    parts["owner"] += max(0.0, used - sum(parts.values()))
    return parts


def _thread_seconds(thread: Path) -> float:
    """The scheduler's own count in nanoseconds: ticks would round a quick thread to nothing."""
    try:
        return int((thread / "schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return 0.0
