"""Work in other processes: an object in a child answers calls and streams over a socket, and may die alone.

Frames are msgpack, never pickle: what a child that opened a hostile file sends back is data. A child ends when its
parent does. `Child` starts one; `Zygote` imports what is needed once and forks from it (the sandbox: one a document).
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any

import msgpack

from folio.errors import Cause, FolioError, Permanent, Transient
from folio.frames import LENGTH, pack

FRAME_BYTES_MAX = 1 << 30
FORKED_FRAME_BYTES_MAX = 128 << 20
"""A child that opened somebody's file may be hostile: it gets no gigabyte of ours."""
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
        self.frame_bytes_max = FRAME_BYTES_MAX
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
            (size,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
            if size > self.frame_bytes_max:
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
        remote.frame_bytes_max = FORKED_FRAME_BYTES_MAX
        await remote.call("__init__", dict(settings), seconds_max=30)
        return remote

    async def close(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        self._process = self._control = None


def cores() -> int:
    """Cores that this process may use: how many children or threads are worth starting."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spawn(way: str, factory: str, environment: Mapping[str, str]) -> "tuple[subprocess.Popen[bytes], socket.socket]":
    """Start `python -m folio.inside WAY FACTORY` with a socket to us as its only door.

    -P: else Python looks for modules in the current folder first, where somebody's documents and scripts lie.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "folio.inside", way, factory, str(theirs.fileno()), str(os.getpid())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=dict(environment),
        )
    return process, ours


async def connect(what: str, ours: socket.socket, pid: int) -> Remote:
    ours.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=STREAM_BYTES)
    return Remote(what, reader, writer, pid)


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
