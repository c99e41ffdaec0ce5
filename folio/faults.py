"""Fail points: every durable effect is wrapped in `effect(name)`, so a test can kill the process around it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "FOLIO_FAULT"
"""``name:before``, ``name:after`` or ``name:before@3`` (the third time): the process dies there like by kill -9."""

ONCE = "FOLIO_FAULT_ONCE"
"""A file: whoever makes it first dies, so that a child that is started again does not die again."""

_seen: dict[str, int] = {}


@contextmanager
def effect(name: str) -> Iterator[None]:
    """Wrap one append, commit, store write or SQLite commit. Costs a dictionary look-up when no fault is set."""
    _die_if_asked(f"{name}:before")
    yield
    _die_if_asked(f"{name}:after")


def _die_if_asked(point: str) -> None:
    asked = os.environ.get(VARIABLE)
    if asked is None:
        return
    name, _, times = asked.partition("@")
    if name != point:
        return
    _seen[point] = _seen.get(point, 0) + 1
    if _seen[point] == int(times or 1) and _is_first():
        os._exit(137)


def _is_first() -> bool:
    once = os.environ.get(ONCE)
    if once is None:
        return True
    try:
        os.close(os.open(once, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
