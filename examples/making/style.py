"""How the born-digital examples look: fonts, colours, paragraph styles, ruled tables and a page frame."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, ListFlowable, ListItem, PageTemplate, Paragraph, Table

TEAL = HexColor("#12615f")
SAND = HexColor("#f3efe6")
GREY = HexColor("#555555")
LICENCE = "CC0 1.0: made for the folio project, about a company that does not exist"

FONT_FOLDERS = (Path("/usr/share/fonts/truetype/dejavu"), Path("/usr/share/fonts/dejavu"), Path("/usr/share/fonts/TTF"))
CHINESE_FONTS = (Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"),)


def dejavu(name: str) -> Path:
    """A DejaVu face, drawn into pictures and embedded where letters are needed that PDF's own fonts lack."""
    for folder in FONT_FOLDERS:
        if (folder / f"{name}.ttf").is_file():
            return folder / f"{name}.ttf"
    raise SystemExit(f"{name}.ttf is not installed: Debian has it in fonts-dejavu")


def use_font(name: str, file: Path) -> str:
    if name not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(name, str(file)))
    return name


def chinese_font(chosen: Path | None) -> str:
    """Embedded as a subset, because readers without Asian font packs draw nothing otherwise."""
    for file in (chosen, *CHINESE_FONTS):
        if file is not None and file.is_file():
            return use_font("MicroHei", file)
    raise SystemExit("no Chinese font: install Debian's fonts-wqy-microhei or name one with --chinese-font")


def style(name: str, **how: Any) -> ParagraphStyle:
    return ParagraphStyle(name, **{"fontName": "Times-Roman", "fontSize": 12, "leading": 17, "spaceAfter": 9, **how})


BODY = style("body", alignment=TA_JUSTIFY)
H1 = style("h1", fontName="Helvetica-Bold", fontSize=22, leading=28, textColor=TEAL, spaceBefore=4, spaceAfter=12)
H2 = style("h2", fontName="Helvetica-Bold", fontSize=14.5, leading=19, textColor=TEAL, spaceBefore=14, spaceAfter=7)
CAPTION = style("caption", fontName="Helvetica-Oblique", fontSize=9, leading=12, textColor=GREY, spaceBefore=4)


def bullets(*items: str, body: ParagraphStyle = BODY, numbered: bool = False) -> ListFlowable:
    kind = {"bulletType": "1", "bulletFormat": "%s."} if numbered else {"bulletType": "bullet", "start": "•"}
    return ListFlowable([ListItem(Paragraph(item, body), leftIndent=16) for item in items], leftIndent=16, **kind)


def ruled(
    rows: Sequence[Sequence[str]],
    widths: Sequence[float],
    *,
    bold: Sequence[int] = (),
    font: str = "Helvetica",
    size: float = 10,
    align: str = "RIGHT",
) -> Table:
    """A table with a coloured head, thin rules, and columns after the first to the right unless told otherwise."""
    heavy = "Helvetica-Bold" if font == "Helvetica" else font
    padding = 0.55 * size
    rules: list[tuple[Any, ...]] = [
        ("FONT", (0, 0), (-1, -1), font, size),
        ("FONT", (0, 0), (-1, 0), heavy, size),
        ("BACKGROUND", (0, 0), (-1, 0), TEAL),
        ("TEXTCOLOR", (0, 0), (-1, 0), HexColor("#ffffff")),
        ("ALIGN", (1, 0), (-1, -1), align),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, HexColor("#9bb5b3")),
        ("TOPPADDING", (0, 0), (-1, -1), padding),
        ("BOTTOMPADDING", (0, 0), (-1, -1), padding),
    ]
    for row in bold:
        rules += [("FONT", (0, row), (-1, row), heavy, size), ("BACKGROUND", (0, row), (-1, row), SAND)]
    return Table(
        [list(row) for row in rows], colWidths=list(widths), style=rules, repeatRows=1, spaceBefore=4, spaceAfter=8
    )


def write_pdf(
    path: Path,
    story: Sequence[Any],
    *,
    title: str,
    furniture: Callable[[Canvas, Any], None],
    frames: Sequence[Frame] | None = None,
    size: tuple[float, float] = A4,
) -> None:
    """Lay a story out; the same input gives the same bytes."""
    pdf = BaseDocTemplate(str(path), pagesize=size, title=title, author="Aldermoor Pumps", subject=LICENCE, invariant=1)
    whole = [Frame(62, 62, size[0] - 124, size[1] - 124, id="page")]
    pdf.addPageTemplates([PageTemplate(id="page", frames=list(frames or whole), onPage=furniture)])
    pdf.build(list(story))


def running(head: str, *, font: str = "Helvetica", page: str = "Page {}") -> Callable[[Canvas, Any], None]:
    """A running head and a page number."""

    def draw(canvas: Canvas, pdf: Any) -> None:
        width, height = pdf.pagesize
        canvas.setFont(font, 8)
        canvas.setFillColor(GREY)
        canvas.drawString(62, height - 40, head)
        canvas.drawRightString(width - 62, 36, page.format(canvas.getPageNumber()))
        canvas.setStrokeColor(TEAL)
        canvas.line(62, height - 46, width - 62, height - 46)

    return draw
