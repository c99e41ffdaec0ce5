"""JSON Schemas of the records, for producers and consumers: ``python -m folio.schemas docs/schemas`` writes them."""

import json
import sys
from pathlib import Path

from folio.letters import DeadLetter
from folio.records import Document, Message, Page, PageText, Receipt, Upload

PUBLISHED: dict[str, type[Message]] = {
    "upload": Upload,
    "page": Page,
    "page_text": PageText,
    "document": Document,
    "receipt": Receipt,
    "dead_letter": DeadLetter,
}


def schema_of(name: str) -> str:
    """One schema as a file has it."""
    return json.dumps(PUBLISHED[name].model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in PUBLISHED:
        (folder / f"{name}.json").write_text(schema_of(name), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
