"""What people type in options, read strictly: metadata, spans of pages, moments, kinds of passages."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import typer

Value = str | int | float | bool

AGO = re.compile(r"(\d{1,6})(min|h|d|w)")
UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
DAY_CHARS = len("2026-01-31")
SPAN = re.compile(r"(\d{1,6})?(-)?(\d{1,6})?")


def metadata_of(given: Sequence[str] | None) -> dict[str, Value]:
    """KEY=VALUE pairs, each value as the type that it looks like; "quotes" keep a text a text. Raises BadParameter."""
    found: dict[str, Value] = {}
    for pair in given or ():
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise typer.BadParameter(f"--meta {pair!r}: KEY=VALUE is wanted, like year=2024")
        found[key.strip()] = typed(value.strip())
    return found


def typed(value: str) -> Value:
    """The words true and false, integers, decimal numbers; everything else is text."""
    if value in ("true", "false"):
        return value == "true"
    if re.fullmatch(r"[+-]?\d{1,18}", value) and not re.fullmatch(r"[+-]?0\d+", value):
        return int(value)  # 007 stays a text: its zeros mean something
    if re.fullmatch(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d{1,3})?", value) and abs(float(value)) < float("inf"):
        return float(value)
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def span_of(given: str | None) -> tuple[int | None, int | None]:
    """`3`, `3-7`, `3-` or `-7` as first and last page. Raises BadParameter."""
    if given is None:
        return None, None
    match = SPAN.fullmatch(given.strip())
    if match is None or not (match[1] or match[3]):
        raise typer.BadParameter(f"--page {given!r}: one page (3) or a span of pages (3-7, 3-, -7) is wanted")
    first = int(match[1]) if match[1] else None
    last = int(match[3]) if match[3] else None if match[2] else first
    if first == 0 or last == 0 or (first is not None and last is not None and last < first):
        raise typer.BadParameter(f"--page {given!r}: pages count from 1, and a span runs forwards")
    return first, last


def moment_of(given: str | None, option: str, *, now: datetime, end: bool = False) -> int | None:
    """A date, a date with time, or how long ago (`7d`), as ms since 1970. `end`: a bare date means its last moment.

    Raises BadParameter.
    """
    if given is None:
        return None
    text = given.strip()
    try:
        if ago := AGO.fullmatch(text):
            when = now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        else:
            when = datetime.fromisoformat(text)
            when = when if when.tzinfo else when.astimezone()  # local time, as people mean it
            if end and len(text) <= DAY_CHARS:
                when += timedelta(days=1, milliseconds=-1)
        return round(when.timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise typer.BadParameter(
            f"{option} {given!r}: a date (2026-01-31, 2026-01-31T14:30) or a time ago (30min, 12h, 7d, 2w) is wanted"
        ) from None


def kinds_of(given: Sequence[str] | None) -> tuple[Any, ...]:
    """Kinds of passages by name. Raises BadParameter naming those there are."""
    from folio.records import BlockKind

    known = {kind.value: kind for kind in BlockKind}
    wrong = [name for name in given or () if name not in known]
    if wrong:
        raise typer.BadParameter(f"--kind {wrong[0]!r}: one of {', '.join(known)} is wanted")
    return tuple(known[name] for name in given or ())
