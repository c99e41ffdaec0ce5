"""Broken model output without end: `python -m benchmarks.tidy_fuzz --minutes 10 --seed 1`, what does tidy get wrong?

Pages in the model's grammar are cut, doubled, shuffled and spliced with its own tags, then tidied in any geometry.
Wrong is: an exception, a special token in the text, a block out of order or beyond the text, a box beyond the page,
a word that is gone from a page whose tags are whole, and an answer that takes longer than its length allows.
"""

import argparse
import collections
import itertools
import math
import random
import re
import sys
import time
import traceback
from collections.abc import Iterator

from folio.records import BlockKind
from ocr_stage.grammar import TAG
from ocr_stage.modes import Mode, view
from ocr_stage.prompts import PRESETS
from ocr_stage.tidy import KINDS, tidied
from ocr_stage.tidy_blocks import Rules
from ocr_stage.transform import Transform

TAGS = [
    "<|ref|>",
    "<|/ref|>",
    "<|det|>",
    "<|/det|>",
    "<|grounding|>",
    "<image>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "<|User|>",
]
SCRAPS = [
    *TAGS, "<|", "|>", "<", ">", "[[", "]]", "[", "]", ",", "999", "-5", "1e9", "nan", "\n", "\n\n", " ", "\t", "\r\n",
    "\\(", "\\)", "\\[", "\\]", "\\\\", "$", "$$", "<table>", "</table>", "<tr>", "</tr>", "<td>", "</td>", "<th",
    '<td rowspan="2">', '<td colspan="99999999">', "<center>", "</center>", "```", "~~~", "# ", "- ", "* ", "• ", "1. ",
    "2) ", "|", "---", "\x00", "\ud800", "\u202e", "\ud7ff", "é", "ß", "漢", "\\coloneqq", "\\quad (1)", "![](x)",
    "<!--", "&lt;",
]  # fmt: skip
WORD = re.compile(r"w\d+x")
SECONDS_A_CHARACTER = 20e-6
SECONDS_FREE = 1.0
"""A machine that does something else for a while is no finding."""


def words(chance: random.Random, counter: Iterator[int], most: int = 12) -> str:
    return " ".join(f"w{next(counter)}x" for _ in range(chance.randint(1, most)))


def body(chance: random.Random, label: str, counter: Iterator[int]) -> str:
    if label == "table":
        rows = ("".join(f"<td>{words(chance, counter, 2)}</td>" for _ in range(3)) for _ in range(chance.randint(1, 5)))
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
    if label == "equation":
        return f"\\[ {words(chance, counter)} \\]"
    if label in {"image", "figure"}:
        return ""
    joint = chance.choice([" ", "\n", "\n\n", ". ", "- ", "\n- ", " \\(x\\) ", "\n1. "])
    return joint.join(words(chance, counter) for _ in range(chance.randint(1, 4)))


def page(chance: random.Random) -> str:
    counter = itertools.count()
    parts = [words(chance, counter)] if chance.random() < 0.2 else []
    for _ in range(chance.randint(1, 12)):
        label = chance.choice([*KINDS, "gizmo"])
        box = ", ".join(str(chance.randint(-20, 1100)) for _ in range(4))
        parts.append(f"<|ref|>{label}<|/ref|><|det|>[[{box}]]<|/det|>\n{body(chance, label, counter)}  \n")
    return "\n".join(parts)


def broken(chance: random.Random, text: str) -> str:
    for _ in range(chance.randint(1, 12)):
        text = hurt(chance, text)
    return text[:60_000]


def hurt(chance: random.Random, text: str) -> str:
    at, to = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
    near = min(to, at + chance.randint(0, 40))
    scrap = chance.choice(SCRAPS)
    how = chance.choice(["cut", "put", "swap", "stutter", "turn", "end", "lose", "mistake"])
    if how == "stutter":
        return text[:near] + text[at:near] * chance.randint(1, 30) + text[near:]
    if how == "turn":
        return text[at:] + text[:at]
    if how in {"lose", "mistake"}:
        return text.replace(chance.choice(TAGS), scrap if how == "mistake" else "", chance.randint(1, 5))
    first, last = {"cut": (at, near), "put": (at, at), "swap": (at, near), "end": (to, len(text))}[how]
    return text[:first] + (scrap if how in {"put", "swap"} else "") + text[last:]


