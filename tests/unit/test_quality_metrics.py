"""The definitions of the metrics, pinned by cases small enough to work out by hand."""

import pytest

from quality.heading_metrics import heading_tree, mhs
from quality.pipe_tables import cells_of, with_html_tables, without_tables
from quality.table_metrics import table_tree, teds
from quality.text_metrics import character_error_rate, nid, nid_s, word_f1, word_scores, words_of
from quality.tree_distance import Node, cut, edit_distance

PIPES = "| a | b |\n|---|:-:|\n| 1 | 2 |\n"


def test_nid_counts_insertions_and_deletions_over_both_lengths() -> None:
    assert nid("abcd", "abcd") == 1.0
    assert nid("abcd", "abxd") == pytest.approx(1 - 2 / 8)  # one out, one in
    assert nid("one  two\n\nthree", "one two three") == 1.0
    assert nid("", "anything") is None
    assert nid("abc", "") == 0.0


def test_nid_falls_when_the_order_changes_while_words_do_not() -> None:
    columns = "first column of the page. second column of the page."
    swapped = "second column of the page. first column of the page."
    assert nid(columns, swapped) < 0.85
    assert word_f1(columns, swapped) == 1.0


def test_nid_s_leaves_tables_out_however_they_are_written() -> None:
    assert nid_s(f"before\n\n{PIPES}\nafter", "before\n\n<table><tr><td>9</td></tr></table>\n\nafter") == 1.0
    assert nid_s("", "words") is None


def test_words_are_a_bag_with_numbers() -> None:
    scores = word_scores("to be or not to be", "to be or to")
    assert scores.precision == 1.0
    assert scores.recall == pytest.approx(4 / 6)
    assert scores.f1 == pytest.approx(2 * (4 / 6) / (1 + 4 / 6))
    assert word_scores("once", "once once").precision == 0.5
    assert word_f1("", "") == 1.0
    assert word_f1("words", "") == word_f1("", "words") == word_f1("one", "other") == 0.0


def test_case_and_signs_do_not_make_words_and_chinese_is_counted_by_characters() -> None:
    assert words_of("**Total**: 1,234.5 snake_case") == ["total", "1", "234", "5", "snake", "case"]
    assert words_of("深度 learning学习") == ["深", "度", "learning", "学", "习"]


def test_character_errors_are_per_character_of_the_truth() -> None:
    assert character_error_rate("abcd", "abxd") == 0.25
    assert character_error_rate("ab", "abcdef") == 2.0
    assert character_error_rate("", "") == 0.0


def test_pipe_tables_become_html() -> None:
    html = "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>"
    assert with_html_tables(f"x\n{PIPES}\ny\n") == f"x\n{html}\n\ny\n"
    assert without_tables(f"x {html} y") == "x   y"
    assert with_html_tables("no | table\nhere\n") == "no | table\nhere\n"
    assert cells_of("| a || b") == ["a", "", "b"]
    assert cells_of("plain") == []


@pytest.mark.parametrize(
    ("row", "cells"),
    [("| 1 |", ["1", "", "", ""]), ("| 1 | 2 | 3 | 4 | 5 |", ["1", "2", "3", "4"]), ("|1|2|3|", ["1", "2", "2", "3"])],
)
def test_rows_take_the_width_of_the_head(row: str, cells: list[str]) -> None:
    written = with_html_tables(f"|a|b|c|d|\n|-|-|-|-|\n{row}\n")
    assert "".join(f"<td>{cell}</td>" for cell in cells) in written


def test_an_empty_head_gives_way_to_the_first_row() -> None:
    written = with_html_tables("| | |\n|-|-|\n|a|b|\n|1|2|\n")
    assert written.startswith("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td>")


def test_teds_is_one_for_equal_tables_written_differently() -> None:
    html = "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table>"
    assert teds(PIPES, html) == (1.0, 1.0)
    assert teds("no table", PIPES) is None
    assert teds(PIPES, "no table") == (0.0, 0.0)


