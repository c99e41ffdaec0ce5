"""What a model said, tidied: typed blocks with exact offsets and boxes; whatever breaks the grammar has its flag."""

import json
import math
import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folio.records import Block, BlockKind
from ocr_stage.grammar import TAG
from ocr_stage.modes import Mode, View, view
from ocr_stage.tidy import Tidied, tidied
from ocr_stage.tidy_blocks import Rules
from ocr_stage.transform import Transform, around

EXAMPLES = Path(os.environ.get("FOLIO_TEST_DATA", "tests/data")) / "docling/tests/data/md_deepseek"
K = BlockKind


def ref(label: str, box: str = "[[100, 100, 900, 200]]", text: str = "") -> str:
    return f"<|ref|>{label}<|/ref|><|det|>{box}<|/det|>\n{text}\n\n"


def shown(tidy: Tidied) -> list[tuple[str, str]]:
    return [(block.kind.value, tidy.markdown[block.start : block.end]) for block in tidy.blocks]


def corners(block: Block) -> tuple[float, ...] | None:
    return block.box and (block.box.x0, block.box.y0, block.box.x1, block.box.y1)


def test_a_page_as_the_model_writes_it() -> None:
    page = tidied(
        ref("title", text="# A Study")
        + ref("text", text="Some words.")
        + ref("sub_title", text="## Part")
        + ref("image")
        + ref("image_caption", text="<center>Figure 1: It. </center>")
        + ref("equation", text="\\[ E = mc^2 \\quad (1) \\]")
        + ref("list", text="- one\n- two")
        + ref("footnote", text="1 A note.")
        + ref("page_number", text="7")
    )
    assert shown(page) == [
        ("heading", "# A Study"),
        ("paragraph", "Some words."),
        ("heading", "## Part"),
        ("figure", ""),
        ("caption", "Figure 1: It."),
        ("formula", "$$E = mc^2 \\tag{1}$$"),
        ("list", "- one\n- two"),
        ("footnote", "1 A note."),
        ("paragraph", "7"),
    ]
    assert [block.level for block in page.blocks if block.level] == [1, 2]
    assert [block.furniture for block in page.blocks] == [False] * 8 + [True]
    assert page.markdown == "\n\n".join(text for _, text in shown(page) if text)
    assert {corners(block) for block in page.blocks} == {(0.1001, 0.1001, 0.9009, 0.2002)}
    assert page.flags == ()


LABELS = {"title": K.HEADING, "section_header": K.HEADING, "text": K.PARAGRAPH, "caption": K.CAPTION}


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="FOLIO_TEST_DATA names no test data")
@pytest.mark.parametrize("name", ["deepseek_simple", "deepseek_example", "deepseek_title"])
def test_real_pages_give_the_blocks_of_their_ground_truth(name: str) -> None:
    """That truth divides by 1000, keeps <center>, and leaves out the words before the first tag, which we keep."""
    page = tidied((EXAMPLES / f"sources/{name}.md").read_text(encoding="utf-8"))
    truth = json.loads((EXAMPLES / f"groundtruth/{name}.md.json").read_text(encoding="utf-8"))
    width, height = truth["pages"]["1"]["size"]["width"], truth["pages"]["1"]["size"]["height"]
    wanted = [
        *((LABELS[one["label"]], one) for one in truth["texts"]),
        *((K.TABLE, one) for one in truth["tables"]),
        *((K.FIGURE, one) for one in truth["pictures"]),
    ]
    found = [block for block in page.blocks if block.box]
    assert len(found) == len(wanted)
    for kind, one in wanted:
        box = one["prov"][0]["bbox"]
        truly = (box["l"] / width, box["t"] / height, box["r"] / width, box["b"] / height)
        block = next(block for block in found if corners(block) == pytest.approx(truly, abs=0.002))
        text = page.markdown[block.start : block.end]
        assert block.kind is kind or (block.kind is K.LIST and text.startswith("- "))
        assert plain(text) == plain(one.get("text", "")) or kind is K.TABLE
    assert page.flags == ()


def plain(text: str) -> str:
    for mark in ("<center>", "</center>", "\\(", "\\)", "$", "#", " "):
        text = text.replace(mark, "")
    return text


