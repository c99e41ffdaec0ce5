"""What people read: progress, summaries, runs of pages, explanations; and the names that an export gives to folders."""

import socket
from pathlib import Path
from typing import Any

import pytest

from console import summary
from console.exporting import folder_name, page_markdown
from console.following import NOTHING, Result
from console.pace import Counts, Pace
from console.progress import Progress, bar, current, headline, in_line
from console.reading import hit_of, marks_of, remember
from console.show import (
    body,
    explained,
    found_by,
    how_read,
    is_far_off,
    page_lines,
    print_document,
    print_documents,
)
from console.waiting import why
from folio.errors import Cause, FolioError
from folio.ids import Doc
from infra.lock import Address
from ledger.audit import DocumentStatus, PageStatus


def result(document: str, state: str, **more: Any) -> Result:
    return NOTHING | {"document": document, "state": state} | more


# Progress. ---------------------------------------------------------------------------------------------


def test_progress_says_how_much_how_fast_and_what_it_waits_for() -> None:
    pace = Pace()
    counts = Counts(documents=3, announced=100, digital=60, scanned=2, waiting_scanned=8, failed=1, skipped=4)
    pace.feed(Counts(documents=3, announced=100), 0.0)
    pace.feed(counts, 10.0)
    first, second = headline(counts, pace, 2)
    assert first.startswith("0 of 5 documents done, 67 of 100 pages read, 6.7 pages/s")
    assert second == "  pages: 60 born digital, 2 scanned, 4 skipped, 8 wait for OCR, 1 failed"
    assert in_line({"ocr": 8, "index": 30, "ledger": 0}) == "waits for: OCR (8 in line)"
    assert in_line({"index": 3, "ingest": 0}) == "waits for: chunking (3 in line)"


def test_nothing_is_drawn_of_nothing_and_a_guess_is_called_one() -> None:
    assert "0 of 0" not in bar(Counts())
    assert "at least 101" in bar(Counts(documents=2, uncounted=1, announced=100, digital=10))
    assert "0 of ? pages read" in next(headline(Counts(documents=1, uncounted=1), Pace(), 0))


def test_of_many_documents_only_a_few_have_a_line() -> None:
    active = [result(f"{number}.pdf", "reading", pages=9, pages_read=3) for number in range(40)]
    lines = list(current(active))
    assert lines[0] == "  0.pdf: reading, 3 of 9 pages"
    assert (len(lines), lines[-1]) == (6, "  and 35 more")


def test_without_a_terminal_there_is_a_plain_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(talk=True) as progress:
        progress.show(Counts(documents=1, announced=9), [result("a", "reading")], {})
        assert capsys.readouterr().err == "", "not at once"
        progress._shown_s -= 10
        progress.show(Counts(documents=1, announced=9, digital=3), [result("a", "reading")], {"ocr": 1})
        progress.waits_for("index: the index does not answer")
        progress.waits_for("index: the index does not answer")
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("0 of 1 documents done, 3 of 9 pages read")
    assert said[1:] == ["  waits for: OCR (1 in line)", "waiting: index: the index does not answer"], "said once"


def test_a_silent_progress_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(talk=False) as progress:
        progress._shown_s -= 10
        progress.show(Counts(documents=1), [result("a", "reading")], {})
        progress.waits_for("anything")
    assert capsys.readouterr().err == ""


# The end. ----------------------------------------------------------------------------------------------


def test_the_summary_groups_failures_by_cause_with_its_sentence() -> None:
    results = [
        result("a.pdf", "searchable", pages_born_digital=30, pages_scanned=10),
        result("b.pdf", "searchable with gaps", pages_scanned=2, gaps={3: "ocr_loop", 7: "ocr_loop"}, pages_failed=2),
        *(result(f"bad-{number}.pdf", "failed", cause=Cause.CORRUPT) for number in range(5)),
        result("secret.pdf", "refused", cause="unreadable"),
        result("same.pdf", "unchanged"),
    ]
    lines = list(summary.lines(summary.summed(results, 21.0)))
    assert lines == [
        "9 documents in 21 s: 1 searchable, 1 searchable with gaps, 1 already there, 5 failed, 1 refused",
        "pages: 30 born digital, 12 scanned, 2 failed (2.0 pages/s)",
        f"corrupt (5): {Cause.CORRUPT.sentence}",
        "  bad-0.pdf, bad-1.pdf, bad-2.pdf and 2 more",
        f"ocr_loop (1): {Cause.OCR_LOOP.sentence}",
        "  b.pdf",
        "unreadable (1): The file cannot be read from where it lies.",
        "  secret.pdf",
    ]
    assert summary.next_step(results) == "next: folio status b.pdf"
    assert summary.next_step([result("with space.pdf", "failed")]) == "next: folio status 'with space.pdf'"
    assert summary.next_step([result("a.pdf", "refused")]) == ""


