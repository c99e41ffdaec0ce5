"""The embedding model, in a process of its own: torch's memory and seconds of loading stay out of the owner."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock, get_native_id
from typing import Any

import numpy as np

from folio.errors import Cause, Transient

NICE = 5
"""Nobody waits for a document's vectors, everybody for its words: of a core that both want these get three quarters."""


class SentenceEmbedder:
    """Loads one model and answers batches; lengths come first, so that nothing is ever cut in silence.

    Each core works on a batch of its own. Several cores on one batch meet at a barrier after every layer, which takes
    a third more CPU on an idle machine, and twice to three times as much when one of them is busy with something else.

    Documents, and the loading of torch and the model, take what others leave of the machine; a question does not.
    """

    def __init__(self, model: str, threads: int) -> None:
        with ThreadPoolExecutor(1, "load", initializer=_give_way) as loading:
            self._model = loading.submit(_loaded, model).result()
        _single_threaded()
        self._tokenizer = self._model.tokenizer
        self._model.preprocess = _one_at_a_time(self._model.preprocess)  # a tokenizer in use refuses a second user
        workers = threads if self._model.device.type == "cpu" else 1
        self._workers = ThreadPoolExecutor(workers, "embed", initializer=_give_way)
        self._made: list[Future[bytes]] | None = None

    def lengths(self, texts: list[str]) -> list[int]:
        """Tokens of each text as the model counts them, special ones included and none cut off."""
        if not texts:
            return []
        return [len(ids) for ids in self._tokenizer(texts, truncation=False, padding=False)["input_ids"]]

    def begin(self, batches: list[list[str]]) -> None:
        """Embed on all cores; `made` has the vectors. A question that comes meanwhile is answered beside it."""
        self._made = [self._workers.submit(self._documents, batch) for batch in batches]

    def made(self, wait_s: float) -> list[bytes] | None:
        """The vectors of each batch, once all are there; None when they are not after that time."""
        if self._made is None:
            raise Transient(Cause.EMBEDDER_DOWN, "its process was started again before it had finished")
        if wait(self._made, wait_s).not_done:
            return None
        made, self._made = self._made, None
        return [batch.result() for batch in made]

    def query(self, text: str, tokens_max: int) -> tuple[int, bytes]:
        """The question's length, and its vector unless it is too long to have one."""
        (tokens,) = self.lengths([self._model.prompts.get("query", "") + text])
        return tokens, b"" if tokens > tokens_max else _packed(self._model.encode_query([text], **_AS_BYTES))

    def _documents(self, texts: list[str]) -> bytes:
        return _packed(self._model.encode_document(texts, batch_size=len(texts), **_AS_BYTES))


_AS_BYTES = {"normalize_embeddings": True, "convert_to_numpy": True, "show_progress_bar": False}


def _give_way() -> None:
    """Linux has priorities of threads; elsewhere all are alike."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + NICE)
    _single_threaded()


def _single_threaded() -> None:
    import torch

    torch.set_num_threads(1)


def _loaded(model: str) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(model)


def _one_at_a_time(call: Callable[..., Any]) -> Callable[..., Any]:
    turn = Lock()

    def alone(*args: Any, **kwargs: Any) -> Any:
        with turn:
            return call(*args, **kwargs)

    return alone


def _packed(vectors: np.ndarray) -> bytes:
    return np.ascontiguousarray(vectors, np.float32).tobytes()
