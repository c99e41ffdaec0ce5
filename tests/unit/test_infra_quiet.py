"""Work that nobody waits for: begun when everything else has rested, and in the end in any case."""

import asyncio

from folio.log import Record
from folio.stage import Stage
from folio.topics import PAGES, UPLOADS
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


async def test_it_is_quiet_once_no_stage_has_had_anything_for_a_while() -> None:
    log = MemoryLog()
    quiet = Quiet(log, rest_s=0.1)
    quiet.stages = stages()
    assert not await quiet(), "it has only just begun"
    await asyncio.sleep(0.12)
    assert await quiet()
    await log.append(PAGES, [Record("k", b"image")])
    assert not await quiet()
    await asyncio.sleep(0.12)
    assert not await quiet(), "the page still waits"
    async with log.reader([PAGES], "ocr") as reader:
        (entry,) = await reader.read(entries_max=1, bytes_max=100, wait_s=1)
        await reader.commit({entry.lease: 1})
    assert not await quiet(), "it was busy a moment ago"
    await asyncio.sleep(0.12)
    assert await quiet()


async def test_nothing_is_put_off_for_ever() -> None:
    log = MemoryLog()
    quiet = Quiet(log, rest_s=60, put_off_s_max=0.1)
    quiet.stages = stages()
    await log.append(UPLOADS, [Record("k", b"")])
    assert not await quiet()
    await asyncio.sleep(0.12)
    assert await quiet()
    assert not await quiet(), "once, and then it waits again"
