"""Which lines of a passage are shown: those that answer, and of a table its header too."""

from console.passages import ELLIPSIS, TEXT_LINES_MAX, passage, telling, words

ROWS = ["Sale of pumps", "Spare parts", "Service", "Net revenue", "Cost", "Personnel", "Net finance cost", "Profit"]
TABLE = [
    "| EUR thousand | 2025 | 2024 |",
    "|-|-|-|",
    *(f"| {row} | {number},100 | {number},000 |" for number, row in enumerate(ROWS * 2)),
]
TEXT = "\n".join(["Revenue grew in all three lines of the business.", "", "It grew in 2025 and in 2024.", "", *TABLE])


def test_the_row_that_answers_is_shown_under_the_header_of_its_table() -> None:
    shown = passage(TEXT.replace("Net revenue", "Turnover", 1), "What was the net revenue in 2025?")
    assert "| Net revenue | 11,100 | 11,000 |" in shown, "the row, not the paragraph with as many words"
    assert shown[shown.index(TABLE[0]) + 1] == TABLE[1]
    assert shown.index(TABLE[0]) < shown.index("| Net revenue | 11,100 | 11,000 |")
    assert shown.count(TABLE[0]) == 1
    assert shown[0] == ELLIPSIS
    assert len(shown) <= TEXT_LINES_MAX + 3


def test_what_fits_is_shown_whole_and_order_is_kept() -> None:
    assert passage("one\n\ntwo", "two") == ["one", "two"]
    shown = [line for line in passage(TEXT, "personnel") if line != ELLIPSIS]
    places = [TEXT.splitlines().index(line) for line in shown]
    assert places == sorted(places)


def test_a_single_line_is_never_replaced_by_dots() -> None:
    text = "\n".join(f"line {number} of many" for number in range(TEXT_LINES_MAX + 1))
    assert passage(text, "line 8") == text.splitlines()


def test_a_question_without_a_shared_word_shows_the_beginning() -> None:
    assert passage(TEXT, "zebra")[0] == "Revenue grew in all three lines of the business."


def test_the_sentence_after_the_best_line_is_in_sight() -> None:
    prose = [f"Sentence {number} tells of nothing much." for number in range(30)]
    prose[17] = "Permit BM-4471 allows work at night until 14"
    prose[18] = "March 2026."
    shown = passage("\n".join(prose), "Until when does permit BM-4471 allow work at night?")
    assert prose[17] in shown
    assert prose[18] in shown


def test_words_are_compared_without_case_and_plural_and_ideographs_one_by_one() -> None:
    assert words("Seals of the KX-260") == {"seal", "of", "the", "kx", "260"}
    assert words("保修期 geprüft") == {"保", "修", "期", "geprüft"}
    assert telling(words("What was the net revenue?")) == {"net", "revenue"}


def test_a_hostile_line_costs_no_time() -> None:
    rule = "|" + "-" * 50_000 + "x"
    assert passage(f"| a |\n{rule}\n" + "\n".join("| b |" for _ in range(2000)), "b")
