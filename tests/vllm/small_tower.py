"""A plugin for vLLM that makes the vision tower small and draws all weights at a scale at which pictures matter."""

from functools import partial
from typing import Any


def register() -> None:
    from transformers import CLIPVisionConfig
    from vllm.model_executor.model_loader.dummy_loader import DummyModelLoader
    from vllm.model_executor.models import deepseek_ocr

    deepseek_ocr.build_sam_vit_b = small_sam
    deepseek_ocr.CLIPVisionConfig = lambda **kwargs: CLIPVisionConfig(**{**kwargs, **SMALL})
    DummyModelLoader.load_weights = draw_weights


SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2, "num_hidden_layers": 2}


def small_sam() -> Any:
    import torch
    from vllm.model_executor.models.deepencoder import ImageEncoderViT

    return ImageEncoderViT(
        depth=2,
        embed_dim=32,
        img_size=1024,
        mlp_ratio=2,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=2,
        patch_size=16,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=(1,),
        window_size=14,
        out_chans=256,
        last_conv_output=64,
    )


def draw_weights(self: Any, model: Any, model_config: Any) -> None:
    """The same numbers in every process that loads it."""
    import torch

    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if weight.dim() < 2:
                weight.fill_(0.0 if "bias" in name else 1.0)
                continue
            inputs = weight[0].numel() if "embed" not in name else 1
            weight.copy_(torch.randn(weight.shape, generator=draw) * (1.5 / inputs**0.5))
