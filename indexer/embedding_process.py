"""The embedding model, in a process of its own: torch's memory and seconds of loading stay out of the owner."""

import numpy as np
import torch
from sentence_transformers import SentenceTransformer


class SentenceEmbedder:
    """Loads one model and answers batches; lengths come first, so that nothing is ever cut in silence."""

    def __init__(self, model: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._model = SentenceTransformer(model)
        self._tokenizer = self._model.tokenizer

    def lengths(self, texts: list[str]) -> list[int]:
        """Tokens of each text as the model counts them, special ones included and none cut off."""
        if not texts:
            return []
        return [len(ids) for ids in self._tokenizer(texts, truncation=False, padding=False)["input_ids"]]

    def documents(self, texts: list[str]) -> bytes:
        return _packed(self._model.encode_document(texts, batch_size=len(texts), **_AS_BYTES))

    def query(self, text: str, tokens_max: int) -> tuple[int, bytes]:
        """The question's length, and its vector unless it is too long to have one."""
        (tokens,) = self.lengths([self._model.prompts.get("query", "") + text])
        return tokens, b"" if tokens > tokens_max else _packed(self._model.encode_query([text], **_AS_BYTES))


_AS_BYTES = {"normalize_embeddings": True, "convert_to_numpy": True, "show_progress_bar": False}


def _packed(vectors: np.ndarray) -> bytes:
    return np.ascontiguousarray(vectors, np.float32).tobytes()
