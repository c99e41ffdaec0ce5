"""What a model said, tidied: typed blocks with exact offsets and boxes; whatever breaks the grammar has its flag."""

import json
import os
from pathlib import Path

import pytest

from folio.records import Block, BlockKind
from ocr_stage.tidy import Tidied, tidied

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
