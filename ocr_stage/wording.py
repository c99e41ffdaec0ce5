"""Pieces of text put together: lines that run on, hyphens, Han characters, and signs that Markdown would misread."""

import re
from collections.abc import Sequence

from ocr_stage.lines import is_cjk

STRUCTURE = re.compile(
    r"""(?P<before>\d{1,9})[.)](?=\s|$)             # an ordered list
      | (?P<sign>\#{1,6}(?=\s|$) | [-+*](?=\s|$)    # a heading, a list
      | > | [-=_*]{3} | ```|~~~ | \| | <(?=[A-Za-z/!?]))  # quote, rule, fence, table, HTML""",
    re.VERBOSE,
)


def together(texts: Sequence[str]) -> str:
    """Lines of one paragraph or cell as one line."""
    text = ""
    for more in texts:
        if not text:
            text = more
        elif is_cjk(text[-1]) or is_cjk(more[0]):
            text += more
        elif re.search(r"[a-z]-$", text) and more[0].islower():
            text = text[:-1] + more
        else:
            text += f" {more}"
    return text


def escaped(text: str) -> str:
    """Text that would be taken for structure at the start of a line gets a backslash before its sign."""
    found = STRUCTURE.match(text)
    if not found:
        return text
    if found["sign"]:
        return f"\\{text}"
    return f"{found['before']}\\{text[found.end('before') :]}"
