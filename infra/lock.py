"""The one owner of a data folder: a lock that the kernel drops when its holder dies, and where to reach the holder."""

import asyncio
import fcntl
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from folio.errors import FolioError

LOCK_NAME = "owner.lock"
ADDRESS_NAME = "owner.json"
IN_LINE_S = 0.2
STOPPING = "stopping"
"""What an owner that ends writes instead of its address, with its pid."""


@dataclass(frozen=True, slots=True)
class Address:
    """How to talk to the owner: its pid, loopback port and the token that its API wants."""

    pid: int
    host: str
    port: int
    token: str


class Owned(FolioError):
    """Another process owns the data folder."""


@contextmanager
def owning(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises Owned at once when somebody alive holds it; a dead holder's is free."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _taken(descriptor):
            raise Owned(f"{folder} is owned by another folio process")
        (folder / ADDRESS_NAME).unlink(missing_ok=True)  # a stale address of an owner that died
        yield
        (folder / ADDRESS_NAME).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


@contextmanager
def holding(lock: Path) -> Iterator[bool]:
    """Hold a lock of this machine's processes, if it is free: yields whether it was."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _taken(descriptor)
    finally:
        os.close(descriptor)


@asynccontextmanager
async def in_line(lock: Path) -> AsyncIterator[None]:
    """Hold a lock that others may hold now: wait until they have ended, or were killed."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _taken(descriptor):
            from folio.telemetry import log  # commands that only look somebody up do without

            log().warning("waits", until="the process that holds it ends", lock=str(lock))
            while not _taken(descriptor):
                await asyncio.sleep(IN_LINE_S)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def publish(folder: Path, address: Address) -> None:
    """Tell other commands where the owner listens; for its user's eyes only."""
    _tell(folder, asdict(address))


def withdraw(folder: Path) -> None:
    """Tell other commands that the owner, this process, is about to end: they wait for the folder to be free."""
    _tell(folder, {STOPPING: os.getpid()})


def owner_of(folder: Path, *, wait_s: float = 0.0, told: Callable[[int], None] | None = None) -> Address | None:
    """The living owner's address, or None.

    Waits for an owner that has the lock but does not listen yet, or no more; `told` gets the pid of one that is ending.
    """
    deadline = time.monotonic() + wait_s
    while is_owned(folder):
        said = _said(folder)
        if STOPPING in said and told is not None:
            told(said[STOPPING])
            told = None
        try:
            return Address(**said)
        except TypeError:
            if time.monotonic() >= deadline:
                does = "is ending and not done yet" if STOPPING in said else "does not answer yet"
                raise Owned(f"{folder} is owned by a process that {does}: try again in a moment") from None
            time.sleep(0.02)
    return None


def _tell(folder: Path, what: dict[str, Any]) -> None:
    path = folder / f"{ADDRESS_NAME}.new"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(what, file)
    path.replace(folder / ADDRESS_NAME)


def _said(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / ADDRESS_NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def is_owned(folder: Path) -> bool:
    return is_held(folder / LOCK_NAME)


def is_held(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
