"""Text files: what they are encoded in, where they are cut, what their blocks are, and what HTML becomes."""

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from folio.errors import Cause, Permanent
from ingest import textfile
from ingest.cut import PAGE_CHARS, cut_pages
from ingest.encoding import decoded
from ingest.folder import SUFFIXES
from ingest.separated import table_pages
from ingest.sniff import HTML, MARKDOWN, TEXT
from ingest.textfile import TextFile, blocks_of, without_front_matter
from ingest.webpage import to_markdown

CHINESE = "港务费在第二季度再次上涨，因为来的运粮船比新码头开放以来的任何一个春天都多。"
GERMAN = "Die Hafengebühren stiegen im zweiten Quartal, weil größere Schiffe kamen. "
SPANS = """Dues

<table>
<tr><th rowspan="2">a</th><th colspan="100">b</th></tr>
<tr><td>1 &lt;</td><td>2</td></tr>
</table>"""
RUSSIAN = "Портовые сборы снова выросли во втором квартале. "


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "utf-8"),
        (GERMAN, "utf-8-sig"),
        (CHINESE, "utf-16"),
        (GERMAN, "utf-32"),
        (GERMAN * 9, "cp1252"),
        ("naïve café", "cp1252"),
        (CHINESE * 9, "gb18030"),
        (RUSSIAN * 9, "cp1251"),
        (RUSSIAN * 9, "koi8_r"),
        ("これは日本語の文章です。港の料金が上がりました。漢字とカタカナ。" * 9, "cp932"),
    ],
)
def test_old_and_new_encodings_are_recognised(text: str, encoding: str) -> None:
    assert decoded(text.encode(encoding), TEXT) == text


def test_without_statistics_pairs_tell_chinese_from_western(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.encoding._by_statistics", lambda _: None)
    assert decoded((CHINESE * 9).encode("gb18030"), TEXT) == CHINESE * 9
    assert decoded((GERMAN * 9).encode("cp1252"), TEXT) == GERMAN * 9


def test_a_page_says_what_it_is_encoded_in() -> None:
    page = f'<html><meta http-equiv=x content="text/html; charset=koi8-r"><p>{RUSSIAN}'
    assert decoded(page.encode("koi8_r"), HTML) == page
    wrong = f"<meta charset=nonsense>{GERMAN}"
    assert decoded(wrong.encode("cp1252"), HTML) == wrong


def test_one_bad_byte_does_not_turn_all_others_into_nonsense() -> None:
    assert decoded((CHINESE * 9).encode() + b"\xff", TEXT) == CHINESE * 9 + "\ufffd"


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (b"text\0binary", Cause.UNSUPPORTED_TYPE),
        (b"\xff\xfe" + b"\x00\xd8" * 400, Cause.CORRUPT),
        (b"\xef\xbb\xbf" + b"\xff" * 400, Cause.CORRUPT),
    ],
)
def test_what_is_no_text_is_refused(raw: bytes, cause: Cause) -> None:
    with pytest.raises(Permanent) as refused:
        decoded(raw, TEXT)
    assert refused.value.cause == cause


def test_line_ends_are_one_and_control_characters_go() -> None:
    assert decoded(b"a\r\nb\rc\x07\x1b[0m\fd", TEXT) == "a\nb\nc[0m\fd"
    assert decoded(b"a\fb", MARKDOWN) == "ab"


def test_form_feeds_end_pages_and_keep_their_numbers() -> None:
    assert cut_pages("one\n\ftwo\f\ffour\f\n", form_feeds=True) == ["one", "two", "", "four"]
    assert cut_pages(" \n\n", form_feeds=True) == []


def test_a_long_text_is_cut_before_a_heading() -> None:
    sections = [f"# Section {number}\n\n" + "Harbour dues rose again. " * 30 + "\n\n" for number in range(40)]
    pages = cut_pages("".join(sections), form_feeds=False, chars=5000)
    assert all(page.startswith("# Section") for page in pages)
    assert all(2000 < len(page) <= 5000 for page in pages[:-1])


def test_a_fence_and_a_table_are_not_cut() -> None:
    fence = "```\n" + "# no heading\n\n" * 60 + "```\n"
    table = "<table>\n" + "<tr><td>a</td></tr>\n\n" * 40 + "</table>\n"
    text = ("words " * 20 + "\n\n") * 3 + fence + "\nafter\n\n" + table + "\nend\n"
    pages = cut_pages(text, form_feeds=False, chars=1000)
    assert sum(fence.strip() in page for page in pages) == 1
    assert sum(table.strip() in page for page in pages) == 1


