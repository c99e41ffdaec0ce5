"""A DeepSeek-OCR checkpoint of a few megabytes, made on the spot: the real processor, real tokens, two small layers."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

VOCABULARY = 1024
BEGIN, END, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
SPECIAL = "<image> <|ref|> <|/ref|> <|det|> <|/det|> <|grounding|> <td> </td> <tr> </tr> <|User|> <|Assistant|>".split()
SPECIAL_FROM = 512
WIDTH = 128

LANGUAGE = {
    "architectures": ["DeepseekV2ForCausalLM"],
    "bos_token_id": 0,
    "eos_token_id": 1,
    "first_k_dense_replace": 1,
    "hidden_size": WIDTH,
    "intermediate_size": 256,
    "kv_lora_rank": None,
    "max_position_embeddings": 8192,
    "moe_intermediate_size": 64,
    "n_group": 1,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_attention_heads": 4,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 4,
    "q_lora_rank": None,
    "qk_nope_head_dim": 0,
    "qk_rope_head_dim": 0,
    "topk_group": 1,
    "topk_method": "greedy",
    "torch_dtype": "float32",
    "use_mla": False,
    "v_head_dim": 0,
    "vocab_size": VOCABULARY,
}
CONFIG = {
    "architectures": ["DeepseekOCRForCausalLM"],
    "model_type": "deepseek_vl_v2",
    "candidate_resolutions": [[1024, 1024]],
    "global_view_pos": "head",
    "tile_tag": "2D",
    "torch_dtype": "float32",
    "language_config": LANGUAGE,
    "projector_config": {
        "input_dim": 128,
        "model_type": "mlp_projector",
        "n_embed": WIDTH,
        "projector_type": "linear",
    },
    "vision_config": {"image_size": 1024, "mlp_ratio": 3.7362, "model_name": "deeplip_b_l", "model_type": "vision"},
}
PROCESSOR = {
    "processor_class": "DeepseekVLV2Processor",
    "patch_size": 16,
    "downsample_ratio": 4,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "normalize": True,
    "image_token": "<image>",
    "pad_token": PAD,
    "add_special_token": False,
    "sft_format": "deepseek",
    "mask_prompt": False,
    "ignore_id": -100,
}
TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": BEGIN,
    "eos_token": END,
    "pad_token": PAD,
    "model_max_length": 8192,
    "add_bos_token": True,
}


def write(folder: Path) -> Path:
    """All files but weights: they are drawn when it is loaded (`small_tower`)."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"config": CONFIG, "processor_config": PROCESSOR, "tokenizer_config": TOKENIZER}
    for name, content in {**files, "generation_config": {"bos_token_id": 0, "eos_token_id": 1}}.items():
        (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    _tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def _tokenizer() -> Tokenizer:
    """Bytes, two hundred words that never come of themselves, and the model's special tokens."""
    vocabulary = {BEGIN: 0, END: 1, PAD: 2}
    for symbol in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary[symbol] = len(vocabulary)
    special = {SPECIAL_FROM + index: token for index, token in enumerate(SPECIAL)}
    for number in range(len(vocabulary), VOCABULARY):
        vocabulary[special.get(number, f"w{number}")] = number
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokens = [BEGIN, END, PAD, *SPECIAL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens])
    return tokenizer
