"""Embedders: deterministic, refusing instead of cutting, and known before anything heavy is loaded."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folio.errors import Cause, SettingsError, Transient
from indexer.embedding import HashEmbedder, ModelEmbedder, Unembeddable, open_embedder, token_batches, verified
from indexer.generations import collection_name, generation_name
from indexer.model_folder import ModelFolder

NAMES = ["Pressure", "The seal", "Torque", "Leakage", "A very long name for the noise"]


def cosine(one: np.ndarray, two: np.ndarray) -> float:
    return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))


async def test_hashed_texts_that_share_words_are_near():
    near, far = await HashEmbedder().documents(["the annual heating costs", "penguins swim south"])
    asked = await HashEmbedder().query("annual costs of heating")
    assert cosine(asked, near) > 0.5 > cosine(asked, far)


@given(st.text())
def test_every_text_has_a_unit_vector_and_always_the_same(text: str):
    one, again = HashEmbedder()._embed(text), HashEmbedder()._embed(text)
    assert np.linalg.norm(one) == pytest.approx(1)
    assert (one == again).all()


async def test_no_texts_are_no_rows():
    assert (await HashEmbedder().documents([])).shape == (0, 64)


@given(st.lists(st.integers(1, 300), max_size=80), st.integers(1, 2048))
def test_batches_hold_every_text_once_under_the_budget(lengths: list[int], tokens_max: int):
    batches = list(token_batches(lengths, tokens_max))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = max(lengths[index] for index in batch) * len(batch)
        assert padded <= tokens_max or len(batch) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0])
def test_a_vector_that_is_no_direction_is_refused_by_its_index(bad: float):
    rows = np.ones((3, 4), np.float32)
    rows[1] = bad
    with pytest.raises(Unembeddable) as refused:
        verified(rows, count=3, dimension=4)
    assert (refused.value.index, refused.value.cause) == (1, Cause.EMBEDDING_INVALID)


@pytest.mark.parametrize(("count", "dimension"), [(2, 4), (3, 5)])
def test_a_wrong_shape_is_refused(count: int, dimension: int):
    with pytest.raises(Unembeddable, match="were due"):
        verified(np.ones((3, 4), np.float32), count=count, dimension=dimension)


def test_the_model_in_the_wheel_is_known_without_loading_torch():
    asks = (
        "import sys; from indexer.embedding import open_embedder;"
        "e = open_embedder('minilm', threads=0, batch_tokens=9);"
        "print(e.dimension, e.tokens_max, e.tokenizer, 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True).stdout.split()
    assert said[:2] == ["384", "256"]
    assert Path(said[2]).name == "tokenizer.json"
    assert said[3:] == ["False", "False"]


def test_a_name_that_is_no_model_is_refused_in_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SettingsError, match="nobody/nothing: neither a folder here nor a model"):
        open_embedder("nobody/nothing", threads=1, batch_tokens=100)


def folder(path: Path, **files: object) -> Path:
    (path / "2_Dense").mkdir(parents=True)
    for name, content in files.items():
        place = path / "2_Dense" / "config.json" if name == "dense" else path / f"{name}.json"
        place.write_text(json.dumps(content))
    return path


def test_a_folder_of_another_shape_is_read_as_its_library_would(tmp_path: Path):
    path = folder(
        tmp_path / "model",
        tokenizer={},
        config={"hidden_size": 1024, "max_position_embeddings": 8194},
        tokenizer_config={"model_max_length": 1e30},
        modules=[{"path": ""}, {"path": "2_Dense"}],
        dense={"in_features": 1024, "out_features": 512},
    )
    known = ModelFolder.of(str(path))
    assert (known.dimension, known.tokens_max, known.local) == (512, 8194, True)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"config": {"hidden_size": 8, "max_position_embeddings": 8}}, "no tokenizer.json"),
        ({"tokenizer": {}, "config": {"max_position_embeddings": 8}}, "how long its vectors are"),
        ({"tokenizer": {}, "config": {"hidden_size": 8}}, "how many tokens it reads"),
    ],
)
def test_a_folder_that_lacks_what_is_needed_is_refused(tmp_path: Path, files: dict[str, object], complaint: str):
    with pytest.raises(SettingsError, match=complaint):
        ModelFolder.of(str(folder(tmp_path / "model", **files)))


def test_a_generation_differs_with_chunker_and_embedder():
    embedders = ("minilm", "hash", "BAAI/bge-m3", "/models/bge-m3")
    names = {generation_name(chunker, embedder, "t1") for chunker in ("v1", "v2") for embedder in embedders}
    assert len(names) == 8
    assert all(len(collection_name(name)) < 64 and "/" not in name for name in names)
    assert (
        generation_name("v1", "minilm", "t1")
        == generation_name("v1", "minilm", "t1")
        != generation_name("v1", "minilm", "t2")
    )
    assert generation_name("v1", "模型", "t1").startswith("model-")


async def test_the_real_model_embeds_refuses_and_says_so_when_its_process_was_killed():
    embedder = open_embedder("minilm", threads=1, batch_tokens=512)
    assert isinstance(embedder, ModelEmbedder)
    try:
        texts = ["The heating costs rose.", "Penguins swim.", "word " * 200, ""]
        rows = await embedder.documents(texts)
        assert rows.shape == (4, 384)
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
        asked = await embedder.query("What did heating cost?")
        assert cosine(asked, rows[0]) > 0.5 > cosine(asked, rows[1])
        assert np.allclose((await embedder.documents(texts[1:2]))[0], rows[1], atol=1e-5)
        with pytest.raises(Unembeddable, match="302 tokens, but minilm reads only 256") as refused:
            await embedder.documents(["fine", "word " * 300])
        assert refused.value.index == 1
        with pytest.raises(Unembeddable):
            await embedder.query("word " * 300)
        given_up = asyncio.create_task(embedder.query("nobody waits for this"))
        await asyncio.sleep(0)
        given_up.cancel()
        pid = embedder.pid
        assert (await embedder.query("still there")).shape == (384,)
        assert embedder.pid == pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        asked = asyncio.create_task(embedder.documents(["x"]))
        await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(Transient) as down:
            await asked
        assert down.value.cause is Cause.EMBEDDER_DOWN
    finally:
        await embedder.close()


async def test_cores_work_side_by_side_for_many_documents_and_mix_up_nothing():
    embedder = open_embedder("minilm", threads=3, batch_tokens=40)
    try:
        texts = [f"{name} of pump {number}. " * (1 + number % 4) for number, name in enumerate(NAMES * 3)]
        documents = [texts[:7], texts[7:8], [], texts[8:]]
        rows = np.concatenate(await asyncio.gather(*(embedder.documents(some) for some in documents)))
        for text, row in zip(texts, rows, strict=True):
            (alone,) = await embedder.documents([text])
            assert np.allclose(row, alone, atol=1e-5)
    finally:
        await embedder.close()
