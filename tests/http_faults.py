"""A proxy that does to HTTP requests what networks and busy servers do, in front of a real server or of none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

BUSY = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 4\r\n\r\nbusy"
BROKEN = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops"


class Proxy:
    """`fault(body)` names what happens to a request: '', busy, broken, slow, silent, half or garbage."""

    def __init__(self, fault: Callable[[bytes], str]) -> None:
        self.fault = fault
        self.seen: list[str] = []
        self.port = 0
        self.behind = 0
        """The real server's port."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while await self._answered(reader, writer):
                pass
        writer.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; False when the connection is over."""
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
        fault = self.fault(body) if body else ""
        self.seen.append(fault)
        if fault in {"busy", "broken"}:
            writer.write(BUSY if fault == "busy" else BROKEN)
            return True
        if fault == "slow":
            await asyncio.sleep(30)
            return False
        if fault == "silent":  # the connection stays, nobody is behind it
            await reader.read()
            return False
        answer = await self._forwarded(head, body)
        if fault == "half":
            answer = answer[: len(answer) - 20]
        if fault == "garbage":
            answer = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n<html>hi!"
        writer.write(answer)
        await writer.drain()
        return not fault

    async def _forwarded(self, head: bytes, body: bytes) -> bytes:
        """Raises OSError while nobody listens there."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.behind)
        lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith(b"connection:")]
        writer.write(b"\r\n".join([*lines, b"connection: close", b"", body]))
        answer = await reader.read()
        writer.close()
        if not answer:
            raise OSError("the server went away in the middle")
        return answer.replace(b"connection: close\r\n", b"")
