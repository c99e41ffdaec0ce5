"""What people put in: folders with filters, page ranges, metadata, passwords, stdin; and what they are told."""

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import FOLIO, Desk
from tests.pages import encrypted_pdf, report_pdf


def added(desk: Desk, *arguments: str, stdin: bytes | None = None) -> dict[str, Any]:
    (one,) = desk.ok("add", *arguments, "--json", stdin=stdin).json()["documents"]
    return dict(one)


def test_only_the_pages_asked_for_are_read(served: Desk, tmp_path: Path) -> None:
    path = report_pdf(tmp_path / "book.pdf", pages=9)
    one = added(served, str(path), "--pages", "1-2,7")
    assert (one["state"], one["pages"], one["pages_skipped"], one["chunks"]) == ("searchable", 9, 6, 3)
    shown = served.ok("status", "book.pdf").out
    for line in ("only pages 1-2,7 were asked for", "pages 1-2  ok", "pages 3-6  skipped", "page 7  ok"):
        assert line in shown, shown
    assert added(served, str(path), "--pages", "1-2,7")["outcome"] == "unchanged"
    again = added(served, str(path))
    assert (again["outcome"], again["pages_skipped"]) == ("changed", 0)
    wrong = served.folio("add", str(path), "--pages", "3-1")
    assert (wrong.code, "backwards" in wrong.err) == (2, True)
    beyond = served.folio("add", str(path), "--pages", "20-30")
    assert (beyond.code, "the document has 9" in beyond.out) == (1, True)


def test_metadata_is_kept_typed_and_makes_a_new_version(served: Desk, tmp_path: Path) -> None:
    path = report_pdf(tmp_path / "meta.pdf", pages=1, seed=7)
    options = ("--meta", "year=2024", "--meta", "share=0.5", "--meta", "paid=true", "--meta", "code=007")
    added(served, str(path), *options)
    kept = {"year": 2024, "share": 0.5, "paid": True, "code": "007"}
    assert served.ok("status", "meta.pdf", "--json").json()["metadata"] == kept
    assert "code=007  paid=true  share=0.5  year=2024" in served.ok("status").out
    assert added(served, str(path), *options)["outcome"] == "unchanged"
    assert added(served, str(path), "--meta", "year=2025")["changes"] == ["metadata"]
    assert added(served, str(path))["outcome"] == "unchanged", "nothing said changes nothing"
    report_pdf(path, pages=2, seed=8)
    assert "(new version: contents changed)" in served.ok("add", str(path)).out
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "meta.pdf").write_bytes(path.read_bytes())
    assert "1 file already there" in served.ok("watch", str(tmp_path / "copy"), "--once").err
    before = served.ok("status", "meta.pdf", "--json").json()
    assert (before["metadata"], before["uri"]) == ({"year": 2025}, path.as_uri())
    assert added(served, str(path), "--meta", "none")["changes"] == ["metadata"]
    assert served.ok("status", "meta.pdf", "--json").json()["metadata"] == {}


def test_two_texts_from_stdin_are_two_documents(served: Desk) -> None:
    names = {added(served, "-", stdin=text)["document"] for text in (b"The first text.", b"The second text.")}
    assert len(names) == 2
    assert all(name.startswith("stdin-") for name in names)


def test_a_folder_is_filtered_and_one_bad_file_names_itself(served: Desk, tmp_path: Path) -> None:
    (tmp_path / "drafts").mkdir()
    for number, name in enumerate(("one.pdf", "two.pdf", "drafts/three.pdf"), 20):
        report_pdf(tmp_path / name, pages=1, seed=number)
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\n1 0 obj\n<<")
    (tmp_path / "other.txt").write_text("A text that the filters leave out.")
    ran = served.folio("add", str(tmp_path), "--include", "*.pdf", "--exclude", "drafts")
    assert ran.code == 3
    assert "broken.pdf: failed: corrupt" in ran.out
    for line in ("3 documents in", "2 searchable, 1 failed", "pages: 2 born digital", "corrupt (1): ", "  broken.pdf"):
        assert line in ran.out, ran.out
    assert "next: folio status broken.pdf" in ran.err
    summary = served.folio("add", str(tmp_path / "broken.pdf"), "--json")
    assert (summary.code, summary.json()["summary"]["states"]) == (1, {"failed": 1})
    assert summary.json()["summary"]["causes"]["corrupt"]["documents"] == ["broken.pdf"]
    nothing = served.folio("add", str(tmp_path), "--include", "*.docx")
    assert (nothing.code, "filters" in nothing.err) == (2, True)


def test_what_has_the_name_of_a_page_and_is_no_file_is_said(served: Desk, tmp_path: Path) -> None:
    (tmp_path / "there.txt").write_text("A text that is there.")
    (tmp_path / "moved.pdf").symlink_to(tmp_path / "nowhere.pdf")
    os.mkfifo(tmp_path / "pipe.pdf")
    ran = served.folio("add", str(tmp_path))
    assert ran.code == 3
    for line in ("there.txt: searchable", "moved.pdf: refused: unreadable: this link", "pipe.pdf: refused: unreadable"):
        assert line in ran.out, ran.out


