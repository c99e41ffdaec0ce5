"""Born-digital pages in depth: every rule of reading on a page made for it, alike in both engines."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from PIL import Image
from reportlab.lib import colors
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from ingest.leftward import Letter, logical
from ingest.links import safe
from ingest.mupdf import MuPdf
from ingest.pdfium import Pdfium
from ingest.render import Pdf
from ingest.sheet import Sheet, Span
from ingest.textlayer import PageRead, TextLayer
from tests import hostile_files as make

Engine = Callable[[Path], Pdf]
WORDS = "words that fill a line of running text from its beginning up to its very end and"


@pytest.fixture(params=[MuPdf, Pdfium], ids=["pymupdf", "pypdfium2"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param  # type: ignore[no-any-return]  # pytest's param has no type


def read(engine: Engine, path: Path) -> list[PageRead]:
    pdf = engine(path)
    layer = TextLayer()
    return [layer.read(pdf.sheet(page)) for page in range(1, pdf.page_count + 1)]


def kinds(page: PageRead, *, furniture: bool = False) -> list[tuple[str, str]]:
    return [
        (block["kind"], page.markdown[block["start"] : block["end"]])
        for block in page.blocks
        if block["furniture"] is furniture
    ]


def text(canvas: Canvas, left: float, top: float, *lines: str, size: float = 10, font: str = "Helvetica") -> float:
    """Lines at 1.2 of their size; returns where the next one would stand."""
    canvas.setFont(font, size)
    for line in lines:
        canvas.drawString(left, top, line)
        top -= 1.2 * size
    return top


def body(canvas: Canvas, top: float, lines: int, *, left: float = 72, mark: str = "") -> float:
    return text(canvas, left, top, *(f"{mark}{line} {WORDS}" for line in range(lines)))


def picture(canvas: Canvas, left: float, bottom: float, width: float, height: float) -> None:
    made = io.BytesIO()
    Image.effect_noise((40, 40), 60).convert("RGB").save(made, "PNG")
    canvas.drawImage(ImageReader(made), left, bottom, width, height)


def test_a_figure_over_both_columns_parts_what_is_above_from_what_is_below(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for at, left in enumerate((60, 310)):
            for band, top in enumerate((760, 400)):
                lines = (f"{'LR'[at]}{band}{line} has words up to the end of its column" for line in range(8))
                text(canvas, left, top, *lines)
        picture(canvas, 60, 450, 470, 180)
        text(canvas, 60, 432, "Figure 2: What both columns speak of, over the whole width of the page", size=8)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    places = [page.markdown.index(word) for word in ("L00", "L07", "R00", "R07", "Figure 2", "L10", "R10")]
    assert places == sorted(places)
    order = [kind for kind, _ in kinds(page)]
    assert order == ["paragraph", "paragraph", "figure", "caption", "paragraph", "paragraph"]
    (figure,) = [block for block in page.blocks if block["kind"] == "figure"]
    assert figure["start"] == figure["end"]
    assert figure["box"]["y0"] == pytest.approx(1 - 630 / 842, abs=0.01)


def test_pictures_that_mean_nothing_are_left_out(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        picture(canvas, 72, 600, 15, 15)
        picture(canvas, 60, 640, 450, 130)
        body(canvas, 760, 10)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert [kind for kind, _ in kinds(page)] == ["paragraph"]


def test_three_columns(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for at in range(3):
            text(canvas, 50 + 175 * at, 760, *(f"{at}{line:02} fills the third of a page" for line in range(30)))

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    places = [page.markdown.index(word) for word in ("000", "029", "100", "129", "200", "229")]
    assert places == sorted(places)


def test_boxed_text_is_read_as_one_piece(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setFillColor(colors.lightgrey)
        canvas.rect(330, 500, 220, 120, fill=1, stroke=0)
        canvas.setFillColor(colors.black)
        text(canvas, 72, 760, *(f"above {line} {WORDS}" for line in range(8)))
        text(canvas, 72, 640, *(f"aside {line} has its words beside the box" for line in range(12)))
        text(
            canvas, 345, 600, "Box 1 says something", "of its own that no", "sentence beside it is", "to be mixed with."
        )
        text(canvas, 72, 470, *(f"below {line} {WORDS}" for line in range(4)))

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert "Box 1 says something of its own that no sentence beside it is to be mixed with." in page.markdown
    assert page.markdown.index("above 7") < page.markdown.index("Box 1") < page.markdown.index("below 0")


def test_lists_are_nested_by_their_indent(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        body(canvas, 760, 3)
        for at, (left, line) in enumerate(
            [
                (72, "1. First step of several"),
                (90, "\u2022 with a bullet that goes on for so long that its words"),
                (98, "need a second line"),
                (90, "\u2022 with another"),
                (72, "2. Second step"),
                (90, "a) lettered"),
                (90, "b) lettered too"),
                (72, "3. Third step"),
            ]
        ):
            text(canvas, left, 700 - 12 * at, line)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    kind, written = kinds(page)[1]
    assert kind == "list"
    assert written.splitlines() == [
        "1. First step of several",
        "   - with a bullet that goes on for so long that its words need a second line",
        "   - with another",
        "2. Second step",
        "   - a) lettered",
        "   - b) lettered too",
        "3. Third step",
    ]
    tokens = [token.type for token in MarkdownIt("commonmark").parse(written)]
    assert tokens.count("ordered_list_open") == 1
    assert tokens.count("bullet_list_open") == 2


def test_footnotes_stand_at_the_end_of_the_body(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for at, left in enumerate((60, 310)):
            text(
                canvas, left, 760, *(f"{'LR'[at]}{line:02} has words up to the end of its column" for line in range(50))
            )
        canvas.line(60, 140, 160, 140)
        text(canvas, 60, 128, "1) A note on the left, in smaller type, which", "needs two lines.", size=7)
        text(canvas, 60, 108, "2) Another note.", size=7)
        text(canvas, 290, 30, "17", size=9)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert [kind for kind, _ in kinds(page)] == ["paragraph", "paragraph", "footnote", "footnote"]
    assert kinds(page)[2][1] == "1\\) A note on the left, in smaller type, which needs two lines."
    assert kinds(page, furniture=True) == [("paragraph", "17")]


def chapter(title: str, number: int) -> Callable[[Canvas], None]:
    def draw(canvas: Canvas) -> None:
        text(canvas, 72, 810, f"Chapter {number} of the harbour book", size=9)
        text(canvas, 72, 740, title, size=18, font="Helvetica-Bold")
        text(canvas, 72, 700, *(f"{title} {line} {WORDS}" for line in range(10)))
        text(canvas, 285, 30, str(40 + number), size=9)

    return draw


def test_running_heads_are_known_on_the_first_page_too(engine: Engine, tmp_path: Path) -> None:
    pages = read(
        engine, make.pdf(tmp_path / "a.pdf", *(chapter(name, at) for at, name in enumerate(["Ay", "Bee", "Sea"])))
    )
    assert [kinds(page, furniture=True) for page in pages] == [
        [("paragraph", f"Chapter {at} of the harbour book"), ("paragraph", str(40 + at))] for at in range(3)
    ]
    assert [kinds(page)[0] for page in pages] == [("heading", "# Ay"), ("heading", "# Bee"), ("heading", "# Sea")]


def test_a_single_page_tells_a_foot_from_an_address(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        text(canvas, 72, 815, "Harbour Authority", "1 Old Quay", "12345 Port", size=8)
        body(canvas, 720, 20)
        text(canvas, 72, 30, "Form 12 of the authority", size=7)
        text(canvas, 480, 30, "in force", size=7)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert kinds(page, furniture=True) == [("paragraph", "Form 12 of the authority"), ("paragraph", "in force")]
    assert kinds(page)[0] == ("paragraph", "Harbour Authority 1 Old Quay 12345 Port")


def test_the_last_rows_of_a_table_are_no_page_numbers(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        body(canvas, 790, 20)
        for at, (name, *cells) in enumerate([("Right", "Quay", "Mole"), ("To moor", "X", ""), ("To load", "X", "X")]):
            text(canvas, 72, 140 - 36 * at, f"{name} of a ship", size=9)
            for cell, left in zip(cells, (300, 400), strict=True):
                text(canvas, left, 140 - 36 * at, cell, size=9)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert not kinds(page, furniture=True)
    assert page.markdown.count("X") == 3


def test_footnotes_at_the_very_foot_are_kept(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        body(canvas, 790, 40)
        for at in (1, 2):
            text(canvas, 72, 71 - 11 * at, str(at), size=5)
            text(canvas, 76, 68 - 11 * at, f"www.harbour{at}.example", size=8)
        text(canvas, 72, 20, "\u00a9 2014 Harbour Authority. All rights reserved.", size=8)
        text(canvas, 510, 20, "1", size=8)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert [kind for kind, _ in kinds(page)] == ["paragraph", "footnote", "footnote"]
    assert [found[-1] for _, found in kinds(page, furniture=True)] == [".", "1"]


def test_a_footnote_in_the_type_of_the_head_is_kept(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        text(canvas, 72, 815, "Journal of harbours, vol. 3", size=8)
        body(canvas, 760, 50)
        text(canvas, 72, 50, "1 See the tariff of the port, page 45", size=8)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert [found for _, found in kinds(page, furniture=True)] == ["Journal of harbours, vol. 3"]


def test_a_small_lone_line_at_the_edge_stays_text(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        body(canvas, 760, 20)
        text(canvas, 72, 30, "Only for harbours of the north", size=7)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert not kinds(page, furniture=True)
    assert "Only for harbours" in page.markdown


def test_numbers_that_do_not_count_pages_are_text(engine: Engine, tmp_path: Path) -> None:
    def draw(number: str) -> Callable[[Canvas], None]:
        def page(canvas: Canvas) -> None:
            body(canvas, 700, 20, mark=number)
            text(canvas, 285, 60, number)

        return page

    pages = read(engine, make.pdf(tmp_path / "a.pdf", draw("1200"), draw("310"), draw("77")))
    assert all(not kinds(page, furniture=True) for page in pages)


def test_a_paragraph_that_pages_share_stays_text(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        make.prose(canvas, top=790, lines=4)
        body(canvas, 600, 5)

    for page in read(engine, make.pdf(tmp_path / "a.pdf", draw, draw)):
        assert not kinds(page, furniture=True)


def test_headings_have_one_level_for_one_style(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        text(canvas, 72, 780, "The book of harbours", size=24, font="Helvetica-Bold")
        text(canvas, 72, 740, "1 Berths", size=14, font="Helvetica-Bold")
        body(canvas, 715, 4)
        text(canvas, 72, 650, "1.1 Quays", size=12, font="Helvetica-Bold")
        body(canvas, 630, 4)
        text(canvas, 72, 560, "Of dues", font="Helvetica-Oblique")
        body(canvas, 546, 4)
        text(
            canvas,
            72,
            480,
            "A sentence that is bold from its beginning to the end of the line and then",
            font="Helvetica-Bold",
        )
        text(canvas, 72, 468, "goes on in plain letters, which headings never do.")

    def second(canvas: Canvas) -> None:
        text(canvas, 72, 780, "1.2 Cranes", size=12, font="Helvetica-Bold")
        body(canvas, 760, 30)
        text(canvas, 72, 370, "2 Ships", size=14, font="Helvetica-Bold")
        body(canvas, 345, 4)

    first, then = read(engine, make.pdf(tmp_path / "a.pdf", draw, second))
    assert [found for kind, found in kinds(first) if kind == "heading"] == [
        "# The book of harbours",
        "## 1 Berths",
        "### 1.1 Quays",
        "#### Of dues",
    ]
    assert kinds(first)[-1][0] == "paragraph"
    assert [found for kind, found in kinds(then) if kind == "heading"] == ["### 1.2 Cranes", "## 2 Ships"]


def test_display_lines_that_follow_each_other_head_no_sections(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        text(canvas, 72, 790, "Harbours of the", size=24, font="Helvetica-Bold")
        text(canvas, 72, 762, "north", size=24, font="Helvetica-Bold")
        for at, words in enumerate(["Know every quay", "Compare the dues", "Moor in safety", "Sail away"]):
            text(canvas, 72, 700 - 40 * at, words, size=13, font="Helvetica-Bold")
        body(canvas, 540, 12)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert kinds(page)[:3] == [
        ("heading", "# Harbours of the north"),
        ("paragraph", "Know every quay"),
        ("paragraph", "Compare the dues"),
    ]
    assert [kind for kind, _ in kinds(page)].count("heading") == 1


def test_calls_are_no_headings(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        body(canvas, 790, 20)
        text(canvas, 72, 520, "FREE_THE_BERTH (CURRENT_SHIP, 'ANNA')")
        text(canvas, 72, 480, "free_the_berth(ship, 'Anna')", font="Helvetica-Bold")
        body(canvas, 440, 6)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert not [kind for kind, _ in kinds(page) if kind == "heading"]


def test_a_heading_right_under_another_is_one(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        text(canvas, 72, 780, "2 Berths", size=14, font="Helvetica-Bold")
        text(
            canvas,
            72,
            745,
            "(1) Of the berths of the harbours of the north and what they cost for ships",
            size=10.8,
            font="Times-Roman",
        )
        body(canvas, 728, 20)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert [kind for kind, _ in kinds(page)] == ["heading", "heading", "paragraph"]


def test_numbers_with_their_chapter_count_pages(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        body(canvas, 760, 20)
        text(canvas, 285, 30, "7-45", size=9)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert kinds(page, furniture=True) == [("paragraph", "7-45")]


def test_bookmarks_tell_headings(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.bookmarkPage("a")
        canvas.addOutlineEntry("Plain as it looks", "a", level=0)
        text(canvas, 72, 780, "Plain as it looks")
        body(canvas, 756, 6)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert kinds(page)[0] == ("heading", "## Plain as it looks")


def test_links_are_followed_only_to_safe_places(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        body(canvas, 760, 2)
        text(canvas, 72, 700, "See the tariff [of 2020] for more.")
        width = canvas.stringWidth("See the ", "Helvetica", 10)
        end = canvas.stringWidth("See the tariff [of 2020]", "Helvetica", 10)
        canvas.linkURL("https://example.org/a(b) c", (72 + width, 698, 72 + end, 710))
        text(canvas, 72, 670, "Click here")
        canvas.linkURL("javascript:alert(1)", (72, 668, 130, 680))
        text(canvas, 72, 640, "Literal [brackets](here) stay words.")

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert kinds(page)[1][1] == "See the [tariff \\[of 2020\\]](https://example.org/a%28b%29%20c) for more."
    assert kinds(page)[2][1] == "Click here"
    html = MarkdownIt("commonmark").render(page.markdown)
    assert html.count("<a href=") == 1
    assert "[brackets](here)" in html


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("https://example.org/x?a=1&b=2", "https://example.org/x?a=1&b=2"),
        ("mailto:dues@example.org", "mailto:dues@example.org"),
        ("https://example.org/<b>", "https://example.org/%3Cb%3E"),
        ("JavaScript:alert(1)", ""),
        ("file:///etc/passwd", ""),
        ("data:text/html,x", ""),
        ("https://[", ""),
        ("http://" + "a" * 3000, ""),
    ],
)
def test_only_web_and_mail_addresses_are_safe(uri: str, kept: str) -> None:
    assert safe(uri) == kept


def sheet(*lines: list[Span], width: float = 600, height: float = 800) -> Sheet:
    return Sheet(width, height, lines=list(lines), inked=True)


def test_hebrew_columns_are_read_from_the_right() -> None:
    """The engine's lines are in order already; their columns are not."""
    right = [
        [
            Span(
                f"\u05d0\u05d1\u05d2 {at:02} \u05d3\u05d4\u05d5 \u05d6\u05d7\u05d8 \u05d9\u05db\u05dc",
                (320, 60 + 12 * at, 540, 70 + 12 * at),
                10,
            )
        ]
        for at in range(20)
    ]
    left = [
        [
            Span(
                f"\u05de\u05e0\u05e1 {at:02} \u05e2\u05e4\u05e6 \u05e7\u05e8\u05e9 \u05ea\u05d0\u05d1",
                (60, 60 + 12 * at, 280, 70 + 12 * at),
                10,
            )
        ]
        for at in range(20)
    ]
    page = TextLayer().read(sheet(*left, *right))
    assert page.markdown.index("\u05d0\u05d1\u05d2 19") < page.markdown.index("\u05de\u05e0\u05e1 00")
    first = page.blocks[0]["box"]
    assert (first["x0"], first["x1"]) == (pytest.approx(320 / 600, abs=0.001), pytest.approx(0.9, abs=0.001))


