"""Tables of born-digital pages: every kind of ruling and alignment, in both engines, and what must be no table."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from reportlab.lib import colors
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, Table

from chunking.tables import html_table
from ingest.figures import Figure
from ingest.layout import Line
from ingest.mupdf import MuPdf
from ingest.pdfium import Pdfium
from ingest.render import Pdf
from ingest.sheet import Sheet
from ingest.table_cells import Cell, compact, written
from ingest.table_cells import Table as Found
from ingest.tables import find_tables
from ingest.textlayer import PageRead, TextLayer
from tests import hostile_files as make

Draw = Callable[[Canvas], None]
Engine = Callable[[Path], Pdf]
GRID = ("GRID", (0, 0), (-1, -1), 0.5, colors.black)


@pytest.fixture(params=[MuPdf, Pdfium], ids=["pymupdf", "pypdfium2"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param  # type: ignore[no-any-return]  # pytest's param has no type


def read(engine: Engine, tmp_path: Path, draw: Draw) -> PageRead:
    pdf = engine(make.pdf(tmp_path / "a.pdf", draw))
    page = TextLayer().read(pdf.sheet(1))
    assert page.trusted, page.detail
    return page


def blocks(page: PageRead) -> list[tuple[str, str]]:
    return [(block["kind"], page.markdown[block["start"] : block["end"]]) for block in page.blocks]


def tables(page: PageRead) -> list[str]:
    return [text for kind, text in blocks(page) if kind == "table"]


def table(engine: Engine, tmp_path: Path, draw: Draw) -> list[str]:
    """The lines of the one table of a page; prose above and below it stays outside."""

    def with_prose(canvas: Canvas) -> None:
        make.prose(canvas, lines=3)
        make.prose(canvas, top=120, lines=3)
        canvas.setFont("Helvetica", 10)
        draw(canvas)

    page = read(engine, tmp_path, with_prose)
    (found,) = tables(page)
    assert "grain ships called" not in found
    assert sum("grain ships called" in block for kind, block in blocks(page) if kind == "paragraph") == 2
    return found.splitlines()


def platypus(
    canvas: Canvas, rows: Sequence[Sequence[object]], style: Sequence[object], widths: Sequence[float], top: float = 680
) -> None:
    drawn = Table([list(row) for row in rows], list(widths))
    drawn.setStyle(list(style))
    _, height = drawn.wrapOn(canvas, 500, 600)
    drawn.drawOn(canvas, 72, top - height)


def texts(
    canvas: Canvas, rows: Sequence[Sequence[str]], columns: Sequence[float], top: float = 680, pitch: float = 14
) -> None:
    """Columns with a minus sign are right-aligned at that x."""
    for at, row in enumerate(rows):
        for x, text in zip(columns, row, strict=True):
            (canvas.drawString if x > 0 else canvas.drawRightString)(abs(x), top - pitch * at, text)


def test_merged_cells_of_a_grid_become_spans(engine: Engine, tmp_path: Path) -> None:
    rows = [
        ["Port", "Ships", "", "Dues"],
        ["", "Sail", "Steam", ""],
        ["Anna", "12", "7", "900"],
        ["", "3", "4", "120"],
        ["closed since spring", "", "", "0"],
    ]
    style = [GRID, ("SPAN", (1, 0), (2, 0)), ("SPAN", (0, 0), (0, 1)), ("SPAN", (3, 0), (3, 1))]
    style += [("SPAN", (0, 2), (0, 3)), ("SPAN", (0, 4), (2, 4))]
    found = table(engine, tmp_path, lambda canvas: platypus(canvas, rows, style, [80, 60, 60, 60]))
    assert found == [
        "<table>",
        '<tr><th rowspan="2">Port</th><th colspan="2">Ships</th><th rowspan="2">Dues</th></tr>',
        "<tr><th>Sail</th><th>Steam</th></tr>",
        '<tr><td rowspan="2">Anna</td><td>12</td><td>7</td><td>900</td></tr>',
        "<tr><td>3</td><td>4</td><td>120</td></tr>",
        '<tr><td colspan="3">closed since spring</td><td>0</td></tr>',
        "</table>",
    ]


def test_cells_of_several_lines_stay_whole(engine: Engine, tmp_path: Path) -> None:
    small = ParagraphStyle("small", fontName="Helvetica", fontSize=9, leading=11)
    rows = [
        ["Cause", "What to do"],
        [Paragraph("The file is encrypted", small), Paragraph("Ask for the password and put the file in again", small)],
        [
            Paragraph("The disk is full", small),
            Paragraph("Delete what nobody needs, then go on where it stopped", small),
        ],
    ]
    found = table(engine, tmp_path, lambda canvas: platypus(canvas, rows, [GRID], [70, 110]))
    assert found == [
        "| Cause | What to do |",
        "| --- | --- |",
        "| The file is encrypted | Ask for the password and put the file in again |",
        "| The disk is full | Delete what nobody needs, then go on where it stopped |",
    ]


HARBOUR = [["Ship", "Cargo", "Tons"], ["Anna", "grain", "1,200"], ["Berta", "coal", "310"], ["Clara", "salt", "95"]]
HARBOUR_LINES = [
    "| Ship | Cargo | Tons |",
    "| --- | --- | --- |",
    "| Anna | grain | 1,200 |",
    "| Berta | coal | 310 |",
    "| Clara | salt | 95 |",
]


@pytest.mark.parametrize(
    "style",
    [
        [("INNERGRID", (0, 0), (-1, -1), 0.5, colors.black)],
        [("GRID", (0, 0), (-1, -1), 0.5, colors.black, 0, None, None, 2, 2)],
        [("LINEBEFORE", (1, 0), (-1, -1), 0.5, colors.black), ("LINEBELOW", (0, 0), (-1, 0), 0.5, colors.black)],
        [("BOX", (0, 0), (-1, -1), 0.5, colors.black), ("LINEBELOW", (0, 0), (-1, 0), 0.5, colors.black)],
        [
            ("LINEABOVE", (0, 0), (-1, 0), 1, colors.black),
            ("LINEBELOW", (0, 0), (-1, 0), 0.5, colors.black),
            ("LINEBELOW", (0, -1), (-1, -1), 1, colors.black),
        ],
        [("LINEBELOW", (0, 0), (-1, -1), 0.5, colors.grey)],
        [("ROWBACKGROUNDS", (0, 0), (-1, -1), [colors.lightblue, colors.white])],
        [("BACKGROUND", (0, 0), (-1, 0), colors.lightgrey), ("BACKGROUND", (0, 1), (-1, -1), colors.beige)],
        [
            ("BACKGROUND", (0, 0), (-1, 0), colors.lightgrey),
            ("BOX", (0, 0), (-1, -1), 0.5, colors.black),
            ("LINEBEFORE", (1, 0), (-1, -1), 0.5, colors.black),
        ],
        [],
    ],
    ids=[
        "no outer frame",
        "double rules",
        "rules between columns",
        "a box and one rule",
        "booktabs",
        "a rule below each row",
        "bands",
        "coloured cells",
        "a coloured head in a frame",
        "no rules",
    ],
)
def test_the_same_table_however_it_is_ruled(engine: Engine, tmp_path: Path, style: Sequence[object]) -> None:
    assert table(engine, tmp_path, lambda canvas: platypus(canvas, HARBOUR, style, [90, 90, 60])) == HARBOUR_LINES


def test_a_table_is_rotated_with_its_page(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setPageRotation(90)
        canvas.translate(595, 0)
        canvas.rotate(90)
        canvas.setFont("Helvetica", 10)
        make.prose(canvas, top=520, lines=3)
        platypus(canvas, HARBOUR, [GRID], [90, 90, 60], top=400)

    assert tables(read(engine, tmp_path, draw)) == ["\n".join(HARBOUR_LINES)]


def booktabs(canvas: Canvas) -> None:
    """Two levels of heads with rules below the groups, labels with indents, dollars in a column of their own."""
    canvas.setLineWidth(0.6)
    for y in (694, 656, 568):
        canvas.line(72, y, 500, y)
    canvas.drawCentredString(280, 682, "Quarter")
    canvas.line(215, 676, 345, 676)
    canvas.drawCentredString(430, 682, "Year ended")
    canvas.line(370, 676, 490, 676)
    texts(canvas, [["Harbour", "First", "Second", "2023", "2024"]], [72, -270, -340, -420, -490], top=662)
    rows = [
        ["Dues from ships", "$", "178", "$", "141", "$", "1,138", "$", "990"],
        ["   of which coasters", "", "3,423", "", "2,532", "", "1,892", "", "8"],
        ["Rent", "", "(36)", "", "876", "", "680", "", "-"],
        ["Repairs of the new quay and", "", "", "", "", "", "", "", ""],
        ["   of the old basin", "", "12", "", "13", "", "14", "", "15"],
        ["Total", "$", "4,737", "$", "3,549", "$", "2,710", "$", "5"],
    ]
    columns = [72, 216, -270, 290, -340, 366, -420, 440, -490]
    for at, row in enumerate(rows):
        left = 82 if row[0].startswith(" ") else 72
        texts(canvas, [[row[0].strip(), *row[1:]]], [left, *columns[1:]], top=640 - 13 * at)


def test_heads_of_two_levels_and_amounts_with_currency(engine: Engine, tmp_path: Path) -> None:
    assert table(engine, tmp_path, booktabs) == [
        "<table>",
        '<tr><th rowspan="2">Harbour</th><th colspan="2">Quarter</th><th colspan="2">Year ended</th></tr>',
        "<tr><th>First</th><th>Second</th><th>2023</th><th>2024</th></tr>",
        "<tr><td>Dues from ships</td><td>$178</td><td>$141</td><td>$1,138</td><td>$990</td></tr>",
        "<tr><td>of which coasters</td><td>3,423</td><td>2,532</td><td>1,892</td><td>8</td></tr>",
        "<tr><td>Rent</td><td>(36)</td><td>876</td><td>680</td><td>-</td></tr>",
        "<tr><td>Repairs of the new quay and of the old basin</td><td>12</td><td>13</td><td>14</td><td>15</td></tr>",
        "<tr><td>Total</td><td>$4,737</td><td>$3,549</td><td>$2,710</td><td>$5</td></tr>",
        "</table>",
    ]


def test_rules_below_the_numbers_only_leave_no_label_behind(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        texts(canvas, [["2023", "2024"]], [-300, -380], top=680)
        rows = [["Dues", "178", "141"], ["Rent", "3,423", "2,532"], ["Total", "3,601", "2,673"]]
        texts(canvas, rows, [72, -300, -380], top=664)
        for left, right in ((250, 300), (330, 380)):
            for y in (677, 647, 632):
                canvas.line(left, y, right, y)

    assert table(engine, tmp_path, draw) == [
        "|  | 2023 | 2024 |",
        "| --- | --- | --- |",
        "| Dues | 178 | 141 |",
        "| Rent | 3,423 | 2,532 |",
        "| Total | 3,601 | 2,673 |",
    ]


def test_lines_that_go_on_join_the_row_above(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for y in (694, 674, 584):
            canvas.line(72, y, 460, y)
        texts(canvas, [["Part", "Depth", "Remarks"]], [72, 180, 240], top=680)
        rows = [
            ("North quay", "8.5 m", ["Dredged every spring, but the harbour", "master wants more"]),
            ("Old basin", "3.1 m", ["Only for small boats"]),
            ("Roads", "14 m", ["Open to the west, bad holding ground", "and no shelter from gales"]),
        ]
        down = 662.0
        for name, depth, remarks in rows:
            texts(canvas, [[name, depth]], [72, 180], top=down)
            for at, remark in enumerate(remarks):
                canvas.drawString(240, down - 11 * at, remark)
            down -= 11 * len(remarks) + 6

    assert table(engine, tmp_path, draw) == [
        "| Part | Depth | Remarks |",
        "| --- | --- | --- |",
        "| North quay | 8.5 m | Dredged every spring, but the harbour master wants more |",
        "| Old basin | 3.1 m | Only for small boats |",
        "| Roads | 14 m | Open to the west, bad holding ground and no shelter from gales |",
    ]


def test_keys_and_numbers_are_a_table_of_two_columns(engine: Engine, tmp_path: Path) -> None:
    rows = [["Length of the quay", "412"], ["Berths", "17"], ["Cranes", "9"], ["Depth at low water", "8.5"]]
    found = table(engine, tmp_path, lambda canvas: texts(canvas, rows, [72, -300]))
    assert found == [f"| {key} | {number} |" for key, number in rows[:1]] + ["| --- | --- |"] + [
        f"| {key} | {number} |" for key, number in rows[1:]
    ]


def test_columns_made_with_spaces(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setFont("Courier", 9)
        for at, (name, *numbers) in enumerate(
            [("Ship", "Tons", "Dues"), *(("Anna", str(at), "9.5") for at in range(5))]
        ):
            canvas.drawString(72, 680 - 12 * at, f"{name:<20}{numbers[0]:>10}{numbers[1]:>12}")

    found = table(engine, tmp_path, draw)
    assert found[0] == "| Ship | Tons | Dues |"
    assert found[2:] == [f"| Anna | {at} | 9.5 |" for at in range(5)]


def test_a_row_in_one_piece_of_text_has_its_cells(engine: Engine, tmp_path: Path) -> None:
    """A whole row is shown by one operator with leaps between its cells, with a space before some of them."""

    def draw(canvas: Canvas) -> None:
        for at, row in enumerate([("Anna", "X", "X"), ("Berta", "X", ""), ("Carla", "", "X"), ("Dora", "X", "X")]):
            shown = canvas.beginText(72, 680 - 14 * at)
            shown.setFont("Courier" if at < 0 else "Helvetica", 10)
            canvas.drawText(shown)
            leaps = f"[({row[0]}) {-9000 + 500 * len(row[0])} ({row[1] or ' '}) -5000 ({row[2] or ' '})] TJ"
            canvas._code.append(f"BT 1 0 0 1 72 {680 - 14 * at} Tm /F1 10 Tf {leaps} ET")
        for y in (695, 632):
            canvas.line(72, y, 300, y)

    found = table(engine, tmp_path, draw)
    assert found[-1] == "| Dora | X | X |"


def test_names_of_columns_that_run_upwards(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        make.prose(canvas, lines=8)
        canvas.setFont("Helvetica", 10)
        platypus(canvas, [["Ship", "", ""], ["Anna", "1", "2"], ["Berta", "3", "4"]], [GRID], [90, 40, 40], top=640)
        for x, name in ((185, "Cranes"), (225, "Berths")):
            canvas.saveState()
            canvas.translate(x, 626)
            canvas.rotate(90)
            canvas.drawString(0, 0, name)
            canvas.restoreState()

    page = read(engine, tmp_path, draw)
    (found,) = tables(page)
    assert found.splitlines()[0] == "| Ship | Cranes | Berths |"
    assert page.markdown.count("Cranes") == page.markdown.count("Berths") == 1


def test_tables_side_by_side_are_two(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        make.prose(canvas, lines=3)
        canvas.setFont("Helvetica", 9)
        for left in (72, 310):
            canvas.drawString(left, 692, f"Table {left}. Ships")
            for y in (686, 670, 626):
                canvas.line(left, y, left + 200, y)
            texts(canvas, HARBOUR, [left, left + 80, -left - 195], top=675, pitch=14)

    page = read(engine, tmp_path, draw)
    assert tables(page) == ["\n".join(HARBOUR_LINES)] * 2
    assert page.markdown.count("Table 72. Ships") == page.markdown.count("Table 310. Ships") == 1


def test_a_heading_parts_two_tables(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        make.prose(canvas, lines=3)
        for top in (680, 560):
            platypus(canvas, HARBOUR, [("LINEBELOW", (0, 0), (-1, -1), 0.5, colors.grey)], [90, 90, 60], top=top)
        canvas.setFont("Helvetica", 14)
        canvas.drawString(72, 580, "Other ships")

    assert tables(read(engine, tmp_path, draw)) == ["\n".join(HARBOUR_LINES)] * 2


def column(canvas: Canvas, left: float, lines: int, top: float = 760) -> None:
    canvas.setFont("Times-Roman", 10)
    words = "harbour dues rose again because more grain ships called than in any other spring since the quay".split()
    for line in range(lines):
        text = " ".join(words[(line * 3 + at) % len(words)] for at in range(8))
        while canvas.stringWidth(text, "Times-Roman", 10) > 225:
            text = text.rsplit(" ", 1)[0]
        canvas.drawString(left, top - 12 * line, text)


def test_a_table_in_one_column_of_two(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        column(canvas, 56, 40)
        column(canvas, 312, 10)
        canvas.setFont("Times-Roman", 9)
        texts(canvas, HARBOUR, [312, 400, -530], top=610)
        canvas.drawString(312, 540, "Table 1. What the ships carried.")
        column(canvas, 312, 8, top=510)

    page = read(engine, tmp_path, draw)
    assert tables(page) == ["\n".join(HARBOUR_LINES)]
    assert "Table 1. What the ships carried." in page.markdown


def bullets(canvas: Canvas) -> None:
    canvas.setFont("Helvetica", 10)
    for at in range(8):
        canvas.drawString(72, 700 - 14 * at, "\u2022" if at % 2 else f"{at + 1}.")
        canvas.drawString(95, 700 - 14 * at, f"Moor the ship number {at}")


def contents(canvas: Canvas) -> None:
    canvas.setFont("Helvetica", 10)
    for at, title in enumerate(["Preface", "Harbours", "Dues and tariffs", "Ships", "The old basin", "Index"]):
        canvas.drawString(72, 700 - 16 * at, f"{at + 1}")
        canvas.drawString(100, 700 - 16 * at, title)
        canvas.drawRightString(500, 700 - 16 * at, str(3 + 14 * at))


def equations(canvas: Canvas) -> None:
    canvas.setFont("Times-Italic", 11)
    for at, text in enumerate(["a = b + c", "E = mc + x", "f = g - h", "y = kx", "z = w / 2"]):
        canvas.drawCentredString(280, 700 - 24 * at, text)
        canvas.drawRightString(500, 700 - 24 * at, f"({at + 1})")


def address(canvas: Canvas) -> None:
    canvas.setFont("Helvetica", 10)
    left = ["Harbour Authority", "12 Quay Road", "20095 Hamburg", "Germany"]
    right = ["Anna Example", "Old Basin 3", "1012 Amsterdam", "Netherlands"]
    texts(canvas, list(zip(left, right, strict=True)), [72, 330])


def form(canvas: Canvas) -> None:
    canvas.setFont("Helvetica", 10)
    for at, (one, other) in enumerate([("Name:", "First name:"), ("Street:", "Number:"), ("City:", "Country:")]):
        canvas.drawString(72, 700 - 24 * at, one)
        canvas.line(120, 698 - 24 * at, 280, 698 - 24 * at)
        canvas.drawString(300, 700 - 24 * at, other)
        canvas.line(370, 698 - 24 * at, 520, 698 - 24 * at)


def prose_between_rules(canvas: Canvas) -> None:
    for y in (800, 40):
        canvas.line(56, y, 540, y)
    column(canvas, 56, 50)
    column(canvas, 312, 50)


def chart(canvas: Canvas) -> None:
    canvas.setFont("Helvetica", 8)
    for at in range(8):
        canvas.drawRightString(95, 500 + 20 * at, f"{100 * at:,}")
        canvas.drawString(405, 500 + 20 * at, f"{5 * at}%")
        canvas.line(100, 503 + 20 * at, 400, 503 + 20 * at)


def boxed_prose(canvas: Canvas) -> None:
    canvas.rect(50, 300, 240, 480)
    canvas.rect(290, 300, 250, 480)
    canvas.rect(50, 200, 490, 100)
    column(canvas, 56, 38)
    column(canvas, 300, 38)
    column(canvas, 56, 6, top=280)


@pytest.mark.parametrize(
    "draw",
    [
        lambda canvas: (column(canvas, 56, 50), column(canvas, 312, 50)),
        bullets,
        contents,
        equations,
        address,
        form,
        prose_between_rules,
        chart,
        boxed_prose,
    ],
    ids=["two columns", "list", "contents", "equations", "addresses", "form", "between rules", "chart", "boxes"],
)
def test_what_is_no_table(engine: Engine, tmp_path: Path, draw: Draw) -> None:
    assert tables(read(engine, tmp_path, draw)) == []


def lines_of_text(count: int) -> list[Line]:
    return [
        Line(f"word {at}", (40.0 + at % 10 * 50, 20 + at // 10 * 11, 75 + at % 10 * 50, 30 + at // 10 * 11), 10)
        for at in range(count)
    ]


def hatching() -> Sheet:
    sheet = Sheet(595, 842)
    sheet.rules = [(at % 500, at / 7, at % 500 + 30, at / 7) for at in range(8000)]
    sheet.rules += [(at / 9, at % 700, at / 9, at % 700 + 30) for at in range(8000)]
    return sheet


def mosaic() -> Sheet:
    sheet = Sheet(595, 842)
    sheet.fills = [
        ((at % 50 * 12.0, at // 50 * 14.0, at % 50 * 12 + 13.0, at // 50 * 14 + 13.0), at) for at in range(2900)
    ]
    return sheet


def lattice() -> Sheet:
    sheet = Sheet(595, 842)
    sheet.rules = [(20, 4.3 * at, 570, 4.3 * at) for at in range(190)] + [
        (20 + 2.7 * at, 0, 20 + 2.7 * at, 840) for at in range(200)
    ]
    return sheet


@pytest.mark.parametrize("sheet", [hatching(), mosaic(), lattice()], ids=["hatching", "mosaic", "lattice"])
def test_thousands_of_rules_cost_little(sheet: Sheet) -> None:
    lines = lines_of_text(400)
    begun = time.process_time()
    found, rest = find_tables(lines, sheet)
    assert time.process_time() - begun < 1.0
    told = [line.text for line in rest]
    for item in found:
        told += [item.text] if isinstance(item, Figure) else [cell.text for cell in item.cells]
    words = sorted(word for text in told for word in text.split())
    assert words == sorted(word for line in lines for word in line.text.split())


def test_no_text_is_lost_or_told_twice(engine: Engine, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        make.prose(canvas, lines=3)
        canvas.setFont("Helvetica", 10)
        booktabs(canvas)
        platypus(canvas, HARBOUR, [GRID], [90, 90, 60], top=500)

    words = read(engine, tmp_path, draw).markdown.replace("<", " ").replace(">", " ").replace("$", "").split()
    for word in ("Quarter", "3,423", "Total", "Clara", "1,200", "310", "basin"):
        assert words.count(word) == 1, word


def test_the_chunker_reads_what_is_written() -> None:
    cells = [Cell("Port", 0, 0, rows=2), Cell("Ships <b>", 0, 1, columns=2), Cell("Sail", 1, 1), Cell("Steam", 1, 2)]
    cells += [Cell("A & B", 2, 0), Cell("1", 2, 1), Cell("2", 2, 2)]
    source = written(Found(tuple(compact(cells)), (0, 0, 1, 1), heads=2))
    model = html_table(1, source, 0)
    assert model is not None
    assert [row.cells for row in model.head] == [("Port", "Ships <b>", "Ships <b>"), ("", "Sail", "Steam")]
    assert [row.cells for row in model.rows] == [("A & B", "1", "2")]


def test_rows_and_columns_without_text_of_their_own_go() -> None:
    cells = compact([Cell("a", 0, 0, columns=2), Cell("", 0, 2), Cell("b", 1, 3), Cell("c", 3, 0, columns=2)])
    assert [(cell.text, cell.row, cell.column, cell.columns) for cell in cells] == [
        ("a", 0, 0, 1),
        ("", 0, 1, 1),
        ("", 1, 0, 1),
        ("b", 1, 1, 1),
        ("c", 2, 0, 1),
        ("", 2, 1, 1),
    ]
