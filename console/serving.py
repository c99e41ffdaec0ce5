"""`folio run`: own the folder, say where, serve until Ctrl-C or SIGTERM, leave cleanly."""

import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from console.listening import Ready, address_of, configure_telemetry, done_before, listen, until_over
from console.options import Exit
from folio.errors import FolioError
from folio.settings import Settings
from infra.lock import Address, Owned, owner_of
from infra.places import PRIVATE
from infra.roles import ALL, API

if TYPE_CHECKING:
    from console.session import Session
    from infra.working import Worker


def run_until_stopped(settings: Settings, roles: frozenset[str] = ALL, *, as_json: bool) -> None:
    """Raises FolioError when somebody else owns the folder, or when a stage cannot go on."""
    try:
        asyncio.run(_run(settings, roles, as_json=as_json))
    except Owned:
        other = owner_of(settings.data, wait_s=5)
        where = f" (process {other.pid}, port {other.port})" if other else ""
        raise FolioError(f"{settings.data} is owned by another folio{where}: stop it, or use another --data") from None


async def _run(settings: Settings, roles: frozenset[str], *, as_json: bool) -> None:
    stop = asyncio.Event()
    os.umask(PRIVATE)

    def leave() -> None:
        if stop.is_set():  # asked twice: at once
            os._exit(Exit.INTERRUPTED)
        stop.set()
        _say("stopping: what is being read or embedded is finished or put back, a few seconds at most")

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, leave)

    def ready(worker: "Worker", address: Address) -> None:
        stages = [stage.name for stage in worker.parts.stages]
        if as_json:
            where = {"pid": address.pid, "host": address.host, "port": address.port}
            print(json.dumps(where | {"roles": sorted(roles), "stages": stages}), flush=True)
        if API in roles:
            _say(f"folio owns {settings.data} and listens on http://{address.host}:{address.port}")
            _say("other folio commands with the same --data find it by themselves; Ctrl-C stops")
        else:
            _say(f"folio runs {', '.join(stages)}; health on http://{address.host}:{address.port}; Ctrl-C stops")

    if API in roles:
        from console.session import serve  # half a second that a stage without doors need not wait for

        await serve(settings, stop, ready, roles=roles)
    else:
        await _work(settings, stop, ready, roles=roles)
    _say("stopped; everything acknowledged is kept")


async def _work(settings: Settings, stop: asyncio.Event, ready: Ready, *, roles: frozenset[str]) -> None:
    """Run stages that answer nobody but a probe for their health, until `stop`, or until one cannot go on."""
    from console.health import health
    from infra.run import open_worker

    configure_telemetry(settings)
    async with AsyncExitStack() as stack:
        opening = asyncio.create_task(stack.enter_async_context(open_worker(settings, roles)))
        if not await done_before(opening, stop):  # a ledger may be in line for days
            return
        worker = opening.result()
        # The port that people know is for the API: a probe is told another one, or has one set.
        port = settings.server.port if "port" in settings.server.model_fields_set else 0
        listening = listen(settings.server.host, port)
        with health(worker, listening):
            ready(worker, address_of(settings, listening, ""))
            await until_over(worker, stop)
        if worker.failed.done():
            worker.failed.result()


def hold(session: "Session", settings: Settings) -> None:
    """Serve on in this process until Ctrl-C; a session that talks to another owner has nothing to hold."""
    address = session.address
    if not session.is_owner:
        _say(f"served by process {address.pid} on http://{address.host}:{address.port}")
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _say(
        f"folio serves {settings.data} on http://{address.host}:{address.port}; ask in another terminal, Ctrl-C stops:"
    )
    _say('  .venv/bin/folio search "your question"')
    try:
        while session.wait(3600.0):
            pass
    except KeyboardInterrupt:
        session.close()
        _say("stopped; everything acknowledged is kept")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
