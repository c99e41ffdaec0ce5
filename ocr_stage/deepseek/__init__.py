"""The DeepSeek-OCR engine on vLLM; nothing is here yet, its port is `ocr_stage.engine.Engine`."""
