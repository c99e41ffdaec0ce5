"""One structured line per stage while it works, and the Prometheus counters beside it."""

import importlib
import logging
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from folio.legible import legible

ENTRIES = Counter("folio_stage_entries_total", "Entries that a stage finished", ["stage", "outcome"])
OUTPUTS = Counter("folio_stage_outputs_total", "Records that a stage appended", ["stage", "topic"])
RETRIES = Counter("folio_stage_retries_total", "Repeats, by why", ["stage", "cause"])
IN_FLIGHT = Gauge("folio_stage_in_flight", "Entries being worked on", ["stage"])
IN_FLIGHT_BYTES = Gauge("folio_stage_in_flight_bytes", "Bytes of the entries being worked on", ["stage"])
READY = Gauge("folio_stage_ready", "1 when the stage is not waiting for a dependency", ["stage"])
SECONDS = Histogram(
    "folio_stage_seconds",
    "Seconds from start to durable outputs of one entry",
    ["stage"],
    buckets=(0.001, 0.005, 0.02, 0.05, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
)
OCR_RUNGS = Counter(
    "folio_ocr_rungs_total", "Further tries of a page, by what was tried (or failed) and why", ["rung", "trouble"]
)

LINE_EVERY_S = 5.0


def configure(*, level: str = "INFO", json: bool = False) -> None:
    """Send our structured lines to stderr: key=value for people, JSON for machines."""
    _import_without_rich()
    import structlog

    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.processors.LogfmtRenderer(key_order=["at", "level", "event"], drop_missing=True)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False, key="at"),
            structlog.processors.format_exc_info,
            renderer,
            _steers_no_terminal,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )


def _steers_no_terminal(logger: Any, method: str, line: Any) -> str:
    """Values may be a stranger's."""
    return legible(line)


def _import_without_rich() -> None:
    """Structlog imports rich for tracebacks in colour, which we do not print: a seventh of every process's start."""
    if {"structlog", "rich"} & sys.modules.keys() or threading.current_thread() is not threading.main_thread():
        return  # hidden from one thread it would be missed by others
    sys.modules["rich"] = None  # type: ignore[assignment]  # how Python says that a module is not there
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]


def log() -> Any:
    """The structured logger; imported late because the command line answers without it."""
    import structlog

    return structlog.get_logger()


@dataclass(slots=True)
class StageMeter:
    """Counts one stage's work and prints a line when it has something to say."""

    stage: str
    took: int = 0
    made: int = 0
    dead: int = 0
    _line: tuple[int, int, int] = (0, 0, 0)
    _at: float = field(default_factory=time.monotonic)

    def finished(self, outcome: str, seconds: float) -> None:
        self.took += 1
        self.dead += outcome == "dead"
        ENTRIES.labels(self.stage, outcome).inc()
        SECONDS.labels(self.stage).observe(seconds)

    def appended(self, topic: str, records: int) -> None:
        self.made += records
        OUTPUTS.labels(self.stage, topic).inc(records)

    def in_flight(self, entries: int, size: int) -> None:
        IN_FLIGHT.labels(self.stage).set(entries)
        IN_FLIGHT_BYTES.labels(self.stage).set(size)

    def line(self, *, force: bool = False) -> None:
        """Print what changed since the last line, at most every few seconds."""
        now = time.monotonic()
        counts = (self.took, self.made, self.dead)
        if counts == self._line or (not force and now - self._at < LINE_EVERY_S):
            return
        took, made, dead = (new - old for new, old in zip(counts, self._line, strict=True))
        log().info("stage", stage=self.stage, took=took, made=made, dead=dead, ms=round((now - self._at) * 1000))
        self._line, self._at = counts, now
