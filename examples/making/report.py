"""annual-report.pdf: a born-digital report of six pages with headings, lists and ruled tables of figures."""

from pathlib import Path
from typing import Any

from reportlab.platypus import PageBreak, Paragraph, Spacer

from making.style import BODY, CAPTION, H1, H2, TEAL, bullets, ruled, running, style, write_pdf

TITLE = style("title", fontName="Helvetica-Bold", fontSize=34, leading=40, textColor=TEAL, spaceAfter=12)
LEAD = style("lead", fontSize=14, leading=20, spaceAfter=16)

KEY_FIGURES = [
    ["Key figures", "2025", "2024", "Change"],
    ["Net revenue (EUR million)", "48.6", "43.9", "+10.7 %"],
    ["Order intake (EUR million)", "52.3", "45.1", "+16.0 %"],
    ["Operating profit (EUR million)", "6.1", "4.7", "+29.8 %"],
    ["Employees at year end", "312", "297", "+15"],
    ["Pumps delivered", "1,184", "1,067", "+117"],
]
INCOME = [
    ["Income statement, EUR thousand", "2025", "2024"],
    ["Sale of pumps", "31,240", "28,615"],
    ["Spare parts and seals", "9,870", "8,920"],
    ["Service and repair", "7,490", "6,365"],
    ["Net revenue", "48,600", "43,900"],
    ["Cost of materials", "-19,820", "-18,410"],
    ["Personnel expense", "-16,730", "-15,620"],
    ["Other operating expense", "-3,880", "-3,190"],
    ["Depreciation", "-2,070", "-1,980"],
    ["Operating profit", "6,100", "4,700"],
    ["Net finance cost", "-410", "-520"],
    ["Income tax", "-1,365", "-1,003"],
    ["Profit for the year", "4,325", "3,177"],
]
REGIONS = [
    ["Region", "Revenue 2025", "Revenue 2024", "Share 2025", "Largest order"],
    ["North Sea coast", "19,930", "17,260", "41 %", "Brackenmouth tide station"],
    ["Baltic", "11,180", "10,970", "23 %", "Port of Vessholm"],
    ["Rivers and canals", "10,205", "9,140", "21 %", "Lock 7, Teal Navigation"],
    ["Overseas", "7,285", "6,530", "15 %", "Kamari irrigation scheme"],
    ["Total", "48,600", "43,900", "100 %", ""],
]
SAFETY = [
    ["Safety", "2025", "2024", "2023"],
    ["Hours worked (thousand)", "521", "498", "476"],
    ["Accidents with lost time", "2", "5", "4"],
    ["Accidents per million hours", "3.8", "10.0", "8.4"],
    ["Near misses reported", "143", "96", "61"],
]
ENERGY = [
    ["Energy and waste", "2025", "2024", "Target 2027"],
    ["Electricity (MWh)", "2,940", "3,310", "2,600"],
    ["of which from our own roof", "18 %", "7 %", "25 %"],
    ["Foundry sand reused", "64 %", "58 %", "75 %"],
    ["Water (cubic metres)", "5,120", "5,480", "4,500"],
]
BALANCE = [
    ["Balance sheet, EUR thousand", "31 Dec 2025", "31 Dec 2024"],
    ["Property, plant and equipment", "17,450", "15,980"],
    ["Intangible assets", "2,310", "2,540"],
    ["Inventories", "9,640", "10,220"],
    ["Trade receivables", "8,870", "7,930"],
    ["Cash", "4,930", "3,410"],
    ["Total assets", "43,200", "40,080"],
    ["Equity", "23,780", "20,655"],
    ["Borrowings", "9,150", "10,900"],
    ["Provisions", "2,620", "2,390"],
    ["Trade payables and other", "7,650", "6,135"],
    ["Total equity and liabilities", "43,200", "40,080"],
]


def _cover() -> list[Any]:
    return [
        Spacer(1, 110),
        Paragraph("Annual Report 2025", TITLE),
        Paragraph("Aldermoor Pumps moves water where it would not go by itself: out of polders, through locks, "
            "over dikes.", LEAD),
        ruled(KEY_FIGURES, [210, 80, 80, 80]),
        Paragraph("Figures are audited. Change is in per cent of the year before, for people and pumps in numbers.",
            CAPTION),
        Spacer(1, 20),
        Paragraph("Highlights of the year", H2),
        bullets(
            "The KX-200 series left the test bed in March; 96 units were sold in its first nine months.",
            "The new foundry hall in Hallow Lane opened on 4 September 2025, six weeks early and within its "
            "budget of EUR 5.2 million.",
            "Brackenmouth ordered eleven tide pumps, the largest single order since the company was founded in 1951.",
        ),
        PageBreak(),
    ]  # fmt: skip


def _letter() -> list[Any]:
    return [
        Paragraph("To our shareholders", H1),
        Paragraph(
            "A wet autumn is hard on our neighbours and good for our order book, and so a maker of pumps should "
            "speak of a record year with some modesty. Net revenue rose to EUR 48.6 million. Two thirds of that "
            "growth came from machines that did not exist three years ago, and that is the part of it of which we "
            "are proud.", BODY),
        Paragraph(
            "The KX-200 series needs about a fifth less power than the pumps that it replaces, because its "
            "impeller was shaped for the low heads at which tide stations really work, and not for the point at "
            "which pumps are usually compared. Nine of its first ten customers have ordered again.", BODY),
        Paragraph("What went less well", H2),
        Paragraph(
            "Deliveries to the Baltic were late in the second quarter. A supplier of mechanical seals closed its "
            "plant in Orsten with eight weeks of notice, and it took us eleven weeks to qualify another. We paid "
            "EUR 310,000 in penalties for delay. Since October every seal that we fit can be bought from two "
            "sources.", BODY),
        Paragraph("Dividend", H2),
        Paragraph(
            "The board proposes a dividend of EUR 1.85 per share (2024: EUR 1.20), payable on 28 May 2026. That "
            "is 43 per cent of the profit for the year; the rest stays in the company and pays for the second "
            "foundry furnace.", BODY),
        Spacer(1, 12),
        Paragraph("Maren Oldfield<br/>Chief Executive<br/>Aldermoor, 12 February 2026", BODY),
        PageBreak(),
    ]  # fmt: skip


