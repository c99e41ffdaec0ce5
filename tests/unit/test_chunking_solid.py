"""Texts that are no writing: one endless word, nothing but marks, base64, pages of blanks. Bounded, exact and fast."""

import base64
import random
import time

import pytest

from chunking.chunker import Chunker
from chunking.tokens import LONG_WORD_CHARS_A_TOKEN, of_tokenizer
from folio.records import ChunkSet, Document
from tests.unit.chunking_documents import MINILM, document, letters, minilm, minilm_tokenizer, words

PAGE_CHARS = 20_000
TOKENS_MAX = 256
BODY_CHARS_MAX = 8 * TOKENS_MAX
NOISE = base64.b64encode(random.Random(4).randbytes(90_000)).decode()
SOLID = {
    "one letter": "z" * 120_000,
    "base64": NOISE,
    "hashes": "deadbeef01" * 9000,
    "script": "function(a,b){return[a,b];}var" * 3000,
    "no spaces": "eineswortesnaechste" * 790,
    "backticks": "`" * 120_000,
    "rule": "-" * 60_000,
    "unseen": "\u200b" * 60_000,
    "chinese without a stop": "\u6587\u6863\u6570\u636e" * 5000,
}


def paged(text: str) -> Document:
    return document(*[text[at : at + PAGE_CHARS] for at in range(0, len(text), PAGE_CHARS)])


def sliced(chunks: ChunkSet) -> str:
    """Without white space: a page may end anywhere in a word."""
    return letters("".join(chunk.body for chunk in chunks.chunks))


@pytest.mark.parametrize("name", SOLID)
def test_an_endless_word_becomes_chunks_of_bounded_size_and_nothing_is_lost(name):
    for chunker in (minilm(TOKENS_MAX), words(TOKENS_MAX)):
        chunks = chunker.chunk(paged(SOLID[name]))
        assert sliced(chunks) == SOLID[name]
        assert max(len(chunk.body) for chunk in chunks.chunks) <= BODY_CHARS_MAX
        assert max(chunk.tokens for chunk in chunks.chunks) <= TOKENS_MAX


@pytest.mark.parametrize("name", SOLID)
def test_nothing_embedded_is_longer_than_the_embedder_reads(name):
    for chunk in minilm(TOKENS_MAX).chunk(paged(SOLID[name])).chunks:
        assert len(minilm_tokenizer().encode(chunk.embedded_text).ids) <= chunk.tokens <= TOKENS_MAX


