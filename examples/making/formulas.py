"""formulas.pdf: a page of formulas, set from small boxes: fractions, roots, sums, indices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reportlab.lib.pagesizes import A4
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph

from making.style import BODY, GREY, H1, H2, LICENCE, dejavu, use_font

Draw = Callable[[Canvas, float, float], None]


@dataclass(frozen=True)
class Ink:
    """Something drawn from a base line: its width, and how far it reaches above and below."""

    width: float
    above: float
    below: float
    draw: Draw


def text(letters: str, size: float = 15, font: str = "Math") -> Ink:
    def draw(canvas: Canvas, x: float, y: float) -> None:
        canvas.setFont(font, size)
        canvas.drawString(x, y, letters)

    return Ink(stringWidth(letters, font, size), 0.74 * size, 0.22 * size, draw)


def row(*parts: Ink | str, gap: float = 3) -> Ink:
    inks = [text(part) if isinstance(part, str) else part for part in parts]

    def draw(canvas: Canvas, x: float, y: float) -> None:
        for ink in inks:
            ink.draw(canvas, x, y)
            x += ink.width + gap

    width = sum(ink.width for ink in inks) + gap * (len(inks) - 1)
    return Ink(width, max(ink.above for ink in inks), max(ink.below for ink in inks), draw)


def over(top: Ink | str, bottom: Ink | str) -> Ink:
    """A fraction."""
    high, low = (text(part) if isinstance(part, str) else part for part in (top, bottom))
    width = max(high.width, low.width) + 8

    def draw(canvas: Canvas, x: float, y: float) -> None:
        canvas.setLineWidth(0.8)
        canvas.line(x, y + 5, x + width, y + 5)
        high.draw(canvas, x + (width - high.width) / 2, y + 9 + high.below)
        low.draw(canvas, x + (width - low.width) / 2, y + 1 - low.above)

    return Ink(width, 9 + high.below + high.above, low.above + low.below - 1, draw)


def index(main: Ink | str, *, low: str = "", high: str = "") -> Ink:
    """A letter with something small at its foot, its head, or both."""
    base = text(main) if isinstance(main, str) else main
    foot, head = text(low, 10), text(high, 10)

    def draw(canvas: Canvas, x: float, y: float) -> None:
        base.draw(canvas, x, y)
        foot.draw(canvas, x + base.width + 1, y - 4)
        head.draw(canvas, x + base.width + 1, y + base.above - 5)

    return Ink(base.width + 1 + max(foot.width, head.width), base.above + 4, base.below + 4, draw)


def root(inside: Ink) -> Ink:
    def draw(canvas: Canvas, x: float, y: float) -> None:
        top, bottom = y + inside.above + 3, y - inside.below
        canvas.setLineWidth(0.9)
        path = canvas.beginPath()
        path.moveTo(x, bottom + 8)
        path.lineTo(x + 4, bottom + 10)
        path.lineTo(x + 8, bottom)
        path.lineTo(x + 13, top)
        path.lineTo(x + 17 + inside.width, top)
        canvas.drawPath(path)
        inside.draw(canvas, x + 15, y)

    return Ink(inside.width + 18, inside.above + 4, inside.below, draw)


def large(sign: str, low: str, high: str) -> Ink:
    """A sum or an integral with its limits."""
    main, foot, head = text(sign, 24), text(low, 9), text(high, 9)
    width = max(main.width, foot.width, head.width)

    def draw(canvas: Canvas, x: float, y: float) -> None:
        main.draw(canvas, x + (width - main.width) / 2, y - 3)
        foot.draw(canvas, x + (width - foot.width) / 2, y - 17)
        head.draw(canvas, x + (width - head.width) / 2, y + 21)

    return Ink(width, 29, 19, draw)


FORMULAS: Sequence[tuple[str, str, Callable[[], Ink]]] = (
    ("Hydraulic power", "Power that the water takes up, from density, gravity, flow and head:",
     lambda: row(index("P", low="h"), "=", "ρ", "g", "Q", "H")),
    ("Efficiency", "The useful share of the power at the shaft:",
     lambda: row("η", "=", over("ρ g Q H", row("M", "ω")), "=", over(index("P", low="h"), index("P", low="s")))),
    ("Bernoulli", "Along a stream line without loss, the sum of the three heads stays the same:",
     lambda: row(over("p", "ρ g"), "+", over(index("v", high="2"), "2 g"), "+", "z", "=", "const.")),
    ("Specific speed", "It tells the shape of an impeller; ours are near 240 (rpm, cubic metres a second, metres):",
     lambda: row(index("n", low="q"), "=", "n", over(root(text("Q")), index("H", high="3/4")))),
    ("Net positive suction head", "What is left above the vapour pressure at the inlet:",
     lambda: row("NPSH", "=", over(row(index("p", low="a"), "−", index("p", low="v")), "ρ g"),
                 "+", index("z", low="s"), "−", index("h", low="f"))),
    ("Friction loss", "Darcy and Weisbach, summed over the sections of the pipe:",
     lambda: row(index("h", low="f"), "=", large("∑", "i = 1", "N"), index("λ", low="i"),
                 over(index("L", low="i"), index("d", low="i")), over(index("v", low="i", high="2"), "2 g"))),
    ("Energy of one tide", "Integrated over the time T for which the pump runs:",
     lambda: row("E", "=", large("∫", "0", "T"), over("ρ g Q(t) H(t)", "η(t)"), "dt")),
)  # fmt: skip


def make(path: Path) -> None:
    use_font("Math", dejavu("DejaVuSerif"))
    canvas = Canvas(str(path), pagesize=A4, invariant=1)
    canvas.setTitle("Formulas for tide pumps")
    canvas.setAuthor("Aldermoor Pumps")
    canvas.setSubject(LICENCE)
    y = _paragraph(canvas, Paragraph("Formulas for tide pumps", H1), 800)
    y = _paragraph(
        canvas,
        Paragraph(
            "Density of sea water ρ = 1025 kg per cubic metre, gravity g = 9.81 metres per second squared.".replace(
                "ρ", '<font name="Math">ρ</font>'
            ),
            BODY,
        ),
        y,
    )
    for number, (name, sentence, formula) in enumerate(FORMULAS, 1):
        y = _paragraph(canvas, Paragraph(f"{number}. {name}", H2), y)
        y = _paragraph(canvas, Paragraph(sentence, BODY), y)
        ink = formula()
        y -= ink.above + 2
        ink.draw(canvas, 110, y)
        canvas.setFont("Times-Roman", 11)
        canvas.drawRightString(A4[0] - 62, y, f"({number})")
        y -= ink.below + 5
    canvas.setFont("Helvetica", 8)
    canvas.setFillColor(GREY)
    canvas.drawString(62, 36, "Aldermoor Pumps, design handbook, sheet 12")
    canvas.save()


def _paragraph(canvas: Canvas, paragraph: Paragraph, y: float) -> float:
    _, height = paragraph.wrap(A4[0] - 124, A4[1])
    paragraph.drawOn(canvas, 62, y - height)
    return y - height - 3