# Status and search. -------------------------------------------------------------------------------------


def test_runs_of_equal_pages_are_one_line() -> None:
    pages = [PageStatus(page=number, status="ok", source="text_layer", engine="pymupdf") for number in range(1, 2001)]
    pages[41] = PageStatus(page=42, status="failed", engine="rapid", cause=Cause.OCR_LOOP, sentence="It looped.")
    pages += [PageStatus(page=2001, status="skipped", engine="pymupdf", flags=("skipped",))]
    assert list(page_lines(pages)) == [
        "pages 1-41  ok  text layer  pymupdf",
        "page 42  failed  rapid  ocr_loop: It looped.",
        "pages 43-2000  ok  text layer  pymupdf",
        "page 2001  skipped",
    ]


def test_an_explanation_names_both_lists() -> None:
    how = {"dense_rank": 2, "dense_score": 0.6123, "lexical_rank": None, "lexical_score": None, "terms": ["pump"]}
    assert explained(how) == "by meaning: rank 2 (0.612); by words: not among the candidates; shared: pump"


def hit_with(*terms: str, **ranks: int) -> dict[str, Any]:
    return {"explanation": {"terms": terms, **ranks}}


def test_a_hit_says_which_list_had_it() -> None:
    assert found_by({"dense_rank": 1, "lexical_rank": 3}) == "by meaning and words"
    assert found_by({"dense_rank": None, "lexical_rank": 1}) == "by words"


def test_hits_without_a_telling_word_of_the_question_are_called_far_off() -> None:
    asked = "What is the price of zebras?"
    assert is_far_off([hit_with("the", "of", dense_rank=1)], asked)
    assert not is_far_off([hit_with("the"), hit_with("Price")], asked)
    assert not is_far_off([hit_with()], "what is that"), "a question that names nothing shares nothing either"
    assert not is_far_off([], asked)


def test_a_heading_is_said_once() -> None:
    hit = {"headings": ["Pumps", "Seals"], "text": "## Seals\n\nThey leak.", "flags": [], "metadata": {"paid": True}}
    assert list(body(hit, "seals")) == ["Pumps > Seals", "paid=true", "They leak."]
    assert list(body(hit | {"text": "Seals"}, "seals"))[-1] == "Seals"


def document(name: str, state: Any, **more: Any) -> DocumentStatus:
    return DocumentStatus(doc=Doc(f"default/{name}"), document=name, version=1, state=state, added_ms=1, **more)


def test_the_table_of_documents_is_aligned_short_and_summed(capsys: pytest.CaptureFixture[str]) -> None:
    known = [
        document("保修手册.pdf", "searchable", pages_ok=1, page_count=1, chunks=1),
        document("long.pdf", "failed", cause=Cause.CORRUPT, detail="it broke\n" * 40),
        document("gone.pdf", "deleted", chunks=0),
    ]
    print_documents(known)
    head, first, second, total = capsys.readouterr().out.splitlines()
    column = head.index("state")
    assert first.index("searchable") == column - 4, "four ideographs fill eight columns"
    assert second.index("failed") == column
    assert second.endswith("…")
    assert len(second) < 200
    assert total == "2 documents: 1 searchable, 1 failed; 1 page read, 1 chunk; 1 more deleted (--all shows them)"
    print_documents(known, every=True)
    assert "gone.pdf" in capsys.readouterr().out


def test_an_empty_system_says_what_to_do_also_with_kafka(capsys: pytest.CaptureFixture[str]) -> None:
    print_documents([])
    assert capsys.readouterr().out == "no documents yet: folio add FILE\n"
    print_documents([], prefix="team.")
    assert capsys.readouterr().out == (
        "no documents yet: folio add FILE, or records on team.uploads or team.pages (docs/producing.md)\n"
    )


@pytest.mark.parametrize(
    ("state", "searchable", "says"),
    [("failed", 1, True), ("cancelled", 1, True), ("failed", None, False), ("failed", 2, False), ("reading", 1, True)],
)
def test_a_version_that_nobody_finds_says_that_an_older_one_is_still_found(
    capsys: pytest.CaptureFixture[str], state: Any, searchable: int | None, says: bool
) -> None:
    known = document("a.pdf", state, cause=Cause.SCHEMA_INVALID, detail="no JSON\n" * 40, searchable_version=searchable)
    known = known.model_copy(update={"version": 2})
    print_documents([known])
    print_document(known)
    assert capsys.readouterr().out.count("version 1 is still searchable") == (2 if says else 0)


def test_of_a_failed_document_nothing_is_counted_that_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    print_document(document("bad.pdf", "failed", cause=Cause.PAGE_MISSING, detail="It has 3.", page_range="9"))
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("0 chunks")
    assert said[2] == "  only pages 9 were asked for"