def _finance() -> list[Any]:
    return [
        Paragraph("Financial review", H1),
        Paragraph(
            "Revenue grew in all three lines of business. Service grew fastest, by 17.7 per cent, because the "
            "crews of two water boards were trained on our machines and now send them to us instead of repairing "
            "them on site.", BODY),
        ruled(INCOME, [250, 100, 100], bold=[4, 9, 12]),
        Paragraph("Table 1. Income statement for the years ended 31 December.", CAPTION),
        Paragraph("Margins", H2),
        Paragraph(
            "The operating margin rose from 10.7 to 12.6 per cent. Material cost fell to 40.8 per cent of revenue "
            "(2024: 41.9), mostly because the new hall melts its own returns. Personnel expense includes a "
            "one-off payment of EUR 400 to every employee, EUR 125 thousand in all.", BODY),
        Paragraph("Cash flow and investment", H2),
        Paragraph(
            "Operating cash flow was EUR 8.6 million. We invested EUR 4.1 million, repaid EUR 1.75 million of "
            "bank loans, paid EUR 1.2 million in dividends and ended the year with EUR 4.93 million in cash. An "
            "undrawn credit line of EUR 6 million runs until June 2028.", BODY),
        PageBreak(),
    ]  # fmt: skip


def _markets() -> list[Any]:
    return [
        Paragraph("Markets and orders", H1),
        Paragraph(
            "We report four regions. The North Sea coast is the largest and grew by 15.5 per cent; overseas "
            "business is small, irregular and profitable.", BODY),
        ruled(REGIONS, [105, 82, 82, 72, 135], bold=[5]),
        Paragraph("Table 2. Revenue by region, EUR thousand.", CAPTION),
        Paragraph("The Brackenmouth order", H2),
        Paragraph(
            "In May the Port of Brackenmouth ordered eleven KX-260 pumps for its tide station, worth EUR 8.4 "
            "million with ten years of service. Four were delivered in 2025; the others follow in two lots in "
            "April and August 2026. Each moves 4.2 cubic metres a second against a head of 2.9 metres.", BODY),
        Paragraph("What customers asked for", H2),
        bullets(
            "Lower power at part load: answered by the KX-200 impeller and a drive that may run at 30 per cent speed.",
            "Fish-friendly passage: a slow screw with 98.6 per cent survival was tested with the Teal river trust.",
            "Spare parts in two days: the depot in Vessholm now holds 340 part numbers, among them all shaft seals.",
        ),
        Paragraph("Order book", H2),
        Paragraph(
            "Orders in hand were EUR 27.8 million at year end (2024: EUR 24.1 million), enough for about seven "
            "months of work. Eighty per cent of them will be delivered in 2026.", BODY),
        PageBreak(),
    ]  # fmt: skip


def _people() -> list[Any]:
    return [
        Paragraph("People, safety and the environment", H1),
        Paragraph(
            "At the end of 2025 we were 312 people, 22 of them apprentices. One in four workshop jobs is held by "
            "a woman, one in nine five years ago. Eleven people retired after more than thirty years each.", BODY),
        ruled(SAFETY, [210, 80, 80, 80]),
        Paragraph("Table 3. Safety at work, all sites.", CAPTION),
        Paragraph(
            "We ask everybody to report what nearly went wrong. The number of such reports has more than doubled "
            "in two years while accidents have halved, and we believe that the one explains the other.", BODY),
        ruled(ENERGY, [210, 80, 80, 80]),
        Paragraph("Table 4. Energy, water and waste.", CAPTION),
        Paragraph("Training", H2),
        bullets(
            "Every welder was examined again under the new pressure rules; 41 of 43 passed at the first attempt.",
            "Apprentices of the second year run the seal workshop by themselves for two weeks each spring.",
            "The evening school in hydraulics, open to the town, had 64 students.",
            numbered=True,
        ),
        PageBreak(),
    ]  # fmt: skip


def _outlook() -> list[Any]:
    return [
        Paragraph("Position, risks and outlook", H1),
        ruled(BALANCE, [230, 110, 110], bold=[6, 11]),
        Paragraph("Table 5. Balance sheet.", CAPTION),
        Paragraph("Risks", H2),
        bullets(
            "Castings: the price of nickel moved by 31 per cent within the year. We fix prices for four months at "
            "most.",
            "People: eighteen of our thirty-one fitters abroad will be over sixty by 2029.",
            "Flood: our own works lie 1.4 metres above the river. A new wall is finished on two of three sides.",
        ),
        Paragraph("Outlook for 2026", H2),
        Paragraph(
            "We expect net revenue between EUR 51 and 53 million and an operating margin of about 13 per cent. "
            "Capital expenditure will be near EUR 5.5 million, of which EUR 2.3 million is for the second "
            "furnace. The KX-300, for heads up to six metres, goes to the test bed in the autumn.", BODY),
    ]  # fmt: skip


def make(path: Path) -> None:
    story = [*_cover(), *_letter(), *_finance(), *_markets(), *_people(), *_outlook()]
    write_pdf(
        path,
        story,
        title="Aldermoor Pumps: Annual Report 2025",
        furniture=running("Aldermoor Pumps   |   Annual Report 2025"),
    )
