"""Pixels of pages in shared memory: slots that page renderers fill and the encoder reads, and who holds which slot."""

import asyncio
import mmap
import os
import tempfile
from collections import deque
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from folio.errors import FolioError

SHARED_FOLDER = Path("/dev/shm")  # noqa: S108 - memory, and each file in it has a random name and our rights only
HEADER_BYTES = mmap.PAGESIZE
GAUGES = 32
SLOTS_MAX = HEADER_BYTES // 8 - GAUGES
LOOK_EVERY_S = 0.002


class Gauge(IntEnum):
    """Numbers that the engine's process shows: what runs now, the others counted since it began."""

    RUNNING = 0
    WAITING = 1
    STEPS = 2
    STEPS_WITH_PROMPTS = 3
    TOKENS = 4
    ENCODED = 5
    ENCODE_NS = 6
    PREEMPTIONS = 7
    STEP_CPU_NS = 8
    WINDOW = 9


class Arena:
    """One file in memory: a header that says which ticket of each slot was encoded last, then the slots.

    A ticket is a page's number, from 1, never used twice. The encoder's process writes `encoded(slot, ticket)` when it
    has copied the pixels; nothing else crosses back this way, so no lock is needed.
    """

    def __init__(self, path: Path, slots: int, slot_bytes: int) -> None:
        if not 1 <= slots <= SLOTS_MAX:
            raise FolioError(f"the page arena holds 1 to {SLOTS_MAX} slots, not {slots}: a defect of folio")
        self.path = path
        self.slots = slots
        self.slot_bytes = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), HEADER_BYTES + slots * self.slot_bytes)
        self._encoded: NDArray[np.int64] = np.frombuffer(self._memory, np.int64, slots)
        self._gauges: NDArray[np.int64] = np.frombuffer(self._memory, np.int64, GAUGES, offset=SLOTS_MAX * 8)
        self._pixels: NDArray[np.uint8] = np.frombuffer(self._memory, np.uint8, offset=HEADER_BYTES)

    @classmethod
    def create(cls, slots: int, slot_bytes: int) -> "Arena":
        """Raises FolioError when there is no room for it: it is taken whole, so that no page finds it full later."""
        folder = SHARED_FOLDER if SHARED_FOLDER.is_dir() else Path(tempfile.gettempdir())
        handle, name = tempfile.mkstemp(prefix="folio-pages-", dir=folder)
        whole = HEADER_BYTES + slots * -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        try:
            os.posix_fallocate(handle, 0, whole)
        except OSError as error:
            Path(name).unlink()
            raise FolioError(
                f"{folder}: {whole >> 20} MiB for pages are not free ({error.strerror}):"
                " give the container more shared memory (docker run --shm-size)"
            ) from None
        finally:
            os.close(handle)
        return cls(Path(name), slots, slot_bytes)

    def slot(self, index: int) -> NDArray[np.uint8]:
        """The bytes of one slot, flat; writes are seen by every process."""
        begin = index * self.slot_bytes
        return self._pixels[begin : begin + self.slot_bytes]

    @property
    def whole(self) -> NDArray[np.uint8]:
        """All slots one after the other, for whoever registers the memory with a device."""
        return self._pixels

    def encoded(self, slot: int, ticket: int) -> None:
        """The encoder has the pixels of this ticket: its slot may be filled again."""
        self._encoded[slot] = ticket

    def encoded_last(self, slot: int) -> int:
        return int(self._encoded[slot])

    def show(self, gauge: Gauge, value: int) -> None:
        self._gauges[gauge] = value

    def count(self, gauge: Gauge, more: int = 1) -> None:
        """One process writes a gauge, so nothing is lost."""
        self._gauges[gauge] += more

    @property
    def gauges(self) -> dict[str, int]:
        return {gauge.name.lower(): int(self._gauges[gauge]) for gauge in Gauge}

    def unlink(self) -> None:
        """Take the name away; the memory goes with the last process that has it open."""
        self.path.unlink(missing_ok=True)


class Slots:
    """Who may fill which slot: `take` waits for a free one, `lend` hands it to the encoder until it is encoded."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._free: deque[int] = deque(range(arena.slots))
        self._lent: dict[int, int] = {}
        self._turn = asyncio.Lock()

    @property
    def free(self) -> int:
        self._reclaim()
        return len(self._free)

    async def take(self) -> int:
        """A slot that nobody reads; first come, first served. Give it back with `put` or `lend`."""
        async with self._turn:
            self._reclaim()
            while not self._free:
                await asyncio.sleep(LOOK_EVERY_S)
                self._reclaim()
            return self._free.popleft()

    def put(self, slot: int) -> None:
        """Not used: nobody was told of it."""
        self._free.append(slot)

    def lend(self, slot: int, ticket: int) -> None:
        """The engine knows of it now; it comes back by itself."""
        self._lent[slot] = ticket

    def _reclaim(self) -> None:
        back = [slot for slot, ticket in self._lent.items() if self._arena.encoded_last(slot) == ticket]
        for slot in back:
            del self._lent[slot]
            self._free.append(slot)


def as_tensor(pixels: NDArray[np.uint8]) -> Any:
    """The same memory as a torch tensor, without a copy."""
    import torch

    return torch.from_numpy(pixels)
