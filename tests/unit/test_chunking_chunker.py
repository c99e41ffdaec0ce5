"""Documents become chunks: sections, budgets, tables, pages and boxes, ids and gaps."""

import time

import pytest

from chunking.chunker import Chunker
from chunking.process import ChunkProcess
from folio.child import Child
from folio.errors import Permanent, SettingsError
from folio.records import Block, BlockKind, Box, ChunkSet, Document, PageText
from tests.unit.chunking_documents import DOC, MINILM, bodies, document, failed, minilm, page, words

SENTENCE = "The harbour crane lifts one more container onto the quay tonight."


def rows(count: int, columns: int = 3) -> str:
    head = "| " + " | ".join(f"head{column}" for column in range(columns)) + " |\n" + "|---" * columns + "|\n"
    return head + "\n".join(
        "| " + " | ".join(f"r{row}c{column}" for column in range(columns)) + " |" for row in range(count)
    )


def test_a_section_is_a_chunk_with_its_heading_and_its_path():
    chunks = words().chunk(document("# Book\n\nIntro.\n\n## Part\n\nText one.\n\nText two.")).chunks
    assert [chunk.body for chunk in chunks] == ["Book\n\nIntro.", "Part\n\nText one.\n\nText two."]
    assert [chunk.headings for chunk in chunks] == [("Book",), ("Book", "Part")]
    assert [chunk.context for chunk in chunks] == ["", "Book"]


def test_later_chunks_of_a_section_have_the_whole_path_as_context():
    chunks = words().chunk(document("# Book\n\n## Part\n\n" + "\n\n".join([SENTENCE] * 9))).chunks
    assert chunks[0].body.startswith("Book\n\nPart\n\nThe harbour")
    assert {chunk.context for chunk in chunks[1:]} == {"Book > Part"}
    assert all(chunk.embedded_text.count("Part") == 1 for chunk in chunks)


def test_a_heading_ends_a_chunk_only_when_nothing_follows_it():
    markdown = "\n\n".join(f"## Heading {n}\n\n" + "\n\n".join([SENTENCE] * (n % 5)) for n in range(12)) + "\n\n# End"
    chunks = words().chunk(document(markdown)).chunks
    assert [chunk.body for chunk in chunks if chunk.body.splitlines()[-1].startswith(("Heading", "End"))] == ["End"]


def test_a_heading_never_stands_alone_before_an_atomic_block_that_just_fits():
    for lines in range(3, 25):
        code = "```\n" + "\n".join(["a b"] * lines) + "\n```"
        chunks = words().chunk(document(f"# Top\n\ntext\n\n## Long heading here\n\n{code}")).chunks
        assert chunks[1].body.startswith("Long heading here\n\n```")


def test_a_long_path_keeps_root_and_leaf():
    markdown = "# Annual report\n\n## The part of many many words\n\n### Liquidity\n\n" + "\n\n".join([SENTENCE] * 9)
    assert words(64, 6).chunk(document(markdown)).chunks[-1].context == "Annual report > Liquidity"


def test_a_table_stays_whole_with_its_lead_in():
    chunks = words().chunk(document("\n\n".join([SENTENCE] * 4) + "\n\nPrices per unit:\n\n" + rows(3, 2))).chunks
    assert chunks[-1].body == "Prices per unit:\n\n" + rows(3, 2).replace("|---|---|", "|-|-|")
    assert chunks[-1].kind is BlockKind.TABLE


def test_a_long_table_is_split_between_rows_and_repeats_caption_and_header():
    chunks = words().chunk(document("Table 1. Prices\n\n" + rows(20))).chunks
    assert len(chunks) > 2
    for chunk in chunks:
        assert chunk.body.startswith("Table 1. Prices")
        assert "| head0 | head1 | head2 |\n|-|-|-|\n| r" in chunk.body
    written = [line for chunk in chunks for line in chunk.body.splitlines() if line.startswith("| r")]
    assert written == rows(20).splitlines()[2:]


def test_the_first_piece_of_a_split_table_shows_where_its_header_stands():
    whole = rows(20)
    head = whole.index("\n")
    blocks = (
        Block(kind="table", start=0, end=head, box=box(0.1)),
        Block(kind="table", start=head + 1, end=len(whole), box=box(0.2)),
    )
    first, *others = words().chunk(document(page(whole, blocks=blocks))).chunks
    assert [one.box for one in first.boxes] == [box(0.1), box(0.2)]
    assert all([one.box for one in other.boxes] == [box(0.2)] for other in others)


