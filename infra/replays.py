"""The replays of one process: planned, begun, told about, stopped, and taken up again after a kill."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from pydantic import ValidationError

from folio.errors import FolioError, Gone
from folio.faults import effect
from folio.log import Log
from folio.stage import Stage
from folio.telemetry import log as logger
from folio.topics import TEXTS
from infra.intake import Unknown
from infra.lock import holding, is_held
from infra.replay import Asked, Plan, Replay, Run, plan, stretch

KEPT_MAX = 100
"""Replays that ended and are still listed."""
LOCK = ".lock"
"""Beside a replay's file, held by the process that is at work on it."""
STOP = ".stop"
"""Beside a replay's file: another process wants it to stop."""
STOP_S = 0.1


def reader_of(stages: Sequence[Stage], topic: str) -> Stage:
    """The stage that reads a topic and does something with each record. Raises FolioError when it is not here."""
    for stage in stages:
        names = [source.name for source in stage.sources]
        if topic in names and TEXTS.name not in names:  # the ledger takes everything in, and replays by itself
            return stage
    raise FolioError(f"this process does not run the stage that reads {topic}: see folio replay --help")


class Replays:
    """Each is a file in `folder` from the moment that it begins. `stage_of` names the stage that reads a topic."""

    def __init__(
        self,
        log: Log,
        folder: Path,
        stage_of: Callable[[str], Stage],
        *,
        pages_ocr: Callable[[str], int] | None = None,
    ) -> None:
        self._log = log
        self._folder = folder
        self._stage_of = stage_of
        self._pages_ocr = pages_ocr
        self._known: dict[str, Replay] = {one.id: one for one in read_replays(folder)}
        self._stops: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def plan(self, asked: Asked) -> Plan:
        """What it would read; changes nothing. Raises FolioError when this process cannot read it."""
        self._stage_of(asked.topic)
        return await plan(self._log, asked, pages_ocr=self._pages_ocr)

    async def begin(self, asked: Asked) -> Replay:
        """On record when this returns, and at work. It ends where the topic ends now."""
        self._stage_of(asked.topic)
        starts, ends = await stretch(self._log, asked)
        replay = Replay(id=secrets.token_hex(4), asked=asked, starts=starts, ends=ends, created_ms=_now_ms())
        self._keep(replay)
        self._work(replay)
        return replay

    def every(self) -> list[Replay]:
        """The newest first."""
        return sorted(self._known.values(), key=lambda one: one.created_ms, reverse=True)

    def one(self, replay_id: str) -> Replay:
        """Raises Unknown."""
        if replay_id not in self._known:
            raise Unknown(f"there is no replay {replay_id!r}: folio replay --list shows what there is")
        return self._known[replay_id]

    async def stop(self, replay_id: str) -> Replay:
        """What is being read ends or is put back; it can be resumed."""
        replay = self.one(replay_id)
        if replay.state == "running":
            self._keep(replay.model_copy(update={"state": "stopped", "ended_ms": _now_ms()}))
            if replay_id in self._tasks:
                self._stops[replay_id].set()
                await asyncio.wait({self._tasks[replay_id]})
        return self.one(replay_id)

    async def resume(self, replay_id: str, *, accept_gap: bool = False) -> Replay:
        """Go on with one that was stopped or failed. `accept_gap`: over what retention took meanwhile."""
        replay = self.one(replay_id)
        if replay.state == "done" or (replay_id in self._tasks and not self._tasks[replay_id].done()):
            raise FolioError(f"replay {replay_id} is {replay.state}: there is nothing to resume")
        changes = {"state": "running", "detail": "", "ended_ms": 0, "accept_gap": accept_gap}
        replay = replay.model_copy(update=changes)
        self._work(replay)
        self._keep(replay)
        return replay

    def take_up(self) -> None:
        """Go on with those that were at work when the process before this one ended."""
        for replay in self.every():
            if replay.state == "running":
                self._work(replay)

    async def close(self) -> None:
        """Let each finish what it reads, within its stage's grace; the next process goes on with them."""
        for stop in self._stops.values():
            stop.set()
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    def _work(self, replay: Replay) -> None:
        """Raises FolioError when another process is at work on it."""
        lock = ExitStack()
        if not lock.enter_context(holding(self._folder / f"{replay.id}{LOCK}")):
            lock.close()
            raise FolioError(f"another process is at work on replay {replay.id}: folio replay --stop {replay.id}")
        (self._folder / f"{replay.id}{STOP}").unlink(missing_ok=True)
        self._stops[replay.id] = asyncio.Event()
        self._tasks[replay.id] = asyncio.create_task(self._run(replay, lock))

    async def _run(self, replay: Replay, lock: ExitStack) -> None:
        with lock:
            await self._run_out(replay)

    async def _run_out(self, replay: Replay) -> None:
        """A replay that cannot go on says why; its process, and everything live in it, goes on."""
        run = None
        try:
            run = Run(self._log, replay, self._stage_of(replay.asked.topic), self._told)
            await run.run(self._stops[replay.id])
            self._told(run.replay)
        except Exception as error:
            logger().error("replay failed", replay=replay.id, reason=str(error), kind=type(error).__name__)
            at = run.replay if run is not None else replay
            gap = f" (folio replay --resume {replay.id} --accept-gap)" if isinstance(error, Gone) else ""
            self._told(at.model_copy(update={"state": "failed", "detail": f"{error}{gap}", "ended_ms": _now_ms()}))

    def _told(self, replay: Replay) -> None:
        """News of one. That it was stopped meanwhile, here or by another process, stays so."""
        wanted = self._folder / f"{replay.id}{STOP}"
        if wanted.exists():
            self._known[replay.id] = replay.model_copy(update={"state": "stopped", "ended_ms": _now_ms()})
            self._stops[replay.id].set()
            wanted.unlink()
        if self._known[replay.id].state == "stopped" and replay.state == "running":
            ended_ms = self._known[replay.id].ended_ms
            replay = replay.model_copy(update={"state": "stopped", "ended_ms": ended_ms})
        self._keep(replay)

    def _keep(self, replay: Replay) -> None:
        self._known[replay.id] = replay
        self._folder.mkdir(mode=0o700, exist_ok=True)
        unfinished = self._folder / f".{replay.id}"
        unfinished.write_text(replay.model_dump_json(), encoding="utf-8")
        with effect("replay.kept"):
            unfinished.replace(self._folder / f"{replay.id}.json")
        for old in [one for one in self.every() if one.state != "running"][KEPT_MAX:]:
            del self._known[old.id]
            for kept in (".json", LOCK, STOP):
                (self._folder / f"{old.id}{kept}").unlink(missing_ok=True)


def read_replays(folder: Path) -> list[Replay]:
    """Those on record. A file that cannot be read is left alone, and said."""
    found = []
    for path in folder.glob("*.json"):
        try:
            found.append(Replay.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError) as error:
            logger().warning("a replay cannot be read", file=str(path), why=str(error))
    return found


def is_at_work(folder: Path, replay_id: str) -> bool:
    """Some process of this machine is."""
    return is_held(folder / f"{replay_id}{LOCK}")


async def stop_elsewhere(folder: Path, replay_id: str) -> None:
    """Have the process that is at work on it stop it, and wait until it has."""
    wanted = folder / f"{replay_id}{STOP}"
    wanted.touch()
    while is_at_work(folder, replay_id):
        await asyncio.sleep(STOP_S)
    wanted.unlink(missing_ok=True)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
