"""Work that nobody waits for: begun when everything else has rested, and in the end in any case."""

from types import SimpleNamespace

import pytest

from folio.errors import Cause, Transient
from folio.log import Record
from folio.stage import Stage
from folio.topics import PAGES, UPLOADS, Topic
from infra.quiet import Quiet
from tests.memory_log import MemoryLog


async def nothing(entry):
    for output in ():
        yield output


def stages() -> tuple[Stage, ...]:
    return (
        Stage(name="ingest", sources=(UPLOADS,), process=nothing),
        Stage(name="ocr", sources=(PAGES,), process=nothing),
    )


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock that it looks at."""
    clock = [100.0]
    monkeypatch.setattr("infra.quiet.time", SimpleNamespace(monotonic=lambda: clock[0]))
    return clock


async def test_it_is_quiet_once_no_stage_has_had_anything_for_a_while(now: list[float]) -> None:
    log = MemoryLog()
    quiet = Quiet(log, rest_s=0.1)
    quiet.stages = stages()
    assert not await quiet(), "it has only just begun"
    now[0] += 0.12
    assert await quiet()
    await log.append(PAGES, [Record("k", b"image")])
    assert not await quiet()
    now[0] += 0.12
    assert not await quiet(), "the page still waits"
    async with log.reader([PAGES], "ocr") as reader:
        (entry,) = await reader.read(entries_max=1, bytes_max=100, wait_s=1)
        await reader.commit({entry.lease: 1})
    assert not await quiet(), "it was busy a moment ago"
    now[0] += 0.12
    assert await quiet()


async def test_nothing_is_put_off_for_ever(now: list[float]) -> None:
    log = MemoryLog()
    quiet = Quiet(log, rest_s=60, put_off_s_max=0.1)
    quiet.stages = stages()
    await log.append(UPLOADS, [Record("k", b"")])
    assert not await quiet()
    now[0] += 0.12
    assert await quiet()
    assert not await quiet(), "once, and then it waits again"


async def test_a_log_that_is_away_is_not_quiet_and_does_not_end_whoever_asks(now: list[float]) -> None:
    class Away(MemoryLog):
        async def lag(self, group: str, topic: Topic) -> int:
            raise Transient(Cause.LOG_DOWN, "no broker answers")

    quiet = Quiet(Away(), rest_s=0.1)
    quiet.stages = stages()
    now[0] += 5
    assert not await quiet()