def test_a_row_that_no_chunk_holds_is_cut_between_cells_with_their_headers():
    table = "| Name | Price | Note |\n|---|---|---|\n| Pump | 5,120.75 | " + " ".join(["valve"] * 90) + " |"
    chunks = words().chunk(document(table)).chunks
    text = "\n".join(bodies(words().chunk(document(table))))
    assert "Price: 5,120.75" in text
    assert "Note: valve" in text
    assert all("Name: Pump" in chunk.body for chunk in chunks[1:])
    assert text.count("valve") == 90


def test_code_is_cut_between_lines_and_its_fence_opened_again():
    lines = [f"value_{n} = {n}" for n in range(40)]
    chunks = words().chunk(document("```python\n" + "\n".join(lines) + "\n```")).chunks
    assert len(chunks) > 1
    for chunk in chunks:
        assert (chunk.body[:10], chunk.body[-4:]) == ("```python\n", "\n```")
    assert [line for chunk in chunks for line in chunk.body.splitlines() if line[0] != "`"] == lines


def test_a_formula_is_only_cut_when_no_chunk_holds_it_and_then_says_so():
    fits = words().chunk(document(SENTENCE + "\n\n$$\n" + "\n".join(["a = b"] * 18) + "\n$$")).chunks
    assert [chunk.flags for chunk in fits] == [(), ()]
    cut = words().chunk(document("$$\n" + " \\\\ ".join(["a = b"] * 40) + "\n$$")).chunks
    assert len(cut) > 1
    assert {chunk.flags for chunk in cut} == {("split_formula",)}


def test_long_prose_is_cut_between_sentences_in_any_script_and_never_inside_inline_math():
    english = " ".join([SENTENCE] * 20)
    assert all(body.endswith(".") for body in bodies(words().chunk(document(english))))
    chinese = "\u6e2f\u53e3\u5438\u8fdb\u96c6\u88c5\u7bb1\u5e76\u4e14\u5378\u8d27\u3002" * 20
    assert all(body.endswith("\u3002") for body in bodies(words().chunk(document(chinese))))
    math = " ".join(["and $a + b + c + d = 0$"] * 20)
    assert all(body.count("$") % 2 == 0 for body in bodies(words().chunk(document(math))))


def test_list_items_stay_whole_with_what_is_nested_in_them():
    item = "- item of words\n  - nested one\n  - nested two"
    chunks = words().chunk(document("The list:\n\n" + "\n".join([item] * 9))).chunks
    assert len(chunks) > 1
    assert all(chunk.body.endswith(item) and chunk.kind is BlockKind.LIST for chunk in chunks)


def box(y: float) -> Box:
    return Box(x0=0.1, y0=y, x1=0.9, y1=y + 0.05)


def test_a_chunk_knows_every_page_and_box_that_it_touches():
    first = page(
        "# T\n\nThe cargo was",
        1,
        blocks=(
            Block(kind="heading", start=0, end=3, box=box(0.1)),
            Block(kind="paragraph", start=5, end=18, box=box(0.2)),
        ),
    )
    second = page(
        "unloaded.\n\n# Next\n\nOther.",
        2,
        blocks=(
            Block(kind="paragraph", start=0, end=9, box=box(0.3)),
            Block(kind="paragraph", start=19, end=25, box=box(0.4)),
        ),
    )
    chunks = words().chunk(document(first, second, "No blocks.")).chunks
    assert [chunk.pages for chunk in chunks] == [(1, 2), (2, 3)]
    assert [[(on.page, on.box.y0) for on in chunk.boxes] for chunk in chunks] == [
        [(1, 0.1), (1, 0.2), (2, 0.3)],
        [(2, 0.4)],
    ]


def marked(*parts: tuple[str, str, float], number: int = 1) -> PageText:
    """A page of blocks, each with its kind and the height of its box; a figure has no text."""
    markdown, blocks = "", []
    for kind, text, y in parts:
        markdown += "\n\n" if markdown and text else ""
        blocks.append(Block(kind=kind, start=len(markdown), end=len(markdown) + len(text), box=box(y)))
        markdown += text
    return page(markdown, number, blocks=tuple(blocks))


def heights(chunk) -> list[float]:
    return [on.box.y0 for on in chunk.boxes]


def test_a_figure_without_words_makes_no_chunk_and_its_box_rides_with_its_caption():
    text, after = ("paragraph", "Some words.", 0.1), ("paragraph", "More words.", 0.9)
    caption = ("caption", "Figure 1. A crane.", 0.5)
    for parts in ([("figure", "", 0.3), caption], [caption, ("figure", "", 0.3)]):
        chunks = words().chunk(document(marked(text, *parts, after))).chunks
        assert [chunk.body for chunk in chunks] == ["Some words.\n\nFigure 1. A crane.\n\nMore words."]
        assert sorted(heights(chunks[0])) == [0.1, 0.3, 0.5, 0.9]
    alone = words().chunk(document(marked(text, ("figure", "", 0.3), after))).chunks
    assert [heights(chunk) for chunk in alone] == [[0.1, 0.9]]
    assert words().chunk(document(marked(("figure", "", 0.3)))).chunks == ()


