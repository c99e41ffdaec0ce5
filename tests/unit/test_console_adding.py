"""The lines of add: what is new of a document, what still answers, what a folder leaves out, when it will end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from console.adding import _gaps, collect, file_at, left_out, line, put
from console.cli_adding import _exit
from console.client import AS_IT_IS, Changing, _parts
from console.exporting import not_exported
from console.following import NOTHING, Following, Result, fill_in_flaws
from console.options import Exit
from console.pace import Counts, Pace
from console.progress import Progress, bar, headline
from console.session import Session, open_session
from console.summary import next_step, summed
from console.watching import Watching, exit_code
from folio import topics
from folio.errors import Cause
from folio.ids import Doc, doc_id_of
from folio.letters import DeadLetter
from folio.settings import load
from infra.places import LEDGER_FILE
from ingest.folder import Choice
from ledger import audit
from ledger.audit import DocumentStatus
from tests.unit.ledger_world import DOC, World


def result(state: str, **more: object) -> Result:
    return NOTHING | {"document": "a.pdf", "state": state, "outcome": "changed"} | more


@pytest.mark.parametrize(
    ("chunks", "embedded", "said"),
    [(7, 7, "7 chunks"), (7, 0, "7 chunks"), (7, 2, "7 chunks (2 new, 5 as before)"), (1, 0, "1 chunk")],
)
def test_chunks_are_told_in_words_that_need_no_explanation(chunks: int, embedded: int, said: str) -> None:
    told = line(result("searchable", pages=3, chunks=chunks, embedded=embedded, changes=["contents"]))
    assert told == f"a.pdf: searchable (new version: contents changed): 3 pages, {said}"


def test_a_version_that_failed_says_which_one_still_answers() -> None:
    failed = result("failed", version=4, cause="corrupt", detail="half a file")
    assert line(failed) == "a.pdf: failed: corrupt: half a file"
    assert line(failed | {"searchable_version": 3}).endswith("half a file (version 3 is still searchable)")
    assert line(failed | {"searchable_version": 4}) == line(failed), "none but itself"


async def vectors_given_up(world: World) -> None:
    letter = DeadLetter(
        stage="embed-g1", cause=Cause.INTERNAL, topic=topics.RECEIPTS.name, partition=0, offset=0, key=DOC, doc=DOC
    )
    await world.put(topics.DEAD, letter, {"folio-revision": str(world.last().revision)})


async def test_what_is_there_and_lacks_something_says_so_each_time(tmp_path: Path) -> None:
    world = World(tmp_path / LEDGER_FILE)
    version = await world.upload()
    await world.text(1, version, page_count=2)
    await world.text(2, version, page_count=2, status="failed", cause=Cause.CORRUPT)
    await world.tick()
    await world.receipt(world.last(), chunks=3, embedded=1, lacking=2)
    await vectors_given_up(world)
    there = result("unchanged", document=doc_id_of(DOC), version=version, outcome="unchanged")
    fill_in_flaws(world.path, [there])
    await world.store.close()
    said = f"(version {version}), 2 chunks found by words only (internal), gaps: page 2 (corrupt)"
    assert line(there) == f"{doc_id_of(DOC)}: already there, nothing to do {said}"
    assert list(summed([there], 1.0)["causes"]) == ["corrupt", "internal"]
    assert next_step([there]) == f"next: folio status {doc_id_of(DOC)}"
    with pytest.raises(typer.Exit) as ended:
        _exit([there])
    assert ended.value.exit_code == Exit.PARTIAL


def test_a_first_version_has_no_chunks_as_before() -> None:
    """Its pages were indexed as they came: what was there is of itself."""
    said = line(result("searchable", outcome="new", pages=3, chunks=4, embedded=2))
    assert said == "a.pdf: searchable: 3 pages, 4 chunks"


def test_a_folder_says_what_it_leaves_out(tmp_path: Path) -> None:
    for name in ("a.txt", "letter.docx", "drafts/b.xlsx", ".hidden.docx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert left_out(tmp_path, Choice((), ("drafts",))).endswith(": 1 file of other types (letter.docx)")
    assert "2 files of other types" in left_out(tmp_path, Choice())
    assert left_out(tmp_path, Choice(("*.txt",))) == "", "somebody chose by name"


def test_the_time_left_is_told_once_it_is_steady() -> None:
    pace = Pace()
    for second in range(4):
        pace.feed(Counts(documents=1, announced=1000, digital=10 * second, searchable=10 * second), float(second))
        assert pace.steady_left() is None, "too early to tell"
    for second in range(4, 12):
        pace.feed(Counts(documents=1, announced=1000, digital=10 * second, searchable=10 * second), float(second))
    left = pace.steady_left()
    assert left is not None
    assert 70 < left < 110
    pace.feed(Counts(documents=2, announced=9000, digital=120, searchable=120), 12.0)
    assert pace.steady_left() is None, "it has just become another amount of work"


def test_a_total_that_is_not_known_is_a_lower_bound() -> None:
    counts = Counts(documents=2, uncounted=1, announced=100, digital=10)
    assert "10 of at least 101 pages read" in next(headline(counts, Pace(), 0))
    assert "at least 101 pages searchable" in bar(counts)


def test_pages_of_other_commands_are_not_counted(tmp_path: Path) -> None:
    settings = load(environment={}, overrides={"data": tmp_path})
    following = Following(Session(settings), settings, Progress(talk=False))
    following.add(result("reading", version=1, pages=5, pages_read=3))
    following._lags = {"ocr": 400}
    assert following._counts().waiting_scanned == 2


def test_a_path_that_is_not_there_is_refused_and_holds_up_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("something")
    (tmp_path / "empty").mkdir()
    given = [str(tmp_path / name) for name in ("missing.pdf", "a.txt", "empty")]
    with collect(given) as files:
        assert [file.name for file in files] == ["missing.pdf", "a.txt", "empty"]
        assert [file.problem.partition(" (")[0][:24] for file in files] == [
            "there is no such file or", "", "nothing in this folder t",
        ]  # fmt: skip
    with pytest.raises(typer.BadParameter, match="there is no such file"), collect(given[:1]):
        pass


async def test_what_is_found_by_words_is_settled_and_its_vectors_are_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path / LEDGER_FILE)
    version = await world.upload()
    await world.text(1, version, page_count=1)
    await world.tick()
    await world.receipt(world.last(), chunks=3, lacking=3)
    settings = load(environment={}, overrides={"data": tmp_path})
    following = Following(Session(settings), settings, Progress(talk=False))
    one = result("queued", document=doc_id_of(DOC), version=version)
    following.add(one)
    assert following.look() == [one]
    assert (one["state"], one["lacking"], following.pending, following._counts().lacking) == ("searchable", 3, 1, 3)
    assert "3 chunks to embed, to be found by meaning too" in following._searchable()
    world.now_ms += 1
    await world.receipt(world.last(), chunks=3, embedded=3)
    following._next_s = 0
    assert following.look() == []
    assert (one["embedded"], one["lacking"], following.pending) == (3, 0, 0)
    await world.store.close()


async def test_a_watch_says_when_vectors_are_given_up_that_it_had_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path / LEDGER_FILE)
    version = await world.upload()
    await world.text(1, version, page_count=1)
    await world.tick()
    await world.receipt(world.last(), chunks=3, lacking=3)
    settings = load(environment={}, overrides={"data": tmp_path})
    session = Session(settings)
    watching = Watching(session=session, settings=settings, folder=tmp_path, choice=Choice(), settle_s=1)
    following, told = Following(session, settings, Progress(talk=False)), []
    following.add(result("queued", document=doc_id_of(DOC), version=version))
    watching._look(following, lambda one: told.append(line(one)), at_once=True)
    assert exit_code(watching.summary.after(1) | {"already_there": 0}) == Exit.OK
    await vectors_given_up(world)
    for _ in range(2):  # once is enough
        watching._look(following, lambda one: told.append(line(one)), at_once=True)
    await world.store.close()
    assert [said.rpartition(", ")[2] for said in told] == [
        "3 chunks found by words only",
        "3 chunks found by words only (internal)",
    ]
    summary = watching.summary.after(1) | {"already_there": 0}
    assert (summary["documents"], summary["causes"]["internal"]["documents"]) == (1, [doc_id_of(DOC)])
    assert (exit_code(summary), following.pending) == (Exit.PARTIAL, 0)


def test_the_summary_says_what_is_said_of_the_documents_where_that_is_one_thing() -> None:
    wrong = result("failed", cause="encrypted", detail="the password given does not open it")
    assert summed([wrong, wrong], 1.0)["causes"]["encrypted"]["sentence"] == "the password given does not open it"
    other = wrong | {"detail": "it needs a password"}
    assert summed([wrong, other, wrong], 1.0)["causes"]["encrypted"]["sentence"] == Cause.ENCRYPTED.sentence


def test_a_ctrl_c_while_the_command_is_imported_leaves_no_traceback() -> None:
    program = (
        "import sys, os, signal; sys.argv[0] = '/usr/bin/folio'; import console; os.kill(os.getpid(), signal.SIGINT)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


def test_an_export_of_everything_says_what_it_leaves_out() -> None:
    def known(name: str, **more: object) -> DocumentStatus:
        return DocumentStatus.model_validate(
            {"doc": Doc(f"default/{name}"), "document": name, "version": 1, "added_ms": 1} | more
        )

    there = [
        known("good.pdf", state="searchable", revision=3),
        known("bad.pdf", state="failed", cause="corrupt", detail="half a file"),
        known("gone.pdf", state="deleted"),
        known("new.pdf", state="queued"),
    ]
    assert list(not_exported(there)) == [
        "left out: bad.pdf: it is failed: half a file",
        "left out: new.pdf: it is queued",
    ]


def test_pages_that_failed_alike_are_one_gap() -> None:
    gaps = {3: "corrupt", 7: "corrupt", 8: "corrupt", 9: "corrupt", 10: "ocr_empty"}
    assert _gaps(gaps) == ", gaps: page 3 (corrupt), pages 7-9 (corrupt), page 10 (ocr_empty)"


def test_what_was_deleted_while_it_was_added_is_not_called_done() -> None:
    there = NOTHING | {"document": "a.pdf", "state": "searchable", "outcome": "pending"}
    gone = NOTHING | {"document": "b.pdf", "state": "deleted", "outcome": "pending"}
    assert line(gone) == "b.pdf: deleted meanwhile, by a later command"
    _exit([there])
    for results, code in (([there, gone], Exit.PARTIAL), ([gone], Exit.ERROR)):
        with pytest.raises(typer.Exit) as ended:
            _exit(results)
        assert ended.value.exit_code == code


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
@pytest.mark.parametrize("becomes", [b"longer than it was" * 200_000, b"short", b""])
def test_a_file_that_is_being_written_to_is_refused_whole_and_taken_once_it_rests(
    tmp_path: Path, size: int, becomes: bytes
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * size)
    as_it_was = path.stat()
    path.write_bytes(becomes)
    if becomes != b"x" * size:
        with pytest.raises(Changing):
            list(_parts(path, as_it_was))
    assert b"".join(_parts(path, path.stat())) == becomes


def test_half_a_file_is_no_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("the first half")
    real = os.fstat

    def written_to_meanwhile(number: int) -> os.stat_result:
        with path.open("a") as file:
            file.write(" and more")
        return real(number)

    settings = load(environment={}, overrides={"data": tmp_path / "data", "indexer": {"embedder": "hash"}})
    with open_session(settings, warm=False) as session:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fstat", written_to_meanwhile)
            refused = put(session, file_at(path), AS_IT_IS)
        assert (refused["state"], refused["cause"]) == ("refused", "changing")
        assert line(refused) == "a.txt: refused: changing: somebody writes to it: add it again when it is complete"
        assert not list(audit.find(settings.data / LEDGER_FILE, uri=path.as_uri()))
        assert put(session, file_at(path), AS_IT_IS)["state"] == "queued"