def test_context_is_told_apart_from_the_passage() -> None:
    hit = {"headings": [], "text": "the passage", "before": "ahead of it", "after": "behind it", "flags": []}
    assert list(body(hit, "passage")) == ["· ahead of it", "the passage", "· behind it"]


# The last search. ---------------------------------------------------------------------------------------


def test_hits_are_named_by_number_or_chunk(tmp_path: Path) -> None:
    hits = [{"chunk_id": "aa11", "boxes": [], "document": "a"}, {"chunk_id": "aa22", "boxes": [], "document": "b"}]
    with pytest.raises(FolioError, match="nothing was searched"):
        hit_of(tmp_path, "1")
    remember(tmp_path, "what?", hits)
    assert hit_of(tmp_path, "2") == (2, hits[1])
    assert hit_of(tmp_path, "aa1") == (1, hits[0])
    for wrong in ("3", "0", "aa", "", "bb"):
        with pytest.raises(FolioError, match="last search"):
            hit_of(tmp_path, wrong)
    (tmp_path / "last-search.json").write_text("{")
    with pytest.raises(FolioError, match="search again"):
        hit_of(tmp_path, "1")


def test_only_the_first_box_of_a_hit_on_a_page_carries_its_number() -> None:
    box = {"x0": 0.1, "y0": 0.2, "x1": 0.3, "y1": 0.4}
    hit = {"boxes": [{"page": 2, "box": box}, {"page": 3, "box": box}, {"page": 2, "box": box}]}
    assert marks_of(4, hit, 2) == ["0.1,0.2,0.3,0.4:hit 4", "0.1,0.2,0.3,0.4"]


# Export. ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["report.pdf", "保修 手册.pdf", "a-b_c.1"])
def test_a_plain_name_stays(name: str) -> None:
    assert folder_name(name) == name


@pytest.mark.parametrize(
    "name", ["south/report.pdf", "../../etc/passwd", "..", ".hidden", "a:b", "NUL", "x" * 400, "a."]
)
def test_a_name_that_a_file_system_might_not_take_is_changed_and_stays_its_own(name: str) -> None:
    folder = folder_name(name)
    assert folder == Path(folder).name
    assert not folder.startswith(".")
    assert len(folder.encode()) < 160
    assert folder != folder_name(f"{name}?")


def test_furniture_is_left_out_and_figures_are_linked_where_they_stand() -> None:
    text = "Running head\n\nBefore.\n\nAfter.\n\n7"
    blocks = [
        {"kind": "paragraph", "start": 0, "end": 12, "furniture": True},
        {"kind": "paragraph", "start": 14, "end": 21},
        {"kind": "figure", "start": 21, "end": 21},
        {"kind": "paragraph", "start": 23, "end": 29},
        {"kind": "paragraph", "start": 31, "end": 32, "furniture": True},
    ]
    shown = page_markdown({"markdown": text, "blocks": blocks}, {2: "figures/page-1-1.jpg"})
    assert shown == "Before.\n\n![](figures/page-1-1.jpg)\n\nAfter."
    assert page_markdown({"markdown": "", "blocks": []}, {}) == ""


def test_a_page_says_who_read_it_and_what_was_tried() -> None:
    page = {
        "source": "ocr",
        "engine": "deepseek-ocr",
        "mode": "large",
        "prompt": "markdown",
        "tokens": 1203,
        "seconds": 0.84,
        "steps": ["perspective"],
        "rungs": ["guard: repetition", "mode: repetition"],
        "flags": [],
    }
    assert list(how_read(page)) == [
        "read by deepseek-ocr, mode large, prompt markdown, 1,203 tokens, in 0.8 s",
        "picture mended: perspective",
        "tried: guard: repetition, mode: repetition",
    ]
    assert list(how_read({"source": "ocr", "engine": "rapidocr"})) == ["read by rapidocr"]
    assert "not trained" in list(how_read({"source": "ocr", "prompt": "free"}))[-1]
    assert list(how_read({"source": "text_layer", "engine": "pymupdf"})) == []


def test_a_process_that_has_ended_is_not_said_to_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """The brokers answer. Who listens and says nothing hangs; who does not listen any more has ended."""
    monkeypatch.setattr("console.waiting.ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as broker, socket.create_server(("127.0.0.1", 0)) as silent:
        servers = f"127.0.0.1:{broker.getsockname()[1]}"
        process = Address(4711, "127.0.0.1", silent.getsockname()[1], "")
        assert "process 4711 is busy or hangs" in why(process, servers)
        silent.close()
        assert why(process, servers) == ""
    assert "nobody answers" in why(process, servers)
