"""Each kind of page test passes and fails where olmOCR-bench's would."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from rapidfuzz.distance import Levenshtein

from quality.cell_relations import tables_of, without_spans
from quality.near_matches import starts_of
from quality.page_tests import PageTest, load, plain

PIPES = """
| Model | Words | Bytes |
|-------|-------|-------|
| arXiv | 3.32T | 47.2B |
| Wiki  | 3.71T | 11.8B |
"""
SPANS = (
    "<table><thead><tr><th rowspan='2'>Part</th><th colspan='2'>Year Ended</th></tr><tr><th>2024</th><th>2025</th></tr>"
    "</thead><tbody><tr><td>Sales</td><td>1,136</td><td>680</td></tr></tbody></table>"
)


def of(kind: str, **facts: object) -> PageTest:
    return PageTest.model_validate({"pdf": "a.pdf", "page": 1, "id": "a", "type": kind, **facts})


def test_texts_lose_marks_and_keep_words() -> None:
    assert plain("**bold** and *slant*\n\nnew<br/>line “quoted” – <b>x</b>") == 'bold and slant new line "quoted" - x'
    assert plain("snake_case stays_so") == "snakecase staysso"  # the original's rule, however crude
    assert plain("e\u0301") == "\u00e9"


@pytest.mark.parametrize(
    ("facts", "passes"),
    [
        ({"text": "quick brown"}, True),
        ({"text": "quick green"}, False),
        ({"text": "quick brawn", "max_diffs": 1}, True),
        ({"text": "QUICK"}, False),
        ({"text": "QUICK", "case_sensitive": False}, True),
        ({"text": "quick", "last_n": 8}, False),
        ({"text": "fox", "last_n": 8}, True),
        ({"text": "fox", "first_n": 8}, False),
    ],
)
def test_present_and_absent_are_opposites(facts: dict[str, object], passes: bool) -> None:
    page = "The *quick*\nbrown fox"
    assert of("present", **facts).passes(page) is passes
    assert of("absent", **facts).passes(page) is not passes


def test_order_needs_both_texts_and_any_place_where_they_stand_in_order() -> None:
    page = "alpha beta gamma alpha"
    assert of("order", before="alpha", after="gamma").passes(page)
    assert of("order", before="gamma", after="alpha").passes(page)
    assert not of("order", before="gamma", after="beta").passes(page)
    assert not of("order", before="alpha", after="delta").passes(page)
    assert of("order", before="alphas", after="gamba", max_diffs=1).passes(page)


@pytest.mark.parametrize("page", [PIPES, f"text\n{PIPES}\ntext"])
def test_cells_of_a_pipe_table(page: str) -> None:
    assert of("table", cell="3.32T", right="47.2B", left="arXiv").passes(page)
    assert of("table", cell="3.71T", up="3.32T", top_heading="Words").passes(page)
    assert of("table", cell="11.8B", left_heading="Wiki").passes(page)
    assert not of("table", cell="3.32T", right="3.71T").passes(page)
    assert not of("table", cell="3.32T", top_heading="Bytes").passes(page)
    assert not of("table", cell="5.00T").passes(page)
    assert of("table", cell="5.32T", max_diffs=1).passes(page)


def test_cells_of_an_html_table_with_spans() -> None:
    assert of("table", cell="680", top_heading="Year Ended").passes(SPANS)
    assert of("table", cell="680", top_heading="2025", left_heading="Sales").passes(SPANS)
    assert of("table", cell="Year Ended", left="Part", down="2024").passes(SPANS)
    assert of("table", cell="Year Ended", down="2025").passes(SPANS)
    assert of("table", cell="Part", down="Sales", right="2024").passes(SPANS)
    assert not of("table", cell="680", top_heading="2024").passes(SPANS)


def test_merged_cells_are_written_into_every_place() -> None:
    rows = [["Part", "Year Ended", "Year Ended"], ["Part", "2024", "2025"], ["Sales", "1,136", "680"]]
    written = "".join(f"<tr>{''.join(f'<td>{text}</td>' for text in row)}</tr>" for row in rows)
    plain_table = "<table><tr><td>a</td></tr></table>"
    assert (
        without_spans(f"{plain_table} before {SPANS} after") == f"{plain_table} before <table>{written}</table> after"
    )
    assert without_spans("<table><tr colspan='2'></tr></table>") == "<table></table>"


def test_a_cell_beside_nothing_or_in_a_broken_table() -> None:
    assert not of("table", cell="a", left="x").passes("|a|b|\n|-|-|\n")
    assert of("table", cell="b", left="a").passes("<table><tr><td>a<td>b")
    assert tables_of("no | table") == []
    assert tables_of("<table></table>") == []
    assert len(tables_of("<table><tr><td colspan='999999999'>a</td></tr></table>")[0]) == 1


def test_formulas_are_compared_as_normalised_latex() -> None:
    test = of("math", math="a^{2}+b^{2}=c^{2}")
    assert test.passes("so $a^2 + b^2 = c^2$ holds")
    assert test.passes("\\[ a^{2} + b^{2} = c^{2} \\]")
    assert not test.passes("a^2 + b^2 = c^2")
    assert not test.passes("$a^2 + b^2 = d^2$")
    assert of("math", math="\\left(x\\right)").passes("$$(x)$$")
    assert not of("math", math="e^{i\\pi}").passes("$e^i\\pi$")
    assert not of("math", math="\\leftarrow").passes("$arrow$")


def test_the_baseline_is_text_without_loops_and_foreign_signs() -> None:
    test = of("baseline")
    assert test.passes("Words that do not repeat.")
    assert not test.passes(" \n--")
    assert not test.passes("and so on" + " ha" * 40)
    assert not test.passes("Words 学")


def test_a_file_of_tests_is_read_and_an_unknown_kind_is_named(tmp_path: Path) -> None:
    lines = '{"pdf": "a.pdf", "page": 2, "id": "x", "type": "present", "text": "t", "checked": "verified"}\n\n'
    path = tmp_path / "dataset.jsonl"
    path.write_text(lines, encoding="utf-8")
    assert [(test.page, test.text) for test in load(path)] == [(2, "t")]
    with pytest.raises(ValidationError, match="type"):
        of("telepathy")


def test_near_matches_are_those_that_trying_every_part_finds() -> None:
    text = "abcabdacbabc"
    for wanted, most in [("abc", 0), ("abc", 1), ("cab", 1), ("bdac", 2), ("zzz", 2), ("dacb", 0)]:
        parts = [(at, text[at:end]) for at in range(len(text)) for end in range(at + 1, len(text) + 1)]
        near = sorted({at for at, part in parts if Levenshtein.distance(wanted, part) <= most})
        assert starts_of(wanted, text, most) == near
    assert starts_of("", text) == []
