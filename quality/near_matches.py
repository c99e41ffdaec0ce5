"""Where a text stands in a longer one when a few characters may differ: Myers' bit-parallel search."""

from collections import defaultdict


def starts_of(wanted: str, text: str, diffs_max: int = 0) -> list[int]:
    """The positions at which a part of `text` begins that differs from `wanted` by at most so many edits.

    The search runs from the end to the beginning, so that what it finds are beginnings. After Myers, J. ACM 46 (1999).
    """
    if not wanted:
        return []
    if not diffs_max:
        return [at for at in range(len(text)) if text.startswith(wanted, at)] if wanted in text else []
    occurs: dict[str, int] = defaultdict(int)
    for at, letter in enumerate(reversed(wanted)):
        occurs[letter] |= 1 << at
    every, last = (1 << len(wanted)) - 1, 1 << (len(wanted) - 1)
    more, less, distance = every, 0, len(wanted)
    found = []
    for at in range(len(text) - 1, -1, -1):
        same = occurs.get(text[at], 0)
        cross = (((same & more) + more) ^ more) | same | less
        up, down = less | ~(cross | more) & every, more & cross
        distance += bool(up & last) - bool(down & last)
        up, down = up << 1 & every, down << 1 & every
        more, less = down | ~((same | less) | up) & every, up & (same | less)
        if distance <= diffs_max:
            found.append(at)
    return found[::-1]