def test_a_password_opens_and_is_never_stored(served: Desk, tmp_path: Path) -> None:
    path = encrypted_pdf(tmp_path / "sealed.pdf")
    without = served.folio("add", str(path), stdin=b"")
    assert (without.code, "encrypted" in without.out) == (1, True)
    wrong = served.folio("add", str(path), "--password", "-", stdin=b"sesame\n")
    assert (wrong.code, "does not open" in wrong.out) == (1, True)
    assert served.folio("add", str(path), "--password", "secret").code == 2, "arguments can be read by everybody"
    one = added(served, str(path), "--password", "-", stdin=b"secret\n")
    assert (one["state"], one["pages"]) == ("searchable", 1)
    kept = b"".join(file.read_bytes() for file in served.data.rglob("*") if file.is_file())
    assert b"secret" not in kept
    assert b"sesame" not in kept


def test_the_environment_carries_a_password_too(served: Desk, tmp_path: Path) -> None:
    encrypted_pdf(tmp_path / "second.pdf")
    desk = Desk(served.data, served.environment | {"FOLIO_PASSWORD": "secret"})
    assert added(desk, str(tmp_path / "second.pdf"))["state"] == "searchable"
    assert desk.folio("status").code == 0, "it is no setting that status would not know"


def test_stdin_is_read_as_what_its_name_says(served: Desk) -> None:
    text = b"# Tides\n\nHigh water is at seven.\n"
    assert added(served, "-", "--name", "tides.md", stdin=text)["state"] == "searchable"
    (hit,) = served.search("high water", "--mode", "lexical", "--document", "tides.md")
    assert hit["headings"] == ["Tides"]
    assert "# Tides" in served.ok("page", "tides.md", "1").out


def test_a_large_document_is_shown_in_few_lines(served: Desk, tmp_path: Path) -> None:
    served.ok("add", str(report_pdf(tmp_path / "long.pdf", pages=150, seed=5)))
    shown = served.ok("status", "long.pdf").out.splitlines()
    assert len(shown) < 8
    assert any("pages 1-150  ok" in line for line in shown)


def test_many_documents_are_summed_up_and_not_listed(served: Desk, tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / f"{number}.txt").write_text(f"Note number {number} tells of berth {number}.\n")
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.7\n1 0 obj\n<<")
    ran = served.folio("add", str(tmp_path))
    assert ran.code == 3
    assert "25 searchable, 1 failed" in ran.out
    assert [line for line in ran.out.splitlines() if line.startswith(("bad.pdf", "7.txt"))] == [
        line for line in ran.out.splitlines() if line.startswith("bad.pdf")
    ], "of so many only the bad one is named"


def test_a_terminal_shows_one_live_block(served: Desk, tmp_path: Path) -> None:
    report_pdf(tmp_path / "live.pdf", pages=60, seed=9)
    for number in range(4):
        report_pdf(tmp_path / f"live-{number}.pdf", pages=40, seed=30 + number)
    ours, theirs = pty.openpty()
    environment = served.environment | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(
        [FOLIO, "add", str(tmp_path)], env=environment, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    shown = drained(process, ours)
    assert process.returncode == 0
    for piece in ("pages searchable", "of 5 documents done", "born digital", "waits for: "):
        assert piece in shown, shown
    assert "next: folio search" in shown


def test_a_person_at_a_terminal_is_asked_for_passwords(served: Desk, tmp_path: Path) -> None:
    for name in ("asked-1.pdf", "asked-2.pdf"):
        encrypted_pdf(tmp_path / name)
    report_pdf(tmp_path / "asked-open.pdf", pages=1, seed=50)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [FOLIO, "add", str(tmp_path)], env=served.environment, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    shown = drained(process, ours, answers=[b"sesame\n", b"secret\n"])
    out = process.stdout.read().decode() if process.stdout else ""
    assert (process.returncode, shown.count("Password of asked-1.pdf, asked-2.pdf")) == (0, 2), shown
    assert "3 documents in" in out
    assert "3 searchable" in out
    assert "sesame" not in shown + out, "nothing is echoed"


def drained(process: "subprocess.Popen[bytes]", terminal: int, answers: Sequence[bytes] = ()) -> str:
    """What a process wrote to its terminal, until it ended; each question for a password gets the next answer."""
    shown, deadline, left = b"", time.monotonic() + 60, list(answers)
    while process.poll() is None or select.select([terminal], [], [], 0)[0]:
        assert time.monotonic() < deadline
        if left and shown.count(b"leave it): ") > len(answers) - len(left):
            time.sleep(0.1)  # until the terminal does not echo
            os.write(terminal, left.pop(0))
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 1 << 16)
            except OSError:
                break
    os.close(terminal)
    process.wait(30)
    return shown.decode(errors="replace")


def test_who_does_not_wait_is_told_where_to_look(served: Desk, tmp_path: Path) -> None:
    (tmp_path / "later.txt").write_text("A note to be read later.")
    ran = served.ok("add", str(tmp_path), "--no-wait")
    assert "later.txt: acknowledged, not read yet" in ran.out
    assert "next: folio status" in ran.err


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_stops_cleanly_and_a_second_one_at_once(desk: Desk, tmp_path: Path, presses: int) -> None:
    report_pdf(tmp_path / "long.pdf", pages=2000)
    process = desk.start("add", str(tmp_path / "long.pdf"))
    desk.until(lambda: desk.data.joinpath("owner.json").exists())
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    if presses == 2:
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"stopping (Ctrl-C again ends at once)" in err
    assert b"same command again" in err or presses == 2
    assert b"folio: stopped" not in err, "said once"
    assert time.monotonic() - began < 20
