"""The chunker in a process of its own, so that tokenizing never stops intake."""

import os

from folio.records import Document

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # threads of its own would only add CPU time


class ChunkProcess:
    """What `folio.child` serves: a packed Document comes in, an encoded ChunkSet goes out."""

    def __init__(self, *, tokenizer: str, tokens_max: int, context_tokens_max: int, model: str) -> None:
        from chunking.chunker import Chunker

        self._chunker = Chunker(tokenizer, tokens_max=tokens_max, context_tokens_max=context_tokens_max, model=model)

    def chunk(self, value: bytes) -> bytes:
        """Raises Permanent(schema_invalid) when the value is no document."""
        return self._chunker.chunk(Document.unpack(value)).encode()
