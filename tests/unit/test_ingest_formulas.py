"""Formulas on lines of their own become LaTeX, powers in running text raised signs; marks and chemistry stay."""

from collections.abc import Callable
from pathlib import Path

import pytest
from reportlab.pdfgen.canvas import Canvas

from ingest.mupdf import MuPdf
from ingest.pdfium import Pdfium
from ingest.render import Pdf
from ingest.textlayer import TextLayer
from tests import hostile_files as make

Engine = Callable[[Path], Pdf]


@pytest.fixture(params=[MuPdf, Pdfium], ids=["pymupdf", "pypdfium2"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param  # type: ignore[no-any-return]  # pytest's param has no type


def line(canvas: Canvas, left: float, top: float, *parts: str) -> None:
    """Parts on one line; `^` before a part raises it, `_` lowers it, both in small type."""
    for part in parts:
        raised, lowered = part.startswith("^"), part.startswith("_")
        said = part[1:] if raised or lowered else part
        size = 7 if raised or lowered else 10
        canvas.setFont("Helvetica", size)
        canvas.drawString(left, top + (4 if raised else -2 if lowered else 0), said)
        left += canvas.stringWidth(said, "Helvetica", size)


def blocks(engine: Engine, tmp_path: Path, *parts: str, left: float = 200) -> list[tuple[str, str]]:
    """A page of prose with one line between its paragraphs."""

    def draw(canvas: Canvas) -> None:
        make.prose(canvas, lines=8)
        line(canvas, left, 640, *parts)
        make.prose(canvas, top=610, lines=8)

    page = TextLayer().read(engine(make.pdf(tmp_path / "a.pdf", draw)).sheet(1))
    return [(block["kind"], page.markdown[block["start"] : block["end"]]) for block in page.blocks][1:-1]


@pytest.mark.parametrize(
    ("parts", "latex"),
    [
        (("a", "^2", " + b", "^2", " = c", "^2"), "$a^2 + b^2 = c^2$"),
        (("e", "^-x", " = 1 - x + r"), "$e^{-x} = 1 - x + r$"),
        (("x", "_i", " = sin(t", "_i", ") \u00b1 1."), "$x_i = \\sin(t_i) \\pm 1$."),
        (("y", "_n", "^2", " \u00d7 4 = 10", "^12", " z"), "$y_n^2 \\times 4 = 10^{12} z$"),
    ],
)
def test_a_formula_on_its_own_line_is_latex(engine: Engine, tmp_path: Path, parts: tuple[str, ...], latex: str) -> None:
    assert blocks(engine, tmp_path, *parts) == [("formula", latex)]


@pytest.mark.parametrize(
    "parts",
    [
        ("Costs = 3,000 of the port", "^2", " in euros"),
        ("a + b = 12", "^1"),
        ("x = 5%", "^2"),
        ("CO", "_2", " in the air"),
        ("^1", " a = b, as in the first edition"),
        ("n = 12",),
    ],
)
def test_what_is_no_formula_or_in_doubt_stays_text(engine: Engine, tmp_path: Path, parts: tuple[str, ...]) -> None:
    assert [kind for kind, text in blocks(engine, tmp_path, *parts) if kind == "formula" or "$" in text] == []


def test_a_fraction_stays_text(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        make.prose(canvas, lines=8)
        line(canvas, 200, 640, "v", "^2", " = ")
        line(canvas, 232, 646, "s + 1")
        line(canvas, 232, 633, "t - 1")
        make.prose(canvas, top=600, lines=8)

    page = TextLayer().read(engine(make.pdf(tmp_path / "a.pdf", draw)).sheet(1))
    assert "$" not in page.markdown


def test_the_last_line_of_a_paragraph_is_no_formula(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        make.prose(canvas, lines=8)
        line(canvas, 72, 664, "x", "^2", " = 4.")
        make.prose(canvas, top=630, lines=8)

    page = TextLayer().read(engine(make.pdf(tmp_path / "a.pdf", draw)).sheet(1))
    assert [block["kind"] for block in page.blocks] == ["paragraph", "paragraph"]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("The quay measures 400 m", "^2", " and more."), "400 m\u00b2 and"),
        (("Some 3 \u00d7 10", "^5", " ships came."), "10\u2075 ships"),
        (("It fell by 10", "^-3", " each year."), "10\u207b\u00b3 each"),
        (("The height is h = 16t", "^2", " + 4 after a while."), "h = 16t\u00b2 + 4"),
        (("As the law", "^2", " has it for 10", "^1", " ports."), "law2 has it for 101 ports"),
        (("Lead, Pb", "^2", " and others."), "Pb2 and"),
    ],
)
def test_powers_in_running_text_are_raised_signs(
    engine: Engine, tmp_path: Path, parts: tuple[str, ...], said: str
) -> None:
    ((kind, text),) = blocks(engine, tmp_path, *parts, left=72)
    assert kind == "paragraph"
    assert said in text
