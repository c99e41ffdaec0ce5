"""What `make run` shows: every example is read with the real engines, every question answered from the right page."""

import tomllib
from pathlib import Path

import pytest

from tests.acceptance.conftest import Desk

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
QUESTIONS = tomllib.loads((EXAMPLES / "questions.toml").read_text(encoding="utf-8"))["question"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_answers_its_questions_from_the_right_pages(desk: Desk) -> None:
    del desk.environment["FOLIO_INDEXER__EMBEDDER"], desk.environment["FOLIO_LEDGER__PREFIX_WAIT_S"]
    ran = desk.folio("demo", "--json", seconds_max=500)
    assert ran.code == 0, ran.err
    answers = {answer["question"]: answer["hits"] for answer in ran.json()["answers"]}
    assert len(answers) == len(QUESTIONS)
    for question in QUESTIONS:
        best = answers[question["ask"]][0]
        assert best["document"] == question["document"], question["ask"]
        assert set(best["pages"]) & set(question["pages"]), question["ask"]
        assert best["boxes"], question["ask"]
        texts = " ".join(" ".join(hit["text"].split()) for hit in answers[question["ask"]])
        assert question["phrase"] in texts, question["ask"]
    assert "already there" in desk.ok("add", str(EXAMPLES / "documents" / "annual-report.pdf")).out
