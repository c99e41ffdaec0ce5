"""How soon do commands that embed nothing answer? Wall-clock medians, beside Python's own start in the same run.

Must reach: 300 ms each. `delete` talks to an owner that runs, and returns when the document has left the index.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.first_page import folio, run
from benchmarks.synthetic import make_pdf, table

RUNS = 9
LIMIT_MS = 300


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        files = [make_pdf(Path(scratch) / f"{number}.pdf", pages=1, seed=number) for number in range(RUNS)]
        owner = subprocess.Popen([folio(), "run", "--data", str(data), "--port", "0"], stderr=subprocess.DEVNULL)
        try:
            time.sleep(2)
            run("add", *map(str, files), data=data)
            medians = measure(data)
        finally:
            owner.terminate()
            owner.wait()
    table(
        [("command", "median ms", "must reach")] + [(name, f"{ms:.0f}", limit) for name, (ms, limit) in medians.items()]
    )
    return 0 if all(ms < LIMIT_MS for ms, limit in medians.values() if limit) else 1


def measure(data: Path) -> dict[str, tuple[float, str]]:
    limit = str(LIMIT_MS)
    return {
        "python -c pass": (median_ms(lambda _: subprocess.run([sys.executable, "-c", "pass"], check=True)), ""),
        "folio --help": (median_ms(lambda _: quiet("--help")), limit),
        "folio status": (median_ms(lambda _: quiet("status", "--data", str(data))), limit),
        "folio status DOC": (median_ms(lambda _: quiet("status", "1.pdf", "--data", str(data))), limit),
        "folio config show": (median_ms(lambda _: quiet("config", "show", "--data", str(data))), limit),
        "folio add (no such file)": (median_ms(lambda _: quiet("add", "nothing.pdf", "--data", str(data))), limit),
        "folio delete": (median_ms(lambda number: quiet("delete", f"{number}.pdf", "--data", str(data))), limit),
    }


def median_ms(work: Callable[[int], object]) -> float:
    taken = []
    for number in range(RUNS):
        began = time.perf_counter()
        work(number)
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def quiet(*arguments: str) -> None:
    subprocess.run([folio(), *arguments], capture_output=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
