"""Documents made on the spot, and the processes' CPU time and memory: what several benchmarks share."""

import random
import re
from functools import cache
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
PROSE_WORD = re.compile(r"[A-Za-z][a-z]+[.,;:]?")


def make_pdf(path: Path, *, pages: int, seed: int) -> Path:
    """A born-digital report: on every page a heading, paragraphs and one line that no other page has."""
    chance = random.Random(seed)
    canvas = Canvas(str(path), pagesize=A4, invariant=1)
    for page in range(1, pages + 1):
        _draw_page(canvas, chance, seed, page)
    canvas.save()
    return path


def make_report(path: Path, *, pages: int, seed: int) -> Path:
    """Pages as reports have them: running heads, headings, one or two columns, lists, ruled and open tables, notes."""
    chance = random.Random(seed)
    canvas = Canvas(str(path), pagesize=A4, invariant=1)
    for page in range(1, pages + 1):
        _Sheet(canvas, chance, seed, page).draw()
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


@cache
def prose() -> tuple[str, ...]:
    """English words in the order in which somebody wrote them: the manual that comes with every Python."""
    from pydoc_data.topics import topics

    return tuple(PROSE_WORD.findall(" ".join(topics[name] for name in sorted(topics))))


class _Sheet:
    """One page of a report, drawn from top to bottom."""

    def __init__(self, canvas: Canvas, chance: random.Random, seed: int, page: int) -> None:
        self._canvas = canvas
        self._chance = chance
        self._seed = seed
        self._page = page
        self._at = A4[1] - 70.0
        self._read = chance.randrange(len(prose()))

    def draw(self) -> None:
        """Every third page has two columns, every third a ruled table, every fifth an open one and a list."""
        canvas, (width, height) = self._canvas, A4
        canvas.setFont("Helvetica", 8)
        canvas.drawString(MARGIN, height - 36, f"Report {self._seed} on pumps and harbours")
        canvas.drawCentredString(width / 2, 30, str(self._page))
        self._line(f"{self._page} Section of {self._words(4)}", font="Helvetica-Bold", size=15, step=26)
        self._line(f"This is {marker(self._seed, self._page)}.", step=20)
        columns = 2 if self._page % 3 == 0 else 1
        self._columns(columns, lines=16 if columns == 2 else 12)
        if self._page % 3 == 1:
            self._table(ruled=True)
        if self._page % 5 == 0:
            self._list()
            self._table(ruled=False)
        self._line(f"{self._page}.1 {self._words(3).capitalize()}", font="Helvetica-Bold", size=12, step=20)
        self._columns(1, lines=max(0, int((self._at - 110) // 14)))
        self._canvas.line(MARGIN, 84, MARGIN + 120, 84)
        self._at = 72
        self._line(f"1 {self._words(9)}.", size=7)
        canvas.showPage()

    def _words(self, count: int) -> str:
        """The next words of the prose, so that words come as often and as long as people write them."""
        words = prose()
        return " ".join(words[(self._read + number) % len(words)] for number in self._reading(count))

    def _reading(self, count: int) -> range:
        self._read += count
        return range(-count, 0)

    def _line(self, text: str, *, font: str = "Helvetica", size: float = 10, step: float = 14) -> None:
        self._canvas.setFont(font, size)
        self._canvas.drawString(MARGIN, self._at, text)
        self._at -= step

    def _columns(self, columns: int, *, lines: int) -> None:
        """Paragraphs of seven lines; a column's words fill its width."""
        top, width = self._at, (A4[0] - 2 * MARGIN - (columns - 1) * 20) / columns
        for column in range(columns):
            self._at = top
            for line in range(lines):
                last = line % 7 == 6 or line == lines - 1
                text = self._filling(width * (0.6 if last else 1))
                self._canvas.drawString(MARGIN + column * (width + 20), self._at, text + ("." if last else ""))
                self._at -= 22 if line % 7 == 6 else 14
        self._at -= 10

    def _filling(self, width: float) -> str:
        self._canvas.setFont("Times-Roman", 10)
        text = self._words(1)
        while self._canvas.stringWidth(longer := f"{text} {self._words(1)}", "Times-Roman", 10) < width:
            text = longer
        return text

    def _table(self, *, ruled: bool, rows: int = 7, columns: int = 4) -> None:
        canvas, top, step, wide = self._canvas, self._at + 10, 16, 110
        for row in range(rows):
            canvas.setFont("Helvetica-Bold" if row == 0 else "Helvetica", 9)
            for column in range(columns):
                text = self._words(1) if row == 0 or column == 0 else f"{self._chance.uniform(1, 9999):,.1f}"
                canvas.drawString(MARGIN + 4 + column * wide, top - 12 - row * step, text)
        if ruled:
            for row in range(rows + 1):
                canvas.line(MARGIN, top - row * step, MARGIN + columns * wide, top - row * step)
            for column in range(columns + 1):
                canvas.line(MARGIN + column * wide, top, MARGIN + column * wide, top - rows * step)
        self._at = top - rows * step - 24

    def _list(self) -> None:
        for number in range(1, 6):
            self._line(f"{number}. {self._words(8)}")
        self._at -= 8


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