def test_vertical_lines_are_read_from_right_to_left() -> None:
    columns = [
        [Span("\u7e26" * 20 + sign, (500 - 20 * at, 80, 512 - 20 * at, 332), 12, upright=False, vertical=True)]
        for at, sign in enumerate("\u4e00\u4e8c\u4e09\u56db")
    ]
    page = TextLayer().read(sheet(*reversed(columns), [Span("17", (290, 770, 300, 780), 9)]))
    assert [page.markdown.index(sign) for sign in "\u4e00\u4e8c\u4e09\u56db"] == sorted(
        page.markdown.index(sign) for sign in "\u4e00\u4e8c\u4e09\u56db"
    )
    box = page.blocks[0]["box"]
    assert (box["x0"], box["y0"]) == (pytest.approx(440 / 600, abs=0.001), pytest.approx(0.1, abs=0.001))
    assert kinds(page, furniture=True) == [("paragraph", "17")]


def one_line(words: str) -> str:
    return TextLayer().read(sheet([Span(words, (60, 60, 500, 70), 10)])).markdown


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        ("J\u00b4an Min\u00b4a\u02c7c", "J\u00e1n Min\u00e1\u010d"),
        ("the \ufb01rst o\ufb03ce", "the first office"),
        ("\u2018\u2018quoted\u2019\u2019", "\u201cquoted\u201d"),
        ("\ufe8e\ufedf\ufee2", "\u0627\u0644\u0645"),
        ("soft\u00adhyphen", "soft-hyphen"),
    ],
)
def test_letters_are_spelled_as_they_are_typed(drawn: str, said: str) -> None:
    assert one_line(drawn) == said