def test_only_the_chunk_with_the_caption_has_the_figures_box():
    parts = [("heading", "# A", 0.1), ("paragraph", "One.", 0.2), ("heading", "# B", 0.4), ("figure", "", 0.5)]
    chunks = words().chunk(document(marked(*parts, ("caption", "Figure 1.", 0.6)))).chunks
    assert [heights(chunk) for chunk in chunks] == [[0.1, 0.2], [0.4, 0.6, 0.5]]


def test_a_footnote_comes_after_its_sentence_and_before_the_next_pages_heading():
    first = marked(("paragraph", "The cargo was^1^", 0.1), ("footnote", "1. By night.", 0.9))
    second = marked(("paragraph", "unloaded.", 0.1), ("heading", "# Next", 0.3), ("paragraph", "Other.", 0.5), number=2)
    chunks = words().chunk(document(first, second)).chunks
    assert [chunk.body for chunk in chunks] == ["The cargo was^1^ unloaded.\n\n1. By night.", "Next\n\nOther."]
    third = marked(("heading", "# Next", 0.3), ("paragraph", "Other.", 0.5), number=2)
    chunks = words().chunk(document(first, third)).chunks
    assert [(chunk.body, chunk.section) for chunk in chunks] == [
        ("The cargo was^1^\n\n1. By night.", 0),
        ("Next\n\nOther.", 1),
    ]
    only = words().chunk(document(marked(("footnote", "1. By night.", 0.9)))).chunks
    assert [(chunk.body, chunk.kind) for chunk in only] == [("1. By night.", BlockKind.FOOTNOTE)]


def test_boxes_of_a_list_and_of_its_items_are_all_found():
    items = "\n".join(f"- item {n}" for n in range(8))
    whole = Block(kind="list", start=0, end=len(items), box=box(0.1))
    each = [Block(kind="list", start=9 * n, end=9 * n + 8, box=box(0.2 + n / 16)) for n in range(8)]
    chunks = words(16, 0).chunk(document(page(items, blocks=(whole, *each)))).chunks
    assert len(chunks) > 1
    assert all(0.1 in heights(chunk) for chunk in chunks)
    assert sorted(y for chunk in chunks for y in heights(chunk) if y > 0.1) == [0.2 + n / 16 for n in range(8)]


def test_plain_text_has_pages_and_no_boxes_and_sections_are_counted():
    chunks = words().chunk(document("# A\n\nOne.\n\n## B\n\n" + "\n\n".join([SENTENCE] * 9), "# C\n\nThree.")).chunks
    assert {chunk.boxes for chunk in chunks} == {()}
    assert [chunk.section for chunk in chunks] == [0, *[1] * (len(chunks) - 2), 2]
    assert chunks[-1].pages == (2,)


def test_rows_of_a_split_table_stand_on_the_pages_that_they_come_from():
    chunks = words().chunk(document(rows(20), rows(20).replace("| r", "| s"))).chunks
    assert [chunk.pages for chunk in chunks if "| s" not in chunk.body] == [(1,)] * sum(
        "| s" not in c.body for c in chunks
    )
    assert all(2 in chunk.pages for chunk in chunks if "| s" in chunk.body)


def test_a_missing_page_is_a_gap_that_its_neighbours_name():
    chunks = words().chunk(document("# A\n\nOne.", failed(2), "# B\n\nTwo.", "# C\n\nThree.", failed(5, "ocr_loop")))
    assert chunks.gaps == {2: "ocr_timeout", 5: "ocr_loop"}
    assert [chunk.flags for chunk in chunks.chunks] == [
        ("page_missing_after",),
        ("page_missing_before",),
        ("page_missing_after",),
    ]


def test_only_failed_pages_make_no_chunks_but_gaps():
    chunks = words().chunk(document(failed(1), failed(2), complete=True))
    assert (chunks.chunks, set(chunks.gaps), chunks.complete) == ((), {1, 2}, True)


def test_a_deletion_is_a_set_without_chunks_that_says_so():
    deleted = Document(doc=DOC, version=3, revision=9, deleted=True, name="a.pdf")
    assert words().chunk(deleted) == ChunkSet(doc=DOC, version=3, revision=9, deleted=True, name="a.pdf")


