"""No embedder at all: an index whose passages are found by their words alone, with no model to load or to fetch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NONE = "none"


class NoEmbedder:
    """An Embedder of dimension 0. Whoever would embed asks for the dimension first."""

    name = NONE
    dimension = 0
    tokens_max = 256
    tokenizer = "words"

    async def documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.zeros((len(texts), 0), np.float32)

    async def query(self, text: str) -> NDArray[np.float32]:
        return np.zeros(0, np.float32)

    async def warm(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to end."""
