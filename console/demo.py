"""`folio demo`: the bundled example documents through the whole pipeline, and questions answered from them."""

import sys
import time
import tomllib
from pathlib import Path
from typing import Any

from console.adding import Adding, collect, sentences
from console.following import Result
from console.passages import passage
from console.session import Session
from console.show import where
from folio.errors import FolioError
from folio.questions import Question
from folio.settings import Settings

PLACES = (Path(__file__).parent / "examples", Path(__file__).parent.parent / "examples")
"""In an installed wheel, and in a checkout."""


def run_demo(session: Session, settings: Settings, *, talk: bool) -> list[dict[str, Any]]:
    """Add the examples, ask their questions; returns each question with its best hit. Raises FolioError."""
    examples = folder()
    out = sys.stdout if talk else sys.stderr
    began = time.monotonic()
    print("Reading the example documents: ingest, OCR, chunk, embed, index ...", file=sys.stderr, flush=True)
    with collect([str(examples / "documents")]) as files:
        results = Adding(session, settings).run(files, wait=True, talk=True)
    print(f"\nDocuments ({time.monotonic() - began:.0f} s)", file=out)
    for line in sentences(results):
        print(f"  {line}", file=out)
    _check(results)
    questions = tomllib.loads((examples / "questions.toml").read_text(encoding="utf-8"))["question"]
    answers = [_answer(session, question) for question in questions]
    print("\nQuestions", file=out)
    for answer in answers:
        _print_answer(answer, out)
    return answers


def folder() -> Path:
    for place in PLACES:
        if (place / "questions.toml").is_file():
            return place
    raise FolioError("the example documents are not installed with this package: run from a checkout")


def _answer(session: Session, question: dict[str, Any]) -> dict[str, Any]:
    hits = session.call(lambda client: client.search(Question(question=question["ask"])))["hits"]
    return {"question": question["ask"], "hits": hits}


def _print_answer(answer: dict[str, Any], out: Any) -> None:
    print(f"\n  ? {answer['question']}", file=out)
    if not answer["hits"]:
        print("    nothing found", file=out)
        return
    best = answer["hits"][0]
    print(f"    {where(best)}", file=out)
    for line in passage(best["text"], answer["question"]):
        print(f"    | {line}", file=out)
    out.flush()


def _check(results: list[Result]) -> None:
    failed = [result["document"] for result in results if result["state"] in ("failed", "refused")]
    if failed:
        raise FolioError(f"these examples could not be read: {', '.join(failed)}")
