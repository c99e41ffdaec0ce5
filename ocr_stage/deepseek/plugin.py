"""What vLLM calls in each of its processes before it looks for a model: it makes ours the one for DeepSeek-OCR."""

ARCHITECTURE = "DeepseekOCRForCausalLM"
MODEL = "ocr_stage.deepseek.model:OcrModes"


def register() -> None:
    """The entry point `vllm.general_plugins`. Naming the class imports nothing: most processes need no model."""
    from vllm import ModelRegistry

    ModelRegistry.register_model(ARCHITECTURE, MODEL)
