"""A document becomes chunks: a pure function of its Markdown and the embedder's tokenizer."""
