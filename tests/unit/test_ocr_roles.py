"""Lines and the layout model's regions: who wins, and what becomes a table, a figure, a caption; no model needed."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from folio.records import BlockKind
from ocr_stage.ink import Drawn, Rulings, Stroke
from ocr_stage.lines import Line, Region, RegionKind
from ocr_stage.markdown import page_markdown
from ocr_stage.paper import Paper
from ocr_stage.regions import STRIDES, decoded

PAPER = Paper(1000, 1400)
FULL = "this line runs from the left edge of the column to the right one"


def line(x, y, text, *, size=20, width=None) -> Line:
    width = width or size * 0.5 * sum(2 if ord(character) > 0x2E80 else 1 for character in text)
    return Line.of([(x, y), (x + width, y), (x + width, y + size), (x, y + size)], text)


def column(x, y, *texts, pitch=24, **how) -> list[Line]:
    return [line(x, y + pitch * row, text, **how) for row, text in enumerate(texts)]


def region(kind, *box, score=0.9) -> Region:
    return Region(RegionKind(kind), tuple(map(float, box)), score)


def blocks_of(lines, *regions, paper=PAPER):
    markdown, blocks = page_markdown(lines, paper, regions)
    return [(block.kind, markdown[block.start : block.end]) for block in blocks]


BODY = column(50, 300, FULL, FULL, FULL, FULL)
BODY_TEXT = (BlockKind.PARAGRAPH, " ".join([FULL] * 4))
TABLE = [
    ("Part", "Quantity", "Price"),
    ("Shaft seal", "3", "41.20"),
    ("Bearing", "12", "112.00"),
    ("Cover", "7", "9.90"),
]


def table(x=50, y=600, rows=TABLE) -> list[Line]:
    return [line(x + 300 * at, y + 36 * row, text) for row, cells in enumerate(rows) for at, text in enumerate(cells)]


def test_a_title_of_the_models_is_a_heading_although_it_is_no_taller_than_the_text():
    lines = [line(50, 260, "Shaft seals"), *BODY]
    assert blocks_of(lines)[0][0] is BlockKind.PARAGRAPH
    assert blocks_of(lines, region("title", 45, 255, 300, 285)) == [(BlockKind.HEADING, "### Shaft seals"), BODY_TEXT]


@pytest.mark.parametrize(
    ("regions", "lines"),
    [
        ([region("title", 40, 290, 800, 400)], BODY),  # four lines of prose
        ([region("title", 45, 255, 300, 285, score=0.45)], [line(50, 260, "Shaft seals"), *BODY]),  # unsure, not tall
        ([region("figure", 40, 290, 800, 400)], BODY),  # full of text
        ([region("table", 40, 290, 800, 400)], BODY),  # one column
        ([region("equation", 40, 290, 800, 400)], BODY),
        ([region("header", 40, 290, 800, 400)], BODY),  # in the middle of the page
    ],
    ids=["title", "unsure title", "figure", "table", "equation", "header"],
)
def test_a_region_that_its_lines_contradict_changes_nothing(regions, lines):
    assert page_markdown(lines, PAPER, regions) == page_markdown(lines, PAPER)


def test_a_figure_without_words_is_an_empty_block_where_it_lies():
    figure = region("figure", 100, 500, 900, 900)
    markdown, blocks = page_markdown([*BODY, line(50, 1000, FULL)], PAPER, [figure])
    assert [block.kind for block in blocks] == [BlockKind.PARAGRAPH, BlockKind.FIGURE, BlockKind.PARAGRAPH]
    assert blocks[1].start == blocks[1].end
    box = blocks[1].box
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((0.1, 500 / 1400, 0.9, 900 / 1400), abs=0.001)
    assert markdown == f"{BODY_TEXT[1]}\n\n{FULL}"


def test_the_labels_of_a_drawing_are_its_text_and_its_caption_stands_apart():
    lines = [*BODY, line(200, 600, "inlet"), line(600, 800, "flap gate"), line(120, 920, "Figure 3. The pump.")]
    found = blocks_of(lines, region("figure", 100, 500, 900, 900), region("figure_caption", 110, 915, 500, 945))
    assert found == [BODY_TEXT, (BlockKind.FIGURE, "inlet flap gate"), (BlockKind.CAPTION, "Figure 3. The pump.")]


def test_a_borderless_table_that_the_model_calls_a_figure_is_a_table():
    kinds = [kind for kind, _ in blocks_of([*BODY, *table()], region("figure", 40, 590, 760, 740))]
    assert kinds == [BlockKind.PARAGRAPH, BlockKind.TABLE]


def test_a_caption_inside_a_tables_box_stands_above_it():
    lines = [line(50, 600, "Table 1. Parts and prices."), *table(y=640)]
    found = blocks_of(lines, region("table", 40, 595, 760, 790))
    assert [kind for kind, _ in found] == [BlockKind.CAPTION, BlockKind.TABLE]
    assert found[1][1].startswith("| Part | Quantity | Price |")


def test_a_sentence_about_a_table_is_no_caption():
    lines = column(50, 300, "Table 1 gives the results of the winter and of the whole year that", FULL)
    assert [kind for kind, _ in blocks_of(lines)] == [BlockKind.PARAGRAPH]


def test_head_and_foot_are_furniture_at_both_ends_of_the_page():
    lines = [line(50, 40, "Annual report", size=18), *BODY, line(900, 1340, "17"), line(50, 1340, "Aldermoor Pumps")]
    regions = [region("header", 45, 35, 300, 62), region("footer", 45, 1330, 400, 1365)]
    markdown, blocks = page_markdown(lines, PAPER, regions)
    assert [block.furniture for block in blocks] == [True, False, True]
    assert markdown == f"Annual report\n\n{BODY_TEXT[1]}\n\nAldermoor Pumps 17"


@pytest.mark.parametrize("number", ["17", "- 17 -", "Page 3 of 12", "xiv", "第 3 页", "第3页 共12页"])
def test_a_page_number_is_furniture_without_any_model_but_not_among_the_text(number):
    blocks = page_markdown([*BODY, line(480, 1340, number)], PAPER)[1]
    assert [block.furniture for block in blocks] == [False, True]
    middle = page_markdown([*BODY, line(480, 700, number)], PAPER)[1]
    assert not any(block.furniture for block in middle)


def test_a_page_that_says_nothing_but_its_number_says_it():
    assert [block.furniture for block in page_markdown([line(480, 1340, "17")], PAPER)[1]] == [False]


def test_headings_rank_by_height_and_the_lone_tall_one_on_top_is_the_title():
    lines = [line(50, 60, "The report", size=32), *BODY, line(50, 440, "A part", size=26), line(50, 480, FULL)]
    lines += [line(50, 540, "A smaller part"), line(50, 580, FULL)]
    found = [text for kind, text in blocks_of(lines, region("title", 40, 535, 400, 565)) if kind is BlockKind.HEADING]
    assert found == ["# The report", "### A part", "#### A smaller part"]


def test_lists_nest_by_indent_and_keep_marks_that_markdown_has_not():
    lines = column(50, 300, "• pumps", "• seals") + column(80, 348, "– carbide", "– nitrile") + [line(50, 396, "• oil")]
    lines += column(50, 500, "（一）检查叶轮", "（二）更换密封") + column(50, 600, "(a) look at it", "(b) leave it")
    assert [text for _, text in blocks_of(lines)] == [
        "- pumps\n- seals\n  - carbide\n  - nitrile\n- oil",
        "- （一）检查叶轮\n- （二）更换密封",
        "- (a) look at it\n- (b) leave it",
    ]


def test_items_that_are_set_apart_are_one_list_and_other_marks_begin_another():
    lines = column(50, 300, "• pumps", "• seals", "• oil", pitch=44) + column(50, 440, "1. Look.", "2. Act.", pitch=44)
    assert [text for _, text in blocks_of(lines)] == ["- pumps\n- seals\n- oil", "1. Look.\n2. Act."]


def test_the_short_last_line_of_an_abstract_over_two_columns_stays_with_it():
    abstract = column(50, 100, FULL + " and on", FULL + " and on", "its end.")
    columns = [
        *column(50, 250, *["left text of some length"] * 6),
        *column(540, 250, *["right text of some length"] * 6),
    ]
    found = blocks_of([*abstract, *columns], region("text", 40, 95, 760, 175))
    assert found[0][1].endswith("its end.")
    assert [text[:5] for _, text in found[1:]] == ["left ", "right"]


def test_small_marked_text_at_the_foot_of_a_column_is_a_footnote_and_the_same_above_is_not():
    notes = [*column(50, 1150, "1 See the report of the harbour board of 1968.", size=15, pitch=20)]
    notes += column(50, 1200, "* Without the sluice, and without its men.", size=15)
    assert [kind for kind, _ in blocks_of([*BODY, *notes])] == [BODY_TEXT[0], BlockKind.FOOTNOTE, BlockKind.FOOTNOTE]
    above = column(50, 200, "1 See the report of the harbour board of 1968.", size=15)
    assert [kind for kind, _ in blocks_of([*above, *BODY])] == [BlockKind.PARAGRAPH] * 2


def test_narrow_columns_of_running_text_are_no_table():
    words = (
        "of the tide pumps that lift",
        "water over the dyke in all",
        "weathers, day and night, for",
        "the farms of the low land.",
    )
    left, right = column(50, 600, *words), column(390, 601, *words)
    middle = column(50, 300, *["and a line that goes right over both of these columns here"] * 10)
    found = blocks_of([*middle, *left, *right])
    assert BlockKind.TABLE not in {kind for kind, _ in found}
    assert [text for _, text in found][-2:] == [" ".join(words)] * 2


class Scripted:
    """Rulings where a test wants them."""

    def __init__(self, rulings, blanks=()) -> None:
        self._rulings, self._blanks = rulings, list(blanks)

    def rulings(self, _box) -> Rulings:
        return self._rulings

    def blanks(self, box, _width_min):
        return [each for each in self._blanks if box[0] < each[0] and each[1] < box[2]]


def test_rulings_make_the_grid_and_where_none_is_drawn_cells_are_merged():
    across = [Stroke(y, 0, 900) for y in (590, 700, 740)] + [Stroke(640, 300, 900)]
    down = [Stroke(x, 590, 740) for x in (0, 300, 900)] + [Stroke(600, 640, 740)]
    lines = [line(20, 650, "Pump"), line(450, 600, "Rated"), line(320, 660, "Flow"), line(620, 660, "Head")]
    lines += [line(20, 710, "KX"), line(320, 710, "860"), line(620, 710, "4.5")]
    paper = Paper(1000, 1400, ink=Scripted(Rulings(tuple(across), tuple(down))))
    assert blocks_of(lines, region("table", 0, 590, 900, 740), paper=paper)[0][1] == (
        '<table>\n<tr><td rowspan="2">Pump</td><td colspan="2">Rated</td></tr>\n<tr><td>Flow</td><td>Head</td></tr>\n'
        "<tr><td>KX</td><td>860</td><td>4.5</td></tr>\n</table>"
    )


def test_rulings_that_noise_made_or_that_part_groups_of_rows_make_no_grid():
    lines = table(x=20, y=600)
    frame = [Stroke(y, 0, 800) for y in (590, 632, 740)]
    down = [Stroke(x, 590, 740) for x in (0, 300, 600, 800)]
    for across, columns in (
        (frame, down),
        ([*frame, Stroke(668, 0, 800), Stroke(704, 0, 800)], [*down, Stroke(790, 590, 740)]),
    ):
        paper = Paper(1000, 1400, ink=Scripted(Rulings(tuple(across), tuple(columns))))
        text = blocks_of(lines, region("table", 0, 590, 800, 740), paper=paper)[0][1]
        assert text.splitlines()[2:] == [
            "| Shaft seal | 3 | 41.20 |",
            "| Bearing | 12 | 112.00 |",
            "| Cover | 7 | 9.90 |",
        ]


@pytest.mark.parametrize(("text", "is_one"), [("表1额定参数，水温不超过40摄氏度", True), ("表1给出了全部结果", False)])
def test_a_chinese_caption_needs_no_space(text, is_one):
    assert (blocks_of([line(50, 600, text), *BODY])[-1][0] is BlockKind.CAPTION) == is_one


def test_a_line_over_several_cells_is_cut_where_the_picture_is_blank():
    rows = [*table(rows=TABLE[1:], y=636), line(50, 600, "Part Quantity in stock Price", width=690)]
    paper = Paper(1000, 1400, ink=Scripted(Rulings(), [(110, 350), (560, 650)]))
    text = blocks_of(rows, region("table", 40, 590, 760, 740), paper=paper)[0][1]
    assert text.splitlines()[0] == "| Part | Quantity in stock | Price |"


def test_rulings_and_blanks_are_found_in_a_picture_but_letters_are_none():
    picture = Image.new("L", (400, 300), 255)
    pen = ImageDraw.Draw(picture)
    for y in (50, 150, 250):
        pen.line([(20, y), (380, y)], fill=0, width=2)
    for x in (20, 200, 380):
        pen.line([(x, 50), (x, 250)], fill=90, width=2)
    for left in (40, 60, 120):
        pen.rectangle([(left, 90), (left + 10, 110)], fill=0)
    ink = Drawn(np.asarray(picture))
    rulings = ink.rulings((10, 40, 390, 260))
    assert [round(stroke.place, -1) for stroke in rulings.across] == [50, 150, 250]
    assert sorted(round(stroke.place, -1) for stroke in rulings.down) == [20, 200, 380]
    ((start, end),) = ink.blanks((35, 85, 140, 115), 20)
    assert (start, end) == pytest.approx((71, 120), abs=2)


def test_a_skewed_and_turned_page_leads_back_to_the_picture_as_it_came():
    for quarters in range(4):
        paper = Paper.turned(800, 1200, quarters).levelled(0.04)
        size = (1200, 800) if quarters % 2 else (800, 1200)
        assert (paper.width > size[0], paper.height > size[1]) == (True, True)
        turned = np.rot90(np.arange(1200)[:, None] * 10_000 + np.arange(800)[None, :], quarters)
        upright = Paper.turned(800, 1200, quarters)
        y, x = divmod(int(turned[300, 200]), 10_000)
        assert upright.original([(200.5, 300.5)])[:2] == pytest.approx((x + 0.5, y + 0.5))


def test_the_models_numbers_become_boxes_and_nearly_equal_ones_are_one():
    grids = [(-(-608 // stride)) * (-(-800 // stride)) for stride in STRIDES]
    scores = [np.zeros((1, cells, 10), np.float32) for cells in grids]
    sides = [np.zeros((1, cells, 32), np.float32) for cells in grids]
    for cell, score in ((19 * 10 + 5, 0.9), (19 * 10 + 6, 0.7)):
        scores[2][0, cell, 4] = score
        sides[2][0, cell, [2, 10, 18, 26]] = 40.0  # two strides to each side
    found = list(decoded([*scores, *sides], width=608, height=1600))
    assert [(each.kind, round(each.score, 2)) for each in found] == [(RegionKind.TABLE, 0.9)]
    assert found[0].box == pytest.approx((5.5 * 32 - 64, 2 * (10.5 * 32 - 64), 5.5 * 32 + 64, 2 * (10.5 * 32 + 64)))


WORDS = st.text(st.characters(codec="utf-8", categories=["L"]), min_size=1, max_size=25)
LINES = st.lists(
    st.builds(line, st.integers(0, 900), st.integers(0, 1300), WORDS, size=st.integers(8, 50)), max_size=20
)
REGIONS = st.lists(
    st.builds(
        lambda kind, x, y, width, height, score: Region(kind, (x, y, x + width, y + height), score),
        st.sampled_from(list(RegionKind)),
        st.integers(0, 900),
        st.integers(0, 1300),
        st.integers(1, 1000),
        st.integers(1, 1400),
        st.floats(0.4, 1),
    ),
    max_size=8,
)


@given(LINES, REGIONS)
def test_whatever_the_model_says_every_line_is_in_exactly_one_block(lines, regions):
    markdown, blocks = page_markdown(lines, PAPER, regions)
    covered = "".join(markdown[block.start : block.end] for block in blocks)
    assert "".join(covered.split()) == "".join(markdown.split())
    said = sorted(character for each in lines for character in each.text if character.isalpha())
    markup = covered.replace("<table>", "").replace("</table>", "")
    for tag in ("tr", "td"):
        markup = markup.replace(f"<{tag}>", "").replace(f"</{tag}>", "")
    markup = markup.replace(" colspan=", "").replace(" rowspan=", "").replace("<td", "")
    assert sorted(character for character in markup if character.isalpha()) == said
    assert all(block.box is not None for block in blocks)
    assert all(before.end <= after.start for before, after in pairwise(blocks))