def test_a_fence_that_nobody_closes_is_cut_all_the_same() -> None:
    pages = cut_pages("```\n" + "code\n" * 5000, form_feeds=False, chars=1000)
    assert max(map(len, pages)) <= 2100


def test_one_endless_line_is_cut_between_words() -> None:
    pages = cut_pages("word " * 20_000, form_feeds=False)
    assert all(page.startswith("word") and page.endswith("word") for page in pages)
    assert max(map(len, pages)) <= PAGE_CHARS
    assert [len(page) for page in cut_pages("x" * 45_000, form_feeds=False)] == [20_000, 20_000, 5_000]


@given(
    some.lists(
        some.sampled_from(["# h\n", "\n", "word word\n", "```\n", "<table>\n", "</table>\n", "x" * 50]), max_size=80
    )
)
def test_cutting_loses_nothing_but_blank_lines(parts: list[str]) -> None:
    text = "".join(parts)
    pages = cut_pages(text, form_feeds=False, chars=60)
    assert re.sub(r"\s", "", "".join(pages)) == re.sub(r"\s", "", text)
    assert all(page.strip() and len(page) <= 2 * 60 + 60 for page in pages)


def test_blocks_are_offsets_into_the_page() -> None:
    page = "# Head\n\nSome *text*\non two lines.\n\n- a\n  - b\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n\n    code\n"
    found = [(block["kind"], page[block["start"] : block["end"]], block["level"]) for block in blocks_of(page)]
    assert found == [
        ("heading", "# Head", 1),
        ("paragraph", "Some *text*\non two lines.", 0),
        ("list", "- a\n  - b", 0),
        ("table", "| a | b |\n|---|---|\n| 1 | 2 |", 0),
        ("code", "    code", 0),
    ]


def test_front_matter_goes_and_its_title_becomes_the_heading_where_there_is_none() -> None:
    front = "---\ntitle: 'Harbour dues'\ntags: [a]\n---\n"
    assert without_front_matter(f"{front}Text.\n\n```\n# no heading\n```") == (
        "# Harbour dues\n\nText.\n\n```\n# no heading\n```"
    )
    assert without_front_matter(f"{front}# Own\n\nText.") == "# Own\n\nText."
    assert (
        without_front_matter("---\n\nA rule, no front matter.\n\n---\n") == "---\n\nA rule, no front matter.\n\n---\n"
    )
    assert without_front_matter("---\nnever closed: x\n") == "---\nnever closed: x\n"


def test_a_text_that_is_too_long_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfile, "TEXT_BYTES_MAX", 100)
    file = tmp_path / "a.txt"
    file.write_text("word " * 30)
    with pytest.raises(Permanent, match="read up to 100: split it") as refused:
        TextFile(file, TEXT)
    assert refused.value.cause == Cause.TOO_LARGE


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<h2>Dues <small>2024</small></h2><p>Rose.", "## Dues 2024\n\nRose."),
        ("<p>a <b>bold </b>word, <em>very <strong>much</strong></em>", "a **bold** word, *very **much***"),
        ("<p><b></b>nothing<i> </i>here", "nothing here"),
        ("<p>one<br>two <br> <br>\n<br> three", "one\ntwo\n\nthree"),
        ("<p>x<script>alert(1)</script><style>p{}</style><noscript>no</noscript>", "x"),
        ("<nav>menu</nav><p hidden>a<p style='display: none'>b<p aria-hidden=true>c<p>shown", "shown"),
        ('<a href="https://a.example/x">link</a>', "[link](https://a.example/x)"),
        ('<a href="javascript:alert(1)">link</a> <a href="#a">other</a> <a href="//x">third</a>', "link other third"),
        ('<a href="https://a.example/) [x](javascript:alert(1)">link</a>', "link"),
        ('<img src="https://a.example/x.png" alt="A chart">', "A chart"),
        ("<ul><li>a<ul><li>b</ul><li>c</ul>", "- a\n  - b\n- c"),
        ("<ol start=3><li>a<li>b<ul><li>c</ul></ol>", "3. a\n4. b\n   - c"),
        ("<ul><li><p>a</p><p>b</p></ul>", "- a\n\n  b"),
        (
            "<pre><code class='language-python'>def f():\n    return `1`</code></pre>",
            "```python\ndef f():\n    return `1`\n```",
        ),
        ("<pre>a ``` b</pre>", "````\na ``` b\n````"),
        ("use <code>a*b &lt;c&gt; \\n</code>", "use `a*b <c> \\n`"),
        ("<blockquote><p>a<p>b</blockquote>", "> a\n>\n> b"),
        ("<dl><dt>Term<dd>Meaning</dl>", "**Term**\n\nMeaning"),
        ("<p># not a heading", "\\# not a heading"),
        ("<p>1. not a list<br>- nor this", "1\\. not a list\n\\- nor this"),
        ("<p>&lt;script&gt;alert(1)&lt;/script&gt; 1 &lt; 2", "\\<script>alert(1)\\</script> 1 < 2"),
        ("<p>[x](javascript:alert(1)) and [1]", "[x\\](javascript:alert(1)) and [1]"),
        ("<table><tr><th>a<th>b<tr><td>1|2<td>3</table>", "| a | b |\n| --- | --- |\n| 1\\|2 | 3 |"),
        ("<table><tr><td>only<tr><td>column</table>", "only\n\ncolumn"),
        ("<table><tr><td><h3>Layout</h3>x<td>y<tr><td>z</table>", "### Layout\n\nx\n\ny\n\nz"),
        (
            "<table><caption>Dues</caption><tr><th rowspan=2>a<th colspan=9999>b<tr><td><b>1</b> &lt;<td>2</table>",
            SPANS,
        ),
        ("<head><title>Dues &amp; fees</title></head><p>x", "# Dues & fees\n\nx"),
        ("<head><title>Site</title></head><h1>Dues</h1>x", "# Dues\n\nx"),
        ("<p>", ""),
    ],
)
def test_html_becomes_what_a_reader_sees(source: str, expected: str) -> None:
    assert to_markdown(source) == expected


