"""Words: what is cut how, in which scripts, and how a passage's words are weighed."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer import sparse


def cut(text: str) -> list[str]:
    return list(sparse.terms(text))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Net Revenue 2025", ["net", "revenue", "2025"]),
        ("INV-2024-001", ["inv-2024-001", "inv", "2024", "001"]),
        ("part no. a1_b2", ["part", "no", "a1_b2", "a1", "b2"]),
        ("state-of-the-art", ["state", "of", "the", "art"]),
        ("5,120.75 and 5120.75", ["5120.75", "5120", "75", "and"]),
        ("Straße", ["strasse"]),
        ("２０２４", ["2024"]),
        ("soft\u00adhyphen", ["softhyphen"]),
        ("保修期多久", ["保修", "修期", "期多", "多久"]),
        ("税", ["税"]),
        ("2024年报告", ["2024", "年报", "报告"]),
        ("データを読む", ["デー", "ータ", "タを", "を読", "読む"]),
        ("한국어", ["한국", "국어"]),
        ("हिन्दी", ["हिन्दी"]),
        ("naïve café", ["naïve", "café"]),
        ("?! — …", []),
    ],
)
def test_a_text_is_cut_into_these_terms(text: str, terms: list[str]) -> None:
    assert cut(text) == terms


def test_an_id_is_found_whole_and_by_its_parts_whatever_stands_around_it() -> None:
    text = set(cut("See invoice INV-2024-001, page 3."))
    assert set(cut("inv-2024-001")) <= text
    assert set(cut("2024")) <= text
    assert "inv-2024-002" not in text


def test_a_vector_is_the_same_in_every_process_and_for_every_spelling_of_a_letter() -> None:
    assert sparse.query_vector("invoice") == ([2846348124], [1.0])
    assert sparse.document_vector("e\u0301tude") == sparse.document_vector("\u00e9tude")


def test_more_of_a_word_weighs_more_and_a_longer_text_less() -> None:
    def weight(text: str) -> float:
        return dict(zip(*sparse.document_vector(text), strict=True))[sparse.terms("pump")["pump"]]

    assert weight("pump pump") > weight("pump seal")
    assert weight("pump " + "seal " * 200) < weight("pump seal")
    assert weight("pump " * 10_000) < sparse.K1 + 1


def test_shared_terms_are_those_of_the_question_in_its_order() -> None:
    assert sparse.shared_terms("Pump of seal 保修期", "the 保修 of a seal, a PUMP") == ("pump", "of", "seal", "保修")


def test_a_question_of_thousands_of_words_is_bounded() -> None:
    assert len(sparse.query_vector(" ".join(map(str, range(4000))))[0]) == sparse.QUERY_TERMS_MAX


@given(st.text())
def test_any_text_has_a_sound_vector_that_its_own_words_find(text: str) -> None:
    indices, weights = sparse.document_vector(text)
    assert len(set(indices)) == len(indices) == len(weights)
    assert all(0 <= index < 1 << 32 for index in indices)
    assert all(0 < weight < sparse.K1 + 1 for weight in weights)
    assert set(sparse.query_vector(text)[0]) <= set(indices)


@pytest.mark.parametrize("hostile", ["a-" * 100_000, "1-" * 100_000, "文" * 200_000, "-" * 200_000, "x" * 300_000])
def test_hostile_texts_are_cut_in_time(hostile: str) -> None:
    began = time.process_time()
    sparse.document_vector(hostile)
    assert time.process_time() - began < 2
