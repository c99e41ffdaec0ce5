"""docs/producing.md and its schemas say what the records are."""

from pathlib import Path

import pytest

from folio.claims import DOCUMENT_PAGES_MAX
from folio.ids import Doc
from folio.records import Page
from folio.schemas import PUBLISHED, schema_of
from infra.kafka_cluster import VALUE_BYTES_MAX

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "producing.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_schema_is_what_its_record_is(name: str) -> None:
    written = (DOCS / "schemas" / f"{name}.json").read_text(encoding="utf-8")
    assert written == schema_of(name), "python -m folio.schemas docs/schemas writes them anew"


def test_the_page_names_every_header_every_schema_and_the_limits() -> None:
    page = Page(doc=Doc("a/b"), version=1, page=1, page_count=1, sha256="0", verify=True, name="n", traceparent="t")
    missing = [name for name in page.headers() if f"`{name}`" not in PAGE]
    assert missing == []
    assert [name for name in PUBLISHED if name != "page" and f"schemas/{name}.json" not in PAGE] == []
    assert f"{VALUE_BYTES_MAX / (1 << 20):g} MiB" in PAGE
    assert f"{DOCUMENT_PAGES_MAX:,}" in PAGE


def test_every_example_that_it_names_is_there() -> None:
    folder = DOCS.parent / "examples" / "producers"
    assert [path.name for path in folder.iterdir() if path.is_file() and f"`{path.name}`" not in PAGE] == []