BROKEN = [
    # what the model said, its blocks, the flag
    ("<|ref|>text<|det|>[[1, 2, 300, 400]]<|/det|>\nWords.", [("paragraph", "Words.")], "tag_unclosed"),
    ("<|ref|>text<|/ref|><|det|>[[1, 2, 300, 400]]\nWords.", [("paragraph", "Words.")], "tag_unclosed"),
    ("<|ref|>text<|/ref|>[[1, 2, 300, 400]]<|/det|>\nWords.", [("paragraph", "Words.")], "tag_unclosed"),
    ("<|ref|>text<|/ref|><|det|>[[1, 2, 3", [], "tag_unclosed"),
    ("Words.\n<|ref|>te", [("paragraph", "Words."), ("paragraph", "te")], "tag_unclosed"),
    ("<|ref|>text\nWords that go on.", [("paragraph", "Words that go on.")], "tag_unclosed"),
    ("<|ref|><|ref|>text<|/ref|><|det|>[[1, 2, 300, 400]]<|/det|>\nWords.", [("paragraph", "Words.")], "tag_unclosed"),
    ("<|ref|>text<|/ref|><|det|>[[1, 2, 300, 400]]<|det|>\nWords.", [("paragraph", "Words.")], "tag_nested"),
    ("<|ref|>text<|/ref|><|det|><|det|>[[1, 2, 300, 400]]<|/det|>\nWords.", [("paragraph", "Words.")], "tag_nested"),
    ("One <|/ref|>two<|/det|>.", [("paragraph", "One two.")], "tag_stray"),
    ("<|det|>[[1, 2, 300, 400]]<|/det|>Words.", [("paragraph", "Words.")], "tag_stray"),
    ("One <|grounding|>two.<｜end▁of▁sentence｜>", [("paragraph", "One two.")], "token_stray"),
    ("One<image> two.", [("paragraph", "One two.")], "token_stray"),
    ("a<|re<|x|>f|>b", [("paragraph", "a b")], "token_stray"),
    ("Words.<｜end▁of▁sent", [("paragraph", "Words.")], "token_stray"),
    ("Words.<|/de", [("paragraph", "Words.")], "token_stray"),
    (ref("gizmo", text="Words."), [("paragraph", "Words.")], "label_unknown"),
    ("<|ref|>text<|/ref|>\nWords.", [("paragraph", "Words.")], "box_missing"),
    (ref("text", "[[one, 2, 3, 4]]", "Words."), [("paragraph", "Words.")], "box_unreadable"),
    (ref("text", "[[__import__('os').abort(), 2, 3, 4]]", "Words."), [("paragraph", "Words.")], "box_unreadable"),
    (ref("text", "[[1, 2, 3]]", "Words."), [("paragraph", "Words.")], "box_unreadable"),
    (ref("text", "[[1e9, 2, nan, inf]]", "Words."), [("paragraph", "Words.")], "box_unreadable"),
    (ref("text", "[[NaN, NaN, NaN, NaN]]", "Words."), [("paragraph", "Words.")], "box_unreadable"),
    (ref("text", "[[-Infinity, 0, 1e308, 0x1f]]", "Words."), [("paragraph", "Words.")], "box_unreadable"),
    (ref("text", f"[[1, 2, {'9' * 50_000}, 400]]", "Words."), [("paragraph", "Words.")], "box_unreadable"),
    (ref("text", "[[1, 2, \u00b3, 400]]", "Words."), [("paragraph", "Words.")], "box_unreadable"),
    (ref("text", "[[1\u200b, 2, 300, 400]]", "Words."), [("paragraph", "Words.")], "box_unreadable"),
    (ref("text", "[[1, 2, 300, 400, 500]]", "Words."), [("paragraph", "Words.")], "box_unreadable"),
    (ref("text", f"[[-{'9' * 9}, 2, {'9' * 9}, 400]]", "Words."), [("paragraph", "Words.")], "box_outside"),
    (ref("text", "", "Words."), [("paragraph", "Words.")], "box_unreadable"),
    (ref("text", "The words came here", ""), [("paragraph", "The words came here")], "box_unreadable"),
    (ref("text", "[[500, 500, 300, 400]]", "Words."), [("paragraph", "Words.")], "box_reversed"),
    (ref("text", "[[-20, 10, 1500, 400]]", "Words."), [("paragraph", "Words.")], "box_outside"),
    (ref("text", "[[1200, 10, 1500, 400]]", "Words."), [("paragraph", "Words.")], "box_outside"),
    (ref("text", "[[500, 500, 500, 600]]", "Words."), [("paragraph", "Words.")], "box_empty"),
    (ref("table", text="<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>"), None, "table_ragged"),
    (ref("table", text="<table><tr><td>a</td><td>b"), None, "table_unclosed"),
    (ref("table", text="<tr><td>a</td></tr>"), None, "table_unclosed"),
    ("<|ref|><|det|>" * 5000 + "Words.", [("paragraph", "Words.")], "tag_unclosed"),
    ("<|/ref|><|/det|>" * 5000 + "Words.", [("paragraph", "Words.")], "tag_stray"),
    (ref("table", text=f"<table><tr><td>{ref('text', text='a')}</td></tr></table>"), None, "tag_nested"),
    (ref("table"), [("figure", "")], "table_empty"),
    (ref("table", text="<table></table>"), [("figure", "")], "table_empty"),
]


