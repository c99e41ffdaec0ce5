"""Whether letters that look like letters say anything: wrong encodings give plausible signs and no words.

Conservative: a page in any language stays trusted; what is measured is what no language that uses the script does.
"""

import re

_BAD = re.compile("[\ufffd\ue000-\uf8ff\U000f0000-\U0010ffff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_CID = re.compile(r"\(cid:\d+\)")
_MIXED = re.compile(r"[^\W\d_][†‡£¢¥¶§±¬¤¦∞≠≤≥∂∑∏π∫Ω][^\W\d_]")
_MOJIBAKE = re.compile("[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac.|[\u00d0\u00d1][\u0080-\u00bf\u2018-\u2122]")
_UPPER_LATIN = re.compile("[\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff]")
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile("[a-z\u00e0-\u024f]{3,}")
_CAPITALS = re.compile("(?<![^\\s(])[a-z\u00e0-\u024f]{4,}(?![^\\s.,;:)])")
"""In a text of capitals, part numbers and codes are no words."""
_ANY_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_VOWELS = (
    "aeiouyw\u00e0-\u00e6\u00e8-\u00ef\u00f2-\u00f6\u00f8-\u00fd\u00ff-\u0105\u0112-\u011b\u0128-\u0131"
    "\u014c-\u0153\u0168-\u0177"
)
_UNSPEAKABLE = re.compile(f"^[^{_VOWELS}rl]+$|[^{_VOWELS}]{{5}}")
"""No vowel, nor one of the r and l that Slavic languages use like one; or five consonants in a row."""
_VOWEL = re.compile(f"[{_VOWELS.replace('w', '')}]")
_SMALL_WORDS = frozenset(
    "the of and to in is for that on with as by at from this be are or an it de la le les des et en un une du que el "  # noqa: SIM905
    "los las y se del por con para da do em os uma der die das und von zu den mit ist im auf ein eine di il che per "
    "non sono het een van op te dat och att som av det jag er og til ikke ja ei on ne w na nie jest ze si je v ve bir "
    "bu ile u za od ce cu este az es egy hogy va yang dan di untuk ang ng sa mga ya wa kwa i a o e".split()
)
_CHARS_MIN = 40
_WORDS_MIN = 30
_LETTERS_MIN = 200
_VOWELS_MIN = 0.2
_UNSPEAKABLE_MAX, _UNSPEAKABLE_DOUBTFUL = 0.3, 0.1
_SMALL_WORDS_MIN = 0.02
_READABLE_MIN = 0.5
_GARBAGE_SHARE_MAX = 0.05
_MOJIBAKE_MIN, _MOJIBAKE_SHARE_MAX = 5, 0.01
_UPPER_SHARE_MAX = 0.5


def is_meaningless(text: str, unmapped: int) -> bool:
    """`unmapped`: how many letters the engine could not name."""
    chars = len("".join(text.split()))
    bad = unmapped + len(_BAD.findall(text))
    if not text.isascii():
        bad += 3 * len(_MIXED.findall(text))
    if "(cid:" in text:
        bad += sum(map(len, _CID.findall(text)))
    if bad > _GARBAGE_SHARE_MAX * chars:
        return True
    if chars < _CHARS_MIN:
        return False
    readable = len(text) - len(re.sub(r"[^\W_]", "", text))
    if readable < _READABLE_MIN * chars:
        return not _is_ruled_with_dots(text)
    return _is_mojibake(text, chars) or _is_another_alphabet(text)


def _is_ruled_with_dots(text: str) -> bool:
    """A table of contents is mostly leaders."""
    return sum(text.count(sign) for sign in "._-…·") > len(text) / 4


def _is_mojibake(text: str, chars: int) -> bool:
    """UTF-8 or another code page, read as Latin-1: the upper half of the table where words should be."""
    if text.isascii():
        return False
    broken = len(_MOJIBAKE.findall(text))
    if broken >= _MOJIBAKE_MIN and broken > _MOJIBAKE_SHARE_MAX * chars:
        return True
    return len(_UPPER_LATIN.findall(text)) > _UPPER_SHARE_MAX * len(_LETTER.findall(text))


def _is_another_alphabet(text: str) -> bool:
    """Latin letters that stand for others: too few vowels, too many words that nobody can say, no small words."""
    lowered = text.lower()
    latin = len(_LATIN.findall(text))
    if latin < _LETTERS_MIN or latin < 0.8 * len(_LETTER.findall(text)):
        return False
    if len(_VOWEL.findall(lowered)) < _VOWELS_MIN * latin:
        return True
    capitals = sum(map(str.islower, text)) < latin / 3
    words = set(_CAPITALS.findall(lowered) if capitals else _WORD.findall(text))
    if len(words) < _WORDS_MIN:
        return False
    unspeakable = sum(bool(_UNSPEAKABLE.search(word)) for word in words) / len(words)
    if unspeakable > _UNSPEAKABLE_MAX:
        return True
    every = _ANY_WORD.findall(lowered)
    small = sum(word in _SMALL_WORDS for word in every) / len(every)
    return unspeakable > _UNSPEAKABLE_DOUBTFUL and small < _SMALL_WORDS_MIN
