"""scanned-letter.pdf: a letter that exists only as a scan, slightly crooked and grainy; no text layer."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from making.camera import jpeg, scanned
from making.style import LICENCE, dejavu

SIZE = (1654, 2339)
LEFT, RIGHT = 200, 1470
PARAGRAPHS = (
    "Dear Mr Renn,",
    (
        "Thank you for your letter of 9 January and for the drawings of the eleven pumps. The harbour board has "
        "looked at them and has no objection to the order in which you mean to replace the old machines."
    ),
    (
        "Permit BM-4471 is granted. It allows work at night, between 21:30 and 5:30, from 2 February until 14 March "
        "2026. It does not cover Sundays, nor the night of 20 February, when the dredger Halcyon will lie across the "
        "outfall."
    ),
    (
        "The tide gate will be held shut for you at low water. Please telephone the gate house at least four hours "
        "before, and ask for Ingrid Sollys, who keeps the key of the winch. She can be reached on extension 318."
    ),
    (
        "Two conditions come with the permit. The crane must not stand closer than 6.5 metres to the quay edge, since "
        "the timber beneath the paving dates from 1923. And every diver must be signed in at the harbour office."
    ),
    "The deposit of 12,400 euros that you paid in December will be returned within thirty days of the last inspection.",
    "With kind regards,",
)


def _wrapped(text: str, font: ImageFont.FreeTypeFont) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= RIGHT - LEFT:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _block(pen: ImageDraw.ImageDraw, x: float, y: float, lines: Sequence[str], font: ImageFont.FreeTypeFont) -> float:
    for line in lines:
        pen.text((x, y), line, font=font, fill=28)
        y += font.size * 1.5
    return y


def page() -> Image.Image:
    """The letter before it was scanned."""
    serif = str(dejavu("DejaVuSerif"))
    body, name, small = (ImageFont.truetype(serif, size) for size in (31, 54, 25))
    sheet = Image.new("L", SIZE, 252)
    pen = ImageDraw.Draw(sheet)
    pen.text((LEFT, 150), "Port of Brackenmouth", font=name, fill=20)
    pen.line([(LEFT, 232), (RIGHT, 232)], fill=60, width=3)
    y = _block(pen, LEFT, 250, ["Harbour Master's Office, 3 Custom House Steps, Brackenmouth"], small)
    y = _block(pen, LEFT, y + 80, ["Mr T. Renn", "Aldermoor Pumps", "Hallow Lane 12", "Aldermoor"], body)
    y = _block(pen, LEFT, y + 50, ["22 January 2026"], body)
    y = _block(
        pen, LEFT, y + 40, ["Night work at the tide station"], ImageFont.truetype(str(dejavu("DejaVuSerif-Bold")), 34)
    )
    for paragraph in PARAGRAPHS:
        y = _block(pen, LEFT, y + 26, _wrapped(paragraph, body), body)
    _signature(pen, LEFT + 20, y + 40)
    _block(pen, LEFT, y + 150, ["Captain Edda Marsh", "Harbour Master"], body)
    return sheet


def _signature(pen: ImageDraw.ImageDraw, x: float, y: float) -> None:
    strokes = [(0, 50), (26, 2), (30, 60), (58, 14), (66, 58), (94, 30), (112, 52), (150, 22), (172, 54), (260, 30)]
    pen.line([(x + across, y + down) for across, down in strokes], fill=50, width=5, joint="curve")


def make(path: Path) -> None:
    picture = jpeg(scanned(page(), degrees=-0.6, seed=4471), quality=50)
    canvas = Canvas(str(path), pagesize=A4, invariant=1)
    canvas.setTitle("Letter from the Port of Brackenmouth")
    canvas.setSubject(LICENCE)
    canvas.drawImage(ImageReader(io.BytesIO(picture)), 0, 0, *A4)
    canvas.save()
