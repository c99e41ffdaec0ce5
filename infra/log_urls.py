"""Logs by URL, as `folio.client` finds them: one function a scheme, named in pyproject.toml."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from folio.log import Log
from infra.kafka_cluster import Cluster
from infra.kafka_log import KafkaLog


@asynccontextmanager
async def open_kafka(url: str, **options: Any) -> AsyncIterator[Log]:
    """`kafka://host:9092,host2:9092`; options are those of kafka_cluster.Cluster. Its topics must be there."""
    async with KafkaLog.open(Cluster(servers=urlsplit(url).netloc, **options)) as log:
        await log.check()
        yield log