def test_teds_by_hand() -> None:
    """The tree has 7 nodes (table, 2 rows, 4 cells)."""
    other_text = teds(PIPES, PIPES.replace("2", "3"))
    assert other_text is not None
    assert other_text.teds == pytest.approx(1 - 1 / 7)
    assert other_text.teds_s == 1.0
    half_right = teds(PIPES.replace("2", "20"), PIPES)
    assert half_right is not None
    assert half_right.teds == pytest.approx(1 - 0.5 / 7)
    row_more = teds(PIPES, PIPES + "| 3 | 4 |\n")
    assert row_more is not None
    assert row_more == pytest.approx((1 - 3 / 10, 1 - 3 / 10))  # a row and two cells of ten nodes


def test_a_wrong_span_costs_the_cell_even_where_only_structure_counts() -> None:
    wide = '<table><tr><td colspan="2">a</td></tr></table>'
    narrow = "<table><tr><td>a</td></tr></table>"
    assert teds(wide, narrow) == pytest.approx((1 - 1 / 3, 1 - 1 / 3))


def test_all_tables_of_a_document_are_scored_together() -> None:
    one = "<table><tr><td>a</td></tr></table>"
    assert teds(f"{one}\n\ntext\n\n{one}", one) == pytest.approx((0.5, 0.5))


def test_cells_are_compared_without_marks_of_line_breaks_and_entities() -> None:
    assert teds("|a|\n|-|\n|x<br>y &amp; z|\n", "|a|\n|-|\n|x y & z|\n") == (1.0, 1.0)


def test_a_table_that_never_ends_or_has_absurd_spans_is_still_read() -> None:
    assert len(table_tree("<table><tr><td>a</td><tr><td>b").children) == 1
    tree = table_tree('<table><tr><td colspan="99999999999" rowspan="x">a</td></tr></table>')
    assert tree.children[0].children[0].children[0].spans == (1, 1)


def test_the_heading_tree_is_flat_and_holds_the_sections_text() -> None:
    tree = heading_tree("before\n# One\ntext\nof one\n### Two\n")
    names = [(node.name, node.text, [child.text for child in node.children]) for node in tree.children]
    assert names == [("content", "before", []), ("heading", "One", ["text of one"]), ("heading", "Two", [])]


def test_mhs_by_hand() -> None:
    """5 nodes: the root, two headings, their texts. The level of a heading does not count."""
    truth = "# One\nabcd\n## Two\nefgh\n"
    assert mhs(truth, truth.replace("##", "#")) == (1.0, 1.0)
    assert mhs(truth, truth.replace("efgh", "efxx")) == pytest.approx((1 - 0.5 / 5, 1.0))
    lost = mhs(truth, "# One\nabcd\n\nTwo\n\nefgh\n")
    assert lost is not None
    assert lost.mhs_s == pytest.approx(1 - 2 / 5)  # a heading and its text are gone
    assert lost.mhs == pytest.approx(1 - (2 + 9 / 13) / 5)  # "abcd" against "abcd Two efgh"


def test_mhs_without_headings() -> None:
    assert mhs("no heading", "# One") is None
    assert mhs("# One", "One") == (0.0, 0.0)
    assert mhs("# ", "# ") == (1.0, 1.0)


def test_a_tree_beyond_the_limit_is_cut_in_document_order() -> None:
    tree = Node("table", children=[Node("tr", children=[Node("td", str(cell)) for cell in range(3)]) for _ in range(3)])
    small = cut(tree, 6)
    assert small.count() == 6
    assert [len(row.children) for row in small.children] == [3, 0]
    assert tree.count() == 13
    assert edit_distance(tree, cut(tree, 100)) == 0.0


def test_a_huge_table_is_scored_within_bounds() -> None:
    rows = "".join(f"| {n} | {n + 1} |\n" for n in range(20_000))
    assert table_tree(f"| a | b |\n|---|---|\n{rows}").count() > 50_000
    assert cut(table_tree(f"| a | b |\n|---|---|\n{rows}")).count() <= 700
