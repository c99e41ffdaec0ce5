"""Where a replay runs, and what is said of it: through the owner of the folder, or in this process over Kafka."""

import asyncio
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from threading import Thread
from typing import Any, Protocol, Self, TypeVar

from pydantic import ValidationError

from console.client import Client
from console.numbers import count
from console.session import open_session
from console.shown import shown
from folio import telemetry
from folio.errors import FolioError
from folio.ids import doc_id_of
from folio.settings import Settings
from folio.topics import BY_NAME
from infra.places import REPLAYS_APART_FOLDER

T = TypeVar("T")
SETTLED_S_MAX = 600.0
Answer = dict[str, Any]


class Doors(Protocol):
    """Who is asked about replays."""

    def ask(self, verb: str, asked: Mapping[str, Any]) -> Answer: ...

    def every(self) -> list[Answer]: ...

    def settle(self) -> None:
        """Wait until what a replay appended has been taken in, where only this process would do it."""
        ...


class Through:
    """The owner of the data folder, over HTTP; this process, when there is none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._session = self._stack.enter_context(open_session(self._settings))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def ask(self, verb: str, asked: Mapping[str, Any]) -> Answer:
        given = {name: str(value).lower() if value is True else value for name, value in asked.items()}
        if given.get("from_ms") == 0:
            given["from_ms"] = "0"  # an empty value is left out of an address
        if given.get("from_offset") == 0:
            given["from_offset"] = "0"
        return self._session.told(lambda client: client.replay(verb, given))

    def every(self) -> list[Answer]:
        found: list[Answer] = self._session.told(Client.replays)["replays"]
        return found

    def settle(self) -> None:
        deadline = time.monotonic() + SETTLED_S_MAX
        while self._session.is_owner and not self._idle() and time.monotonic() < deadline:
            self._session.wait(0.2)

    def _idle(self) -> bool:
        return bool(self._session.call(lambda client: client.idle()))


class Apart:
    """In this process, with the one stage that reads the topic, and in no live group."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="replay", daemon=True)
        self._stack = AsyncExitStack()
        self._of: dict[str, Any] = {}
        self._folder = settings.data / REPLAYS_APART_FOLDER

    def __enter__(self) -> Self:
        telemetry.configure(level=self._settings.telemetry.level, json=self._settings.telemetry.json_lines)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def ask(self, verb: str, asked: Mapping[str, Any]) -> Answer:
        if verb == "stop":
            return self._stop(asked["replay"])
        found: Answer = self._run(self._asked(verb, asked)).model_dump(mode="json")
        return found

    def every(self) -> list[Answer]:
        """One that no process is at work on any more is `interrupted`: nobody goes on with it by itself."""
        from infra.replays import is_at_work, read_replays

        known = [one.model_dump(mode="json") for one in read_replays(self._folder)]
        for one in known:
            if one["state"] == "running" and not is_at_work(self._folder, one["id"]):
                one["state"] = "interrupted"
        return sorted(known, key=lambda one: -int(one["created_ms"]))

    def settle(self) -> None:
        """The live stages are other processes."""

    async def _asked(self, verb: str, asked: Mapping[str, Any]) -> Any:
        from infra.replay import Asked

        if verb in ("plan", "begin"):
            try:
                spec = Asked(**{name: value for name, value in asked.items() if value not in (None, "")})
            except ValidationError as error:
                raise FolioError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
            replays = await self._replays(spec.topic)
            return await (replays.plan(spec) if verb == "plan" else replays.begin(spec))
        replays = await self._replays(self._known(asked["replay"])["asked"]["topic"])
        if verb == "one":
            return replays.one(asked["replay"])
        return await replays.resume(asked["replay"], accept_gap=asked["accept_gap"])

    def _stop(self, replay_id: str) -> Answer:
        """Whichever process is at work on it."""
        from infra.replays import stop_elsewhere

        self._known(replay_id)
        self._run(stop_elsewhere(self._folder, replay_id))
        return self._known(replay_id)

    def _known(self, replay_id: str) -> Answer:
        for one in self.every():
            if one["id"] == replay_id:
                return one
        raise FolioError(f"there is no replay {replay_id!r}: folio replay --list shows what there is")

    async def _replays(self, topic: str) -> Any:
        if topic not in self._of:
            from infra.apart import open_replays

            self._of[topic] = await self._stack.enter_async_context(open_replays(self._settings, topic))
        return self._of[topic]

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def accept_gap(settings: Settings, topic: str, group: str) -> Mapping[int, int]:
    """Move a group over what retention took. Nobody may read for it meanwhile. Returns the lost, by partition."""
    from infra.apart import open_log_alone

    if topic not in BY_NAME:
        raise FolioError(f"there is no topic {topic!r}: one of {', '.join(BY_NAME)} is wanted")

    async def accept() -> Mapping[int, int]:
        async with open_log_alone(settings) as log:
            return await log.accept_gap(group, BY_NAME[topic])

    return asyncio.run(accept())


