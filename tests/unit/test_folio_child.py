"""Children: calls and streams over a socket, errors as data, and deaths that blame nobody else."""

import asyncio
import os
import resource
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgpack
import pytest

from folio.child import Child, ChildDied, ChildTimeout, Remote, RemoteError, Zygote, connect
from folio.errors import Cause, Permanent, Transient

WORKER = "tests.unit.test_folio_child:Worker"  # by its name, so that the child imports it


class Worker:
    """Runs in the child."""

    def __init__(self, greeting: str = "hello", fail: str = "") -> None:
        if fail:
            raise ValueError(fail)
        self.greeting = greeting

    def greet(self, name: str) -> str:
        return f"{self.greeting}, {name}"

    def fill_memory(self) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + (64 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        size, kept = 1 << 20, []
        while size:
            try:
                kept.append(bytes(size))
            except MemoryError:
                size //= 2
        raise MemoryError

    def echo(self, value: object) -> object:
        return value

    def raise_(self, kind: str) -> None:
        raise {
            "permanent": Permanent(Cause.ENCRYPTED, "locked"),
            "transient": Transient(Cause.ENGINE_DOWN),
            "file": FileNotFoundError("no such file"),
            "memory": MemoryError(),
            "odd": ValueError("odd \udcff"),
        }[kind]

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def sleep(self, seconds: float) -> int:
        time.sleep(seconds)
        return os.getpid()

    def count(self, upto: int, fail_at: int = -1) -> Iterator[int]:
        for n in range(upto):
            if n == fail_at:
                raise OSError("the file ended")
            yield n


@pytest.fixture
async def child() -> AsyncIterator[Child]:
    child = Child(WORKER, {"greeting": "good day"})
    yield child
    await child.close()


async def test_a_child_imports_nothing_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents lie there, and somebody's scripts."""
    for name in ("asyncio", "msgpack", "struct", "tests", "folio"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    one = Child(WORKER, {"greeting": "hello"})
    try:
        assert await one.call("greet", "folder") == "hello, folder"
    finally:
        await one.close()
    assert not (tmp_path / "ran").exists()


@pytest.fixture
async def zygote() -> AsyncIterator[Zygote]:
    zygote = Zygote(WORKER)
    yield zygote
    await zygote.close()


class TestChild:
    async def test_calls_are_answered_by_the_object_that_was_made(self, child: Child) -> None:
        assert await child.call("greet", "you") == "good day, you"
        frame = {"a": [1, 2.5, None, True, "报告", b"\x00\xff"]}
        assert await child.call("echo", frame) == frame
        assert await child.call("echo", bytes(3_000_000)) == bytes(3_000_000)
        assert child.starts == 1

    async def test_a_child_without_a_byte_left_says_so(self, child: Child) -> None:
        with pytest.raises(Permanent) as memory:
            await child.call("fill_memory")
        assert memory.value.cause is Cause.RENDER_OOM

    async def test_errors_come_back_as_what_they_are_and_the_child_lives_on(self, child: Child) -> None:
        with pytest.raises(Permanent) as permanent:
            await child.call("raise_", "permanent")
        assert (permanent.value.cause, permanent.value.detail) == (Cause.ENCRYPTED, "locked")
        with pytest.raises(Transient):
            await child.call("raise_", "transient")
        with pytest.raises(RemoteError, match="FileNotFoundError: no such file"):
            await child.call("raise_", "file")
        with pytest.raises(RemoteError, match="ValueError: odd"):
            await child.call("raise_", "odd")
        with pytest.raises(Permanent) as memory:
            await child.call("raise_", "memory")
        assert memory.value.cause is Cause.RENDER_OOM
        with pytest.raises(RemoteError, match="AttributeError"):
            await child.call("no_such_method")
        with pytest.raises(RemoteError, match="TypeError"):
            await child.call("echo")
        assert child.starts == 1

    async def test_a_death_fails_its_own_call_only(self, child: Child) -> None:
        answers = await asyncio.gather(
            child.call("greet", "a"), child.call("die"), child.call("greet", "b"), return_exceptions=True
        )
        assert answers[0] == "good day, a"
        assert isinstance(answers[1], ChildDied)
        assert answers[2] == "good day, b"
        assert child.starts == 2

    async def test_a_death_between_two_calls_fails_nobody(self, child: Child) -> None:
        await child.call("greet", "a")
        os.kill(child.pid or 0, signal.SIGKILL)
        await asyncio.sleep(0.05)
        assert await child.call("greet", "b") == "good day, b"

    async def test_a_call_that_takes_too_long_is_ended_with_its_process(self, child: Child) -> None:
        await child.call("greet", "a")
        pid = child.pid
        with pytest.raises(ChildTimeout):
            await child.call("sleep", 30, seconds_max=0.1)
        assert await child.call("greet", "b") == "good day, b"
        assert child.pid != pid

    async def test_a_cancelled_call_never_gives_its_answer_to_the_next(self, child: Child) -> None:
        calling = asyncio.create_task(child.call("sleep", 0.2))
        await asyncio.sleep(0.15)
        calling.cancel()
        await asyncio.wait({calling})
        assert await child.call("greet", "b") == "good day, b"

    async def test_a_factory_that_fails_says_so_every_time(self) -> None:
        child = Child(WORKER, {"fail": "no model"})
        for _ in range(2):
            with pytest.raises(RemoteError, match="no model"):
                await child.call("greet", "a")
        await child.close()

    async def test_close_ends_the_process_and_does_not_wait_for_a_call_that_hangs(self, child: Child) -> None:
        await child.call("greet", "a")
        pid = child.pid or 0
        calling = asyncio.create_task(child.call("sleep", 30))
        await asyncio.sleep(0.05)
        await child.close(seconds_max=0.2)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with pytest.raises(ChildDied):
            await calling


class TestZygote:
    async def test_every_fork_is_a_fresh_object_in_its_own_process(self, zygote: Zygote) -> None:
        one, two = await zygote.fork({"greeting": "hi"}), await zygote.fork({})
        assert await one.call("greet", "x") == "hi, x"
        assert await two.call("greet", "x") == "hello, x"
        assert one.pid != two.pid
        one.kill()
        with pytest.raises(ChildDied):
            await one.call("greet", "x")
        assert await two.call("greet", "x") == "hello, x"
        two.kill()

    async def test_a_stream_yields_as_it_comes_and_an_error_ends_it(self, zygote: Zygote) -> None:
        remote = await zygote.fork({})
        assert [n async for n in remote.stream("count", 1000)] == list(range(1000))
        seen = []
        with pytest.raises(RemoteError, match="the file ended"):
            async for n in remote.stream("count", 10, 4):
                seen += [n]
        assert seen == [0, 1, 2, 3]
        assert await remote.call("greet", "x") == "hello, x"
        remote.kill()

    async def test_a_stream_that_is_left_ends_its_process(self, zygote: Zygote) -> None:
        remote = await zygote.fork({})
        stream = remote.stream("count", 10**9)
        assert await anext(stream) == 0
        await stream.aclose()
        assert not remote.alive

    async def test_children_end_with_the_zygote(self, zygote: Zygote) -> None:
        remote = await zygote.fork({})
        await zygote.close()
        with pytest.raises(ChildDied):
            await remote.call("sleep", 30, seconds_max=10)


class TestHostileChild:
    @pytest.mark.parametrize(
        "sent",
        [
            b"\xff\xff\xff\xff",
            struct.pack("<I", 3) + b"\xc1\xc1\xc1",
            struct.pack("<I", 1) + b"\x01",
            *(
                struct.pack("<I", len(frame)) + frame
                for frame in map(
                    msgpack.packb,
                    [
                        {"value": 1},
                        ["value"],
                        ["error", None],
                        ["error", ["Permanent", "no such cause", ""]],
                        ["eval", 1],
                    ],
                )
            ),
            struct.pack("<I", 100_000) + b"\x91" * 100_000,
        ],
    )
    async def test_what_is_not_a_frame_is_a_dead_child_and_nothing_else(self, sent: bytes) -> None:
        ours, theirs = socket.socketpair()
        sleeper = await asyncio.create_subprocess_exec("sleep", "30")
        remote: Remote = await connect("hostile", ours, sleeper.pid)
        theirs.sendall(sent)
        with pytest.raises(ChildDied):
            await remote.call("anything")
        assert await sleeper.wait() == -signal.SIGKILL
        theirs.close()
