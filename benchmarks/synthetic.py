"""Documents made on the spot, and the processes' CPU time and memory: what several benchmarks share."""

import random
from pathlib import Path

import psutil
import pypdfium2
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

WORDS = (
    "pump seal pressure valve report quarter revenue margin turbine contract delivery inspection sample current "
    "voltage bearing torque schedule supplier invoice storage harbour vessel cooling reactor filter membrane signal "
    "protocol survey region forecast budget audit policy training network sensor archive index query passage"
).split()
LINES_A_PAGE = 38
MARGIN = 60


def make_pdf(path: Path, *, pages: int, seed: int) -> Path:
    """A born-digital report: on every page a heading, paragraphs and one line that no other page has."""
    chance = random.Random(seed)
    canvas = Canvas(str(path), pagesize=A4, invariant=1)
    for page in range(1, pages + 1):
        _draw_page(canvas, chance, seed, page)
    canvas.save()
    return path


def make_scan(path: Path, *, pages: int, seed: int) -> Path:
    """The same pages without a text layer: each is a picture, as a scanner makes it (A4 at 150 dpi, grey JPEG)."""
    born = make_pdf(path.with_suffix(".born.pdf"), pages=pages, seed=seed)
    document = pypdfium2.PdfDocument(str(born))
    pictures = [document[number].render(scale=150 / 72).to_pil().convert("L") for number in range(pages)]
    pictures[0].save(path, "PDF", resolution=150, save_all=True, append_images=pictures[1:])
    return path


def marker(seed: int, page: int) -> str:
    """The words that stand on one page only."""
    return f"inspection record {seed:05d} of sheet {page:05d}"


def markdown(seed: int, page: int) -> str:
    """The same kind of page as Markdown, for streams of page images read by the scripted engine."""
    chance = random.Random(seed * 100_003 + page)
    paragraphs = [" ".join(chance.choices(WORDS, k=90)).capitalize() + "." for _ in range(3)]
    return "\n\n".join([f"## Section {page} of report {seed}", f"This is {marker(seed, page)}.", *paragraphs])


def _draw_page(canvas: Canvas, chance: random.Random, seed: int, page: int) -> None:
    _, height = A4
    canvas.setFont("Helvetica-Bold", 15)
    canvas.drawString(MARGIN, height - 70, f"Section {page} of report {seed}")
    canvas.setFont("Helvetica", 10)
    line_at = height - 100
    for line in range(LINES_A_PAGE):
        if line == 2:
            canvas.drawString(MARGIN, line_at, f"This is {marker(seed, page)}.")
        elif line % 10 != 9:  # every tenth line stays empty: paragraphs
            canvas.drawString(MARGIN, line_at, " ".join(chance.choices(WORDS, k=12)) + ("." if line % 10 == 8 else ""))
        line_at -= 17
    canvas.showPage()


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process and everything it started, the dead children included."""
    total = sum(process.cpu_times()[:4])
    return total + sum(_of_child(child) for child in process.children())


def _of_child(child: psutil.Process) -> float:
    try:
        return cpu_seconds(child)
    except psutil.NoSuchProcess:  # it ended meanwhile: its parent's children_* fields have it
        return 0.0


def table(rows: list[tuple[str, ...]]) -> None:
    """Print rows in columns; the first is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(
                cell.rjust(width) if at else cell.ljust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        )
