"""pymupdf4llm's Markdown of PDFs, page by page, with the CPU-seconds it took: run by benchmarks.born_digital.

It has a process of its own, because ingest.mupdf forbids the import of pymupdf4llm in ours.
"""

import json
import os
import sys
import time

import pymupdf
import pymupdf4llm


def main() -> None:
    """Arguments: options as JSON, then files. One line of JSON for each file on standard output."""
    options, *paths = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # it prints notices
    warm()
    for path in paths:
        began = time.process_time()
        try:
            chunks = pymupdf4llm.to_markdown(path, page_chunks=True, show_progress=False, **json.loads(options))
            pages, error = [chunk["text"] for chunk in chunks], ""
        except Exception as failure:
            pages, error = [], f"{type(failure).__name__}: {failure}"
        seconds = time.process_time() - began
        print(json.dumps({"path": path, "pages": pages, "seconds": seconds, "error": error}), file=out, flush=True)


def warm() -> None:
    """Its models load at the first page: not part of any file's time."""
    with pymupdf.open() as made:
        made.new_page().insert_text((72, 72), "Some words to begin with.")
        pymupdf4llm.to_markdown(made, use_ocr=False, show_progress=False)


if __name__ == "__main__":
    main()