def test_markup_that_nests_without_end_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(Permanent, match="open inside each other") as refused:
        to_markdown("<div>" * 100_000)
    assert refused.value.cause == Cause.CORRUPT
    assert to_markdown("<p>paragraphs<li>close themselves" * 20_000).count("close themselves") == 20_000


def test_a_mark_that_is_never_closed_before_many_breaks_takes_no_longer() -> None:
    began = time.process_time()
    assert to_markdown("<b>" + "<br> " * 100_000 + "x<p>y") == "x\n\ny"
    assert time.process_time() - began < 10, "it took minutes when each break was tried for each"


def test_lists_that_nest_too_deep_keep_their_words() -> None:
    assert to_markdown("<ul><li>x" * 2000).count("x") == 2000


@given(
    some.lists(
        some.sampled_from(
            [
                "<b>",
                "</b>",
                "<i>",
                "<code>",
                "</code>",
                "<ul>",
                "<li>",
                "</ul>",
                "<td>",
                "<table>",
                "<tr>",
                "</table>",
                "<a href='https://a.example'>",
                "</a>",
                "<pre>",
                "</pre>",
                "<blockquote>",
                "<h1>",
                "word",
                " ",
                "*",
                "`",
                "<br>",
            ]
        ),
        max_size=40,
    )
)
def test_no_markup_loses_words_or_leaves_signs_of_ours(parts: list[str]) -> None:
    written = to_markdown("".join(parts))
    assert written.count("word") == "".join(parts).count("word")
    assert "\0" not in written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'ship,dues\n"Grain, large","1|2"\n\nCoal,"two\nlines"\n',
            ["| Grain, large | 1\\|2 |", "| Coal | two lines |"],
        ),
        ("ship;dues\nGrain;1,5\nCoal;2,5\n", ["| Grain | 1,5 |", "| Coal | 2,5 |"]),
        ("ship\tdues\nGrain\t1\nCoal\nOil\t3\n", ["| Grain | 1 |", "| Coal |", "| Oil | 3 |"]),
    ],
)
def test_rows_become_a_table(text: str, expected: list[str]) -> None:
    assert table_pages(text) == ["\n".join(["| ship | dues |", "| --- | --- |", *expected])]


def test_every_page_of_a_long_table_has_its_header() -> None:
    pages = table_pages("ship,dues\n" + "".join(f"ship {number},{number}\n" for number in range(500)), chars=1000)
    assert pages is not None
    assert all(page.startswith("| ship | dues |\n| --- | --- |\n| ship ") and len(page) <= 1100 for page in pages)
    assert sum(page.count("\n") - 1 for page in pages) == 500


@pytest.mark.parametrize("text", ["", "one line, no table", "prose, with a comma\nand none here\nnor here", 'a,"b\n'])
def test_what_has_no_columns_is_no_table(text: str) -> None:
    assert table_pages(text) is None


def test_the_page_of_formats_names_every_suffix_and_quotes_the_causes() -> None:
    page = (Path(__file__).parents[2] / "docs/formats.md").read_text(encoding="utf-8")
    assert [suffix for suffix in SUFFIXES if suffix not in re.findall(r"\.\w+", page)] == []
    causes = re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE)
    assert len(causes) > 10
    assert {cause: Cause(cause).sentence for cause, _ in causes} == dict(causes)
