"""Work in other processes: an object in a child answers calls and streams over a socket, and may die alone.

Frames are msgpack, never pickle: what a child that opened a hostile file sends back is data. A child
ends when its parent does. `Child` starts one; `Zygote` starts one that has imported what is
needed and forks from it, in milliseconds, as often as asked (the sandbox: one child a document).
"""

import asyncio
import ctypes
import importlib
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from types import GeneratorType
from typing import Any

import msgpack

from folio.errors import Cause, FolioError, Permanent, Transient

_LENGTH = struct.Struct("<I")
FRAME_BYTES_MAX = 1 << 30
STREAM_BYTES = 1 << 20


class ChildDied(FolioError):
    """The process ended in the middle of a call, or sent what is not a frame."""

    def __init__(self, what: str, why: str = "its process ended") -> None:
        super().__init__(f"{what}: {why}")


class ChildGone(ChildDied):
    """The process had ended before the call began, so the call is not to blame and may be made again."""


class ChildTimeout(FolioError):
    """The call took too long; the process was killed."""


class Remote:
    """Our end of one child's socket. One call at a time; the others wait their turn."""

    def __init__(self, what: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int) -> None:
        self.what = what
        self.pid = pid
        self.alive = True
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    async def call(self, method: str, *args: Any, seconds_max: float | None = None) -> Any:
        """Call `method` there and return its answer.

        Raises Permanent or Transient as the child raised them, RemoteError for anything else that it raised,
        ChildDied when its process ended, ChildTimeout after `seconds_max` (the process is killed).
        """
        async with self._turn:
            if not self.alive:
                raise ChildGone(self.what)
            try:
                async with asyncio.timeout(seconds_max):
                    await self._send(method, args)
                    return _answer(self.what, await self._receive())
            except BaseException as error:
                self._after(error)
                if isinstance(error, TimeoutError):
                    raise ChildTimeout(f"{self.what}.{method}: no answer in {seconds_max} s") from None
                raise

    async def stream(self, method: str, *args: Any, item_seconds_max: float | None = None) -> AsyncGenerator[Any, None]:
        """Iterate over a generator there; the child is at most a socket buffer ahead of us."""
        async with self._turn:
            if not self.alive:
                raise ChildGone(self.what)
            ended = False
            try:
                await self._send(method, args)
                while True:
                    async with asyncio.timeout(item_seconds_max):
                        frame = await self._receive()
                    if frame[0] == "end":
                        ended = True
                        return
                    yield _answer(self.what, frame)
            except (Permanent, Transient, RemoteError):
                ended = True
                raise
            except TimeoutError:
                raise ChildTimeout(f"{self.what}.{method}: no item in {item_seconds_max} s") from None
            finally:
                if not ended:
                    self.kill()

    def kill(self) -> None:
        """End the process at once; safe to repeat."""
        if self.alive:
            _kill(self.pid)
            self.retire()

    def retire(self) -> None:
        """Close our end: a living process finishes and leaves by itself."""
        self.alive = False
        self._writer.close()

    def _after(self, error: BaseException) -> None:
        """An answer that is still to come would be taken for the next call's: such a child must go."""
        if not isinstance(error, Permanent | Transient | RemoteError):
            self.kill()

    async def _send(self, method: str, args: tuple[Any, ...]) -> None:
        try:
            self._writer.write(pack([method, *args]))
            await self._writer.drain()
        except OSError as error:
            raise ChildDied(self.what) from error

    async def _receive(self) -> Any:
        try:
            (size,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if size > FRAME_BYTES_MAX:
                raise ChildDied(self.what, f"it sent a frame of {size} bytes")
            frame = msgpack.unpackb(await self._reader.readexactly(size), strict_map_key=False)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise ChildDied(self.what) from error
        except (ValueError, msgpack.UnpackException) as error:
            raise ChildDied(self.what, "it sent what is not a frame") from error
        if not isinstance(frame, list) or len(frame) != 2 or frame[0] not in ("value", "error", "end"):
            raise ChildDied(self.what, "it sent what is not a frame")
        return frame


class RemoteError(FolioError):
    """The child's code raised something that is not ours; carries its class name and text."""


class Child:
    """A process that runs one object, started at the first call and started again after it died."""

    def __init__(
        self, factory: str, settings: Mapping[str, Any] | None = None, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self._factory = factory
        self._settings = dict(settings or {})
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._remote: Remote | None = None
        self._starting = asyncio.Lock()
        self.starts = 0

    async def call(self, method: str, *args: Any, seconds_max: float | None = None) -> Any:
        """See Remote.call. A caller that waited while another's call killed the child gets a new child."""
        while True:
            remote = await self.remote()
            try:
                return await remote.call(method, *args, seconds_max=seconds_max)
            except ChildGone:
                continue

    async def remote(self) -> Remote:
        """The running child's end, started if need be. Raises what its factory raised."""
        async with self._starting:
            if self._remote is None or not self._remote.alive or self._has_ended():
                await self._start()
            assert self._remote is not None
            return self._remote

    def _has_ended(self) -> bool:
        """It may have died between two calls (the kernel was out of memory): then the next call is not to blame."""
        idle = self._process is not None and self._remote is not None and not self._remote._turn.locked()
        return idle and self._process is not None and self._process.poll() is not None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def close(self, *, seconds_max: float = 10.0) -> None:
        """Let it finish and leave by itself, else kill it."""
        process, self._process, remote, self._remote = self._process, None, self._remote, None
        if remote is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds_max), remote._turn:
                    remote.retire()
        if process is not None:
            try:
                await asyncio.to_thread(process.wait, seconds_max)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)

    async def _start(self) -> None:
        if self._remote is not None:
            self._remote.retire()
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        self._process, ours = spawn("serve", self._factory, self._environment)
        self._remote = await connect(self._factory, ours, self._process.pid)
        self.starts += 1
        try:
            await self._remote.call("__init__", self._settings)
        except BaseException:
            self._remote.kill()  # without its object it can answer nothing; the next call starts another
            raise