@pytest.mark.parametrize(("said", "blocks", "flag"), BROKEN)
def test_what_breaks_the_grammar_has_its_flag_and_loses_no_words(said: str, blocks, flag: str) -> None:
    page = tidied(said)
    assert flag in page.flags
    assert blocks is None or shown(page) == blocks
    assert "<|" not in page.markdown


def test_a_box_that_was_mended_lies_on_the_page() -> None:
    assert corners(tidied(ref("text", "[[500, 500, 300, 400]]", "x")).blocks[0]) == (0.3003, 0.4004, 0.5005, 0.5005)
    assert corners(tidied(ref("text", "[[-20, 10, 1500, 400]]", "x")).blocks[0]) == (0.0, 0.01, 1.0, 0.4004)
    assert corners(tidied(ref("text", "[[500, 500, 500, 600]]", "x")).blocks[0]) is None
    assert corners(tidied(ref("text", "[[0, 0, 1000, 1000]]", "x")).blocks[0]) == (0, 0, 1, 1)
    assert tidied(ref("text", "[[0, 0, 1000, 1000]]", "x")).flags == ()


def test_a_piece_with_two_boxes_has_the_one_around_them() -> None:
    page = tidied(ref("text", "[[100, 700, 400, 900], [500, 100, 900, 200]]", "Runs over two columns."))
    assert corners(page.blocks[0]) == (0.1001, 0.1001, 0.9009, 0.9009)


def test_what_broke_the_boxes_of_one_piece_leaves_the_next_alone() -> None:
    page = tidied(ref("text", "[[1, 2", "One.") + ref("text", text="Two."))
    assert shown(page) == [("paragraph", "One."), ("paragraph", "Two.")]
    assert corners(page.blocks[1]) == (0.1001, 0.1001, 0.9009, 0.2002)


def test_lines_with_boxes_have_their_words_where_a_label_would_stand() -> None:
    said = ref("Invoice 4711", "[[100, 100, 300, 120]]") + ref("Total", "[[100, 200, 300, 220]]")
    for prompt in ("ocr", "markdown"):
        assert shown(tidied(said, prompt=prompt)) == [("paragraph", "Invoice 4711"), ("paragraph", "Total")]
    assert shown(tidied(ref("table"), prompt="ocr")) == [("paragraph", "table")]  # a word, not a label


def test_a_term_is_there_once_for_each_place() -> None:
    page = tidied(ref("Total", "[[100, 100, 300, 120], [100, 500, 300, 520]]"), prompt="locate")
    assert [block.box and block.box.y0 for block in page.blocks] == [0.1001, 0.5005]
    assert shown(page) == [("paragraph", "Total"), ("paragraph", "Total")]


def test_an_answer_without_boxes_is_read_by_its_markdown() -> None:
    page = tidied(
        "# Head\n\nWords.\n\n- a\n- b\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\nx = 1\n\n# no head\n```\n\nEnd."
    )
    assert [kind for kind, _ in shown(page)] == ["heading", "paragraph", "list", "table", "code", "paragraph"]
    assert shown(page)[4][1] == "```py\nx = 1\n\n# no head\n```"
    assert all(block.box is None for block in page.blocks)


