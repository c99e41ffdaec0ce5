"""A command's way to an owner: the living one over HTTP, or this very process while the command lasts."""

import asyncio
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from console.client import TIMEOUT_S, Client, OwnerGone
from console.listening import Ready, address_of, configure_telemetry, done_before, listen, until_over
from console.waiting import saying_why
from folio.errors import FolioError, SettingsError
from folio.settings import Settings
from infra.lock import Address, Owned, owner_of
from infra.roles import ALL

if TYPE_CHECKING:  # a client needs no stage
    from infra.working import Worker

T = TypeVar("T")
STARTING_S_MAX = 30.0
GONE_S_MAX = 30.0
"""An owner that ended, or was killed, has given up its folder by then."""
AGAIN_S = 0.1
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Nobody(FolioError):
    """With Kafka: no process serves the API of the folder."""


class Session:
    """Calls go to whoever owns the data folder; when that one ends, the next call finds or becomes the next owner."""

    def __init__(self, settings: Settings, *, port: int = 0, warm: bool = True) -> None:
        self._settings = settings
        self._port = port
        self._warm = warm
        self._own: OwnerThread | None = None
        self._client: Client | None = None
        self._connecting = threading.Lock()
        self._was_met = False

    @property
    def is_owner(self) -> bool:
        return self._own is not None

    def told(self, ask: Callable[[Client], T]) -> T:
        """`call`, and with Kafka, which others keep running, whoever waits is told for what."""
        servers = self._settings.kafka.servers
        with saying_why(self.address, servers) if servers else nullcontext():
            return self.call(ask)

    def call(self, ask: Callable[[Client], T]) -> T:
        """Ask the owner; the next one if it ended in between. Raises Refused, FolioError."""
        deadline = None
        while True:
            client = self._reached()
            try:
                return ask(client)
            except OwnerGone as error:
                now = time.monotonic()
                deadline = deadline or now + GONE_S_MAX
                self._forget(client)
                if now > deadline or (self._own is not None and not self._own.is_alive()):
                    raise FolioError(f"{error}; what was acknowledged is kept: try again") from None
                time.sleep(AGAIN_S)  # a killed process is refused by its port a little before its lock is free

    @property
    def address(self) -> Address:
        return self._reached().address

    def wait(self, seconds: float) -> bool:
        """Let time pass; False when the owner in this process ended (raises what ended it)."""
        if self._own is None:
            time.sleep(seconds)
            return owner_of(self._settings.data) is not None
        self._own.join(seconds)
        self._own.check()
        return self._own.is_alive()

    def close(self) -> None:
        if self._own is not None:
            self._own.stop()
            self._own = None

    def _forget(self, gone: Client) -> None:
        """Look for an owner anew. Raises what ended the owner in this process, if it was that one."""
        if self._own is not None:
            self._own.check()
        with self._connecting:
            if self._client is gone:  # another thread may have found the next one already
                self._client = None

    def _connected(self) -> Client:
        with self._connecting:  # a watch calls from two threads
            if self._client is None:
                address = owner_of(self._settings.data, wait_s=STARTING_S_MAX, told=_waits_for)
                self._client = Client(address or self._become_owner())
            return self._client

    def _reached(self) -> Client:
        """With Kafka nobody becomes the next owner by asking: somebody has to start it. One that was met is waited for.

        Raises Nobody when there was none, or none came back in time.
        """
        deadline, told = time.monotonic() + TIMEOUT_S, False
        while True:
            try:
                client = self._connected()
            except Nobody:
                if not self._was_met or time.monotonic() > deadline:
                    raise
                if not told:
                    ended = f"the folio process that served {self._settings.data} has ended: start it again"
                    told = True
                    print(
                        f"waiting, {TIMEOUT_S:.0f} s at most: {ended}; what was acknowledged is kept and goes on",
                        file=sys.stderr,
                        flush=True,
                    )
            else:
                self._was_met = True
                return client
            time.sleep(AGAIN_S)

    def _become_owner(self) -> Address:
        if self._settings.kafka.servers:  # one process more would take work from those that run for a moment
            raise Nobody(
                f"no folio serves {self._settings.data}: with Kafka a command talks to a process that runs."
                " Start folio run, or name the folder of the one that serves the API with --data"
            )
        server = self._settings.server.model_copy(update={"port": self._port})
        own = OwnerThread(self._settings.model_copy(update={"server": server}), warm=self._warm)
        try:
            address = own.start()
        except Owned:  # somebody was quicker
            other = owner_of(self._settings.data, wait_s=STARTING_S_MAX, told=_waits_for)
            return other or self._become_owner()
        self._own = own
        return address


def _waits_for(pid: int) -> None:
    print(f"waiting: the folio process {pid} is ending, this one goes on then", file=sys.stderr, flush=True)


@contextmanager
def open_session(settings: Settings, *, port: int = 0, warm: bool = True) -> Iterator[Session]:
    """A session for one command. If this process becomes the owner it listens on `port` (0: anywhere).

    `warm` starts the embedder early; a command that embeds nothing does without.
    """
    session = Session(settings, port=port, warm=warm)
    try:
        yield session
    finally:
        session.close()


class OwnerThread:
    """An owner with its API in a thread of this process, for as long as one command lasts."""

    def __init__(self, settings: Settings, *, warm: bool) -> None:
        self._settings = settings
        self._warm = warm
        self._address: Address | None = None
        self._error: BaseException | None = None
        self._up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="owner", daemon=True)

    def start(self) -> Address:
        self._thread.start()
        self._up.wait()
        self.check()
        assert self._address is not None
        return self._address

    def check(self) -> None:
        """Raise what ended the owner, if something did."""
        if self._error is not None:
            raise self._error

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._up.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()

        def ready(_: "Worker", address: Address) -> None:
            self._address = address
            self._up.set()

        await serve(self._settings, self._stop, ready, warm=self._warm)


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    ready: Ready,
    *,
    roles: frozenset[str] = ALL,
    warm: bool = True,
) -> None:
    """Own the folder and answer the API until `stop`, or until a stage cannot go on (then raises its error)."""
    from infra.lock import publish, withdraw
    from infra.run import open_owner

    if settings.server.host not in LOOPBACK and not settings.server.token:
        raise SettingsError(f"server.host = {settings.server.host} is not loopback: set server.token first")
    configure_telemetry(settings)
    async with AsyncExitStack() as stack:
        owning = open_owner(settings, roles, meanwhile=partial(import_module, "console.doors"))
        opening = asyncio.create_task(stack.enter_async_context(owning))
        if not await done_before(opening, stop):  # its turn may be another's
            return
        from console.doors import server_of

        owner = opening.result()
        if warm:
            owner.warm()
        listening = listen(settings.server.host, settings.server.port)
        token = settings.server.token or secrets.token_urlsafe(24)
        server = server_of(owner, token, stop=stop.set)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        address = address_of(settings, listening, token)
        publish(settings.data, address)
        ready(owner, address)
        await until_over(owner, stop, serving)
        withdraw(settings.data)
        server.should_exit = True
        await serving
        if owner.failed.done():
            owner.failed.result()
