"""What one complete index build is called: its group, its collection and its folder carry one name."""

import hashlib
import re

SLUG_CHARS_MAX = 40


def generation_of(chunker: str, embedder: str, dimension: int) -> str:
    """`minilm-3f9a1c04`: readable, and different whenever chunker revision, embedder or dimension differ.

    So vectors of two embedders can never meet in one collection.
    """
    digest = hashlib.sha256(f"{chunker}\n{embedder}\n{dimension}".encode()).hexdigest()[:8]
    slug = re.sub(r"[^a-z0-9]+", "-", embedder.lower()).strip("-")[-SLUG_CHARS_MAX:].strip("-")
    return f"{slug or 'model'}-{digest}"


def collection_of(generation: str) -> str:
    """The collection on a server, or the folder of the embedded index, that holds one generation."""
    return f"folio-{generation}"
