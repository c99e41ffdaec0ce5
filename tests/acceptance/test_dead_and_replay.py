"""folio dead and folio replay as a person uses them, on a running owner and without one."""

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from console.replaying import Apart, summary_line
from folio.ids import Doc, page_key
from folio.log import Record
from folio.records import Page
from folio.settings import load
from folio.topics import PAGES, PAGES_BULK, TEXTS, UPLOADS
from infra.folder_blobs import FolderBlobs
from infra.sqlite_log import SqliteLog
from tests.acceptance.conftest import Desk, desk_at, running
from tests.logs import kafka_log
from tests.pages import encrypted_pdf, report_pdf

CAMERA = Doc("default/camera")


def seeded(data: Path, *images: bytes) -> None:
    """Pages of a producer's own, on the log before any owner runs."""

    async def seed() -> None:
        data.mkdir(parents=True, exist_ok=True)
        async with SqliteLog.open(data / "log.sqlite", FolderBlobs(data / "blobs")) as log:
            for number, image in enumerate(images, start=1):
                page = Page(doc=CAMERA, version=7, page=number, page_count=len(images))
                await log.append(PAGES, [Record(page_key(CAMERA, number), image, page.headers())])

    asyncio.run(seed())


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A document of three pages, of which the second loops; nobody runs."""
    made = desk_at(tmp_path_factory.mktemp("dead"), FOLIO_OCR__ENGINE="scripted")
    seeded(made.data, b"folio:The first page tells of whales.", b"folio!ocr_loop", b"folio:The third tells of gulls.")
    with running(made):
        made.until(lambda: "searchable with gaps" in made.ok("status").out)
    return made


@pytest.mark.timeout(300)
def test_a_life_of_dead_letters_and_replays(desk: Desk, tmp_path: Path) -> None:
    with running(desk):
        listed = desk.ok("dead", "list")
        assert "ocr_loop" in listed.out
        assert "camera p. 2" in listed.out
        found = desk.ok("dead", "list", "--json").json()
        position = found["dead"][0]["position"]
        assert found["causes"] == {"ocr_loop": 1}
        shown = desk.ok("dead", "show", "1").out
        assert "still there" in shown
        assert f"folio dead redrive {position}" in shown
        assert desk.ok("dead", "show", position, "--json").json()["headers"]["folio-page"] == "2"

        assert desk.ok("dead", "list", "--cause", "encrypted").out == "nothing was given up of that kind\n"
        assert desk.folio("dead", "list", "--cause", "nonsense").code == 2
        assert desk.folio("dead", "show", "7").code == 1
        assert desk.folio("dead", "redrive").code == 2

        redriven = desk.ok("dead", "redrive", position)
        assert redriven.out.startswith(f"{position}: redriven as pages/0/3")
        desk.until(lambda: "pages/0/3" in desk.ok("dead", "list").out)
        again = desk.ok("dead", "redrive", position)
        assert again.out == f"{position}: already redriven\n"
        assert desk.ok("dead", "redrive", "--all", "--yes").out.startswith("pages/0/3: redriven")

        plan = desk.ok("replay", "--topic", "pages", "--document", "camera", "--dry-run")
        assert plan.out.startswith("replay of pages: 5 records, ")
        assert "pages to be read by OCR: 5" in plan.out
        assert desk.ok("replay", "--list").out == "there were no replays here\n"

        done = desk.folio("replay", "--topic", "pages", "--rate", "50/s", "--yes", "--json")
        summary = json.loads(done.out)
        assert (summary["state"], summary["replayed"]) == ("done", 2)
        assert summary["failed"] >= 3, done
        assert done.code == 3
        assert "pages: done: 2 records" in desk.ok("replay", "--list").out
        assert desk.search("whales")[0]["document"] == "camera"


@pytest.mark.timeout(300)
def test_uploads_without_a_running_owner_and_documents_with_one(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, FOLIO_OCR__ENGINE="scripted")
    pdf = report_pdf(tmp_path / "a.pdf", pages=2, special={2: "The lighthouse was painted white."})
    desk.ok("add", str(pdf))
    before = desk.ok("status", "--json").json()["documents"][0]
    alone = desk.ok("replay", "--topic", "uploads", "--yes", "--json").json()
    with running(desk):
        served = desk.ok("replay", "--topic", "documents", "--yes", "--json").json()
        after = desk.ok("status", "--json").json()["documents"][0]
        assert "lighthouse" in desk.search("white lighthouse")[0]["text"]
    assert [(one["state"], one["replayed"], one["failed"]) for one in (alone, served)] == [("done", 1, 0)] * 2
    assert (after["state"], after["chunks"], after["version"]) == ("searchable", before["chunks"], before["version"])


@pytest.mark.timeout(300)
def test_what_replay_refuses(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, FOLIO_OCR__ENGINE="scripted")
    seeded(desk.data, b"folio:A page.")
    with running(desk):
        for arguments, code, says in (
            (("--topic", "nowhere"), 2, "pages.bulk"),
            (("--topic", "pages", "--from-time", "2999-01-01"), 2, "future"),
            (("--topic", "pages", "--rate", "fast"), 2, "5/s"),
            (("--topic", "pages", "--accept-gap"), 2, "--group"),
            (("--topic", "pages", "--group", "nobody"), 1, "never read"),
            (("--topic", "pages", "--rate", "0"), 2, "above 0"),
            (("--resume", "nothing"), 1, "no replay"),
            (("--resume", "nothing", "--rate", "50/s"), 2, "cannot be changed"),
            (("--resume", "nothing", "--dry-run"), 2, "cannot be changed"),
            (("--resume", "nothing", "--from-offset", "0"), 2, "cannot be changed"),
            (("--topic", "pages", "--list"), 2, "only one of"),
            ((), 2, "say what to read again (--topic pages"),
        ):
            ran = desk.folio("replay", *arguments)
            assert ran.code == code, (arguments, ran)
            assert says in ran.err, (arguments, ran.err)
        nobody = desk.ok("replay", "--topic", "pages", "--document", "nobody.pdf", "--yes").out
        assert "there is nothing to replay: pages keeps no record of nobody.pdf" in nobody
        assert "there is nothing to replay\n" in desk.ok("replay", "--topic", PAGES_BULK.name, "--yes").out
        assert desk.folio("replay", "--topic", "pages").code == 1, "nobody is there to say yes"
    gap = desk.ok("replay", "--topic", "pages", "--group", "ocr", "--accept-gap")
    assert gap.out == "group ocr has lost no record of pages\n"


@pytest.mark.timeout(240)
def test_a_bad_upload_record_says_that_the_version_before_is_still_found(tmp_path: Path) -> None:
    desk, file = desk_at(tmp_path), tmp_path / "tower.txt"
    file.write_text("The lighthouse is white.")
    desk.ok("add", str(file))
    version = desk.ok("status", "--json").json()["documents"][0]["version"]
    broken(desk.data, "default/tower.txt")
    with running(desk):
        desk.until(lambda: "schema_invalid" in desk.ok("status").out)
        still = f"version {version} is still searchable"
        assert f"{still}  schema_invalid" in desk.ok("status").out
        assert still in desk.ok("status", "tower.txt").out
        position = desk.ok("dead", "list", "--json").json()["dead"][0]["position"]
        assert f"version {version} of it is still searchable" in desk.ok("dead", "show", position).out
        assert desk.ok("dead", "show", position, "--json").json()["searchable_version"] == version
        assert "white" in desk.search("lighthouse")[0]["text"]


def broken(data: Path, key: str) -> None:
    """Half a record under a document's key, from a producer of somebody's own."""

    async def append() -> None:
        async with SqliteLog.open(data / "log.sqlite", FolderBlobs(data / "blobs")) as log:
            await log.append(UPLOADS, [Record(key, b'{"doc": "default/tower.txt", "pages')])

    asyncio.run(append())


def test_an_encrypted_file_is_not_redriven(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, FOLIO_OCR__ENGINE="scripted")
    assert desk.folio("add", str(encrypted_pdf(tmp_path / "locked.pdf"))).code == 1
    ran = desk.folio("dead", "redrive", "--cause", "encrypted", "--yes")
    assert ran.code == 1
    assert "--password" in ran.out


@pytest.mark.timeout(240)
async def test_over_kafka_the_command_replays_by_itself_beside_the_live_process(kafka: str, tmp_path: Path) -> None:
    prefix = f"replay-{uuid.uuid4().hex[:10]}."
    more = {"FOLIO_KAFKA__SERVERS": kafka, "FOLIO_KAFKA__PREFIX": prefix, "FOLIO_OCR__ENGINE": "scripted"}
    desk = desk_at(tmp_path, **more)
    async with kafka_log(kafka, prefix) as log:
        page = Page(doc=CAMERA, version=7, page=1, page_count=1)
        await log.append(PAGES, [Record(page_key(CAMERA, 1), b"folio:Whales sing.", page.headers())])
        with running(desk):
            await asyncio.to_thread(desk.until, lambda: "searchable" in desk.ok("status").out, 120)
            stands = await log.committed("ocr", PAGES)
            plan = await asyncio.to_thread(desk.ok, "replay", "--topic", "pages", "--dry-run")
            assert plan.out.startswith("replay of pages: 1 record, ")
            done = (await asyncio.to_thread(desk.ok, "replay", "--topic", "pages", "--yes", "--json")).json()
            assert (done["state"], done["replayed"], done["failed"]) == ("done", 1, 0)
            assert done["id"] in (await asyncio.to_thread(desk.ok, "replay", "--list")).out
            gap = ("replay", "--topic", "pages", "--group", "nobody", "--accept-gap")
            assert "lost no record" in (await asyncio.to_thread(desk.ok, *gap)).out
            assert (await asyncio.to_thread(desk.ok, "dead", "list")).out == "nothing was given up\n"
            assert await log.committed("ocr", PAGES) == stands
        texts = sum(end - first for first, end in (await log.spans(TEXTS)).values())
    assert texts == 2


@pytest.mark.timeout(240)
async def test_a_replay_that_was_killed_says_what_it_waits_for_and_its_counts_are_the_plan(
    kafka: str, tmp_path: Path
) -> None:
    prefix, count = f"replay-{uuid.uuid4().hex[:10]}.", 44
    more = {"FOLIO_KAFKA__SERVERS": kafka, "FOLIO_KAFKA__PREFIX": prefix, "FOLIO_KAFKA__SESSION_TIMEOUT_S": "5"}
    desk = desk_at(tmp_path, **more, FOLIO_OCR__ENGINE="scripted")
    desk.data.mkdir()
    async with kafka_log(kafka, prefix) as log:
        for number in range(1, count + 1):
            page = Page(doc=CAMERA, version=7, page=number, page_count=count)
            value = b"folio:Whales sing." if number % 2 else b"folio!ocr_loop"
            await log.append(PAGES, [Record(page_key(CAMERA, number), value, page.headers())])
        killed = desk.start("replay", "--topic", "pages", "--rate", "10/s", "--yes")
        await asyncio.to_thread(desk.until, lambda: any(one["passed"] > 5 for one in known(desk)), 90)
        killed.kill()
        killed.communicate()
        [before] = known(desk)
        assert 0 < before["replayed"] + before["failed"] < count
        settings = load(environment={k: v for k, v in desk.environment.items() if k.startswith("FOLIO_")})
        [listed] = map(summary_line, Apart(settings).every())  # in this process: the session of the killed one runs out
        assert f"interrupted: {before['replayed']} record" in listed
        assert f"(folio replay --resume {before['id']} goes on)" in listed
        resumed = await asyncio.to_thread(desk.folio, "replay", "--resume", before["id"])
        read = sum(end - first for first, end in (await log.spans(TEXTS)).values())
    assert resumed.code == 3, "what was given up is said"
    assert "after a kill that takes up to 5 s (kafka.session_timeout_s)" in resumed.err
    [done] = known(desk)
    assert (done["replayed"], done["failed"], done["appended"], done["uncounted"]) == (22, 22, count, 0)
    assert f"{done['id']} of pages: done: 22 records read again, 22 given up, 44 appended" in resumed.out
    assert read >= count


@pytest.mark.timeout(240)
async def test_any_command_stops_a_replay_and_none_goes_on_with_one_that_is_at_work(kafka: str, tmp_path: Path) -> None:
    prefix, count = f"replay-{uuid.uuid4().hex[:10]}.", 20
    more = {"FOLIO_KAFKA__SERVERS": kafka, "FOLIO_KAFKA__PREFIX": prefix, "FOLIO_OCR__ENGINE": "scripted"}
    desk = desk_at(tmp_path, **more)
    desk.data.mkdir()
    async with kafka_log(kafka, prefix) as log:
        for number in range(1, count + 1):
            page = Page(doc=CAMERA, version=7, page=number, page_count=count)
            await log.append(PAGES, [Record(page_key(CAMERA, number), b"folio:Whales sing.", page.headers())])
        begun = desk.start("replay", "--topic", "pages", "--rate", "1/s", "--yes")
        await asyncio.to_thread(desk.until, lambda: any(one["passed"] > 0 for one in known(desk)), 90)
        [at_work] = known(desk)
        refused = await asyncio.to_thread(desk.folio, "replay", "--resume", at_work["id"])
        assert (refused.code, known(desk)[0]["state"]) == (1, "running")
        assert f"another process is at work on replay {at_work['id']}" in refused.err
        stopped = (await asyncio.to_thread(desk.ok, "replay", "--stop", at_work["id"], "--json")).json()
        assert stopped["state"] == "stopped"
        out, _ = await asyncio.to_thread(begun.communicate)
        assert b"pages: stopped: " in out
        assert 0 < stopped["replayed"] < count


def known(desk: Desk) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in (desk.data / "replays-apart").glob("*.json")]
