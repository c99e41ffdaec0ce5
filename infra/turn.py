"""What only one process may do: it is done by the one that holds the one partition of `dead`, in a group for it."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace

from folio.errors import Cause, FolioError, Gone, LeaseLost, SettingsError, Transient
from folio.log import Entry, Lease, Log, Offset, Reader
from folio.outputs import Output
from folio.stage import Stage
from folio.telemetry import log as logger
from folio.topics import DEAD

GROUP = "ledger-turn"
INDEX_GROUP = "index-turn-"
"""For one embedded index: the name of its generation follows."""
LOOK_S = 1.0
ASK_EVERY_S = 0.1
SAID_AFTER_S = 2.0
TRUE_FOR_S = 1.0
"""An answer is that old at most: a process that froze asks anew."""
BYTES_MAX = 1 << 20


class Turn:
    """A lease that the log grants and takes away. A member that is silent for a session loses it to the next.

    `is_ours` asks the log, by a commit that it refuses to whoever is no member any more: so the answer is true when it
    is given. What is left: a process that freezes between the answer and its append. It then appends a revision that
    was numbered before the next ledger began, so the index takes the next ledger's as the newer.
    """

    def __init__(self, log: Log, group: str = GROUP) -> None:
        self._log = log
        self._group = group
        self._reader: Reader | None = None
        self._held_s = -TRUE_FOR_S
        self._away = False
        self._was_ours = False
        self._refused: SettingsError | None = None
        self._next: dict[Lease, Offset] = {}
        """What the group reads next, by lease; what another member read before is told by the log."""

    async def run(self, stop: asyncio.Event) -> None:
        """Stay in line until `stop`."""
        while not stop.is_set():
            try:
                async with self._log.reader((DEAD,), self._group) as self._reader:
                    await self._stay(self._reader, stop)
            except SettingsError as error:
                self._refused = error
                raise
            except Gone:  # retention went past where we stood: there is nothing here that we need
                self._reader = None
                await self._pass_gap()
            finally:
                self._reader = None
                self._next.clear()

    async def is_ours(self) -> bool:
        """False too while the log does not answer."""
        reader, lease = self._reader, self._lease()
        if reader is None or lease is None:
            return False
        try:
            await reader.commit({lease: await self._following(lease)})
        except (LeaseLost, Transient) as error:
            if self._was_ours:  # said once; while a group forms, leases come and go and nothing was lost
                logger().warning("a turn is not ours any more", group=self._group, why=_why(error))
            self._was_ours = False
            return False
        self._was_ours = True
        return True

    async def is_held(self) -> bool:
        """`is_ours`, asked of the log once a second."""
        if time.monotonic() - self._held_s < TRUE_FOR_S:
            return True
        asked_s = time.monotonic()
        if not await self.is_ours():
            return False
        self._held_s = asked_s
        return True

    async def keep(self, stop: asyncio.Event, *, patience_s: float, otherwise: str) -> None:
        """Watch over it until `stop`. Raises SettingsError(otherwise) once another has had it for so long."""
        lost_s = 0.0
        while not stop.is_set():
            lost_s = 0.0 if self._away or await self.is_held() else lost_s + LOOK_S
            if lost_s > patience_s:
                raise SettingsError(otherwise)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_S)

    async def comes_within(self, seconds: float, *, otherwise: str) -> bool:
        """Wait in line, for so long at most; says so when it is not at once, and what is true if it never comes.

        Raises SettingsError when the log refuses us.
        """
        began_s, told = time.monotonic(), False
        while not await self.is_ours():  # a group that forms gives a lease and takes it once more
            if self._refused is not None:
                raise self._refused
            waited_s = time.monotonic() - began_s
            if waited_s > seconds:
                return False
            if waited_s > SAID_AFTER_S and not told:
                told = True
                until = f"another process ends, or the sessions of those that were killed: {seconds:.0f} s at most"
                logger().warning("waits for its turn", group=self._group, until=until, otherwise=otherwise)
            await asyncio.sleep(ASK_EVERY_S)
        return True

    async def _following(self, lease: Lease) -> Offset:
        """A proof must not move the group back: retention would overtake it one day."""
        if lease not in self._next:
            stands = await self._log.committed(self._group, DEAD)
            self._next.setdefault(lease, stands.get(lease.partition, 0))
        return self._next[lease]

    async def _pass_gap(self) -> None:
        try:
            await self._log.accept_gap(self._group, DEAD)
        except FolioError as error:  # another member is in line now, or the log is away: looked at again
            logger().warning("a gap is not passed yet", group=self._group, why=str(error))
            await asyncio.sleep(LOOK_S)

    def _lease(self) -> Lease | None:
        held = self._reader.held() if self._reader is not None else ()
        return next((lease for lease in held if lease.partition == 0), None)

    async def _stay(self, reader: Reader, stop: asyncio.Event) -> None:
        """Reading is what keeps a member's place; what is read is the ledger stage's business."""
        while not stop.is_set():
            try:
                entries = await reader.read(entries_max=1000, bytes_max=BYTES_MAX, wait_s=LOOK_S)
                self._next.update({entry.lease: entry.position.offset + 1 for entry in entries if entry.lease})
                self._away = False
            except Transient:
                self._away = True
                await asyncio.sleep(LOOK_S)


def _why(error: LeaseLost | Transient) -> str:
    if isinstance(error, Transient):
        return str(error)
    return "another process has it now, or this one was silent for a session"


def in_turn(stage: Stage, turn: Turn) -> Stage:
    """The stage, waiting with every entry while the turn is another's: a process that froze may have lost it."""

    async def process(entry: Entry) -> AsyncGenerator[Output, None]:
        if not await turn.is_held():
            raise Transient(Cause.STORE_DOWN, "another process may write the embedded index now")
        async with aclosing(stage.process(entry)) as outputs:
            async for output in outputs:
                yield output

    return replace(stage, process=process)
