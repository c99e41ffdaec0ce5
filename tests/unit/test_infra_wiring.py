"""What the wiring makes of settings: an index without an embedder, and generations that never meet."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chunking.revision import REVISION
from folio.errors import SettingsError
from folio.questions import Filters, Question
from folio.settings import Settings, load
from indexer.search import BadQuestion
from infra.indexing import chunker_name
from infra.intake import Named
from infra.run import Owner, open_owner
from infra.wiring import open_blobs
from tests.pages import report_pdf
from tests.s3_server import BUCKET, s3_server


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


async def test_blobs_lie_where_the_url_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        for number, url in enumerate(("", f"file://{tmp_path}/with%20space", f"s3://{BUCKET}/folio")):
            place = load(environment={}, overrides={"data": tmp_path / str(number), "blobs": {"url": url}})
            sha256 = await (await open_blobs(place)).put(b"page")
            at = f"{sha256[:2]}/{sha256}"
            found = (tmp_path / "0/blobs" / at, tmp_path / "with space" / at, f"folio/{at}")[number]
            assert found.read_bytes() == b"page" if isinstance(found, Path) else server.objects[found][0] == b"page"
    with pytest.raises(SettingsError, match=r"blobs\.url"):
        load(environment={"FOLIO_BLOBS__URL": "bucket/folder"})


async def test_a_store_that_another_folio_sweeps_is_refused(tmp_path: Path) -> None:
    shared = {"blobs": {"url": f"file://{tmp_path}/shared"}, "indexer": {"embedder": "none"}}
    ours, theirs = [load(environment={}, overrides={"data": tmp_path / name, **shared}) for name in ("a", "b")]
    for _ in range(2):
        async with open_owner(ours):
            pass
    with pytest.raises(SettingsError, match=r"data folder .*/a.*owner"):
        async with open_owner(theirs):
            pass
    (tmp_path / "shared" / "owner").unlink()
    async with open_owner(theirs):
        pass


async def test_the_data_folder_of_an_embedded_folio_is_not_one_of_kafka_s_nor_the_other_way_round(
    tmp_path: Path,
) -> None:
    async with open_owner(settings(tmp_path / "embedded")):
        pass
    kafka = {"kafka": {"servers": "127.0.0.1:1"}}
    with pytest.raises(SettingsError, match="data folder of an embedded folio"):
        async with open_owner(load(environment={}, overrides={"data": tmp_path / "embedded", **kafka})):
            pass
    theirs = tmp_path / "kafka"
    theirs.mkdir()
    (theirs / "log-of").write_text("Kafka cluster X, prefix ''")
    with pytest.raises(SettingsError, match="data folder of Kafka cluster X"):
        async with open_owner(settings(theirs)):
            pass
    assert not (theirs / "log.sqlite").exists()


async def test_stages_of_other_processes_are_listed_with_what_waits_for_them(tmp_path: Path) -> None:
    place = settings(tmp_path / "data", embedder="hash")
    async with open_owner(place, frozenset({"ledger", "index", "embed", "api"})) as owner:
        await owner.intake.put(report_pdf(tmp_path / "a.pdf", pages=1), Named(name="a.pdf"))
        listed = {status.stage.split("-")[0]: status for status in await owner.stages()}
        assert list(listed) == ["ingest", "ocr", "ledger", "index", "embed"]
        assert (listed["ingest"].here, listed["ingest"].lag) == (False, 1)
        assert not listed["ingest"].ready
        assert listed["ingest"].waits_for.startswith("no ingest process is at work: start folio run ingest")
        assert listed["ocr"].ready, "nothing waits for it"
        assert listed["ledger"].here
        assert not await owner.idle()


def test_chunks_of_another_size_are_another_generation_and_the_usual_ones_are_not() -> None:
    usual = chunker_name(load(environment={}))
    assert usual == REVISION
    assert chunker_name(load(environment={}, overrides={"chunking": {"tokens_max": 128}})) != usual
    assert chunker_name(load(environment={}, overrides={"chunking": {"document_seconds_max": 9}})) == usual
