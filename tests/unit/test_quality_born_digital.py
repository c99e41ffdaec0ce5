"""What the born-digital benchmark takes out before it scores, alike for every system and the truth."""

from pathlib import Path

import pytest

from benchmarks.born_digital import bare, main, scored
from benchmarks.born_digital_readers import PagesRead, body


@pytest.mark.parametrize(
    ("written", "scored_as"),
    [
        ("**bold** and _slant_ in snake_case", "bold and slant in snake_case"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        (r"24\. a\_b &amp; c", "24. a_b & c"),
        ("a<!-- image -->b **==> picture [1 x 2] omitted <==** ![](x.png)c", "a b    c"),
        ("> quoted “so” – it’s", "quoted 'so' - it's"),
        ("Preface . . . . . . . xi", "Preface xi"),
        ("Preface … xi", "Preface xi"),
        ("one<br>two<sup>1</sup>", "one two1"),
        (
            "<table><tr><td colspan='2'>a &lt; b</td></tr></table>",
            "<table><tr><td>a &lt; b</td><td>a &lt; b</td></tr></table>",
        ),
    ],
)
def test_dialects_of_markdown_do_not_count(written: str, scored_as: str) -> None:
    assert bare(written) == scored_as


def test_a_document_is_scored_over_its_pages() -> None:
    truth = "## One\n\ntext\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    perfect = scored(truth, PagesRead(["# **One**\n\ntext", "|a|b|\n|-|-|\n|1|2|"], 0.1))
    assert set(perfect.values()) == {1.0}
    nothing = scored(truth, PagesRead(["", ""], 0.1))
    assert set(nothing.values()) == {0.0}
    assert scored("plain", PagesRead(["plain"], 0.1))["TEDS"] is None


def test_furniture_is_not_body() -> None:
    blocks = [
        {"start": 0, "end": 4, "furniture": False},
        {"start": 6, "end": 6, "furniture": False},
        {"start": 6, "end": 7, "furniture": True},
    ]
    assert body("text\n\n9", blocks) == "text"


def test_without_the_files_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOLIO_TEST_DATA", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["born_digital"])
    assert main() == 2
