"""What runs inside a child process: one object that answers frames, or a zygote that forks such children.

``python -m folio.inside serve|fork MODULE:CLASS DESCRIPTOR PARENT``; only `folio.child` starts it.
"""

import ctypes
import gc
import importlib
import os
import signal
import socket
import sys
from contextlib import suppress
from types import GeneratorType
from typing import Any

import msgpack

from folio.errors import Cause, Permanent, Transient
from folio.frames import LENGTH, pack

_OUT_OF_MEMORY = pack(["error", ("Permanent", Cause.RENDER_OOM, "")])
"""Packed beforehand: there is no memory to do it with then."""


def serve(factory: str, door: socket.socket) -> None:
    """Answer frames until the other end closes: first `__init__` with settings, then methods of the object."""
    stream = door.makefile("rb")
    made: Any = None
    with suppress(_DoorClosed):
        while head := stream.read(LENGTH.size):
            method, *args = msgpack.unpackb(stream.read(LENGTH.unpack(head)[0]), strict_map_key=False)
            try:
                if method == "__init__":
                    made, answer = _make(factory)(**args[0]), None
                else:
                    answer = getattr(made, method)(*args)
                _reply(door, answer)
            except MemoryError:
                _deliver(door, _OUT_OF_MEMORY)
            except Exception as error:
                _send(door, ["error", _described(error)])
    close = getattr(made, "close", None)
    if close is not None:
        close()


class _DoorClosed(BaseException):
    """The other end is gone: nobody waits for an answer. Not an Exception, so no call's error looks like it."""


def _reply(door: socket.socket, answer: Any) -> None:
    if not isinstance(answer, GeneratorType):
        _send(door, ["value", answer])
        return
    for item in answer:
        _send(door, ["value", item])
    _send(door, ["end", None])


def _send(door: socket.socket, frame: Any) -> None:
    _deliver(door, pack(frame))


def _deliver(door: socket.socket, packed: bytes) -> None:
    try:
        door.sendall(packed)
    except OSError as error:
        raise _DoorClosed from error


def _described(error: Exception) -> tuple[str, str, str]:
    if isinstance(error, Permanent | Transient):
        return type(error).__name__, error.cause, error.detail
    return type(error).__name__, "", str(error)[:2000].encode(errors="replace").decode()


def _make(factory: str) -> Any:
    module, _, name = factory.partition(":")
    return getattr(importlib.import_module(module), name)


def _die_with(parent: int) -> None:
    """Linux: be killed when the parent ends, even in the middle of a call; elsewhere the closed socket ends us."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def give_back() -> None:
    """Return the heap's free pages to the system, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _reap(*_signal: object) -> None:
    """Collect children that ended; their CPU time then counts as the zygote's, which the benchmarks rely on."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _fork_for_ever(factory: str, control: socket.socket) -> None:
    warm = getattr(_make(factory), "warm", None)
    if warm is not None:
        warm()
    gc.collect()
    gc.freeze()  # what is here is never collected, so a child's collector does not copy these pages
    give_back()  # what importing freed: every fork would copy the tables of these pages, and every exit drop them
    signal.signal(signal.SIGCHLD, _reap)
    me = os.getpid()
    while True:
        message, doors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _die_with(me)
            with socket.socket(fileno=doors[0]) as door:
                serve(factory, door)
            os._exit(0)
        os.close(doors[0])
        control.sendall(pid.to_bytes(8, "little"))


def main() -> None:
    way, factory, descriptor, parent = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _die_with(int(parent))
    with socket.socket(fileno=int(descriptor)) as door:
        (serve if way == "serve" else _fork_for_ever)(factory, door)


if __name__ == "__main__":
    main()
