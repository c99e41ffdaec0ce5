"""From a page's Markdown to blocks, and over page breaks."""

import time

import pytest

from chunking.blocks import page_blocks
from chunking.join import document_blocks
from folio.records import Block, BlockKind
from tests.unit.chunking_documents import page

KIND = BlockKind


def kinds(markdown: str) -> list[str]:
    return [block.kind.value for block in page_blocks(page(markdown))]


def texts(markdown: str) -> list[str]:
    return [block.text for block in page_blocks(page(markdown))]


def joined(*pages: str) -> list[str]:
    return [block.text for block in document_blocks(page(one, number) for number, one in enumerate(pages, 1))]


def test_every_kind_is_recognised():
    pipes, html = "| a | b |\n|---|---|\n| 1 | 2 |", "<table><tr><td>a</td></tr></table>"
    markdown = f"# T\n\ntext\n\n- a\n- b\n\n{pipes}\n\n```py\nx\n```\n\n$$\nx\n- y\n$$\n\n{html}"
    assert kinds(markdown) == ["heading", "paragraph", "list", "table", "code", "formula", "table"]


@pytest.mark.parametrize(
    "formula", ["$$x = 1$$", "$$\nx\n\\\\ - y\n$$", "\\[ x \\]", "\\[\nx\n= y\n\\] (3)", "$$a$$ \\tag{2}"]
)
def test_a_display_formula_is_a_block_with_its_marks(formula):
    assert texts(f"before\n{formula}\n\nafter") == ["before", formula, "after"]


@pytest.mark.parametrize("text", ["$$ never closed", "\\[1\\] a citation, not a formula", "costs $$x$$ in all"])
def test_what_is_no_display_formula_stays_text(text):
    assert kinds(f"{text}\n\nafter") == ["paragraph", "paragraph"]


def test_a_fence_that_nobody_closed_ends_at_the_first_blank_line():
    assert kinds("```python\nx = 1\n\n# A heading\n\ntext") == ["code", "heading", "paragraph"]


def test_a_longer_fence_holds_a_shorter_one():
    assert texts("````\n```\n# no heading\n```\n````") == ["````\n```\n# no heading\n```\n````"]


def test_link_definitions_html_and_comments_are_text_and_swallow_nothing():
    assert texts("[a]: http://b.c\n\n<!-- never closed\n\n# T") == ["[a]: http://b.c", "<!-- never closed", "T"]


def test_a_heading_keeps_its_words_and_its_level():
    blocks = page_blocks(page("## Of  `marks` ##\n\nSetext\n===\n\ntext"))
    assert [(block.title, block.level) for block in blocks[:2]] == [("Of `marks`", 2), ("Setext", 1)]
    assert blocks[0].text == "Of  `marks`"


def test_spans_point_at_the_source_with_any_newline():
    markdown = "# T\r\n\r\nfirst line\r\nsecond\r\n\r\n- a\r\n- b\r\n"
    for block in page_blocks(page(markdown)):
        assert [markdown[span.start : span.end] for span in block.spans] == [block.text]


def test_furniture_is_left_out_and_moves_nothing():
    markdown = "Running head\n\nThe text.\n\n12"
    blocks = (
        Block(kind=KIND.PARAGRAPH, start=0, end=12, furniture=True),
        Block(kind=KIND.PARAGRAPH, start=14, end=23),
        Block(kind=KIND.PARAGRAPH, start=25, end=27, furniture=True),
    )
    (block,) = page_blocks(page(markdown, blocks=blocks))
    assert (block.text, block.spans[0].start) == ("The text.", 14)


def test_a_paragraph_goes_on_over_a_page_break():
    assert joined("The cargo was", "unloaded at night.") == ["The cargo was unloaded at night."]
    assert joined("A para-", "graph.") == ["A paragraph."]
    assert joined("\u6587\u6863\u7684\u7b2c\u4e00", "\u9875\u7ed3\u675f\u3002") == [
        "\u6587\u6863\u7684\u7b2c\u4e00\u9875\u7ed3\u675f\u3002"
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("It ended.", "then more"),
        ("No stop", "A new one"),
        ("# Title", "lower"),
        ("\u6587\u6863\u3002", "\u9875"),
        ("(see it.)", "x"),
    ],
)
def test_in_doubt_a_page_break_parts_paragraphs(before, after):
    assert len(joined(before, after)) == 2


def test_joined_paragraphs_keep_both_pages():
    (block,) = document_blocks([page("A para-", 1), page("graph goes on", 2), page("and on.", 3)])
    source = {1: "A para-", 2: "graph goes on", 3: "and on."}
    assert block.text == "A paragraph goes on and on."
    for span in block.spans:
        assert block.text[span.at :].startswith(source[span.page][span.start : span.end])


def test_a_failed_page_is_never_bridged():
    blocks = document_blocks([page("The cargo was", 1), page("unloaded.", 3)])
    assert len(blocks) == 2


HEAD = "| a | b |\n|---|---|\n"


def test_a_table_goes_on_when_its_header_is_repeated_or_absent():
    assert joined(HEAD + "| 1 | 2 |", HEAD + "| 3 | 4 |") == ["| a | b |\n|-|-|\n| 1 | 2 |\n| 3 | 4 |"]
    assert joined(HEAD + "| 1 | 2 |", "|  |  |\n|---|---|\n| 3 | 4 |") == ["| a | b |\n|-|-|\n| 1 | 2 |\n| 3 | 4 |"]
    html = "<table><tr><td>c</td><td>5.5</td></tr><tr><td>d</td><td>6</td></tr></table>"
    assert joined(HEAD + "| 1 | 2 |", html) == ["| a | b |\n|-|-|\n| 1 | 2 |\n| c | 5.5 |\n| d | 6 |"]


def test_another_table_is_another_table():
    assert len(joined(HEAD + "| 1 | 2 |", "| c | d |\n|---|---|\n| 3 | 4 |")) == 2
    assert len(joined(HEAD + "| 1 | 2 |", "| a | b | c |\n|---|---|---|\n| 3 | 4 | 5 |")) == 2
    html = "<table><tr><td>Year</td><td>2023</td></tr><tr><td>d</td><td>6</td></tr></table>"
    assert len(joined(HEAD + "| 1 | 2 |", html)) == 2


@pytest.mark.parametrize(
    "hostile",
    [
        "```x\n\n" * 20_000,
        "- a\n" + "  ```x\n\n" * 10_000 + "end",
        "\\[ a\n" * 20_000,
        "$$ a\n" * 20_001,
        "<table><tr>\n" * 10_000,
        "<table><tr>\n\n" * 10_000,
        "> " * 5_000 + "a",
        "<table>" + "<tr><td rowspan=9999 colspan=64>abc</td></tr>" * 3_000 + "</table>",
        "<table><tr>" + "<td rowspan=60000>x" * 5_000 + "<tr><td>y" * 5_000 + "</table>",
        "|a" * 5_000 + "\n" + "|-" * 5_000,
        "<td " * 20_000,
    ],
    ids=lambda text: text[:24],
)
def test_hostile_pages_take_no_longer_than_they_are_long(hostile):
    start = time.process_time()
    blocks = page_blocks(page(hostile))
    assert time.process_time() - start < 6
    assert sum(len(block.text) for block in blocks) < 12 * len(hostile) + 1000
