"""From lines with places to Markdown: order, paragraphs, headings, lists, tables, offsets; no engine involved."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from folio.records import BlockKind
from ocr_stage.lines import Line
from ocr_stage.markdown import page_markdown
from ocr_stage.paper import Paper
from ocr_stage.wording import escaped

PAPER = Paper(1000, 1400)


def line(x, y, text, *, size=20, width=None) -> Line:
    """Text of the given size at a place, about as wide as a printer would set it."""
    width = width or size * 0.5 * sum(2 if ord(character) > 0x2E80 else 1 for character in text)
    return Line.of([(x, y), (x + width, y), (x + width, y + size), (x, y + size)], text)


def column(x, y, *texts, pitch=24, **how) -> list[Line]:
    return [line(x, y + pitch * row, text, **how) for row, text in enumerate(texts)]


def markdown_of(lines) -> str:
    return page_markdown(lines, PAPER)[0]


def kinds_of(lines) -> list[BlockKind]:
    return [block.kind for block in page_markdown(lines, PAPER)[1]]


FULL = "this line runs from the left edge of the column to the right one"


def test_lines_run_on_hyphens_are_mended_and_a_gap_parts_paragraphs():
    lines = [
        *column(50, 100, FULL, f"{FULL[:-4]}hyphen-", "ated word. End."),
        *column(50, 220, FULL, f"{FULL[:-5]} well-", "Known names stay."),
    ]
    first, second = markdown_of(lines).split("\n\n")
    assert first.endswith("hyphenated word. End.")
    assert second == f"{FULL} {FULL[:-5]} well- Known names stay."


def test_chinese_lines_join_without_spaces():
    lines = column(
        50,
        100,
        "水泵的保修期为二十四个月，自交付之日起计算，",
        "适用于 KX 系列的全部零件和所有在工厂内安装",
        "的附件。",
    )
    assert (
        markdown_of(lines)
        == "水泵的保修期为二十四个月，自交付之日起计算，适用于 KX 系列的全部零件和所有在工厂内安装的附件。"
    )


def test_a_line_broken_on_purpose_stays_broken_and_a_short_last_sentence_ends_its_paragraph():
    address = column(50, 100, "Kestrel Pumps Ltd", "14 Quay Street", "Bristol")
    prose = column(50, 300, FULL, "and ends early.", FULL, "second one.")
    assert markdown_of([*address, *prose]) == (
        f"Kestrel Pumps Ltd\n14 Quay Street\nBristol\n\n{FULL} and ends early.\n\n{FULL} second one."
    )


def test_tall_lines_are_headings_of_a_level_that_follows_their_height():
    lines = [
        line(50, 40, "The whole report", size=40),
        line(50, 100, "goes on here", size=40),
        *column(50, 200, FULL, FULL),
        line(50, 300, "A part", size=27),
        *column(50, 360, FULL, FULL),
        line(50, 450, "4,310.00", size=40),
        line(50, 520, "5.1 Results"),
        *column(50, 560, FULL, FULL),
    ]
    body = f"{FULL} {FULL}"
    assert markdown_of(lines).split("\n\n") == [
        "# The whole report goes on here", body, "### A part", body, "4,310.00", "### 5.1 Results", body,
    ]  # fmt: skip


def test_markers_make_lists_and_their_lines_run_on():
    lines = [
        line(50, 100, "What was done:"),
        line(60, 124, "• the seal was replaced, which took the whole of an afternoon because"),
        line(76, 148, "the housing stuck;"),
        line(60, 172, "- oil"),
        line(50, 230, "1. First we look."),
        line(50, 254, "2.Then we act."),
        line(50, 320, "2025 was a good year. 3.5 bar."),
    ]
    assert markdown_of(lines).split("\n\n") == [
        "What was done:",
        "- the seal was replaced, which took the whole of an afternoon because the housing stuck;\n- oil",
        "1. First we look.\n2. Then we act.",
        "2025 was a good year. 3.5 bar.",
    ]
    assert kinds_of(lines)[1:3] == [BlockKind.LIST, BlockKind.LIST]


def test_columns_are_read_one_after_the_other_between_lines_that_stand_over_both():
    lines = [
        line(200, 40, "A title over both columns of this paper", size=30),
        *column(50, 120, *[f"left upper {row} and some more text" for row in range(4)]),
        *column(520, 120, *[f"right upper {row} and more text" for row in range(4)]),
        line(100, 260, "Figure 1. A caption that is as wide as the page and then more"),
        *column(50, 320, *[f"left lower {row} and some more text" for row in range(4)]),
        *column(520, 320, *[f"right lower {row} and more text" for row in range(4)]),
    ]
    text = markdown_of(lines)
    order = ["A title", "left upper 0", "left upper 3", "right upper 0", "right upper 3", "Figure 1", "left lower 0"]
    order += ["left lower 3", "right lower 0", "right lower 3"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_a_title_and_an_abstract_over_the_columns_stay_whole():
    lines = [
        line(100, 30, "Where the noise begins in tide", size=36),
        line(380, 74, "pumps", size=36),
        *column(100, 150, *["the abstract runs over both columns of the page and is read first"] * 3),
        *column(50, 260, *[f"left {row} and some more text of it" for row in range(6)]),
        *column(520, 260, *[f"right {row} and more text of it" for row in range(4)]),
        *[line(x, y, text) for y in (400, 436) for x, text in ((520, "A"), (700, "2.1"), (860, "3"))],
    ]
    pieces = markdown_of(lines).split("\n\n")
    assert pieces[0] == "# Where the noise begins in tide pumps"
    assert pieces[1].count("read first") == 3
    assert pieces[2].startswith("left 0")
    assert pieces[2].endswith("left 5 and some more text of it")
    assert pieces[4].startswith("| A | 2.1 | 3 |")


def test_what_follows_a_table_is_not_a_row_of_it():
    lines = [*table(), line(50, 208, "Table 2. Parts and prices.", size=18), line(50, 250, "What else", size=30)]
    lines += table(y=310)
    assert kinds_of(lines) == [BlockKind.TABLE, BlockKind.CAPTION, BlockKind.HEADING, BlockKind.TABLE]


def test_three_columns_are_three():
    lines = [
        cell
        for name, x in (("one", 40), ("two", 360), ("three", 690))
        for cell in column(x, 100, *[f"{name} {row} words follow on" for row in range(5)])
    ]
    text = markdown_of(lines)
    places = [text.index(part) for part in ("one 0", "one 4", "two 0", "two 4", "three 0", "three 4")]
    assert places == sorted(places)


TABLE = [
    [(50, "Part"), (400, "Quantity"), (700, "Price")],
    [(50, "Shaft seal"), (430, "3"), (690, "41.20")],
    [(50, "Bearing | ball"), (430, "12"), (680, "112.00")],
]


def table(y=100, rows=TABLE, pitch=36) -> list[Line]:
    return [line(x, y + pitch * index, text) for index, row in enumerate(rows) for x, text in row]


def test_rows_of_cells_are_a_table_with_its_prose_around_it():
    lines = [line(50, 50, FULL), *table(), line(50, 260, FULL)]
    assert markdown_of(lines).split("\n\n")[1] == (
        "| Part | Quantity | Price |\n| --- | --- | --- |\n"
        "| Shaft seal | 3 | 41.20 |\n| Bearing \\| ball | 12 | 112.00 |"
    )
    assert kinds_of(lines) == [BlockKind.PARAGRAPH, BlockKind.TABLE, BlockKind.PARAGRAPH]


def test_a_wrapped_cell_and_an_absent_one_keep_their_columns():
    rows = [*TABLE, [(50, "Set of spare")], [(50, "Gasket"), (690, "1.00")]]
    lines = [*table(rows=rows[:3]), line(50, 196, "and oiled"), *table(y=232, rows=rows[4:])]
    assert markdown_of(lines).splitlines()[-2:] == [
        "| Bearing \\| ball and oiled | 12 | 112.00 |",
        "| Gasket |  | 1.00 |",
    ]


def test_figures_that_were_found_as_one_line_go_to_their_columns():
    lines = [*table(), line(50, 208, "Cover"), line(430, 208, "7" + " " * 1 + "9.90", width=320)]
    assert markdown_of(lines).splitlines()[-1] == "| Cover | 7 | 9.90 |"


def test_one_row_of_cells_is_a_line_of_text():
    assert markdown_of([line(50, 100, "Total"), line(700, 100, "4,310.00")]) == "Total 4,310.00"


@pytest.mark.parametrize("degrees", [-2.0, 0.6, 3.0])
def test_a_skewed_page_reads_like_a_straight_one(degrees):
    angle = math.radians(degrees)

    def turned(original):
        x0, y0, x1, y1 = original.box
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        place = [
            (x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)) for x, y in corners
        ]
        return Line.of(place, original.text)

    straight = [line(50, 30, FULL), *table(), line(50, 240, FULL)]
    assert markdown_of([turned(each) for each in straight]) == markdown_of(straight)


@pytest.mark.parametrize(
    "text",
    [
        "# 4 bolts",
        "- 3 degrees",
        "+ tax",
        "1. May",
        "12) later",
        "> 5 bar",
        "---",
        "===",
        "```",
        "| a |",
        "<b>x",
        "* *",
    ],
)
def test_text_is_never_taken_for_structure(text):
    tokens = MarkdownIt("commonmark").enable("table").parse(f"First line\n{escaped(text)}")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert MarkdownIt().parse(escaped(text))[1].children[0].content.startswith(text[:1])


@pytest.mark.parametrize("text", ["#4 bolt", "-3 degrees", "1.5 bar", "a - b", "<5 bar", "x > 5"])
def test_text_that_needs_no_escape_stays_as_it_is(text):
    assert escaped(text) == text


LINES = st.lists(
    st.builds(
        line,
        st.integers(0, 900),
        st.integers(0, 1300),
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=30),
        size=st.integers(5, 60),
    ),
    max_size=25,
)


@given(LINES)
def test_wherever_lines_lie_every_one_is_read_once_and_blocks_cover_the_markdown(lines):
    markdown, blocks = page_markdown(lines, PAPER)
    assert "\n\n".join(markdown[block.start : block.end] for block in blocks) == markdown
    assert all(block.box is not None for block in blocks)
    letters = sum(character.isalpha() for each in lines for character in each.text)
    assert sum(character.isalpha() for character in markdown) == letters


def test_a_page_without_lines_is_empty():
    assert page_markdown([], PAPER) == ("", [])
