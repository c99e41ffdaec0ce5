"""Finds a model that repeats itself, as its words come: from a period of 1 to 256 words and signs, in linear time.

A loop is a run of tokens that comes again and again without anything between. How often it must come before it is
called one depends on what it is made of: words outside of tables four to six times; rows of a table, which may well
be alike, twelve times and more; dots, rules and digits, of which forms and tables are full, for 1,500 tokens. Numbers
that count on from one period to the next do not hide a loop of words.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

PERIOD_MAX = 256
SHORT = 24
"""Tokens: a shorter period must come twice more."""
TIMES, TIMES_SHORT = 4, 6
TABLE_TIMES, TABLE_TOKENS = 12, 300
WORDLESS_TIMES, WORDLESS_TOKENS = 12, 1500
COUNTED_TIMES, COUNTED_TOKENS, COUNTED_WORDS = 12, 1500, 3
"""With numbers that change: forms and lists of links have such lines, dozens of them; and so many words in each."""
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
TOKEN = re.compile(
    rf"""(?P<word>[{_CJK}]|(?:(?![{_CJK}])[^\W\d_]){{1,12}})
       | (?P<number>\d{{1,4}})
       | (?P<cell></?t[rdh]\b[^<>]{{0,40}}>|\|)
       | (?P<other><!--[^<>]{{0,48}}-->|<[^<>\s]{{1,20}}>|\\[A-Za-z]{{1,12}}|&\w{{1,8}};|\n|[^\S\n]{{8}}|[^\w\s]|_)""",
    re.VERBOSE,
)
"""What counts as one token: pieces of words, signs of Han one by one; markup and LaTeX commands are no words."""
HELD_CHARS, ENTITY_CHARS = 64, 10
"""An open tag or entity so near to the end of the text waits for what comes next."""

GRAM = 4
"""So many tokens must come again before a period is looked at; the shortest loop has as many."""
CHAIN_MAX = 8
"""So many earlier places of the same four tokens are tried."""


@dataclass(frozen=True, slots=True)
class Loop:
    """`start` is the character at which the text came for the second time: what lies before is worth keeping."""

    period: int
    times: int
    start: int


class Repetition:
    """Fed piece by piece; says at each whether the text has run into a loop."""

    def __init__(self) -> None:
        self.found: Loop | None = None
        self._held = ""
        self._at = 0
        self._starts: list[int] = []
        self._names: dict[str, int] = {}
        self._exact = _Runs(_of_text)
        self._counted = _Runs(_of_counted_text)

    def add(self, text: str, *, last: bool = False) -> Loop | None:
        """The first loop, from then on. `last` says that nothing follows."""
        if self.found:
            return self.found
        text = self._held + text
        end = len(text) + 1 if last else _end(text)
        used = 0
        for token in TOKEN.finditer(text):
            if token.end() >= end:
                break
            self.found = self._next(token)
            if self.found:
                break
            used = token.end()
        self._held = text[used:]
        self._at += used
        return self.found

    def _next(self, token: re.Match[str]) -> Loop | None:
        kind, text = token.lastgroup, token[0]
        name = self._names.setdefault(text, len(self._names) + 1)
        self._starts.append(self._at + token.start())
        found = self._exact.add(name, kind) or self._counted.add(0 if kind == "number" else name, kind)
        if not found:
            return None
        period, run = found
        return Loop(period, run // period + 1, self._starts[len(self._starts) - run])


def _end(text: str) -> int:
    """Where the token may end, or lie, to which what comes next may belong."""
    end = len(text)
    for opening, closing, chars in (("<", ">", HELD_CHARS), ("&", ";", ENTITY_CHARS)):
        opened = text.rfind(opening, max(0, len(text) - chars))
        if opened >= 0 and closing not in text[opened:]:
            end = min(end, opened + 1)
    return end


def loop_in(text: str) -> Loop | None:
    """Of a text that is whole."""
    return Repetition().add(text, last=True)


@dataclass(frozen=True, slots=True)
class _Made:
    """What a period is made of, in tokens; and how many in a row came as they came a period before."""

    period: int
    run: int
    words: int
    cells: int

    def came(self, times: int, tokens: int = 0) -> bool:
        return self.run >= (times - 1) * self.period and self.run + self.period >= tokens


def _of_text(made: _Made) -> bool:
    if not made.words:
        return made.came(WORDLESS_TIMES, WORDLESS_TOKENS)
    if made.cells:
        return made.came(TABLE_TIMES, TABLE_TOKENS)
    return made.came(TIMES if made.period >= SHORT else TIMES_SHORT)


def _of_counted_text(made: _Made) -> bool:
    return made.words >= COUNTED_WORDS and not made.cells and made.came(COUNTED_TIMES, COUNTED_TOKENS)


class _Runs:
    """Periods that hold at the moment. One is tried where four tokens were there before; it goes at the first that
    differs. So a token costs the few periods that hold, not all that there are.
    """

    def __init__(self, is_loop: Callable[[_Made], bool]) -> None:
        self._is_loop = is_loop
        self._names: list[int] = []
        self._words = [0]
        self._cells = [0]
        self._seen: dict[tuple[int, ...], int] = {}
        self._before: list[int] = []
        self._runs: dict[int, int] = {}

    def add(self, name: int, kind: str | None) -> tuple[int, int] | None:
        """Period and run, once it is a loop."""
        names = self._names
        names.append(name)
        self._words.append(self._words[-1] + (kind == "word"))
        self._cells.append(self._cells[-1] + (kind == "cell"))
        at = len(names) - 1
        self._runs = {period: run + 1 for period, run in self._runs.items() if names[at - period] == name}
        self._look_back(at)
        for period, run in self._runs.items():
            if run >= period * (TIMES - 1) and self._is_loop(self._made(period, run)):
                return period, run
        return None

    def _look_back(self, at: int) -> None:
        gram = tuple(self._names[-GRAM:])
        before = self._seen.get(gram, -1)
        self._seen[gram] = at
        self._before.append(before)
        for _ in range(CHAIN_MAX):
            if before < GRAM - 1 or at - before > PERIOD_MAX:
                break
            self._runs.setdefault(at - before, GRAM)
            before = self._before[before]

    def _made(self, period: int, run: int) -> _Made:
        words = self._words[-1] - self._words[-1 - period]
        cells = self._cells[-1] - self._cells[-1 - period]
        return _Made(period, run, words, cells)