def plan_lines(plan: Answer, asked: Mapping[str, Any]) -> Iterator[str]:
    about = "about " if plan["about"] else ""
    yield f"replay of {asked['topic']}: {about}{count(plan['records'], 'record')}, {about}{_bytes(plan['size_bytes'])}"
    if plan["pages_ocr"] is None:
        yield "pages to be read by OCR: not known before the files are opened"
    elif plan["pages_ocr"]:
        yield f"pages to be read by OCR: {about}{plan['pages_ocr']:,}"
    if plan["oldest_ms"]:
        yield f"appended from {_when(plan['oldest_ms'])} to {_when(plan['newest_ms'])}"
    if plan["seconds_min"]:
        yield f"at this rate it takes at least {_lasts(plan['seconds_min'])}"
    if not plan["records"]:
        of = f": {asked['topic']} keeps no record of {shown(doc_id_of(asked['doc']))}" if asked["doc"] else ""
        yield f"there is nothing to replay{of}"


def progress_line(one: Answer, session_s: float) -> str:
    """`session_s`: how long a reader that was killed keeps what it read, on a cluster."""
    if one["waits"]:
        return (
            f"replay {one['id']} waits until the brokers give it its part of {one['asked']['topic']}:"
            f" after a kill that takes up to {session_s:.0f} s (kafka.session_timeout_s)"
        )
    share = 100 * one["passed"] // _total(one) if _total(one) else 100
    return f"replay {one['id']}: {share} % of {one['asked']['topic']} passed, {_outcomes(one)}"


def _outcomes(one: Answer) -> str:
    """Together with what was passed over as not meant, these are all that was passed."""
    failed = f", {one['failed']:,} given up" if one["failed"] else ""
    lost = f", {one['lost']:,} lost to retention" if one["lost"] else ""
    uncounted = f", {one['uncounted']:,} in no count (done in the moment before a crash)" if one["uncounted"] else ""
    return f"{count(one['replayed'], 'record')} read again{failed}{lost}{uncounted}"


def summary_line(one: Answer) -> str:
    lasted = f" in {_lasts((one['ended_ms'] - one['created_ms']) / 1000)}" if one["ended_ms"] else ""
    goes_on = f" (folio replay --resume {one['id']} goes on)" if one["state"] in ("interrupted", "stopped") else ""
    return (
        f"replay {one['id']} of {one['asked']['topic']}: {one['state']}: {_outcomes(one)},"
        f" {one['appended']:,} appended{lasted}{goes_on}"
    )


def _total(one: Answer) -> int:
    return sum(end - one["starts"][part] for part, end in one["ends"].items())


def _bytes(size: int) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:,} {unit}"
        size = round(size / 1000)
    return f"{size:,} GB"


def _lasts(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _when(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(ms / 1000))
