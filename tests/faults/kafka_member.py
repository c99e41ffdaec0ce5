"""A member of a group in a process of its own: reads one entry, waits for a word, commits, and says what came of it."""

import asyncio
import sys

from folio.errors import LeaseLost, Transient
from folio.topics import PAGES
from infra.kafka_cluster import Cluster
from infra.kafka_log import KafkaLog


async def main(servers: str, prefix: str) -> None:
    async with KafkaLog.open(Cluster(servers=servers, prefix=prefix, session_timeout_s=6)) as log:
        async with log.reader([PAGES], "g") as reader:
            [entry, *_] = await reader.read(entries_max=1, bytes_max=1 << 20, wait_s=120)
            print("read", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            try:
                await reader.commit({entry.lease: entry.position.offset + 1} if entry.lease else {})
                print("committed", flush=True)
            except (LeaseLost, Transient) as error:
                print(type(error).__name__, flush=True)


asyncio.run(main(*sys.argv[1:]))
