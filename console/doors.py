"""What answers the API over HTTP: a second of importing in a module of its own, done while other things begin."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import uvicorn

from console.api import create_app
from infra.run import Owner


class Server(uvicorn.Server):
    """Signals are the command's to handle."""

    def capture_signals(self) -> Any:
        return nullcontext()


def server_of(owner: Owner, token: str, *, stop: Callable[[], None]) -> Server:
    """Not listening yet: `serve` it over a socket."""
    return Server(uvicorn.Config(create_app(owner, token, stop=stop), log_level="error", lifespan="off", ws="none"))