class Zygote:
    """A process that has imported a module and nothing else, and forks a fresh child for every `fork`."""

    def __init__(self, factory: str) -> None:
        self._factory = factory
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._starting = asyncio.Lock()

    async def fork(self, settings: Mapping[str, Any]) -> Remote:
        """A fresh child with its own socket; kill it when done with it."""
        async with self._starting:
            if self._process is None or self._process.poll() is not None:
                await self.close()
                self._process, self._control = spawn("fork", self._factory, dict(os.environ))
            assert self._control is not None
            ours, theirs = socket.socketpair()
            try:
                pid = await asyncio.to_thread(_ask_for_fork, self._control, theirs)
            except OSError as error:
                ours.close()
                await self.close()  # it may be dying and not dead yet: the next fork starts another
                raise ChildDied(f"{self._factory} (zygote)") from error
            finally:
                theirs.close()
        remote = await connect(self._factory, ours, pid)
        await remote.call("__init__", dict(settings), seconds_max=30)
        return remote

    async def close(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        self._process = self._control = None


def spawn(way: str, factory: str, environment: Mapping[str, str]) -> "tuple[subprocess.Popen[bytes], socket.socket]":
    """Start `python -m folio.child WAY FACTORY` with a socket to us as its only door."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "folio.child", way, factory, str(theirs.fileno()), str(os.getpid())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=dict(environment),
        )
    return process, ours


async def connect(what: str, ours: socket.socket, pid: int) -> Remote:
    ours.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=STREAM_BYTES)
    return Remote(what, reader, writer, pid)


def pack(frame: Any) -> bytes:
    body: bytes = msgpack.packb(frame)
    return _LENGTH.pack(len(body)) + body


def _answer(what: str, frame: Any) -> Any:
    kind, payload = frame
    if kind == "value":
        return payload
    try:
        name, cause, text = map(str, payload)
        ours = {"Permanent": Permanent, "Transient": Transient}.get(name)
        error = ours(Cause(cause), text) if ours else RemoteError(f"{what}: {name}: {text}")
    except (TypeError, ValueError):
        raise ChildDied(what, "it sent what is not a frame") from None
    raise error


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _ask_for_fork(control: socket.socket, theirs: socket.socket) -> int:
    socket.send_fds(control, [b"f"], [theirs.fileno()])
    answer = control.recv(8)
    if len(answer) != 8:
        raise ConnectionResetError("the zygote is gone")
    return int.from_bytes(answer, "little")


# What runs in the child. -----------------------------------------------------------------------------


def serve(factory: str, door: socket.socket) -> None:
    """Answer frames until the other end closes: first `__init__` with settings, then methods of the object."""
    stream = door.makefile("rb")
    made: Any = None
    with suppress(_DoorClosed):
        while head := stream.read(_LENGTH.size):
            method, *args = msgpack.unpackb(stream.read(_LENGTH.unpack(head)[0]), strict_map_key=False)
            try:
                if method == "__init__":
                    made, answer = _make(factory)(**args[0]), None
                else:
                    answer = getattr(made, method)(*args)
                _reply(door, answer)
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
    packed = pack(frame)
    try:
        door.sendall(packed)
    except OSError as error:
        raise _DoorClosed from error


def _described(error: Exception) -> tuple[str, str, str]:
    if isinstance(error, Permanent | Transient):
        return type(error).__name__, error.cause, error.detail
    if isinstance(error, MemoryError):
        return "Permanent", Cause.RENDER_OOM, ""
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


def _reap(*_signal: object) -> None:
    """Collect children that ended; their CPU time then counts as the zygote's, which the benchmarks rely on."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _fork_for_ever(factory: str, control: socket.socket) -> None:
    _make(factory)
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
