"""folio's main job through its command line, with and without an owner, with good and bad input."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from folio import __version__
from folio.questions import Hit
from tests.acceptance.conftest import Desk
from tests.pages import blank_pdf, encrypted_pdf, report_pdf


def test_a_pdf_becomes_searchable_with_page_and_box(desk: Desk, tmp_path: Path) -> None:
    pdf = report_pdf(tmp_path / "report.pdf", pages=3, special={2: "The pump seal has part number PS-4471."})
    added = desk.ok("add", str(pdf), "--json").json()["documents"][0]
    assert (added["document"], added["state"], added["pages"]) == ("report.pdf", "searchable", 3)
    hit = desk.search("part number of the pump seal", "-k", "1")[0]
    assert set(hit) == set(Hit.model_fields)
    assert "PS-4471" in hit["text"]
    assert hit["pages"] == [2]
    box = hit["boxes"][0]["box"]
    assert 0 <= box["x0"] < box["x1"] <= 1
    assert 0 <= box["y0"] < box["y1"] <= 1


def test_other_commands_find_the_owner(desk: Desk, owner: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    desk.ok("add", str(report_pdf(tmp_path / "a.pdf", pages=1, special={1: "Alpha is the first letter."})))
    assert "Alpha" in desk.search("first letter", "-k", "1")[0]["text"]
    assert desk.folio("run").code == 1, "a second owner is refused"
    owner.send_signal(signal.SIGINT)
    assert owner.wait(30) == 0
    assert "Alpha" in desk.search("first letter", "-k", "1")[0]["text"], "and it works without it"


def test_the_same_document_again_is_a_no_op_that_says_so(desk: Desk, tmp_path: Path) -> None:
    pdf = report_pdf(tmp_path / "same.pdf", pages=1)
    first = desk.ok("add", str(pdf), "--json").json()["documents"][0]
    again = desk.ok("add", str(pdf))
    assert "already there" in again.out
    assert desk.ok("status", "same.pdf", "--json").json()["version"] == first["version"]


def test_one_changed_paragraph_embeds_little_again(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "book.pdf"
    desk.ok("add", str(report_pdf(path, pages=50)))
    report_pdf(path, pages=50, special={3: "This paragraph was changed in the second edition."})
    changed = desk.ok("add", str(path), "--json").json()["documents"][0]
    assert changed["outcome"] == "changed"
    assert 1 <= changed["embedded"] <= 2
    assert changed["chunks"] >= 50
    assert "second edition" in desk.search("what was changed in the second edition", "-k", "1")[0]["text"]


def test_files_of_one_name_in_two_folders_are_two_documents(desk: Desk, tmp_path: Path) -> None:
    for folder in ("north", "south"):
        (tmp_path / folder).mkdir()
        report_pdf(tmp_path / folder / "report.pdf", pages=1, special={1: f"The {folder} plant made profit."})
    desk.ok("add", str(tmp_path / "north"), str(tmp_path / "south"))
    names = {one["document"] for one in desk.ok("status", "--json").json()["documents"]}
    assert names == {"report.pdf", "south/report.pdf"}


def test_delete_takes_a_document_out_of_the_index(desk: Desk, tmp_path: Path) -> None:
    pdf = report_pdf(tmp_path / "gone.pdf", pages=2)
    desk.ok("add", str(pdf))
    assert desk.ok("delete", "gone.pdf").out == "gone.pdf: deleted\n"
    assert desk.search("report") == []
    assert desk.folio("delete", "gone.pdf").code == 1
    assert desk.ok("add", str(pdf), "--json").json()["documents"][0]["outcome"] == "new"


def test_a_lost_ledger_is_rebuilt_from_the_log(desk: Desk, tmp_path: Path) -> None:
    desk.ok("add", str(report_pdf(tmp_path / "kept.pdf", pages=4)))
    desk.ok("add", str(report_pdf(tmp_path / "gone.pdf", pages=1, seed=2)))
    desk.ok("delete", "gone.pdf")
    before = desk.ok("status", "--json").json()
    pages = desk.ok("status", "kept.pdf", "--json").json()
    for file in desk.data.glob("ledger.sqlite*"):
        file.unlink()
    assert desk.ok("status", "--json").json() == before
    assert desk.ok("status", "kept.pdf", "--json").json() == pages


def test_stdin_and_own_ids_work(desk: Desk, tmp_path: Path) -> None:
    pdf = report_pdf(tmp_path / "x.pdf", pages=1)
    desk.ok("add", "-", "--name", "piped.pdf", "--id", "contract-7", stdin=pdf.read_bytes())
    assert desk.ok("status", "--json").json()["documents"][0]["document"] == "contract-7"


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("empty.pdf", b"", "unsupported_type"),
        ("notes.pdf", b"just some notes, not a PDF", "unsupported_type"),
        ("cut.pdf", b"%PDF-1.7\n1 0 obj\n<<", "corrupt"),
        ("locked.pdf", None, "encrypted"),
    ],
)
def test_bad_input_gets_a_named_cause_and_an_exit_code(
    desk: Desk, tmp_path: Path, name: str, content: bytes | None, cause: str
) -> None:
    path = tmp_path / name
    if content is None:
        encrypted_pdf(path)
    else:
        path.write_bytes(content)
    ran = desk.folio("add", str(path))
    assert ran.code == 1
    assert cause in ran.out
    assert cause in desk.ok("status").out


def test_one_bad_file_does_not_hold_up_the_good_one(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "bad.pdf").write_bytes(b"nothing")
    good = report_pdf(tmp_path / "good.pdf", pages=1)
    assert desk.folio("add", str(tmp_path / "bad.pdf"), str(good)).code == 3
    assert desk.search("report", "-k", "1")[0]["document"] == "good.pdf"


def test_a_blank_document_is_searchable_and_has_no_chunks(desk: Desk, tmp_path: Path) -> None:
    added = desk.ok("add", str(blank_pdf(tmp_path / "blank.pdf")), "--json").json()["documents"][0]
    assert (added["state"], added["chunks"]) == ("searchable", 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "/no/such/file.pdf"), "no such file"),
        (("search", "  "), "empty"),
        (("add",), "PATHS"),
        (("frobnicate",), "frobnicate"),
    ],
)
def test_usage_errors_exit_with_2_and_a_sentence(desk: Desk, arguments: tuple[str, ...], said: str) -> None:
    ran = desk.folio(*arguments)
    assert ran.code == 2
    assert said.lower() in ran.err.lower()


def test_unknown_settings_name_the_nearest_known_one(desk: Desk) -> None:
    desk.environment["FOLIO_INGEST__PAGE_MAX"] = "7"
    ran = desk.folio("status")
    assert ran.code == 2
    assert "ingest.pages_max" in ran.err


def test_config_show_says_where_values_come_from(desk: Desk) -> None:
    desk.environment["FOLIO_INGEST__PAGES_MAX"] = "7"
    shown = desk.ok("config", "show", "--json").json()
    assert shown["ingest.pages_max"] == {"value": "7", "origin": "environment"}
    assert shown["ocr.engine"]["origin"] == "default"


def test_a_folio_says_which_it_is(desk: Desk) -> None:
    assert desk.ok("--version").out == f"folio {__version__}\n"


def test_several_documents_are_deleted_and_hidden(desk: Desk, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text(f"The text of {name}.\n")
    desk.ok("add", *(str(tmp_path / name) for name in ("a.txt", "b.txt", "c.txt")))
    ran = desk.folio("delete", "a.txt", "nosuch.txt", "b.txt")
    assert (ran.code, "nosuch.txt" in ran.err) == (3, True), "one that is unknown keeps nobody else"
    assert ran.out.splitlines() == ["a.txt: deleted", "b.txt: deleted"]
    table = desk.ok("status").out
    assert "a.txt" not in table
    assert "1 document: 1 searchable" in table
    assert "a.txt" in desk.ok("status", "--all").out


def test_commands_that_embed_nothing_import_nothing_heavy() -> None:
    program = "import console.cli, console.show, ledger.audit, folio.settings, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"torch", "numpy", "fastapi", "httpx", "sentence_transformers", "qdrant_client", "pymupdf", "structlog"}
    assert not heavy & set(loaded)


def test_two_adds_at_once_both_arrive(desk: Desk, tmp_path: Path) -> None:
    files = [report_pdf(tmp_path / f"{n}.pdf", pages=6, seed=n) for n in range(2)]
    both = [desk.start("add", str(file)) for file in files]
    assert [process.wait(90) for process in both] == [0, 0], [process.communicate() for process in both]
    assert {one["state"] for one in desk.ok("status", "--json").json()["documents"]} == {"searchable"}


def test_an_add_killed_twice_in_the_middle_loses_nothing(desk: Desk, tmp_path: Path) -> None:
    pdf = report_pdf(tmp_path / "long.pdf", pages=200)
    for share in (0.2, 0.5):
        process = desk.start("add", str(pdf))
        desk.until(lambda share=share: read_pages(desk) >= 200 * share)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    last = desk.ok("add", str(pdf), "--json").json()["documents"][0]
    assert (last["outcome"], last["state"], last["pages"]) == ("pending", "searchable", 200)
    assert desk.ok("status", "long.pdf", "--json").json()["pages_ok"] == 200
    assert "already there" in desk.ok("add", str(pdf)).out


def test_a_stale_lock_is_nobody(desk: Desk, tmp_path: Path) -> None:
    pdf = report_pdf(tmp_path / "a.pdf", pages=1)
    process = desk.start("run", "--port", "0", "--json")
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    desk.ok("add", str(pdf))
    assert desk.search("report")


def read_pages(desk: Desk) -> int:
    """Asked of the ledger's file: a `folio status` takes as long to start as a hundred pages to be read."""
    file = desk.data / "ledger.sqlite"
    if not file.exists():
        return 0
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as ledger:
        try:
            return int(ledger.execute("SELECT count(*) FROM pages WHERE ok").fetchone()[0])
        except sqlite3.OperationalError:  # its tables are being made, or it is being opened
            return 0


