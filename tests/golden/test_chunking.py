"""Page Markdown -> chunks, as files that a person can compare: NAME.md are the pages, NAME.chunks their chunks."""

from pathlib import Path

import pytest

from chunking.chunker import Chunker
from folio.ids import Doc
from folio.records import Chunk, ChunkSet, Document, PageText, Source

FOLDER = Path(__file__).parent / "chunking"
PAGE_BREAK = "\n<!-- page -->\n"
CASES = sorted(FOLDER.glob("*.md"))


def document(path: Path) -> Document:
    doc = Doc(f"default/{path.stem}")
    pages = path.read_text(encoding="utf-8").split(PAGE_BREAK)
    texts = [
        PageText(doc=doc, version=1, page=number, source=Source.OCR, markdown=markdown.strip("\n"))
        for number, markdown in enumerate(pages, 1)
    ]
    return Document(doc=doc, version=1, revision=1, pages=tuple(texts))


def written(chunks: ChunkSet) -> str:
    return "\n".join(one_written(chunk) for chunk in chunks.chunks)


def one_written(chunk: Chunk) -> str:
    facts = [
        f"{chunk.order + 1}. {chunk.kind}",
        f"pages {', '.join(map(str, chunk.pages))}",
        f"{chunk.tokens} tokens",
        *chunk.flags,
    ]
    context = f"[{chunk.context}]\n" if chunk.context else ""
    return f"---- {'; '.join(facts)}\n{context}{chunk.body}\n"


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_pages_become_the_chunks_that_were_agreed_on(path: Path, update_golden: bool) -> None:
    made = written(Chunker("words", tokens_max=64, context_tokens_max=16, model="hash").chunk(document(path)))
    golden = path.with_suffix(".chunks")
    if update_golden:
        golden.write_text(made, encoding="utf-8")
    assert made == golden.read_text(encoding="utf-8")


def test_there_are_golden_files() -> None:
    assert len(CASES) >= 6
