"""What one complete index build is called: its group, its collection and its folder carry one name."""

import hashlib
import re

SLUG_CHARS_MAX = 40


def generation_name(chunker: str, embedder: str, tokenizer: str) -> str:
    """`minilm-3f9a1c04`: readable, and different whenever the chunker, the embedder or the words' tokenizer differ.

    So vectors of two embedders never meet in one collection; a model that changed its dimension under its old
    name is refused by the store when it opens.
    """
    digest = hashlib.sha256(f"{chunker}\n{embedder}\n{tokenizer}".encode()).hexdigest()[:8]
    slug = re.sub(r"[^a-z0-9]+", "-", embedder.lower()).strip("-")[-SLUG_CHARS_MAX:].strip("-")
    return f"{slug or 'model'}-{digest}"


def collection_name(generation: str) -> str:
    """The collection on a server, or the folder of the embedded index, that holds one generation."""
    return f"folio-{generation}"