def test_half_a_picture_fails_at_once_with_its_cause(desk: Desk, tmp_path: Path) -> None:
    from PIL import Image

    whole = tmp_path / "whole.jpg"
    Image.effect_noise((400, 300), 80).save(whole)
    half = tmp_path / "half.jpg"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    ran = desk.folio("add", str(half))
    assert ran.code == 1
    assert "half.jpg: failed: corrupt" in ran.out


def test_a_document_answers_to_the_name_that_was_typed(desk: Desk, tmp_path: Path) -> None:
    names = ["with spaces.pdf", "保修 手册.pdf", "line\nend.pdf", os.fsdecode(b"bad\xff.pdf")]
    for seed, name in enumerate(names):
        report_pdf(tmp_path / name, pages=1, seed=seed)
    desk.ok("add", *(str(tmp_path / name) for name in names))
    known = {one["document"] for one in desk.ok("status", "--json").json()["documents"]}
    assert known >= {"with spaces.pdf", "保修 手册.pdf", "line_end.pdf"}
    assert len(known) == 4
    assert desk.ok("delete", "with spaces.pdf").out
    assert desk.folio("status", "odd\nid").code == 1


def test_a_lost_index_is_filled_again_from_the_log(desk: Desk, tmp_path: Path) -> None:
    desk.ok("add", str(report_pdf(tmp_path / "a.pdf", pages=2)))
    shutil.rmtree(desk.data / "index")
    desk.until(lambda: len(desk.search("report")) > 0)
    assert desk.search("report", "-k", "1")[0]["document"] == "a.pdf"


def test_a_question_that_is_too_long_is_a_usage_error(desk: Desk) -> None:
    ran = desk.folio("search", "pump harbour " * 500)
    assert (ran.code, len(ran.err) < 500) == (2, True)


def test_an_interrupted_add_says_how_to_go_on(desk: Desk, tmp_path: Path) -> None:
    process = desk.start("add", str(report_pdf(tmp_path / "long.pdf", pages=400)))
    desk.until(lambda: read_pages(desk) > 10)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"goes on with it" in err
    assert list(desk.data.glob("incoming-*")) == []
