"""slides.pdf: four landscape slides with few words, a diagram and a table."""

from collections.abc import Sequence
from pathlib import Path

from reportlab.lib.colors import HexColor
from reportlab.pdfgen.canvas import Canvas

from making.style import GREY, LICENCE, SAND, TEAL, ruled

SIZE = (960, 540)
AMBER = HexColor("#d9902f")
WHITE = HexColor("#ffffff")
COSTS = [
    ["Option", "Build (EUR)", "Power a year", "Ready", "Risk"],
    ["Repair the old screw pumps", "1.9 million", "410 MWh", "May 2026", "high"],
    ["Four KX-260 tide pumps", "3.2 million", "265 MWh", "October 2026", "low"],
    ["Larger sluice, no pumps", "6.7 million", "0 MWh", "2029", "medium"],
]
STEPS = ("Polder drain", "Trash rack", "KX-260 pump", "Flap gate", "Sea")


def _frame(canvas: Canvas, title: str, number: int) -> None:
    canvas.setFillColor(SAND)
    canvas.rect(0, 0, *SIZE, stroke=0, fill=1)
    canvas.setFillColor(TEAL)
    canvas.rect(0, 0, 18, SIZE[1], stroke=0, fill=1)
    canvas.setFont("Helvetica-Bold", 34)
    canvas.drawString(64, 456, title)
    canvas.setFillColor(GREY)
    canvas.setFont("Helvetica", 12)
    canvas.drawString(64, 28, "Aldermoor Pumps for the Ostrey Water Board, 3 March 2026")
    canvas.drawRightString(SIZE[0] - 48, 28, str(number))


def _points(canvas: Canvas, points: Sequence[str], *, top: float = 380) -> None:
    for index, point in enumerate(points):
        y = top - 62 * index
        canvas.setFillColor(AMBER)
        canvas.circle(74, y + 8, 6, stroke=0, fill=1)
        canvas.setFillColor(HexColor("#222222"))
        canvas.setFont("Helvetica", 25)
        canvas.drawString(98, y, point)


def _cover(canvas: Canvas) -> None:
    canvas.setFillColor(TEAL)
    canvas.rect(0, 0, *SIZE, stroke=0, fill=1)
    canvas.setFillColor(WHITE)
    canvas.setFont("Helvetica-Bold", 48)
    canvas.drawString(80, 300, "Dry feet in Ostrey")
    canvas.setFont("Helvetica", 24)
    canvas.drawString(80, 252, "How the polder could be drained after 2026")
    canvas.setFillColor(AMBER)
    canvas.rect(80, 226, 180, 6, stroke=0, fill=1)


def _why(canvas: Canvas) -> None:
    _frame(canvas, "Why now?", 2)
    _points(canvas, [
        "The screw pumps date from 1968; parts are cast one by one",
        "In November 2025 the polder stood at +0.74 m for nine days",
        "Rain of such a week is now expected every six years",
        "The sea leaves two hours less for the sluice than in 1968",
    ])  # fmt: skip


def _how(canvas: Canvas) -> None:
    _frame(canvas, "How the water leaves", 3)
    for index, step in enumerate(STEPS):
        x = 64 + 172 * index
        canvas.setFillColor(AMBER if step.startswith("KX") else TEAL)
        canvas.roundRect(x, 270, 138, 76, 10, stroke=0, fill=1)
        canvas.setFillColor(WHITE)
        canvas.setFont("Helvetica-Bold", 17)
        canvas.drawCentredString(x + 69, 302, step)
        if index:
            _arrow(canvas, x - 32, 308)
    canvas.setFillColor(HexColor("#222222"))
    canvas.setFont("Helvetica", 22)
    canvas.drawString(64, 190, "Each pump lifts 4.2 cubic metres a second over 2.9 metres.")
    canvas.drawString(64, 152, "Three run, the fourth waits: no single fault floods the polder.")


def _arrow(canvas: Canvas, x: float, y: float) -> None:
    canvas.setStrokeColor(GREY)
    canvas.setLineWidth(3)
    canvas.line(x, y, x + 24, y)
    canvas.line(x + 24, y, x + 15, y + 7)
    canvas.line(x + 24, y, x + 15, y - 7)


def _choice(canvas: Canvas) -> None:
    _frame(canvas, "Three ways, one proposal", 4)
    table = ruled(COSTS, [270, 150, 150, 150, 110], bold=[2], size=17)
    _, height = table.wrap(*SIZE)
    table.drawOn(canvas, 64, 410 - height)
    canvas.setFillColor(TEAL)
    canvas.setFont("Helvetica-Bold", 25)
    canvas.drawString(64, 150, "We propose four KX-260 tide pumps.")
    canvas.setFillColor(HexColor("#222222"))
    canvas.setFont("Helvetica", 21)
    canvas.drawString(64, 110, "Decision needed by 15 April 2026 to be ready before winter.")


def make(path: Path) -> None:
    canvas = Canvas(str(path), pagesize=SIZE, invariant=1)
    canvas.setTitle("Dry feet in Ostrey")
    canvas.setAuthor("Aldermoor Pumps")
    canvas.setSubject(LICENCE)
    for slide in (_cover, _why, _how, _choice):
        slide(canvas)
        canvas.showPage()
    canvas.save()
