"""The embedding model, in a process of its own: torch's memory and seconds of loading stay out of the owner."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer


class SentenceEmbedder:
    """Loads one model and answers batches; lengths come first, so that nothing is ever cut in silence.

    Each core works on a batch of its own. Several cores on one batch meet at a barrier after every layer, which takes
    a third more CPU on an idle machine, and twice to three times as much when one of them is busy with something else.
    """

    def __init__(self, model: str, threads: int) -> None:
        torch.set_num_threads(1)
        self._model = SentenceTransformer(model)
        self._tokenizer = self._model.tokenizer
        self._model.preprocess = _one_at_a_time(self._model.preprocess)  # a tokenizer in use refuses a second user
        workers = threads if self._model.device.type == "cpu" else 1
        self._workers = ThreadPoolExecutor(workers, "embed", initializer=torch.set_num_threads, initargs=(1,))

    def lengths(self, texts: list[str]) -> list[int]:
        """Tokens of each text as the model counts them, special ones included and none cut off."""
        if not texts:
            return []
        return [len(ids) for ids in self._tokenizer(texts, truncation=False, padding=False)["input_ids"]]

    def documents(self, batches: list[list[str]]) -> list[bytes]:
        """The vectors of each batch."""
        return list(self._workers.map(self._documents, batches))

    def query(self, text: str, tokens_max: int) -> tuple[int, bytes]:
        """The question's length, and its vector unless it is too long to have one."""
        (tokens,) = self.lengths([self._model.prompts.get("query", "") + text])
        return tokens, b"" if tokens > tokens_max else _packed(self._model.encode_query([text], **_AS_BYTES))

    def _documents(self, texts: list[str]) -> bytes:
        return _packed(self._model.encode_document(texts, batch_size=len(texts), **_AS_BYTES))


_AS_BYTES = {"normalize_embeddings": True, "convert_to_numpy": True, "show_progress_bar": False}


def _one_at_a_time(call: Callable[..., Any]) -> Callable[..., Any]:
    turn = Lock()

    def alone(*args: Any, **kwargs: Any) -> Any:
        with turn:
            return call(*args, **kwargs)

    return alone


def _packed(vectors: np.ndarray) -> bytes:
    return np.ascontiguousarray(vectors, np.float32).tobytes()
