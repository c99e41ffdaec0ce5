"""What the benchmarks count with: questions made by rule, pages of answers, and whose CPU time it was."""

import asyncio
import threading
import time
from pathlib import Path

import numpy as np
from reportlab.pdfgen.canvas import Canvas

from benchmarks.accounting import PARTS, Spent
from benchmarks.known_items import Item, half_remembered, sentences
from benchmarks.peer_stack import five_pages, hits, interval
from benchmarks.synthetic import make_report, prose
from ingest.mupdf import MuPdf
from ingest.textlayer import TextLayer

SHARED = "Every customer of the northern harbour received another printed copy of these conditions."
OWN = "Engineers measured unusual vibration beside turbine number {page} during heavy autumn storms."


def test_questions_come_from_sentences_of_one_page_only(tmp_path: Path) -> None:
    path = tmp_path / "two.pdf"
    canvas = Canvas(str(path))
    for page in (1, 2):
        canvas.drawString(50, 700, SHARED)
        canvas.drawString(50, 680, OWN.format(page=page))
        canvas.drawString(50, 660, "Too short to ask.")
        canvas.showPage()
    canvas.save()
    asked = sentences({"two.pdf": path})
    assert [(item.document, item.pages) for item in asked] == [("two.pdf", {1}), ("two.pdf", {2})]
    assert asked[0].ask == "Engineers measured vibration beside number 1 heavy autumn"
    assert sentences({"two.pdf": path}) == asked


def test_a_sentence_without_spaces_is_remembered_by_its_middle() -> None:
    assert half_remembered("整机的保修期为二十四个月") == "保修期为二十"


def test_an_answer_is_its_first_five_pages_however_many_a_passage_covers() -> None:
    passages = [("a", (1, 2, 3)), ("b", (1,)), ("a", (3, 4)), ("a", (5,))]
    pages = five_pages(passages)
    assert pages == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("a", 4)]
    items = [Item("x", "?", "a", frozenset({4, 9})), Item("x", "?", "a", frozenset({5}))]
    assert hits(items, [pages, pages]) == [1.0, 0.0]


def test_the_interval_of_a_difference_holds_its_mean_and_narrows_with_more_questions() -> None:
    some = np.array([1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, 1.0])
    narrow, wide = interval(np.tile(some, 20)), interval(some)
    assert wide[0] < narrow[0] < some.mean() < narrow[1] < wide[1]


async def test_cpu_time_is_counted_for_the_thread_that_used_it() -> None:
    def burn() -> None:
        until = time.thread_time() + 0.2
        while time.thread_time() < until:
            pass

    before, done = Spent.now(), threading.Event()
    writer = threading.Thread(target=lambda: (burn(), done.wait()), name="log-writer_0")
    writer.start()
    while not (spent := Spent.now().since(before)).parts["log"] >= 0.15:
        await asyncio.sleep(0.02)
    done.set()
    writer.join()
    assert set(spent.parts) == set(PARTS)
    assert spent.parts["ledger"] == spent.parts["embed"] == 0


def test_a_synthetic_report_has_what_reports_have(tmp_path: Path) -> None:
    pdf, layer = MuPdf(make_report(tmp_path / "report.pdf", pages=6, seed=3)), TextLayer()
    read = [layer.read(pdf.sheet(page)) for page in range(1, 7)]
    kinds = {str(block["kind"]) for page in read for block in page.blocks}
    assert {"heading", "paragraph", "table", "list"} <= kinds
    assert all(page.trusted for page in read)
    assert len(set(prose())) > 1500
