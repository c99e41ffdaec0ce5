"""Questions whose answer's page is known, made from the documents by a fixed rule that knows nothing of either side.

Sentences: PDFium's plain text of each page, cut at full stops; of those with 8 to 30 words, six of them of substance,
that stand on one page only, a fixed chance picks a few a page. The question is the sentence half remembered: every
third word is missing. Without spaces between words (Chinese): the middle half of the sentence. Keywords: four words of
substance of such a sentence, as people type them into a search box; of Chinese, its first eight characters. Cells:
"What is ROW in COLUMN?" for tables as PyMuPDF's own finder sees them.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

STOP = frozenset(
    "about above after again also although among because been before being between both could does during "
    "each else every from have having here into itself just like many might more most much must only "
    "other over same shall should since some such than that their them then there these they this those "
    "through thus under until upon very were what when where which while will with within without would "
    "your".split()
)
SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])")
WORD = re.compile(r"[^\W\d_]{4,}")
WIDE = re.compile(r"[\u3400-\u9fff]")
A_PAGE = 6
CELLS_A_TABLE = 4


@dataclass(frozen=True, slots=True)
class Item:
    """A question and the pages of one document that answer it."""

    kind: str
    ask: str
    document: str
    pages: frozenset[int]


def sentences(files: Mapping[str, Path]) -> list[Item]:
    return _asked(files, "sentence", half_remembered)


def keywords(files: Mapping[str, Path]) -> list[Item]:
    return _asked(files, "keywords", four_words)


def _asked(files: Mapping[str, Path], kind: str, ask: Callable[[str], str]) -> list[Item]:
    """Questions of one kind, a few a page, each from a sentence that stands on one page only."""
    pages = {(name, page): text for name, path in files.items() for page, text in _texts(path)}
    found = {at: [one for one in map(_clean, SENTENCE.split(text)) if _fits(one)] for at, text in pages.items()}
    seen = Counter(one for on_page in found.values() for one in set(on_page))
    items = []
    for (name, page), on_page in found.items():
        unique = sorted({one for one in on_page if seen[one] == 1})
        chance = random.Random(f"{kind} {name} {page}")
        chosen = chance.sample(unique, min(A_PAGE, len(unique)))
        items += [Item(kind, ask(one), name, frozenset({page})) for one in chosen]
    return items


def half_remembered(sentence: str) -> str:
    if _is_wide(sentence):
        return sentence[len(sentence) // 4 : -(len(sentence) // 4)]
    return " ".join(word for at, word in enumerate(sentence.split()) if at % 3 != 2)


def four_words(sentence: str) -> str:
    if _is_wide(sentence):
        return sentence[:8]
    substance = [word for word in WORD.findall(sentence) if word.lower() not in STOP]
    return " ".join(substance[at * len(substance) // 4] for at in range(4))


def cells(files: Mapping[str, Path]) -> list[Item]:
    """What stands in one cell: its row by the first cell, its column by the head; both named, the cell not empty."""
    items = []
    for name, path in files.items():
        for page, rows in _tables(path):
            head, *body = rows
            places = [
                (row[0], head[column])
                for row in body
                for column in range(1, len(row))
                if _has_name(row[0]) and _has_name(head[column]) and row[column].strip()
            ]
            chance = random.Random(f"{name} {page} {head}")
            for row_name, column in chance.sample(places, min(CELLS_A_TABLE, len(places))):
                items.append(Item("cell", f"What is {row_name} in {column}?", name, frozenset({page})))
    asked = Counter(item.ask for item in items)
    return [item for item in items if asked[item.ask] == 1]


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    import pypdfium2

    document = pypdfium2.PdfDocument(str(path))
    for number in range(len(document)):
        text = document[number].get_textpage()
        yield number + 1, text.get_text_range()


def _tables(path: Path) -> Iterator[tuple[int, list[list[str]]]]:
    import pymupdf

    with pymupdf.open(path) as document:
        for page in document:
            for table in page.find_tables().tables:
                rows = [[_clean(cell or "") for cell in row] for row in table.extract()]
                if len(rows) >= 3 and len(rows[0]) >= 2:
                    yield page.number + 1, rows


def _clean(text: str) -> str:
    return " ".join(text.replace("\ufffe", "").split())


def _fits(sentence: str) -> bool:
    if _is_wide(sentence):
        return 10 <= len(sentence) <= 60
    substance = [word for word in WORD.findall(sentence) if word.lower() not in STOP]
    return 8 <= len(sentence.split()) <= 30 and len(substance) >= 6


def _is_wide(text: str) -> bool:
    return len(WIDE.findall(text)) * 2 > len(text)


def _has_name(cell: str) -> bool:
    return 3 <= len(cell) <= 60 and sum(sign.isalpha() for sign in cell) >= 3