def test_cells_that_come_after_the_caption_have_the_box_of_their_table() -> None:
    page = tidied(
        ref("table", "[[0, 500, 999, 900]]")
        + ref("table_caption", "[[0, 450, 999, 490]]", "Table 1.\n\n<table><tr><td>a</td></tr></table>\n\nMore.")
    )
    assert shown(page) == [
        ("caption", "Table 1."),
        ("table", "<table><tr><td>a</td></tr></table>"),
        ("caption", "More."),
    ]
    assert [block.box and block.box.y0 for block in page.blocks] == [0.4505, 0.5005, 0.4505]
    assert page.flags == ()


def test_a_table_whose_cells_never_came_stays_as_a_picture() -> None:
    page = tidied(ref("table") + ref("text", text="Words.") + ref("table", text="<table><tr><td>a</td></tr></table>"))
    assert [kind for kind, _ in shown(page)] == ["figure", "paragraph", "table"]
    assert page.flags == ("table_empty",)


@pytest.mark.parametrize(
    ("table", "flags"),
    [
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>", ()),
        ("<table><tr><td rowspan='2'>a</td><td>b</td></tr><tr><td>d</td></tr></table>", ()),
        ('<table><tr><td colspan="2">a</td></tr><tr><td>c</td><td>d</td></tr></table>', ()),
        ('<table><tr><th rowspan="3">a</th><th>b</th></tr><tr><td>1</td></tr><tr><td>2</td></tr></table>', ()),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", ("table_ragged",)),
        ('<table><tr><td colspan="3">a</td></tr><tr><td>c</td><td>d</td></tr></table>', ("table_ragged",)),
    ],
)
def test_columns_are_counted_with_what_spans(table: str, flags: tuple[str, ...]) -> None:
    page = tidied(ref("table", text=table))
    assert (page.flags, shown(page)) == (flags, [("table", table)])


def test_a_table_that_was_cut_off_is_closed_and_keeps_its_cells() -> None:
    page = tidied(ref("table", text="<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>half a sen"))
    assert page.markdown == "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>half a sen</td></tr></table>"
    text = tidied("Before.\n\n<table><tr><td>a</td></tr>\n\nAfter.")
    assert shown(text) == [
        ("paragraph", "Before."),
        ("table", "<table><tr><td>a</td></tr></table>"),
        ("paragraph", "After."),
    ]


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("a \\(2x\\) up", "a $2x$ up"),
        ("\\( a \\) and \\( b \\)", "$a$ and $b$"),
        ("\\[ a \\\\[2pt] b \\]", "$$a \\\\[2pt] b$$"),
        ("\\[\na\n\nb\n\\]", "$$\na\nb\n$$"),
        ("costs $5 at \\(10\\%\\)", "costs \\$5 at $10\\%$"),
        ("costs $5 or $6", "costs $5 or $6"),
        ("\\(a \\coloneqq b\\)", "$a := b$"),
        ("open \\( and [x] stay", "open \\( and [x] stay"),
        ("\\(one \\(two\\)", "\\(one $two$"),
        ("\\(\\)", ""),
        ("<table><tr><td>\\(x\\)</td></tr></table>", "<table><tr><td>$x$</td></tr></table>"),
        ("```\n\\(x\\)\n```", "```\n\\(x\\)\n```"),
    ],
)
def test_formulas_are_written_with_dollars(said: str, written: str) -> None:
    assert tidied(said).markdown == written
    assert tidied(ref("text", text=said)).markdown == written


@pytest.mark.parametrize("said", ["E = mc^2", "\\[E = mc^2\\]", "\\(E = mc^2\\)", "$$E = mc^2$$", "$E = mc^2$"])
def test_an_equation_is_a_formula_of_its_own(said: str) -> None:
    assert shown(tidied(ref("equation", text=said))) == [("formula", "$$E = mc^2$$")]


MERGED = (
    "- A user will receive a large volume of spam- Shortly after, a caller posing as support claims it is malware"
    "- The user is instructed to join a session"
)


