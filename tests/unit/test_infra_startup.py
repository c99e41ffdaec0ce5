"""What a process that names or begins an index does not wait for."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "absent"),
    [("infra.indexing", "langchain_text_splitters"), ("console.session", "fastapi"), ("infra.run", "kafka")],
)
def test_what_takes_long_to_import_is_imported_where_it_works(module: str, absent: str) -> None:
    asked = f"import sys, {module}; sys.exit({absent!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0, f"{module} imports {absent}"