def test_what_the_document_says_of_itself_goes_along():
    made = words().chunk(document("Text.", name="a.pdf", uri="s3://a", metadata={"team": 1}, page_count=4))
    assert (made.name, made.uri, made.metadata, made.page_count) == ("a.pdf", "s3://a", {"team": 1}, 4)


def test_the_same_text_twice_has_two_ids():
    chunks = words().chunk(document("# A\n\nSame.\n\n# A\n\nSame.")).chunks
    assert chunks[0].body == chunks[1].body
    assert chunks[0].chunk_id != chunks[1].chunk_id


def test_an_unchanged_passage_keeps_its_id_when_something_is_put_before_it():
    before = minilm().chunk(document("# B\n\nTwo.", "# C\n\nThree."))
    after = minilm().chunk(document("# A\n\nOne.", "# B\n\nTwo.", "# C\n\nThree."))
    ids = [chunk.chunk_id for chunk in after.chunks]
    assert ids[1:] == [chunk.chunk_id for chunk in before.chunks]


def book(heading: str, changed: str = "") -> Document:
    paragraph = "Chapter {0}.{1} tells how crane {0} unloads vessel {1} at berth {2}, and who signs manifest {0}{1}. "
    pages = [
        heading.format(n) + "\n\n".join(paragraph.format(n, part, n * part % 7) * 3 for part in range(1, 5))
        for n in range(1, 51)
    ]
    pages[2] = pages[2].replace(paragraph.format(3, 2, 6) * 3, changed or paragraph.format(3, 2, 6) * 3)
    return document(*pages)


@pytest.mark.parametrize(("heading", "again_max"), [("## Section {}\n\n", 2), ("", 4)], ids=["headings", "no headings"])
@pytest.mark.parametrize("changed", ["Short.", "The clause was rewritten at length. " * 12])
def test_one_changed_paragraph_of_fifty_pages_embeds_next_to_nothing_again(heading, again_max, changed):
    before = {chunk.embed_hash for chunk in minilm().chunk(book(heading)).chunks}
    after = {chunk.embed_hash for chunk in minilm().chunk(book(heading, changed)).chunks}
    assert len(before) > 40
    assert 1 <= len(after - before) <= again_max


def test_the_hash_that_decides_about_embedding_covers_model_context_and_body():
    chunk = Chunker("words", tokens_max=64, context_tokens_max=12, model="other").chunk(document("Text.")).chunks[0]
    assert chunk.chunk_id == words().chunk(document("Text.")).chunks[0].chunk_id
    assert chunk.embed_hash != words().chunk(document("Text.")).chunks[0].embed_hash


def test_a_small_rest_takes_pieces_over_from_its_neighbour():
    chunks = words().chunk(document("\n\n".join([SENTENCE] * 5 + ["The end."]))).chunks
    assert chunks[-1].body == f"{SENTENCE}\n\nThe end."


def test_a_budget_that_holds_no_passage_is_refused():
    with pytest.raises(SettingsError, match="tokens_max"):
        Chunker("words", tokens_max=12, context_tokens_max=48, model="m")


async def test_the_process_answers_like_the_chunker():
    settings = {"tokenizer": MINILM, "tokens_max": 256, "context_tokens_max": 48, "model": "minilm"}
    child = Child("chunking.process:ChunkProcess", settings)
    try:
        answer = await child.call("chunk", document("# A\n\nText.").pack())
        assert ChunkSet.decode(answer) == minilm().chunk(document("# A\n\nText."))
        with pytest.raises(Permanent):
            await child.call("chunk", b"not a document")
    finally:
        await child.close()


def test_the_process_object_is_the_same_without_a_process():
    process = ChunkProcess(tokenizer="words", tokens_max=64, context_tokens_max=12, model="hash")
    assert ChunkSet.decode(process.chunk(document("Text.").pack())) == words().chunk(document("Text."))


@pytest.mark.parametrize(
    "hostile",
    [
        "x" * 300_000,
        "\u6587" * 60_000,
        "# T\n\n" * 8_000,
        "\u00ad\n\n" * 20_000 + "end",
        "$a b" * 20_000,
        "```\n" + "x\n" * 30_000 + "```",
        "- " + "a\n  - b" * 8_000,
        "|" + "a|" * 2_000 + "\n|" + "-|" * 2_000 + "\n|" + "long cell|" * 2_000,
        "<table><tr><td>" + "word " * 20_000 + "</td><td>" + "y" * 50_000 + "</td></tr></table>",
        "text\n\n" * 8_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_hostile_pages_are_chunked_in_time_and_within_the_budget(hostile):
    start = time.process_time()
    chunks = minilm().chunk(document(hostile)).chunks
    assert time.process_time() - start < 8
    assert max(chunk.tokens for chunk in chunks) <= 256
