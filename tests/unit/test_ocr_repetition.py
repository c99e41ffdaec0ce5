"""Loops are caught soon; what only looks like one is not: tables, leaders, rows of figures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_stage.repetition import Loop, Repetition, loop_in

PAGE = """# Quarterly report

The revenue of the group rose by 12 % to 4.3 million, and the margin stayed where it was in the year before.

1. Introduction ............................................................ 3
2. Results ................................................................. 14
3. Outlook ................................................................. 27

| Region | Q1 | Q2 | Q3 | Q4 |
|--------|----|----|----|----|
"""
WORDS = [f"w{chr(97 + at % 26)}{chr(97 + at // 26)}" for at in range(260)]

REAL = {
    "equal rows": PAGE + "| North | 0 | 0 | 0 | 0 |\n" * 11,
    "equal cells": PAGE + "<tr>" + "<td>No</td>" * 20 + "</tr>",
    "empty cells": PAGE + "<table>" + ("<tr>" + "<td></td>" * 8 + "</tr>") * 40 + "</table>",
    "rows that differ in a number": PAGE + "".join(f"| North | {year} | {7 * year} |\n" for year in range(1950, 2024)),
    "leaders": PAGE + "".join(f"Chapter {'I' * at} {'.' * 80} {at}\n" for at in range(1, 9)),
    "rules": PAGE + ("-" * 100 + "\n") * 5 + ("_" * 60 + "\n") * 6,
    "digits": PAGE + "0 1 0 1 0 1 0 1\n" * 60,
    "a matrix": PAGE + "\\begin{array}{ccc} " + "0 & 0 & 0 \\\\ " * 30 + "\\end{array}",
    "a chorus": PAGE + "Row, row, row your boat\nGently down the stream\n" * 3,
    "a row of answers": PAGE + '"Can you?", "**True**", "**True**", "**True**", "**True**", "**True**", "False"\n',
    "a stammer": PAGE + "No no no no no, he said.",
    "lines of a form": PAGE + "".join(f"Name of the witness no. {at}: ______\n" for at in range(1, 21)),
    "numbered items": "".join(f"{at}. Open the lid and look at {word}.\n" for at, word in enumerate(WORDS[:40])),
    "marks of pictures": PAGE + "<!-- image -->\n\n" * 30,
}


@pytest.mark.parametrize("name", REAL)
def test_what_pages_hold_is_no_loop(name: str) -> None:
    assert loop_in(REAL[name]) is None


@pytest.mark.parametrize("period", [1, 2, 3, 5, 7, 8, 20, 64, 65, 120, 200])
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_loop_of_words_is_caught_within_two_periods_after_its_third_repeat(period: int, chunk: int) -> None:
    words = " ".join(WORDS[:period]) + " "
    text = PAGE + words * 40
    due = len(PAGE) + 6 * len(words) + chunk + 4
    loop = heard(text, chunk, due)
    assert loop is not None
    assert loop.period == period
    assert loop.start == len(PAGE) + len(words)
    assert text[: loop.start] == PAGE + words


def heard(text: str, chunk: int, due: int) -> Loop | None:
    repetition = Repetition()
    for at in range(0, due, chunk):
        found = repetition.add(text[at : at + chunk])
        if found:
            return found
    return None


@given(st.lists(st.integers(1, 90), max_size=60))
def test_pieces_of_any_size_say_the_same_as_the_whole(sizes: list[int]) -> None:
    text = PAGE + "<td>a</td> <!-- x --> &quot;a & b;&amp; \\frac < b " * 3 + "going round and round in circles " * 9
    repetition, at = Repetition(), 0
    for size in sizes:
        repetition.add(text[at : at + size])
        at += size
    assert repetition.add(text[at:], last=True) == loop_in(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows of a table", "| North Sea | 12 | 14 | 15 | 16 |\n" * 60),
        ("cells", "<tr><td>Total</td><td>5</td></tr>" * 60),
        ("dots", ". " * 2000),
        ("digits", "0" * 9000),
        ("lines", "\n" * 2000),
        ("empty cells", "<tr><td></td></tr>" * 500),
        ("a number that counts on", "".join(f"The Figure {at} shows the result.\n" for at in range(220))),
        ("Han", "他说了这句话。" * 8),
        ("one long word", "hahaha" * 300),
    ],
)
def test_other_loops_are_caught_later(name: str, text: str) -> None:
    assert loop_in(PAGE + text) is not None


def test_a_hostile_text_takes_linear_time() -> None:
    for text in ("a b " * 100, "<" * 100_000, "<td" * 30_000, "ab" * 50_000, "&" * 100_000, " " * 100_000):
        loop_in(PAGE + text)
