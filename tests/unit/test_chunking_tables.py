"""Pipe and HTML tables become the same rows."""

import pytest

from chunking.blocks import page_blocks
from chunking.tables import Table, html_table
from tests.unit.chunking_documents import page


def read(markdown: str) -> Table:
    (block,) = page_blocks(page(markdown))
    assert block.table
    return block.table


def cells(table: Table) -> list[tuple[str, ...]]:
    return [row.cells for row in table.head + table.rows]


def test_a_pipe_table_and_an_html_table_are_one_model():
    pipe = read("| a | b \\| c |\n|:--|--:|\n| 1 | 2 |")
    html = read("<table><thead><tr><th>a</th><th>b | c</th></tr></thead>\n<tr><td>1</td>\n\n<td>2</td></tr></table>")
    assert pipe.text == html.text == "| a | b \\| c |\n|-|-|\n| 1 | 2 |"


def test_the_first_row_is_the_header_when_none_is_marked():
    table = read("<table><tr><td>Name</td><td>Price</td></tr><tr><td>Pump</td><td>5,120</td></tr></table>")
    assert (len(table.head), table.named, table.name_of(1)) == (1, False, "Price")


def test_cells_that_span_are_laid_out():
    table = read(
        "<table><tr><td rowspan=2>Region</td><td colspan=2>Sales</td></tr><tr><td>Q1</td><td>Q2</td></tr>"
        "<tr><td rowspan='2'>North</td><td>1</td><td>2</td></tr><tr><td colspan=\"2\">none</td></tr></table>"
    )
    assert cells(table) == [
        ("Region", "Sales", "Sales"),
        ("", "Q1", "Q2"),
        ("North", "1", "2"),
        ("North", "none", ""),
    ]
    assert [table.name_of(column) for column in range(3)] == ["Region", "Sales Q1", "Sales Q2"]
    assert table.text.splitlines()[1] == "|-|-|-|"


def test_rows_know_where_they_stand():
    source = "text\n\n<table><tr><td>a</td></tr><tr><td>b &amp; c</td></tr></table>"
    (_, block) = page_blocks(page(source))
    assert [source[row.start : row.end] for row in block.table.rows] == ["<tr><td>b &amp; c</td></tr></table>"]


def test_text_around_and_between_tables_stays_in_order():
    one, two = "<table><tr><td>1</td></tr></table>", "<table><tr><td>2</td></tr></table>"
    blocks = page_blocks(page(f"Table 1 {one} and {two} the end\nof it\n\nlater"))
    assert [block.text for block in blocks] == [
        "Table 1",
        "| 1 |\n|-|",
        "and",
        "| 2 |\n|-|",
        "the end",
        "of it",
        "later",
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<table><caption>Cap</caption><tr><td>a</td></tr></table>", ("Cap", [("a",)])),
        ("<table><tr><td>a<td>b<tr><td>c", ("", [("a", "b"), ("c",)])),
        ("<table><tr><td>10<sup>3</sup> <b>kg</b></td></tr></table>", ("", [("10<sup>3</sup> kg",)])),
        ("<table><tr><td>x <y and 5 < 6</td></tr></table>", ("", [("x <y and 5 < 6",)])),
        ("<table><tr><td>a<br>b<p>c</p></td></tr></table>", ("", [("a b c",)])),
        ("<table><tr><td><table><tr><td>in</td></tr></table></td><td>b</td></tr></table>", ("", [("in", "b")])),
        ("<table>stray<tr>more<td>a</td>left</tr></table>", ("stray more left", [("a",)])),
    ],
)
def test_no_text_of_a_table_is_dropped(source, expected):
    table = html_table(1, source, 0)
    assert table
    assert (table.caption, cells(table)) == expected


def test_a_table_without_cells_is_its_text():
    assert [block.text for block in page_blocks(page("<table><tr>lonely</tr></table>"))] == ["lonely"]
    assert page_blocks(page("<table><tr><td></td></tr></table>")) == []


def test_rows_that_have_more_cells_than_the_header_keep_them():
    assert cells(read("| a |\n|---|\n| 1 | 2 | 3 |")) == [("a",), ("1", "2", "3")]
