"""One HTTP server, asked by many at once: pooled connections, one deadline a call, and failures told apart.

A server that is away, busy or slow is Transient: the stage repeats the page, and calls hold back until the server is
due again. What it refuses about one page is that page's fault alone.
"""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from folio.errors import Cause, Transient

CONNECT_S = 5.0
PAUSE_S, PAUSE_MAX_S = 0.5, 30.0
RETRY_AFTER_MAX_S = 120.0
"""A server may ask for more; it is asked again after this long."""
ANSWER_BYTES_MAX = 4 << 20
"""Many times what a page can hold."""
EVENTS_BYTES_MAX = 16 << 20
"""The same in events, each of which repeats who says it."""
LARGE_EVENT_BYTES = 1 << 14
"""What is larger than any server's event for a token is looked at beside the loop, which others wait for."""
EVENTS_END = "[DONE]"
SAID_MAX = 200
"""Characters of a server's own words in our messages."""
BUSY = frozenset({408, 425, 429})
OURS = frozenset({401, 403, 404, 405, 407})
"""The settings' fault, not the page's: nothing is given up, the page waits until somebody has seen to it."""


def _alive() -> list[tuple[int, int, int]]:
    """A peer that vanished without a word is noticed in half a minute, whatever the deadline."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


class Refused(Exception):
    """The server answered this one request with a status of 4xx."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status} {said}")
        self.status = status


class Unanswered(Transient):
    """The request was sent and no whole answer came: what was asked may be the reason."""


class Server:
    """`url` ends with the version (`http://host:8000/v1`). `lost` counts connections that ended before their answer.

    Paths without a leading slash are below `url`, those with one below its host.
    """

    def __init__(self, url: str, *, api_key: str = "", connections_max: int = 64) -> None:
        self.url = url.rstrip("/")
        self.lost = 0
        self._due_s = 0.0
        self._pause_s = 0.0
        self._turns = asyncio.Semaphore(connections_max)
        limits = httpx.Limits(max_connections=connections_max, max_keepalive_connections=connections_max)
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(limits=limits, socket_options=_alive()),
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            headers={"authorization": f"Bearer {api_key}"} if api_key else {},
            follow_redirects=False,
        )

    async def get(self, path: str, *, seconds_max: float) -> Any:
        return await self._asked("GET", path, None, seconds_max)

    async def post(self, path: str, body: Mapping[str, Any], *, seconds_max: float) -> Any:
        """The answer's JSON. Raises Refused for this request alone, Transient when the server is away, busy or slow."""
        return await self._asked("POST", path, body, seconds_max)

    async def listen(
        self, path: str, body: Mapping[str, Any], hear: Callable[[Any], bool], *, seconds_max: float
    ) -> None:
        """The same for an answer that comes in events: `hear` takes each one's JSON, and hangs up by saying True."""
        await self._asked("POST", path, body, seconds_max, hear)

    async def close(self) -> None:
        await self._client.aclose()

    async def _asked(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        seconds_max: float,
        hear: Callable[[Any], bool] | None = None,
    ) -> Any:
        async with self._turns:
            await asyncio.sleep(max(0.0, self._due_s - time.monotonic()))
            try:
                async with asyncio.timeout(seconds_max):
                    answer = await self._sent(method, path, body, hear)
            except TimeoutError:
                raise self._failed(f"no whole answer in {seconds_max:g} s", kind=Unanswered) from None
            except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
                self.lost += isinstance(error, httpx.TransportError)
                kind = Transient if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) else Unanswered
                raise self._failed(f"{type(error).__name__}: {error}", kind=kind) from None
            self._pause_s = 0.0
            return answer

    async def _sent(
        self, method: str, path: str, body: Mapping[str, Any] | None, hear: Callable[[Any], bool] | None
    ) -> Any:
        """Raises ValueError for an answer that is too large or no JSON."""
        url = f"{self.url.removesuffix('/v1')}{path}" if path.startswith("/") else f"{self.url}/{path}"
        async with self._client.stream(method, url, json=body) as response:
            if hear is not None and response.is_success:
                return await _heard(response, hear)
            said = bytearray()
            async for part in response.aiter_bytes():
                said += part
                if len(said) > ANSWER_BYTES_MAX:
                    raise ValueError("an answer without end")
            if response.is_success:
                return httpx.Response(200, content=bytes(said)).json()
            raise self._refusal(response, said.decode(errors="replace"))

    def _refusal(self, response: httpx.Response, said: str) -> Exception:
        status, words = response.status_code, " ".join(said.split())[:SAID_MAX]
        if status in BUSY:
            cause = Cause.QUOTA if status == httpx.codes.TOO_MANY_REQUESTS else Cause.ENGINE_DOWN
            return self._failed(f"busy ({status})", cause=cause, after_s=_retry_after_s(response))
        if status in OURS:
            what = "refuses our key: set remote.api_key" if status in {401, 403} else "knows no such address"
            return self._failed(f"{what} ({status} {words})")
        if 400 <= status < 500:
            return Refused(status, words)
        if status == httpx.codes.INTERNAL_SERVER_ERROR:  # one page may upset it: the others go on
            return self._failed(f"{status} {words}", kind=Unanswered, after_s=_retry_after_s(response) or 0.0)
        return self._failed(f"{status} {words}", after_s=_retry_after_s(response))

    def _failed(
        self,
        what: str,
        *,
        cause: Cause = Cause.ENGINE_DOWN,
        after_s: float | None = None,
        kind: type[Transient] = Transient,
    ) -> Transient:
        """Calls to come hold back: as long as the server asks for, else twice as long each time."""
        self._pause_s = min(max(PAUSE_S, 2 * self._pause_s), PAUSE_MAX_S)
        wait_s = self._pause_s if after_s is None else min(after_s, RETRY_AFTER_MAX_S)
        self._due_s = max(self._due_s, time.monotonic() + wait_s)
        return kind(cause, f"{self.url}: {what}")


async def _heard(response: httpx.Response, hear: Callable[[Any], bool]) -> None:
    """Raises ValueError for an event, or an answer, that is too large or no JSON."""

    def ends(line: bytes) -> bool:
        event = line.removeprefix(b"data:").strip()
        return line.startswith(b"data:") and (event == EVENTS_END.encode() or hear(json.loads(event)))

    held, whole = b"", 0
    async for part in response.aiter_bytes():
        whole += len(part)
        if whole > EVENTS_BYTES_MAX or len(held) + len(part) > ANSWER_BYTES_MAX:
            raise ValueError("an answer without end")
        *lines, held = (held + part).split(b"\n")
        for line in lines:
            if await asyncio.to_thread(ends, line) if len(line) > LARGE_EVENT_BYTES else ends(line):
                return
    ends(held)


def _retry_after_s(response: httpx.Response) -> float | None:
    """Seconds or a date, as the header may have it; None without one that can be read."""
    said = response.headers.get("retry-after", "")
    with suppress(ValueError):
        return max(0.0, float(said))
    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    return None