@pytest.mark.parametrize(
    ("said", "count"),
    [
        (MERGED, 3),
        ("- First thing is here. - Second thing is there. - Third thing is gone", 3),
        ("1. Open the lid 2. Take it out 3. Close it", 3),
        ("1) Open the lid 2) Take it out", 2),
        ("• one • two • three", 3),
        ("- one\n- two", 2),
        ("- a well- known fact about pre- Columbian art and the Anglo- Saxon world of then", 1),
        ("- the years 1914 - 1918 and London - Paris by train", 1),
        ("1. In 2. 5 litres there are 2. 5 kg", 1),
        ("1. Version 1. 2. 3 was the last 4. 5", 1),
        ("1. See it on page 2. Then go on reading", 1),
        ("1. See it there. 2. Then go on reading", 2),
        ("- * stars * in it", 1),
        ("Words - no list- And none here either as it begins otherwise", 1),
    ],
)
def test_list_items_that_ran_together_are_parted(said: str, count: int) -> None:
    page = tidied(ref("text", text=said))
    assert page.markdown.count("\n") + 1 == count
    assert "".join(page.markdown.split()) == "".join(said.split())


def test_rules_say_what_is_mended() -> None:
    said = ref("text", text=MERGED) + ref("text", text="\\(x\\)")
    as_it_came = tidied(said, rules=Rules(formulas=False, lists=False))
    assert as_it_came.markdown == f"{MERGED}\n\n\\(x\\)"


def test_headings_have_the_level_that_they_came_with_or_their_label_s() -> None:
    page = tidied(
        ref("title", text="A Study") + ref("sub_title", text="### Part") + ref("sub_title", text="Part\n\nWords.")
    )
    assert shown(page) == [
        ("heading", "# A Study"),
        ("heading", "### Part"),
        ("heading", "## Part"),
        ("paragraph", "Words."),
    ]
    assert [block.level for block in page.blocks] == [1, 3, 2, 0]
    assert shown(tidied(ref("title", text="word " * 100)))[0][0] == "paragraph"


def test_hostile_answers_take_no_time_to_speak_of() -> None:
    """Quadratic ones would take minutes; so would a table of a billion columns."""
    size = 40_000
    for said in (
        "<|" * size,
        "<|ref|>" * size,
        "<|det|>[[" * size,
        "[[1,2,3,4]," * size,
        "<|ref|>x<|/ref|><|det|>" + "[" * size,
        "\\(" * size,
        "\\[" * size,
        "<table>" * size,
        "<table><tr><td>" + "<|ref|>x<|/ref|></td><td>" * size,
        "<|x" * size,
        "</td><|ref|>" * size,
        "<tr><td>" * size,
        '<td rowspan="999999999" colspan="999999999">' * size,
        "- a" * size,
        "1. " * size,
        "$$" * size,
        "```" * size,
        "\n" * size,
        "#" * size,
        " " * size,
    ):
        began = time.process_time()
        page = tidied(said)
        assert time.process_time() - began < 10, said[:30]
        assert not TAG.search(page.markdown)
    assert "text_cut" in tidied("word " * 300_000).flags


@settings(max_examples=150)
@given(st.data())
def test_known_boxes_come_back_through_every_mode_crop_deskew_and_perspective(data: st.DataObject) -> None:
    """A block is drawn on a page, the page is turned into what the model sees, the model says its box in bins."""
    width, height = data.draw(st.integers(300, 3000)), data.draw(st.integers(300, 3000))
    chain = data.draw(st.sampled_from(CHAINS))
    mode = data.draw(st.sampled_from(list(Mode)))
    x, y = data.draw(st.floats(0.2, 0.6)), data.draw(st.floats(0.2, 0.6))
    flat = chain(Transform.whole(width, height), data.draw)
    across, down = flat.seen
    block = (x * across, y * down, (x + 0.15) * across, (y + 0.1) * down)  # as it lies on the level page
    x0, y0, x1, y1 = block
    there = around(flat.place(*corner) for corner in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))
    truth = tuple(min(1, max(0, value / side)) for value, side in zip(there, (width, height) * 2, strict=True))
    seen = view(mode, max(1, round(across)), max(1, round(down)))
    canvas = canvas_box(seen, (x, y, x + 0.15, y + 0.1))
    of_canvas = tidied(ref("text", bins(canvas), "Words."), transform=flat.then(seen.whole()))
    of_picture = tidied(ref("text", bins((x, y, x + 0.15, y + 0.1)), "Words."), transform=flat)
    for page, bound in ((of_picture, 0.003), (of_canvas, 0.003 + thin(seen))):
        assert corners(page.blocks[0]) == pytest.approx(truth, abs=bound)


