"""Bytes of a text file become letters: what it says of itself, then UTF-8, then the likeliest older encoding."""

import codecs
import re

from folio.errors import Cause, Permanent
from ingest import sniff

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.IGNORECASE)
_DECLARED_WITHIN = 4096
_SAMPLE_BYTES = 64 << 10
_OLDER = ["gb18030", "big5", "cp932", "euc_jp", "cp949", "cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp1252"]
_FOREIGN_SHARE_MIN = 0.25
"""Western text has few letters outside of ASCII, so a guess of another script needs many to be believed."""
_BAD_SHARE_MAX = 0.02
_GONE = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127, 0xFEFF], None)
_GONE_BUT_PAGES = {sign: None for sign in _GONE if sign != 12}


def decoded(raw: bytes, media_type: str) -> str:
    """The text with plain line ends and no control characters; form feeds stay in plain text, where they end pages.

    Raises Permanent: unsupported_type when it is no text after all, corrupt when it is no text in its own encoding.
    """
    text = _decoded(raw, media_type)
    if "\0" in text:
        sniff.refuse("binary content that begins like text", "convert it to one of these first")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.translate(_GONE_BUT_PAGES if media_type == sniff.TEXT else _GONE)


def _decoded(raw: bytes, media_type: str) -> str:
    for bom, encoding in _BOMS:
        if raw.startswith(bom):
            return _forgiving(raw, encoding)
    declared = _DECLARED.search(raw[:_DECLARED_WITHIN]) if media_type == sniff.HTML else None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start > _SAMPLE_BYTES or _is_nearly_utf8(raw):
            return _forgiving(raw, "utf-8")
    return raw.decode(_known(declared[1]) if declared else _guessed(raw[:_SAMPLE_BYTES]), "replace")


def _forgiving(raw: bytes, encoding: str) -> str:
    """A few broken letters are shown as such; many mean that it is not what it says."""
    text = raw.decode(encoding, "replace")
    bad = text.count("\ufffd") + sum("\ud800" <= sign <= "\udfff" for sign in text[:_SAMPLE_BYTES])
    if bad > max(2, _BAD_SHARE_MAX * len(text)):
        raise Permanent(
            Cause.CORRUPT, f"It says that it is {encoding.removesuffix('-sig').upper()} and is not: save it as UTF-8."
        )
    return text


def _is_nearly_utf8(raw: bytes) -> bool:
    """Many letters that are UTF-8 and few that are not: one bad byte must not turn all others into nonsense."""
    sample = raw[:_SAMPLE_BYTES].decode("utf-8", "replace")
    good = sum(sign > "\x7f" and sign != "\ufffd" for sign in sample)
    return good > 20 * sample.count("\ufffd")


def _known(label: bytes) -> str:
    """What a page says of itself; Latin-1 means Windows' superset of it, as in every browser."""
    try:
        name = codecs.lookup(label.decode("ascii")).name
    except (LookupError, UnicodeDecodeError):
        return "cp1252"
    return {"iso8859-1": "cp1252", "ascii": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "utf-8": "cp1252"}.get(
        name, name
    )


def _guessed(sample: bytes) -> str:
    """Another script only on evidence: many bytes outside of ASCII, and a guess that fits them all."""
    visible = sum(byte > 32 for byte in sample) or 1
    if sum(byte > 127 for byte in sample) < _FOREIGN_SHARE_MIN * visible:
        return "cp1252"
    return _by_statistics(sample) or _by_pairs(sample)


def _by_statistics(sample: bytes) -> str | None:
    try:
        from charset_normalizer import from_bytes  # comes with other packages; without it pairs must do
    except ImportError:
        return None
    best = from_bytes(sample, cp_isolation=_OLDER).best()
    return best.encoding if best is not None else None


def _by_pairs(sample: bytes) -> str:
    """Chinese if nearly all bytes outside of ASCII come in the pairs of GB 2312's characters."""
    high = sum(byte > 127 for byte in sample)
    pairs = sum(len(run) & ~1 for run in re.findall(rb"(?:[\xa1-\xf7][\xa1-\xfe])+", sample))
    return "gb18030" if pairs >= 0.95 * high else "cp1252"
