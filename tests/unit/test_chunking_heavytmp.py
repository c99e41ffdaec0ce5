"""What holds for every document: no text lost, nothing longer than the embedder reads, the same again each time."""

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from chunking.chunker import Chunker
from chunking.tokens import ByWord, Whole, of_tokenizer
from tests.unit.chunking_documents import bodies, document, is_within, letters, minilm, minilm_tokenizer, words

WORDS = st.text(st.sampled_from("abcdefgABC0123456789.,;:%$\u00e9\u00df"), min_size=1, max_size=12).filter(
    lambda word: word.strip(".,;:")
)
CHINESE = st.text(
    st.sampled_from("\u6587\u6863\u7b2c\u4e00\u9875\u3002\uff0c\uff1b\u6570\u636e"), min_size=1, max_size=90
)
LINE = st.one_of(st.lists(WORDS, min_size=1, max_size=24).map(" ".join), CHINESE)
CELL = st.lists(WORDS, max_size=4).map(" ".join)
paragraph = st.lists(LINE, min_size=1, max_size=3).map("\n".join)
heading = st.tuples(st.integers(1, 4), st.lists(WORDS, min_size=1, max_size=12).map(" ".join)).map(
    lambda it: "#" * it[0] + " " + it[1]
)
code = st.lists(LINE, min_size=1, max_size=12).map(lambda lines: "\n".join(["```", *lines, "```"]))
unclosed = st.lists(LINE, min_size=1, max_size=4).map(lambda lines: "\n".join(["```", *lines]))
formula = st.lists(LINE, min_size=1, max_size=5).map(lambda lines: "\n".join(["$$", *lines, "$$"]))
bullets = st.lists(LINE, min_size=1, max_size=8).map(lambda lines: "\n".join("- " + line for line in lines))
nested = st.lists(LINE, min_size=1, max_size=8).map(
    lambda lines: "- top\n" + "\n".join("  - " + line for line in lines)
)
quote = paragraph.map(lambda text: "\n".join("> " + line for line in text.split("\n")))


def grid(cell):
    return st.integers(1, 5).flatmap(
        lambda columns: st.lists(st.lists(cell, min_size=columns, max_size=columns), min_size=1, max_size=12)
    )


def pipes(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def tags(rows):
    return (
        "<table>" + "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows) + "</table>"
    )


BLOCK = st.one_of(
    paragraph, heading, code, unclosed, formula, bullets, nested, quote, grid(CELL).map(pipes), grid(CELL).map(tags)
)
PAGE = st.lists(BLOCK, max_size=5).map(lambda blocks: "\n\n".join([*blocks, "Finis."]))  # so that no page goes on
ANYTHING = st.text(st.sampled_from("ab1 #-`~$|<>/\\[]\n\n\t*_.=+\u6587\u3002\x0b\x85\u0301\xad"), max_size=160)
MARKS = re.compile(r"</?t(?:able|r|d)>|^[ \t]*`{3,}.*$|^[ \t]*~{3,}.*$|^#{1,6}(?=\s)|[-#|=]|\\", re.MULTILINE)
CHUNKERS = (minilm(256), minilm(64), words(48))


@given(st.lists(PAGE, min_size=1, max_size=3), st.sampled_from(CHUNKERS))
@settings(max_examples=15000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_text_is_lost_and_its_order_is_kept(pages, chunker):
    chunks = chunker.chunk(document(*pages))
    text = letters(MARKS.sub("", "\n".join(pages)))
    assert is_within(text, letters("".join(bodies(chunks))))


@given(ANYTHING)
@settings(max_examples=1500, deadline=None)
def test_no_letter_is_lost_whatever_the_marks(markdown):
    chunks = words(32, 4).chunk(document(markdown))
    kept = "".join(bodies(chunks))
    plain = re.sub(r"<[^<>]*>|^[ \t>*+-]*(`{3,}|~{3,}).*$", "", markdown, flags=re.MULTILINE)
    assert is_within(re.sub(r"[^ab1\u6587\u3002]", "", plain), kept)


@given(st.lists(st.one_of(PAGE, ANYTHING), min_size=1, max_size=3), st.sampled_from([256, 100, 40]))
@settings(max_examples=15000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_embedded_is_longer_than_the_embedder_reads(pages, tokens_max):
    for chunk in minilm(tokens_max).chunk(document(*pages)).chunks:
        counted = len(minilm_tokenizer().encode(chunk.embedded_text).ids)
        assert chunk.tokens == counted <= tokens_max


def byte_level_tokenizer() -> Tokenizer:
    """A tokenizer of the other kind: white space belongs to its tokens, so parts do not add up."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(["the quick brown fox | a | b |\n\n- one\n- two 123.45"] * 5, trainer)
    return tokenizer


def test_a_tokenizer_whose_parts_do_not_add_up_is_obeyed_too(tmp_path):
    path = tmp_path / "tokenizer.json"
    byte_level_tokenizer().save(str(path))
    tokenizer = Tokenizer.from_file(str(path))
    chunker = Chunker(str(path), tokens_max=60, context_tokens_max=10, model="bpe")

    @given(PAGE)
    @settings(max_examples=15000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def obeyed(markdown):
        for chunk in chunker.chunk(document(markdown)).chunks:
            assert chunk.tokens == len(tokenizer.encode(chunk.embedded_text).ids) <= 60

    obeyed()


def test_only_a_tokenizer_that_splits_at_white_space_is_counted_word_by_word():
    assert isinstance(of_tokenizer(minilm_tokenizer()), ByWord)
    assert type(of_tokenizer(byte_level_tokenizer())) is Whole


@given(st.text(max_size=200))
@settings(max_examples=1500, deadline=None)
def test_counting_word_by_word_equals_counting_the_whole(text):
    counter = of_tokenizer(minilm_tokenizer())
    assert counter.counts([text]) == [len(minilm_tokenizer().encode(text, add_special_tokens=False).ids)]


@given(st.lists(PAGE, min_size=1, max_size=2))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_same_document_gives_the_same_chunks_with_one_id_each(pages):
    first = minilm(64).chunk(document(*pages))
    assert first == minilm(64).chunk(document(*pages))
    assert len({chunk.chunk_id for chunk in first.chunks}) == len(first.chunks)
    assert [chunk.order for chunk in first.chunks] == list(range(len(first.chunks)))