def thin(seen: View) -> float:
    """What half a bin of the canvas is of a page that covers only a strip of it."""
    x0, y0, x1, y1 = seen.placed
    return 0.0005 * seen.canvas / min(x1 - x0, y1 - y0)


def canvas_box(seen: View, corners: tuple[float, ...]) -> tuple[float, ...]:
    left, top, right, bottom = seen.placed
    x0, y0, x1, y1 = corners
    pixels = (left + x0 * (right - left), top + y0 * (bottom - top))
    more = (left + x1 * (right - left), top + y1 * (bottom - top))
    return tuple(value / seen.canvas for value in (*pixels, *more))


def bins(corners: tuple[float, ...]) -> str:
    return f"[[{', '.join(str(round(value * 999)) for value in corners)}]]"


def photographed(page: Transform, draw) -> Transform:
    """A sheet seen at an angle, made straight."""
    width, height = page.seen
    moves = draw(st.lists(st.floats(-0.06, 0.06), min_size=8, max_size=8))
    sheet = np.float32([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]) + np.float32(moves).reshape(4, 2)
    straight = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    matrix = cv2.getPerspectiveTransform(sheet * np.float32([width, height]), straight)
    return page.warped(matrix, width, height)


def halved(page: Transform, draw) -> Transform:
    width, height = page.seen
    top = draw(st.sampled_from([0, 0.45]))
    return page.cropped((0, top * height, width, (top + 0.55) * height))


CHAINS = (
    lambda page, _: page,
    halved,
    lambda page, draw: page.turned(draw(st.integers(0, 3))),
    lambda page, draw: page.levelled(math.radians(draw(st.floats(-10, 10)))),
    photographed,
    lambda page, draw: halved(photographed(page, draw).levelled(math.radians(draw(st.floats(-3, 3)))), draw),
)


@pytest.mark.parametrize(
    ("cell", "kept"),
    [
        ("<|ref|>text<|/ref|><|det|>[[1, 2, 300, 400]]<|/det|>a", "a"),
        ("<|ref|>Total<|/ref|><|det|>[[1, 2, 300, 400]]<|/det|>", "Total"),
        ("a<|grounding|>", "a"),
    ],
)
def test_a_piece_that_begins_within_a_cell_is_part_of_it(cell: str, kept: str) -> None:
    row = "<tr><td>{}</td><td>b</td></tr>"
    page = tidied(ref("table", text=f"<table>{row.format(cell) * 3}</table>") + ref("text", text="Words."))
    assert shown(page) == [("table", f"<table>{row.format(kept) * 3}</table>"), ("paragraph", "Words.")]
    assert corners(page.blocks[0]) == corners(page.blocks[1]) == (0.1001, 0.1001, 0.9009, 0.2002)


def test_what_is_taken_out_at_the_end_of_a_table_leaves_no_blank_lines() -> None:
    assert shown(tidied("<td></table><td>\n\\(\\)<|f|>")) == [("table", "<table><td></table><td>")]


def test_a_table_that_was_cut_off_takes_nothing_from_the_next() -> None:
    cut = "<table><tr><td>a</td><td>b"
    page = tidied(ref("table", text=cut) + ref("text", text="Words.") + ref("table", text=f"{cut}</td></tr></table>"))
    whole = f"{cut}</td></tr></table>"
    assert shown(page) == [("table", whole), ("paragraph", "Words."), ("table", whole)]


def test_what_no_text_holds_is_taken_out() -> None:
    assert tidied("\ufeff# One\x9b31m\x85two").markdown == "# One31m\ntwo"
    page = tidied("One\r\ntwo\x00\x1b[31m.\r\rThree \ud800.")
    assert page.markdown == "One\ntwo[31m.\n\nThree ?."
    assert page.markdown.encode()