def test_bullets_that_fonts_name_by_bytes_begin_items() -> None:
    assert one_line(f"\uf06f \u0084 {make.PROSE}") == f"- {make.PROSE}"


def test_no_file_can_forge_a_link() -> None:
    assert one_line(f"{make.PROSE} \U000f0000forged\U0010fffd").endswith(" forged")


def test_white_text_on_the_ground_of_a_form_is_seen(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.beginForm("ground")
        canvas.setFillColorRGB(0, 0, 0.4)
        canvas.rect(60, 60, 300, 40, stroke=0, fill=1)
        canvas.endForm()
        body(canvas, 790, 6)
        canvas.saveState()
        canvas.translate(0, 500)
        canvas.doForm("ground")
        canvas.setFillColorRGB(1, 1, 1)
        text(canvas, 72, 76, "White letters on a dark ground.")
        canvas.restoreState()

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert page.markdown.endswith("White letters on a dark ground.")


def test_a_large_first_letter_joins_its_word(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        text(canvas, 72, 738, "O", size=32, font="Times-Roman")
        text(canvas, 98, 756, f"ver the past decades {WORDS}", f"the second {WORDS}"[:80])
        body(canvas, 732, 6)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert page.markdown.startswith("Over the past decades")


def shifted(words: str, by: int) -> str:
    return "".join(
        chr((ord(letter.lower()) - 97 + by) % 26 + 97) if letter.isascii() and letter.isalpha() else letter
        for letter in words
    )


ENGLISH = (
    make.PROSE + " Nobody knows why the winter storms have damaged only those breakwaters that were repaired during "
    "the previous summer, although inspectors visited every single section twice and wrote careful reports about it."
)


@pytest.mark.parametrize("by", [1, 3, 7, 10, 19])
def test_a_shifted_alphabet_is_not_trusted(by: int) -> None:
    assert TextLayer().read(sheet([Span(ENGLISH, (60, 60, 500, 70), 10)])).trusted
    page = TextLayer().read(sheet([Span(shifted(ENGLISH, by), (60, 60, 500, 70), 10)]))
    assert not page.trusted
    assert "no meaning" in page.detail


GOOD = [
    "Die Hafengeb\u00fchren stiegen erneut, weil mehr Getreideschiffe anlegten als je zuvor.",
    "Op\u0142aty portowe wzros\u0142y, a chrz\u0105szcz brzmi w trzcinie jak zawsze.",
    "P\u0159\u00edstavn\u00ed poplatky vzrostly; vlk, smrt, prst a trh jsou slova.",
    "Satamamaksut nousivat j\u00e4lleen, koska viljalaivoja saapui enemm\u00e4n kuin ennen.",
    "Ph\u00ed c\u1ea3ng l\u1ea1i t\u0103ng trong qu\u00fd hai v\u00ec c\u00f3 nhi\u1ec1u t\u00e0u.",
    "\u041f\u043e\u0440\u0442\u043e\u0432\u044b\u0435 \u0441\u0431\u043e\u0440\u044b",
]


@pytest.mark.parametrize("words", GOOD)
def test_good_pages_in_any_language_are_trusted_and_their_mojibake_is_not(words: str) -> None:
    assert TextLayer().read(sheet([Span(words * 4, (60, 60, 500, 70), 10)])).trusted
    broken = (words * 8).encode().decode("latin-1")
    if len(words.encode()) > len(words) + 4:
        assert not TextLayer().read(sheet([Span(broken, (60, 60, 500, 70), 10)])).trusted


def test_text_in_a_font_of_pictures_is_not_trusted() -> None:
    span = Span(make.PROSE, (60, 60, 500, 70), 10, font="ABCDEF+Wingdings-Regular")
    assert not TextLayer().read(sheet([span])).trusted


def test_a_page_ahead_that_breaks_is_told_only_in_its_turn() -> None:
    from ingest.ahead import Ahead

    def broken(page: int) -> Sheet:
        if page == 2:
            raise ValueError("page 2 is broken")
        return sheet([Span(make.PROSE, (60, 60, 500, 70), 10)])

    ahead = Ahead(broken, 2)
    assert ahead.sheet(1).following() is None
    with pytest.raises(ValueError, match="page 2 is broken"):
        ahead.sheet(2)


def test_text_columns_side_by_side_are_no_table(engine: Engine, tmp_path: Path) -> None:
    """Exercises in two columns stand row by row beside each other, as cells do; their lines are full ones."""

    def draw(canvas: Canvas) -> None:
        for at, left in enumerate((60, 320)):
            top = 760.0
            for number in range(8):
                top = text(canvas, left, top, f"{at * 8 + number + 1}. Find the speed of the ball that fell down from")
                top = text(canvas, left + 14, top, "a. the tower, in meters a second and")
                top = text(canvas, left + 14, top, "b. the hill behind it.") - 6

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert not [kind for kind, _ in kinds(page) if kind == "table"]
    places = [page.markdown.index(f"{number}. Find") for number in range(1, 17)]
    assert places == sorted(places)


def test_code_is_known_by_the_widths_of_its_letters() -> None:
    code = [
        "def moor(ship):",
        "if ship.is_late:",
        "    return None",
        "berth = free_berth()",
        "berth.take(ship)",
        "return berth",
    ]
    prose = [[Span(WORDS, (60, 60 + 12 * at, 460, 70 + 12 * at), 10, font="Body")] for at in range(10)]
    typed = [
        [Span(line, (60, 200 + 12 * at, 60 + 6 * len(line), 210 + 12 * at), 10, font="Typed")]
        for at, line in enumerate(code)
    ]
    page = TextLayer().read(sheet(*prose, *typed))
    assert kinds(page)[-1][0] == "code"
    assert "berth = free_berth()" in kinds(page)[-1][1]


def test_labels_of_a_picture_belong_to_it(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        body(canvas, 790, 4)
        picture(canvas, 72, 400, 400, 300)
        for at, label in enumerate(["North quay", "Old basin", "Mole"]):
            text(canvas, 100 + 110 * at, 650 - 60 * at, label, size=7)
        text(canvas, 72, 385, "Fig. 4: The harbour from above.", size=8)
        body(canvas, 350, 4)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert kinds(page)[1:3] == [
        ("figure", "North quay Old basin Mole"),
        ("caption", "Fig. 4: The harbour from above."),
    ]


def test_a_picture_beside_a_paragraph_does_not_part_it(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        body(canvas, 790, 4)
        picture(canvas, 72, 600, 100, 110)
        text(canvas, 200, 700, *(f"line {at} {WORDS[:55]}" for at in range(9)))
        body(canvas, 560, 4)

    (page,) = read(engine, make.pdf(tmp_path / "a.pdf", draw))
    assert [kind for kind, _ in kinds(page)] == ["paragraph", "figure", "paragraph", "paragraph"]
    assert "line 8" in kinds(page)[2][1]


def test_a_title_page_learns_its_running_text_from_the_next_page(engine: Engine, tmp_path: Path) -> None:
    def title(canvas: Canvas) -> None:
        text(canvas, 150, 500, "Harbours of the north", size=22)

    title_page, _ = read(engine, make.pdf(tmp_path / "a.pdf", title, make.prose))
    assert kinds(title_page) == [("heading", "# Harbours of the north")]


def drawn(*letters: tuple[str, float, float]) -> str:
    """What letters say that stand at these places, given in any order, on a line of 10 points."""
    found = logical([Letter(sign, left, right, 0) for sign, left, right in letters], 10)
    return "".join(words for _, words, _, _ in found)


def test_arabic_letters_are_put_in_order_from_their_places() -> None:
    alef, lam, hamza, noon = "\u0627", "\u0644", "\u0625", "\u0646"
    # a ligature's second letter has no width in one engine, and its first one's box in the other
    assert drawn((alef, 90, 94), (hamza, 80, 80), (lam, 80, 89.9), (noon, 70, 80)) == alef + lam + hamza + noon
    assert drawn((alef, 90, 94), (hamza, 80, 90), (lam, 80, 90), (noon, 70, 80)) == alef + lam + hamza + noon
    # words drawn from left to right, a number among them, a space that lies across a letter, and one that is missing
    assert drawn((noon, 10, 15), ("2", 20, 25), ("4", 25, 30), (lam, 36, 40), (" ", 37, 39)) == f"{lam} 24 {noon}"
