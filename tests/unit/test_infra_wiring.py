"""What the wiring makes of settings: an index without an embedder, and generations that never meet."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from folio.questions import Filters, Question
from folio.settings import Settings, load
from indexer.search import BadQuestion
from infra.intake import Named
from infra.run import Owner, open_owner
from tests.pages import report_pdf


def settings(folder: Path, **indexer: Any) -> Settings:
    quick: dict[str, Any] = {
        "data": folder,
        "indexer": {"embedder": "none", **indexer},
        "ocr": {"engine": "scripted"},
        "ingest": {"verify_share": 0},
        "ledger": {"prefix_wait_s": 0.1},
    }
    return load(environment={}, overrides=quick)


async def settled(owner: Owner) -> None:
    async with asyncio.timeout(30):
        await asyncio.sleep(0.2)
        while not await owner.idle():
            await asyncio.sleep(0.05)


async def test_without_an_embedder_documents_are_found_by_their_words_also_after_a_restart(tmp_path: Path) -> None:
    pdf = report_pdf(tmp_path / "a.pdf", pages=2, special={2: "The pump INV-2024-001 was painted white."})
    asked = Question(question="inv-2024-001", k=1, explain=True, filters=Filters(page_first=2))
    async with open_owner(settings(tmp_path / "data")) as owner:
        await owner.intake.put(pdf, Named(name="a.pdf"))
        await settled(owner)
        (hit,) = await owner.search(asked)
        assert (hit.document, hit.source, hit.pages) == ("a.pdf", "a.pdf", (2,))
        assert hit.explanation is not None
        assert "inv-2024-001" in hit.explanation.terms
        with pytest.raises(BadQuestion):
            await owner.search(Question(question="pump", mode="dense"))
    async with open_owner(settings(tmp_path / "data")) as owner:
        assert (await owner.search(asked))[0].chunk_id == hit.chunk_id


async def test_another_embedder_is_another_generation_filled_from_the_log(tmp_path: Path) -> None:
    async with open_owner(settings(tmp_path / "data")) as owner:
        await owner.intake.put(report_pdf(tmp_path / "a.pdf", pages=1), Named(name="a.pdf"))
        await settled(owner)
        first = owner.parts.generation
    async with open_owner(settings(tmp_path / "data", embedder="hash")) as owner:
        assert owner.filling
        await settled(owner)
        assert owner.parts.generation != first
        assert await owner.search(Question(question="report", mode="dense"))
        assert owner.search_note == ""
        assert not any(status.filling for status in await owner.stages())


async def test_who_searches_an_index_that_is_being_filled_is_told(tmp_path: Path) -> None:
    async with open_owner(settings(tmp_path / "data")) as owner:
        await owner.intake.put(report_pdf(tmp_path / "a.pdf", pages=1), Named(name="a.pdf"))
        await settled(owner)
        assert not owner.filling
    async with open_owner(settings(tmp_path / "data", embedder="hash")) as owner:
        await owner.search(Question(question="report"))  # before its stage had a turn
        assert "hash" in owner.search_note
        assert "is being filled (waiting documents: 1)" in owner.search_note
        assert [status.stage[:6] for status in await owner.stages() if status.filling] == ["index-"]
