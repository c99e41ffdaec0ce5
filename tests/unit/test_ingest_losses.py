"""What a page says is never lost in silence: short pages, pages that cannot be read, headings that are none."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from ingest.mupdf import MuPdf
from ingest.pdfium import Pdfium
from ingest.render import Pdf
from ingest.textlayer import PageRead, TextLayer
from tests import hostile_files as make

Engine = Callable[[Path], Pdf]
DOCUMENTS = Path(__file__).parents[2] / "examples" / "documents"


@pytest.fixture(params=[MuPdf, Pdfium], ids=["pymupdf", "pypdfium2"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param  # type: ignore[no-any-return]  # pytest's param has no type


def read(engine: Engine, path: Path) -> list[PageRead]:
    pdf = engine(path)
    layer = TextLayer()
    return [layer.read(pdf.sheet(page)) for page in range(1, pdf.page_count + 1)]


def said(page: PageRead, *, furniture: bool = False) -> list[str]:
    return [page.markdown[block["start"] : block["end"]] for block in page.blocks if block["furniture"] is furniture]


def lines(*texts: str, top: float = 770, size: float = 12) -> Callable[[Canvas], None]:
    def draw(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", size)
        for at, text in enumerate(texts):
            canvas.drawString(72, top - 60 * at, text)

    return draw


def test_a_line_that_is_all_of_its_page_is_its_text_however_alike_pages_are(engine: Engine, tmp_path: Path) -> None:
    days = [f"Day {day}. The heron log. We saw {day + 2} herons at the weir." for day in (1, 2, 3, 4)]
    assert [said(page) for page in read(engine, make.pdf(tmp_path / "a.pdf", *map(lines, days)))] == [
        [day] for day in days
    ]


def test_a_page_with_more_text_makes_no_furniture_of_what_is_all_of_the_others(engine: Engine, tmp_path: Path) -> None:
    rooms = [[f"Room {room}: inspected, no defects"] for room in (101, 102, 103)]
    rooms[1] += ["", "The pelican valve leaks."]
    first, second, third = read(engine, make.pdf(tmp_path / "a.pdf", *(lines(*room) for room in rooms)))
    assert (said(first), said(third)) == (rooms[0], rooms[2])
    assert said(second) == ["Room 102: inspected, no defects", "The pelican valve leaks."]


def test_a_running_head_stays_one_on_a_page_without_text(engine: Engine, tmp_path: Path) -> None:
    def page(canvas: Canvas, *, number: int, empty: bool = False) -> None:
        lines("Report of the harbour", top=810, size=8)(canvas)
        canvas.drawString(290, 30, str(number))
        if not empty:
            make.prose(canvas, top=700)

    drawn = [lambda canvas, at=at: page(canvas, number=at, empty=at == 3) for at in (1, 2, 3)]
    pages = read(engine, make.pdf(tmp_path / "a.pdf", *drawn))
    assert [len(said(page)) for page in pages] == [1, 1, 0]
    assert said(pages[2], furniture=True) == ["Report of the harbour", "3"]


def test_words_in_a_drawn_outline_of_their_colour_are_visible_and_no_headings(engine: Engine, tmp_path: Path) -> None:
    def page(canvas: Canvas) -> None:
        make.prose(canvas, top=700)
        outline = canvas.beginPath()
        outline.rect(60, 400, 300, 40)
        outline.rect(62, 402, 296, 36)
        canvas.drawPath(outline, fill=1, stroke=0, fillMode=0)
        canvas.setFont("Helvetica-Bold", 12)
        canvas.drawString(80, 415, "CREATE VIEW <table name>")
        canvas.setFont("Helvetica", 10)
        canvas.drawString(80, 300, "Specifies the view")
        canvas.drawString(80, 300, "S")
        canvas.rect(60, 100, 300, 40, fill=1, stroke=0)
        canvas.drawString(80, 115, "Black words on black ground")

    (found,) = read(engine, make.pdf(tmp_path / "a.pdf", page))
    assert said(found)[1:] == ["CREATE VIEW \\<table name>", "Specifies the view"]
    assert found.hidden
    assert {block["kind"] for block in found.blocks} == {"paragraph"}


def test_a_scan_over_its_search_layer_is_read_by_ocr_though_its_foot_is_typed(engine: Engine, tmp_path: Path) -> None:
    def page(canvas: Canvas) -> None:
        canvas.setFillGray(1)
        make.prose(canvas, lines=30)
        canvas.drawImage(ImageReader(Image.new("L", (60, 80), 240)), 0, 0, width=595, height=842)
        canvas.setFillGray(0)
        for at, text in enumerate(["Digitised", "by the", "library", "of the", "port"]):
            canvas.drawString(72 + 60 * at, 20, text)

    (found,) = read(engine, make.pdf(tmp_path / "a.pdf", page))
    assert (found.trusted, found.detail) == (False, "a picture fills the page")


def test_chinese_sentences_with_a_name_in_capitals_are_no_headings(engine: Engine) -> None:
    first, _ = read(engine, DOCUMENTS / "product-manual-zh.pdf")
    headings = [text for text in said(first) if text.startswith("#")]
    assert headings == [
        "# KX 系列潮汐水泵产品手册",
        "## 一、产品简介",
        "## 二、技术参数",
        "## 三、安装要求",
    ]
    (steps,) = [text for text in said(first) if text.startswith("1. ")]
    assert [step[:3] for step in steps.split("\n")] == ["1. ", "2. ", "3. ", "4. "]


def test_the_pieces_of_a_formula_with_fractions_are_one_block_in_its_section(engine: Engine) -> None:
    (page,) = read(engine, DOCUMENTS / "formulas.pdf")
    found = [(block["kind"], page.markdown[block["start"] : block["end"]]) for block in page.blocks]
    friction = found.index(("heading", "## 6. Friction loss"))
    assert [kind for kind, _ in found[friction : friction + 4]] == ["heading", "paragraph", "formula", "heading"]
    formula = found[friction + 2][1]
    assert formula.startswith("hf = ∑")
    assert "Li / di" in formula
    assert formula.endswith("(6)")
    assert ("formula", "η = (ρ g Q H) / (M ω) = Ph / Ps (2)") in found
    assert [text[3:4] for kind, text in found if kind == "heading" and text.startswith("## ")] == list("1234567")


def test_sums_and_underlined_words_are_no_fractions(engine: Engine, tmp_path: Path) -> None:
    def page(canvas: Canvas) -> None:
        make.prose(canvas)
        canvas.setFont("Helvetica", 10)
        for at, text in enumerate(["x = 300", "150", "450", "more"]):
            canvas.drawRightString(300, 600 - 14 * at, text)
        canvas.line(270, 568.5, 302, 568.5)
        canvas.line(270, 554.5, 302, 554.5)

    (found,) = read(engine, make.pdf(tmp_path / "a.pdf", page))
    assert "/" not in found.markdown


def test_bullets_that_are_drawn_begin_items(engine: Engine) -> None:
    page = read(engine, DOCUMENTS / "slides.pdf")[1]
    (items,) = [page.markdown[block["start"] : block["end"]] for block in page.blocks if block["kind"] == "list"]
    assert [item[:10] for item in items.split("\n")] == ["- The scre", "- In Novem", "- Rain of ", "- The sea "]


def test_a_listing_whose_words_line_up_is_code_and_no_table(engine: Engine, tmp_path: Path) -> None:
    code = ["function add(a, b) {", "  return     a + b;", "}", "console.log(add(3, 5));"]

    def page(canvas: Canvas) -> None:
        make.prose(canvas, lines=12)
        canvas.setFont("Courier", 9)
        for at, text in enumerate(code):
            canvas.drawString(100, 560 - 11 * at, text)
        make.prose(canvas, top=480, lines=12)

    (found,) = read(engine, make.pdf(tmp_path / "a.pdf", page))
    assert [block["kind"] for block in found.blocks] == ["paragraph", "code", "paragraph"]


def test_a_long_sentence_in_large_letters_is_no_heading(engine: Engine) -> None:
    first = read(engine, DOCUMENTS / "annual-report.pdf")[0]
    assert [text for text in said(first) if text.startswith("#")] == [
        "# Annual Report 2025",
        "## Highlights of the year",
    ]
