"""Small PDF files made on the spot, for every suite that needs one."""

import random
from pathlib import Path

from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

WORDS = (
    "harbour crane vessel cargo manifest berth tide pilot customs warehouse ledger freight route signal anchor dock"
).split()


def report_pdf(path: Path, *, pages: int, seed: int = 1, special: dict[int, str] | None = None) -> Path:
    """A born-digital report: a heading and three paragraphs a page; `special` replaces one page's second paragraph."""
    canvas = Canvas(str(path), pagesize=A4, invariant=1)
    for page in range(1, pages + 1):
        chance = random.Random(seed * 1000 + page)
        canvas.setFont("Helvetica-Bold", 16)
        canvas.drawString(60, 780, f"Report {seed}, chapter {page}")
        canvas.setFont("Helvetica", 10)
        for paragraph in range(3):
            top = 740 - paragraph * 100
            if paragraph == 1 and special and page in special:
                canvas.drawString(60, top, special[page])
                continue
            for line in range(4):
                words = " ".join(chance.choices(WORDS, k=11))
                canvas.drawString(60, top - line * 14, f"{words}." if line == 3 else words)
        canvas.showPage()
    canvas.save()
    return path


def blank_pdf(path: Path) -> Path:
    canvas = Canvas(str(path), pagesize=A4, invariant=1)
    canvas.showPage()
    canvas.save()
    return path


def encrypted_pdf(path: Path) -> Path:
    canvas = Canvas(str(path), pagesize=A4, encrypt=StandardEncryption("secret"))
    canvas.drawString(60, 780, "nobody reads this")
    canvas.save()
    return path
