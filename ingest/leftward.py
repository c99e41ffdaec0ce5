"""Hebrew and Arabic: letters sorted from where they stand on the page into the order in which they are read."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

LEFTWARD = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_ALEFS = "\u0622\u0623\u0625\u0627"
_LAM = "\u0644"
_RIGHTWARD = re.compile(r"[0-9A-Za-z\u00c0-\u024f\u0660-\u0669\u06f0-\u06f9]")
_INSIDE_NUMBERS = re.compile(r"[.,:/%+\-\u2013@_ ]")
_SPACE_EMS = 0.08
_THIN = 0.05


@dataclass(slots=True)
class Letter:
    """One letter with its ends on the line, and the number of the span that it came in."""

    text: str
    left: float
    right: float
    span: int

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2


def is_leftward(text: str) -> bool:
    """More Hebrew and Arabic letters than Latin ones."""
    if text.isascii():
        return False
    found = len(LEFTWARD.findall(text))
    return found > 0 and found >= sum(letter.isascii() and letter.isalpha() for letter in text)


def logical(letters: Sequence[Letter], size: float) -> Iterator[tuple[int, str, float, float]]:
    """Runs of one span in reading order: span, text, left and right end."""
    inked = _clusters(letters)
    ordered = sorted([*inked, *_blanks(letters, inked)], key=lambda letter: -letter.middle)
    ordered = _numbers_turned(_spaced(ordered, size))
    for span, run in groupby(ordered, key=lambda letter: letter.span):
        found = list(run)
        yield (
            span,
            "".join(letter.text for letter in found),
            min(letter.left for letter in found),
            max(letter.right for letter in found),
        )


def _clusters(letters: Sequence[Letter]) -> list[Letter]:
    """Signs without width join the letter that they sit on. The alef of a ligature comes before its lam: mended."""
    found: list[Letter] = []
    waiting = ""
    for letter in letters:
        if not letter.text.strip():
            continue
        if found and letter.text == _LAM and found[-1].text in _ALEFS and _is_on(letter, found[-1]):
            found[-1].text = letter.text + found[-1].text
        elif letter.right - letter.left > _THIN:
            both = letter.text + waiting if letter.text == _LAM else waiting + letter.text
            found.append(Letter(both, letter.left, letter.right, letter.span))
            waiting = ""
        elif letter.text in _ALEFS:
            waiting = letter.text
        elif found:
            found[-1].text += letter.text
    return found


def _blanks(letters: Sequence[Letter], inked: Sequence[Letter]) -> list[Letter]:
    """The file's own spaces, but for those that lie across letters."""
    blanks = [letter for letter in letters if not letter.text.strip() and letter.right - letter.left > _THIN]
    return [blank for blank in blanks if not any(letter.left < blank.middle < letter.right for letter in inked)]


def _is_on(one: Letter, other: Letter) -> bool:
    """Both were one sign, whose box each of them got."""
    return abs(one.left - other.left) <= _THIN and abs(one.right - other.right) <= _THIN


def _spaced(letters: Sequence[Letter], size: float) -> list[Letter]:
    """With one space in every gap."""
    found: list[Letter] = []
    for letter in letters:
        if not letter.text.strip():
            if found and found[-1].text != " ":
                found.append(replace(letter, text=" "))
            continue
        if found and found[-1].text != " " and found[-1].left - letter.right > _SPACE_EMS * size:
            found.append(Letter(" ", letter.right, found[-1].left, letter.span))
        found.append(letter)
    return found


def _numbers_turned(letters: Sequence[Letter]) -> list[Letter]:
    """Digits and Latin words run the other way, with the signs between them."""
    found: list[Letter] = []
    run: list[Letter] = []
    for letter in letters:
        if _RIGHTWARD.match(letter.text) or (run and _INSIDE_NUMBERS.match(letter.text)):
            run.append(letter)
            continue
        found += _turned(run)
        run = []
        found.append(letter)
    return found + _turned(run)


def _turned(run: Sequence[Letter]) -> list[Letter]:
    """Signs at the run's end belong to what follows."""
    end = len(run)
    while end and not _RIGHTWARD.match(run[end - 1].text):
        end -= 1
    return [*reversed(run[:end]), *run[end:]]