def test_a_chunk_of_an_endless_word_cites_the_page_that_it_stands_on():
    text = NOISE[: 3 * PAGE_CHARS].lower()
    chunks = minilm(TOKENS_MAX).chunk(paged(text)).chunks
    at = 0
    for chunk in chunks:
        assert text[at : at + len(chunk.body)] == chunk.body
        pages = range(at // PAGE_CHARS + 1, (at + len(chunk.body) - 1) // PAGE_CHARS + 2)
        assert chunk.pages == tuple(pages)
        at += len(chunk.body)
    assert at == len(text)


def test_an_endless_word_is_cut_after_a_mark():
    script = "a1;" * 3 + "".join(f"call{number}(x,y);" for number in range(2000))
    bodies = [chunk.body for chunk in minilm(TOKENS_MAX).chunk(document(script)).chunks]
    assert len(bodies) > 20
    assert all(not body[-1].isalnum() for body in bodies)


def test_text_around_an_endless_word_keeps_its_own_chunks():
    text = "The key follows now. " * 40 + NOISE[:9000] + " That was the key."
    bodies = [chunk.body for chunk in minilm(TOKENS_MAX).chunk(document(text)).chunks]
    assert letters("".join(bodies)) == letters(text)
    assert bodies[0].startswith("The key follows now.")
    assert bodies[-1] == "That was the key."


@pytest.mark.parametrize("word", ["z" * 101, "Q" * 5000, "\u200b" * 400])
def test_a_word_that_the_tokenizer_does_not_read_counts_by_its_characters(word):
    counter = of_tokenizer(minilm_tokenizer())
    assert counter.counts([word, f"a {word}"]) == [
        len(word) // LONG_WORD_CHARS_A_TOKEN,
        1 + len(word) // LONG_WORD_CHARS_A_TOKEN,
    ]


@pytest.mark.parametrize(
    "word", ["`" * 500, "a/b+" * 300, "https://example.com/a-page?of=many&words=1;" * 9, "\u6587" * 300]
)
def test_a_long_word_that_the_tokenizer_reads_counts_as_there(word):
    counter = of_tokenizer(minilm_tokenizer())
    assert counter.counts([word]) == [len(minilm_tokenizer().encode(word, add_special_tokens=False).ids)]


def test_a_page_of_blanks_is_no_space_between_words():
    chunks = minilm(TOKENS_MAX).chunk(document(*["a" + " " * 19_000 + "b"] * 5)).chunks
    assert "".join(letters(chunk.body) for chunk in chunks) == "ab" * 5
    assert max(len(chunk.body) for chunk in chunks) < 100


def test_fence_marks_that_fence_nothing_are_text():
    assert sliced(minilm(TOKENS_MAX).chunk(document("`" * 3000))) == "`" * 3000
    fence = "`" * 300
    chunks = minilm(TOKENS_MAX).chunk(document(f"{fence}\nx = 1\n{fence}")).chunks
    assert letters("".join(chunk.body for chunk in chunks)) == f"{fence}x=1{fence}"


def test_a_long_info_string_is_kept_and_a_short_one_repeated():
    lines = "\n".join(["total = total + value"] * 90)
    info = "python title is what this code does and where it stands"
    chunks = words().chunk(document(f"```{info}\n{lines}\n```")).chunks
    assert info in chunks[0].body
    short = words().chunk(document(f"```python\n{lines}\n```")).chunks
    assert len(short) > 2
    assert all(chunk.body.startswith("```python\ntotal") for chunk in short)


@pytest.mark.parametrize("mark", ["| x | {} |", "<table><tr><td>x</td><td>{}</td></tr></table>"])
def test_a_cell_of_any_size_is_cut(mark):
    head = "| a | b |\n|---|---|\n" if mark.startswith("|") else ""
    chunks = minilm(TOKENS_MAX).chunk(document(head + mark.format("z" * 50_000))).chunks
    assert sum(chunk.body.count("z") for chunk in chunks) == 50_000
    assert max(len(chunk.body) for chunk in chunks) <= BODY_CHARS_MAX


def seconds(text: str) -> float:
    chunker = Chunker(MINILM, tokens_max=TOKENS_MAX, context_tokens_max=48, model="minilm")
    given = paged(text)
    start = time.process_time()
    chunker.chunk(given)
    return time.process_time() - start


@pytest.mark.parametrize("letter", ["z", "`", "z/", "word "])
def test_four_times_as_much_takes_about_four_times_as_long(letter):
    short, long = seconds(letter * (1_000_000 // len(letter))), seconds(letter * (4_000_000 // len(letter)))
    assert long < 10 * max(short, 0.1), "sixteen times would be quadratic"


def test_a_table_over_hundreds_of_pages_is_put_together_once():
    page = "| a | b |\n|---|---|\n" + "| abc def | 12.5 |\n" * 100
    chunker = Chunker("words", tokens_max=TOKENS_MAX, context_tokens_max=48, model="hash")
    took = []
    for pages in (100, 400):
        given = document(*[page] * pages)
        start = time.process_time()
        chunks = chunker.chunk(given).chunks
        took.append(time.process_time() - start)
        assert sum(chunk.body.count("abc def") for chunk in chunks) == 100 * pages
    assert took[1] < 10 * max(took[0], 0.1)
