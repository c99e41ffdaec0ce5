r"""LaTeX as a model writes it, between \( \) and \[ \], in the dollar signs that Markdown readers know."""

import re
from collections.abc import Iterator

_MARK = re.compile(r"\\\\|\\[()\[\]]")
_MONEY = re.compile(r"(?<!\\)\$(?=\d)")
_BLANK_LINES = re.compile(r"\n\s*\n")
_NUMBER = re.compile(r"\\q?quad\s*\((\d[\w.]{0,10})\)\s*$")
_NAMES = (("\\coloneqq", ":="), ("\\eqqcolon", "=:"))
_CLOSES = {"\\(": "\\)", "\\[": "\\]"}


def in_dollars(text: str) -> str:
    """Every formula that is opened and closed; a mark without its other half stays what it is.

    Sums of money beside a formula get a backslash, so that they do not open one.
    """
    if "\\(" not in text and "\\[" not in text:
        return text
    parts, at = [], 0
    for start, end in _formulas(text):
        parts += [text[at:start], _written(text[start:end])]
        at = end
    if not parts:
        return text
    parts.append(text[at:])
    return "".join(part if index % 2 else _MONEY.sub(r"\\$", part) for index, part in enumerate(parts))


def displayed(text: str) -> str:
    """A formula as a block of its own, whatever marks it came with; "" for none."""
    bare = text.strip()
    for opening, closing in (("\\[", "\\]"), ("\\(", "\\)"), ("$$", "$$"), ("$", "$")):
        if len(bare) >= 2 * len(opening) and bare.startswith(opening) and bare.endswith(closing):
            bare = bare[len(opening) : -len(closing)]
            break
    return _display(bare)


def _formulas(text: str) -> Iterator[tuple[int, int]]:
    """The innermost pairs; a double backslash is a line break of LaTeX, not the begin of a mark."""
    opened, start = "", 0
    for mark in _MARK.finditer(text):
        if mark[0] in _CLOSES:
            opened, start = mark[0], mark.start()
        elif opened and mark[0] == _CLOSES[opened]:
            is_inline = opened == "\\("
            opened = ""
            if not (is_inline and _BLANK_LINES.search(text, start, mark.end())):
                yield start, mark.end()


def _written(formula: str) -> str:
    inside = formula[2:-2].strip()
    if formula[1] == "[":
        return _display(inside)
    return f"${_named(' '.join(inside.split()))}$" if inside else ""


def _display(inside: str) -> str:
    """Without blank lines, which would end it; its number as LaTeX has it."""
    plain = _NUMBER.sub(r"\\tag{\1}", _named(_BLANK_LINES.sub("\n", inside.strip())))
    if not plain:
        return ""
    return f"$$\n{plain}\n$$" if "\n" in plain else f"$${plain}$$"


def _named(formula: str) -> str:
    for name, sign in _NAMES:
        formula = formula.replace(name, sign)
    return formula
