"""Make the documents in examples/documents: seven of them, from text in this folder, the same bytes on every run.

    python examples/make_documents.py [--to FOLDER] [--chinese-font FILE]

Needs reportlab, Pillow and numpy, the DejaVu fonts, and one Chinese TrueType font (Debian: fonts-dejavu,
fonts-wqy-microhei). The documents lie in the repository; run this only to change them.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from making import formulas, invoice, letter, manual_zh, paper, report, slides


def main() -> None:
    ask = argparse.ArgumentParser(description="Make the example documents.")
    ask.add_argument("--to", type=Path, default=Path(__file__).parent / "documents")
    ask.add_argument("--chinese-font", type=Path, help="a TrueType font with Chinese letters, embedded as a subset")
    asked = ask.parse_args()
    makers: dict[str, Callable[[Path], None]] = {
        "annual-report.pdf": report.make,
        "scanned-letter.pdf": letter.make,
        "two-column-paper.pdf": paper.make,
        "slides.pdf": slides.make,
        "invoice-photo.jpg": invoice.make,
        "formulas.pdf": formulas.make,
        "product-manual-zh.pdf": partial(manual_zh.make, font_file=asked.chinese_font),
    }
    asked.to.mkdir(parents=True, exist_ok=True)
    for name, make in makers.items():
        make(asked.to / name)
        print(f"{name:24} {(asked.to / name).stat().st_size // 1024:5} KiB")


if __name__ == "__main__":
    main()
