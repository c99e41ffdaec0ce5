"""invoice-photo.jpg: an invoice on a table, photographed at an angle with a telephone held upright (EXIF 6)."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from making.camera import jpeg, photographed
from making.style import dejavu

SIZE = (1240, 1600)
HEAD = ("Pos", "Part number", "Description", "Qty", "Unit", "Amount")
ITEMS = (
    ("1", "KX-204-S7", "Shaft seal, silicon carbide", "11", "186.40", "2,050.40"),
    ("2", "KX-204-B2", "Lower bearing, bronze", "11", "74.90", "823.90"),
    ("3", "OR-118-4", "O-ring set, nitrile", "22", "6.15", "135.30"),
    ("4", "GR-900", "Grease, biodegradable, 5 kg", "3", "41.00", "123.00"),
    ("5", "FR-EXP", "Freight, express to quay", "1", "95.00", "95.00"),
)
TOTALS = (("Net amount", "3,227.60"), ("VAT 21 %", "677.80"), ("Total EUR", "3,905.40"))
COLUMNS = (90, 170, 400, 790, 900, 1030)
RIGHT = 1150


def page() -> Image.Image:
    """The invoice as it left the printer."""
    plain, bold = str(dejavu("DejaVuSans")), str(dejavu("DejaVuSans-Bold"))
    text, strong = ImageFont.truetype(plain, 25), ImageFont.truetype(bold, 25)
    large = ImageFont.truetype(bold, 48)
    sheet = Image.new("RGB", SIZE, "#fdfcf8")
    pen = ImageDraw.Draw(sheet)
    pen.text((90, 90), "INVOICE", font=large, fill="#12615f")
    pen.text((700, 90), "Vessholm Seal Depot", font=strong, fill="black")
    pen.text((700, 130), "Quay 4, Vessholm", font=text, fill="black")
    pen.text((700, 170), "VAT no. VS 7740 118", font=text, fill="black")
    for row, (label, value) in enumerate(
        (
            ("Invoice no.", "2026-0387"),
            ("Date", "17 February 2026"),
            ("Customer", "Aldermoor Pumps"),
            ("Your order", "AP-5520"),
        )
    ):
        pen.text((90, 270 + 42 * row), label, font=text, fill="#555555")
        pen.text((300, 270 + 42 * row), value, font=text, fill="black")
    _table(pen, text, strong)
    pen.text((90, 1240), "Payable within 21 days, by 10 March 2026, without deduction.", font=text, fill="black")
    pen.text((90, 1284), "Account: VS41 0077 2210 9034, Baltic Merchant Bank", font=text, fill="black")
    pen.text((90, 1400), "Goods stay our property until they are paid in full.", font=text, fill="#555555")
    return sheet


def _table(pen: ImageDraw.ImageDraw, text: ImageFont.FreeTypeFont, strong: ImageFont.FreeTypeFont) -> None:
    pen.rectangle([(80, 510), (1160, 562)], fill="#dbe7e5")
    for row, cells in enumerate((HEAD, *ITEMS)):
        y = 520 + 66 * row
        for column, cell in enumerate(cells):
            _cell(pen, column, y, cell, strong if row == 0 else text)
        pen.line([(80, y + 46), (1160, y + 46)], fill="#9bb5b3", width=2)
    for row, (label, value) in enumerate(TOTALS):
        font = strong if label.startswith("Total") else text
        y = 980 + 56 * row
        pen.text((760, y), label, font=font, fill="black")
        pen.text((RIGHT - font.getlength(value), y), value, font=font, fill="black")


def _cell(pen: ImageDraw.ImageDraw, column: int, y: int, cell: str, font: ImageFont.FreeTypeFont) -> None:
    ends = {3: 850, 4: 990, 5: RIGHT}
    x = ends[column] - font.getlength(cell) if column in ends else COLUMNS[column]
    pen.text((x, y), cell, font=font, fill="black")


def make(path: Path) -> None:
    corners = ((210.0, 190.0), (1405.0, 120.0), (1500.0, 1800.0), (95.0, 1850.0))
    upright = photographed(page(), corners=corners, size=(1600, 2000), seed=387)
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me a quarter clockwise": how a telephone stores an upright picture
    exif[0x010E] = "CC0 1.0: made for the folio project"
    path.write_bytes(jpeg(upright.transpose(Image.Transpose.ROTATE_90), quality=80, exif=exif))
