"""How soon is each process of a folio on Kafka at work? Seconds from the command to its line of `--json`, medians.

First in a new data folder, then again in the same one, after a clean stop. Every role alone, nobody else in its groups,
with the embedded index and the hash embedder, so that no model is loaded. Must reach on a quiet machine: 1 s each;
`index` imports the API and the index too.
``FOLIO_KAFKA=host:9092 python -m benchmarks.startup_kafka`` (`make kafka` starts a broker).
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.synthetic import table
from infra.roles import INDEX, INGEST, LEDGER, OCR
from tests.processes import Site, site

RUNS = 5
ROLES = (INGEST, OCR, LEDGER, INDEX)
LIMIT_S = 1.0


def main() -> int:
    servers = os.environ.get("FOLIO_KAFKA") or sys.exit("name a broker: FOLIO_KAFKA=host:9092 (make kafka starts one)")
    rows, missed = [], False
    with tempfile.TemporaryDirectory() as folder, site(servers, Path(folder)) as made:
        for role in ROLES:
            pairs = [twice(made, role, run) for run in range(RUNS)]
            first_s, again_s = (statistics.median(each) for each in zip(*pairs, strict=True))
            rows.append((role, f"{first_s:.2f}", f"{again_s:.2f}", f"{LIMIT_S:.1f}"))
            missed = missed or max(first_s, again_s) > LIMIT_S
    table([("folio run", "new folder, s", "same folder, s", "must reach"), *rows])
    return 1 if missed else 0


def twice(made: Site, role: str, run: int) -> tuple[float, float]:
    """A start in a folder of its own, and one more in it."""
    return ready_s(made, role, f"{role}-{run}"), ready_s(made, role, f"{role}-{run}")


def ready_s(made: Site, role: str, data: str) -> float:
    began = time.perf_counter()
    process = made.start(role, data=data)
    taken_s = time.perf_counter() - began
    if process.stop():
        sys.exit(f"folio run {role} did not end cleanly: {process.said}")
    return taken_s


if __name__ == "__main__":
    sys.exit(main())
