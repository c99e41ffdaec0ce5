"""A child process whose death is a pause, not an error, and whose calls outlive a caller that gives up."""

import asyncio
from typing import Any

from folio.child import Child, ChildDied
from folio.errors import Cause, Transient


class Steady:
    """Calls into a `Child`. It is started again by the next call after it died; the caller repeats.

    A cancelled caller (a search whose asker went away) must not take the process down with it, so a call that
    has begun is always heard to its end.
    """

    def __init__(self, child: Child, *, died: Cause, what: str) -> None:
        self._child = child
        self._died = died
        self._what = what

    async def call(self, method: str, *args: Any) -> Any:
        calling = asyncio.ensure_future(self._child.call(method, *args))
        calling.add_done_callback(_looked_at)
        try:
            return await asyncio.shield(calling)
        except ChildDied:
            raise Transient(self._died, f"{self._what} ended in the middle of {method}; it is started again") from None

    @property
    def pid(self) -> int | None:
        return self._child.pid

    async def close(self, *, seconds_max: float = 30) -> None:
        """What it writes is let end; a process that holds nothing may be given no time."""
        await self._child.close(seconds_max=seconds_max)


def _looked_at(calling: "asyncio.Future[Any]") -> None:
    """The error of a call that nobody waits for any more is nobody's; the next call meets the same."""
    if not calling.cancelled():
        calling.exception()
