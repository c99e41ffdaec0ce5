"""Exports beside each other: what a killed one left is swept, what a living one writes is not."""

import os
import subprocess
import sys
from pathlib import Path

from console.exporting import UNFINISHED, swept


def test_only_what_no_living_process_holds_is_swept(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (f"{os.getpid()}-a", f"{dead.pid}-b", "older"):
        (tmp_path / f"{UNFINISHED}{name}").mkdir()
    (tmp_path / "report.pdf").mkdir()
    swept(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{UNFINISHED}{os.getpid()}-a", "report.pdf"}
