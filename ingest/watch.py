"""A folder that keeps filling: its files, each as soon as nobody has written to it for a while."""

import asyncio
import stat
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import watchfiles

from folio.errors import FolioError
from ingest.folder import Choice, walk

RESCAN_S = 300.0
"""The system drops notices when thousands come at once; looking at everything now and then finds what was dropped."""
_TICK_S_MIN, _TICK_S_MAX = 0.1, 1.0
_EMPTY_WAITS = 10
"""A file of no bytes waits this many times as long: most are about to be filled."""
_POLL_MS = 2000
Looks = tuple[int, int]
"""Size and modification time: what must not change for a file to count as settled."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A file that is ready to be added, or one (or a folder) that cannot be read, which is said once."""

    path: Path
    problem: str = ""


@dataclass(slots=True)
class _Waiting:
    looks: Looks
    since: float


async def settled_files(
    folder: Path,
    choice: Choice | None = None,
    *,
    settle_s: float = 2.0,
    poll: bool = False,
    stop: asyncio.Event | None = None,
) -> AsyncGenerator[Settled, None]:
    """All that is there, in order of paths, then what comes or changes; ends with `stop` only.

    A file counts once its size and time have not changed for `settle_s`. What was given before a restart is given
    again: adding is idempotent. `poll` is for network folders, whose systems send no notices. A folder that goes away
    is said once, and waited for. Raises FolioError when there is no such folder, or the system cannot watch it.
    """
    if not folder.is_dir():
        raise FolioError(f"{folder}: there is no such folder to watch")
    stop = stop or asyncio.Event()
    folder = folder.absolute()  # the system's notices name absolute paths
    watch = _Watch(folder, choice or Choice(), settle_s)
    while not stop.is_set():
        async with aclosing(_notices(folder, stop, poll=poll, tick_s=watch.tick_s)) as notices:
            async for paths in notices:
                for settled in await asyncio.to_thread(watch.look, paths):
                    yield settled
        if not stop.is_set() and not folder.is_dir():
            yield Settled(folder, "the folder is gone; folio waits for it to come back")
        watch.start_over()
        while not stop.is_set() and not folder.is_dir():
            await asyncio.sleep(watch.tick_s)


async def _notices(folder: Path, stop: asyncio.Event, *, poll: bool, tick_s: float) -> AsyncGenerator[set[Path], None]:
    """Paths that something happened to; an empty set at every tick; ends when the folder is gone."""
    changes = watchfiles.awatch(
        folder,
        watch_filter=None,
        debounce=200,
        rust_timeout=round(tick_s * 1000),
        yield_on_timeout=True,
        stop_event=stop,
        force_polling=poll or None,
        poll_delay_ms=_POLL_MS,
        ignore_permission_denied=True,
    )
    which = _which(folder)
    try:
        async for seen in changes:  # the first one comes when the system watches already, so a scan then misses nothing
            if _which(folder) != which:
                return
            yield {Path(path) for _, path in seen}
    except (OSError, RuntimeError) as error:
        raise FolioError(
            f"{folder}: the system does not watch it ({error}). Raise fs.inotify.max_user_watches, or use polling."
        ) from None


class _Watch:
    """What is known of the folder's files. Runs in a thread: a network folder may take its time to answer."""

    def __init__(self, folder: Path, choice: Choice, settle_s: float) -> None:
        self._folder = folder
        self._choice = choice
        self._settle_s = settle_s
        self._waiting: dict[Path, _Waiting] = {}
        self._given: dict[Path, Looks] = {}
        self._unreadable: set[Path] = set()
        self._problems: list[Settled] = []
        self._scanned: float | None = None
        self.tick_s = min(_TICK_S_MAX, max(_TICK_S_MIN, settle_s / 2))

    def look(self, paths: set[Path]) -> list[Settled]:
        """Take notice of the paths, and give what has settled, in order."""
        if self._scanned is None or time.monotonic() - self._scanned > RESCAN_S:
            self._scan(self._folder)
            self._scanned = time.monotonic()
        for path in sorted(paths):
            self._notice(path)
        problems, self._problems = self._problems, []
        return [*problems, *self._ready()]

    def start_over(self) -> None:
        """The folder is another one now: everything is looked at again, what was given already is known."""
        self._scanned = None

    def _scan(self, place: Path) -> None:
        for path in walk(self._folder, self._choice, trouble=self._trouble, under=place):
            self._see(path, first=self._scanned is None)

    def _notice(self, path: Path) -> None:
        """A folder that was moved here comes with one notice for all that is in it."""
        inside = path.relative_to(self._folder)
        if path.is_dir() and not path.is_symlink():
            if path != self._folder and self._choice.enters(inside):
                self._scan(path)
        elif self._choice.takes(inside):
            self._see(path, first=False)

    def _see(self, path: Path, *, first: bool) -> None:
        """A file may have changed. At the start, one that was left alone for long enough needs no waiting."""
        looks = _looks(path)
        if looks is None:
            self._forget(path)
        elif looks != self._given.get(path):
            known = self._waiting.get(path)
            if known is None or known.looks != looks:
                old = first and looks[0] > 0 and time.time() - looks[1] / 1e9 >= self._settle_s
                self._waiting[path] = _Waiting(looks, float("-inf") if old else time.monotonic())

    def _ready(self) -> Iterator[Settled]:
        now = time.monotonic()
        for path in sorted(self._waiting):
            waiting = self._waiting[path]
            if now - waiting.since < self._settle_s * (1 if waiting.looks[0] else _EMPTY_WAITS):
                continue
            looks = _looks(path)
            if looks is None:
                self._forget(path)
            elif looks != waiting.looks:
                self._waiting[path] = _Waiting(looks, now)
            else:
                del self._waiting[path]
                yield from self._give(path, looks)

    def _give(self, path: Path, looks: Looks) -> Iterator[Settled]:
        """What cannot be opened is said once, and tried again whenever something happens to it."""
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            if path not in self._unreadable:
                self._unreadable.add(path)
                yield Settled(path, f"it cannot be read: {error.strerror or error}")
            return
        self._unreadable.discard(path)
        self._given[path] = looks
        yield Settled(path)

    def _trouble(self, path: Path, error: OSError) -> None:
        if path not in self._unreadable:
            self._unreadable.add(path)
            self._problems.append(Settled(path, f"it cannot be listed: {error.strerror or error}"))

    def _forget(self, path: Path) -> None:
        """A file that went: nothing is taken back, and the same name later is a new file."""
        self._waiting.pop(path, None)
        self._given.pop(path, None)
        self._unreadable.discard(path)


def _which(folder: Path) -> int | None:
    """A folder that was removed and made again is another one, which nobody watches yet."""
    try:
        return folder.stat().st_ino
    except OSError:
        return None


def _looks(path: Path) -> Looks | None:
    """None for what is no file: a dead link may become one, and a pipe would be waited on for ever."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
