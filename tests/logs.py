"""A log of each kind, for tests of what must not notice which one it stands on."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from folio.log import Log
from folio.stage import Stage, StageLoop
from infra.folder_blobs import FolderBlobs
from infra.kafka_cluster import Cluster
from infra.kafka_log import KafkaLog
from infra.sqlite_log import SqliteLog
from tests.memory_log import MemoryLog

KINDS = ("memory", "sqlite", "kafka")
PARTITIONS = 3


@asynccontextmanager
async def log_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Log]:
    """Open, empty and with three partitions; on a broker under a prefix of its own."""
    if kind == "memory":
        yield MemoryLog(partitions=PARTITIONS)
    elif kind == "sqlite":
        async with SqliteLog.open(folder / "log.sqlite", FolderBlobs(folder / "blobs"), partitions=PARTITIONS) as log:
            yield log
    else:
        async with kafka_log(request.getfixturevalue("kafka"), f"test-{uuid.uuid4().hex[:12]}.") as log:
            yield log


@asynccontextmanager
async def kafka_log(servers: str, prefix: str, *, make: bool = True) -> AsyncIterator[KafkaLog]:
    """Its topics are made, the first time that it is opened."""
    async with KafkaLog.open(Cluster(servers=servers, prefix=prefix, session_timeout_s=2)) as log:
        if make:
            await log.apply([replace(change, partitions=PARTITIONS) for change in await log.plan()])
        yield log


async def run_through(stage: Stage, log: Log) -> None:
    """Until the stage's group has committed all that its topics hold: joining a group takes its time on a broker."""
    stop = asyncio.Event()
    running = asyncio.create_task(StageLoop(stage, log).run(stop))
    async with asyncio.timeout(120):
        while any([await log.lag(stage.name, topic) for topic in stage.sources]):
            await asyncio.sleep(0.02)
            assert not running.done(), running.result()
    stop.set()
    await running