def soup(chance: random.Random) -> str:
    return "".join(chance.choices(SCRAPS, k=chance.randint(1, 400)))


def geometry(chance: random.Random) -> Transform:
    width, height = chance.randint(1, 4000), chance.randint(1, 4000)
    transform = Transform.whole(width, height).turned(chance.randint(0, 3))
    if chance.random() < 0.5:
        transform = transform.levelled(math.radians(chance.uniform(-15, 15)))
    if chance.random() < 0.3:
        tilt = chance.uniform(-2e-3, 2e-3)
        transform = transform.warped([[1, 0, 0], [0, 1, 0], [tilt, tilt, 1]], *transform.seen)
    if chance.random() < 0.3:
        across, down = transform.seen
        transform = transform.cropped((0, down / 2, across, down))
    if chance.random() < 0.5:
        sizes = [max(1, round(side)) for side in transform.seen]
        transform = transform.then(view(chance.choice(list(Mode)), *sizes).whole())
    return transform


def faults(text: str, chance: random.Random, *, is_whole: bool) -> Iterator[str]:
    prompt = chance.choice([*PRESETS, "locate", "free"])
    rules = Rules(formulas=chance.random() < 0.8, lists=chance.random() < 0.8)
    began = time.process_time()
    try:
        tidy = tidied(text, prompt=prompt, transform=geometry(chance), rules=rules)
    except Exception:
        yield f"exception: {traceback.format_exc(limit=-3)}"
        return
    if time.process_time() - began > SECONDS_FREE + SECONDS_A_CHARACTER * len(text):
        yield "slow"
    tidy.markdown.encode()
    if TAG.search(tidy.markdown):
        yield "special token in the text"
    at = 0
    for block in tidy.blocks:
        if not at <= block.start <= block.end <= len(tidy.markdown):
            yield "offsets out of order"
        if block.start == block.end and block.kind is not BlockKind.FIGURE:
            yield "empty block"
        if tidy.markdown[block.start : block.end].strip("\n") != tidy.markdown[block.start : block.end]:
            yield "blank lines in a block's edge"
        box = block.box
        if box and not (0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1):
            yield "box out of range"
        at = block.end
    if is_whole and collections.Counter(WORD.findall(text)) - collections.Counter(WORD.findall(tidy.markdown)):
        yield "words are gone"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--minutes", type=float, default=1.0)
    asked.add_argument("--seed", type=int, default=1)
    options = asked.parse_args()
    ends = time.monotonic() + 60 * options.minutes
    kinds = {"whole pages": 0, "broken pages": 0, "scraps of the grammar": 0}
    found: collections.Counter[str] = collections.Counter()
    characters = 0
    for number in itertools.count():
        if time.monotonic() > ends:
            break
        chance = random.Random(f"{options.seed}/{number}")
        kind = list(kinds)[min(2, int(chance.random() * 3.5))]
        text = soup(chance) if kind == "scraps of the grammar" else page(chance)
        text = broken(chance, text) if kind == "broken pages" else text
        kinds[kind] += 1
        characters += len(text)
        for fault in faults(text, chance, is_whole=kind == "whole pages"):
            found[fault] += 1
            if found[fault] <= 3:
                print(f"seed {options.seed}/{number}: {fault}\n  {text[:600]!a}", file=sys.stderr)
    for kind, count in kinds.items():
        print(f"{kind:24} {count:>9,}")
    print(f"{'characters':24} {characters:>9,}")
    print(f"{'faults':24} {sum(found.values()):>9,}  {dict(found) or ''}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
