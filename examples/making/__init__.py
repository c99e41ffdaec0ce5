"""The example documents, one module each; `make_documents.py` writes them all."""
