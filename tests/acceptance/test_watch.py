"""A folder that keeps filling: files as they settle, changes, restarts, and what is left alone."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import Desk, running
from tests.pages import report_pdf

QUICK = ("--settle", "0.3")


def once(desk: Desk, folder: Path, *options: str) -> tuple[int, dict[str, dict[str, Any]], dict[str, Any]]:
    """Exit code, results by document, and the summary of a watch that ends by itself."""
    ran = desk.folio("watch", str(folder), "--once", "--json", *QUICK, *options)
    *results, last = [json.loads(line) for line in ran.out.splitlines()]
    return ran.code, {one["document"]: one for one in results}, last["summary"]


def stopped(process: "subprocess.Popen[bytes]") -> tuple[int, str, str]:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return process.returncode, out.decode(), err.decode()


def test_a_folder_is_added_once_and_a_restart_adds_nothing_twice(served: Desk, tmp_path: Path) -> None:
    report_pdf(tmp_path / "w-a.pdf", pages=2, seed=41)
    (tmp_path / "w-bad.pdf").write_bytes(b"%PDF-1.7\n1 0 obj\n<<")
    (tmp_path / "half.pdf.part").write_bytes(b"%PDF-1.7")
    (tmp_path / "empty.txt").write_bytes(b"")
    code, results, summary = once(served, tmp_path, "--meta", "box=7")
    assert code == 3
    assert {name: one["state"] for name, one in results.items()} == {"w-a.pdf": "searchable", "w-bad.pdf": "failed"}
    version = served.ok("status", "w-a.pdf", "--json").json()["version"]
    code, results, summary = once(served, tmp_path, "--meta", "box=7")
    assert (code, results, summary["already_there"]) == (0, {}, 2)
    report_pdf(tmp_path / "w-a.pdf", pages=3, seed=41)
    code, results, summary = once(served, tmp_path, "--meta", "box=7")
    assert (code, results["w-a.pdf"]["outcome"], results["w-a.pdf"]["pages"]) == (0, "changed", 3)
    now = served.ok("status", "w-a.pdf", "--json").json()
    assert (now["version"] > version, now["metadata"]) == (True, {"box": 7})


def test_what_was_deleted_stays_deleted_while_its_file_lies_there(served: Desk, tmp_path: Path) -> None:
    path = tmp_path / "w-gone.txt"
    path.write_text("This text is deleted.")
    once(served, tmp_path)
    served.ok("delete", "w-gone.txt")
    _, results, summary = once(served, tmp_path)
    assert (results, summary["already_there"], summary["deleted"]) == ({}, 0, 1)
    said = served.folio("watch", str(tmp_path), "--once", "--meta", "via=w", *QUICK)
    assert "1 was deleted from the index and stays so (w-gone.txt)" in said.err
    assert "already there" not in said.err
    assert served.ok("add", str(path), "--json").json()["documents"][0]["outcome"] == "new", "unless somebody adds it"


def test_files_are_told_as_they_settle_until_ctrl_c(served: Desk, tmp_path: Path) -> None:
    process = served.start("watch", str(tmp_path), *QUICK, "--exclude", "*.tmp.txt")
    (tmp_path / "w-growing.txt.part").write_text("The first half of")
    (tmp_path / "w-no.tmp.txt").write_text("left out")
    (tmp_path / "w-first.txt").write_text("The first file of the day.")
    served.until(lambda: state(served, "w-first.txt") == "searchable", 30)
    with (tmp_path / "w-growing.txt.part").open("a") as file:
        file.write(" a sentence.")
    (tmp_path / "w-growing.txt.part").rename(tmp_path / "w-growing.txt")
    served.until(lambda: state(served, "w-growing.txt") == "searchable", 30)
    code, out, err = stopped(process)
    assert code == 0
    assert "w-first.txt: searchable: 1 page" in out
    assert "w-growing.txt: searchable: 1 page" in out
    assert "2 documents in" in out
    assert "w-no" not in out + err
    assert "a sentence" in served.ok("page", "w-growing.txt", "1").out


def test_what_is_done_by_the_time_of_ctrl_c_is_told(served: Desk, tmp_path: Path) -> None:
    process = served.start("watch", str(tmp_path), *QUICK)
    (tmp_path / "w-last.txt").write_text("The last file of the day.")
    served.until(lambda: state(served, "w-last.txt") != "")
    process.send_signal(signal.SIGSTOP)  # it has handed the file over and hears nothing more
    served.until(lambda: state(served, "w-last.txt") == "searchable")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, b"w-last.txt: searchable: 1 page" in out) == (0, True), out
    assert b"not done yet" not in err


def state(desk: Desk, document: str) -> str:
    ran = desk.folio("status", document, "--json")
    return str(ran.json()["state"]) if ran.code == 0 else ""


def test_a_folder_that_is_not_there_is_a_usage_error(served: Desk, tmp_path: Path) -> None:
    ran = served.folio("watch", str(tmp_path / "nowhere"), "--once")
    assert (ran.code, "no such folder" in ran.err) == (2, True)


def test_a_watch_outlives_the_owner_that_it_found(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with running(desk) as owner:
        watching = desk.start("watch", str(folder), "--settle", "0.2", "--json")
        (folder / "one.txt").write_text("The keel was laid in spring.")
        desk.until(lambda: state(desk, "one.txt") == "searchable")
        owner.kill()
        owner.wait()
    (folder / "two.txt").write_text("The mast was stepped in autumn.")
    desk.until(lambda: state(desk, "two.txt") == "searchable")
    code, out, err = stopped(watching)
    assert (code, "come and go" in err) == (0, False), err
    assert "two.txt" in out


def test_who_asks_while_the_owner_ends_waits_and_goes_on(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text("The keel was laid in spring.")
    with running(desk) as owner:
        desk.ok("add", str(path))
        owner.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert [hit["document"] for hit in desk.search("keel")] == ["one.txt"]
        _, err = owner.communicate(timeout=20)
    assert time.monotonic() - began < 20
    assert b"stopping: " in err
    assert b"everything acknowledged is kept" in err


def test_what_folio_keeps_is_for_its_user_alone(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text("The keel was laid in spring.")
    desk.ok("add", str(path))
    kept = [desk.data, *desk.data.rglob("*")]
    assert [one for one in kept if one.stat().st_mode & 0o077] == []


def test_a_watch_that_is_stopped_while_it_begins_says_so(desk: Desk, tmp_path: Path) -> None:
    process = desk.start("watch", str(tmp_path))
    desk.until((desk.data / "owner.lock").exists)
    code, _, err = stopped(process)
    assert (code, "stopped before anything was added" in err) in {(130, True), (0, False)}, err
    assert "Traceback" not in err
