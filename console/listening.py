"""What every process that runs has: a place to listen at, a log of its own, and an end."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from folio import telemetry
from folio.errors import FolioError
from folio.settings import Settings
from infra.lock import Address

if TYPE_CHECKING:  # a client needs no stage
    from infra.working import Worker

Ready = Callable[["Worker", Address], None]
"""Told when the process is at work."""


def configure_telemetry(settings: Settings) -> None:
    telemetry.configure(level=settings.telemetry.level, json=settings.telemetry.json_lines)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; any free port when the wanted one is taken."""
    for wanted in (port, 0):
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, wanted))
            listening.listen(128)
        except OSError as error:
            listening.close()
            if wanted == 0:
                raise FolioError(f"cannot listen on {host}: {error.strerror}") from None
        else:
            return listening
    raise AssertionError("one of the two ports was tried last")


def address_of(settings: Settings, listening: socket.socket, token: str) -> Address:
    return Address(os.getpid(), settings.server.host, listening.getsockname()[1], token)


async def until_over(worker: "Worker", stop: asyncio.Event, *also: "asyncio.Future[Any]") -> None:
    """Until the stop, or until a stage of the worker (or what else is named) has ended."""
    stopping = asyncio.create_task(stop.wait())
    ends: list[asyncio.Future[Any]] = [stopping, worker.failed, *also]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()


async def done_before(task: "asyncio.Task[Any]", stop: asyncio.Event) -> bool:
    """False when the stop came first: the task is cancelled then, and has ended."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
        return False
    return True
