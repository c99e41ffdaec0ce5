"""Any role of folio as a process of its own on a real broker: a scripted engine, a hash embedder, short sessions."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from folio.settings import Settings, load
from infra.kafka_cluster import Cluster
from infra.kafka_topics import Topics

READY_S_MAX = 120.0


@dataclass
class Process:
    """One `folio run ROLE...` that said it is at work. `said` is what it prints on stderr."""

    roles: tuple[str, ...]
    popen: "subprocess.Popen[str]"
    ready: dict[str, Any]
    data: str = "data"
    said: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(30)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(120)


@dataclass
class Site:
    """A cluster's corner of its own (a prefix) and a folder for what processes share; ends them all at the end."""

    servers: str
    folder: Path
    more: Mapping[str, str] = field(default_factory=dict)
    prefix: str = field(default_factory=lambda: f"t{uuid4().hex[:8]}.")
    processes: list[Process] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FOLIO_")}
        site = {
            "FOLIO_KAFKA__SERVERS": self.servers,
            "FOLIO_KAFKA__PREFIX": self.prefix,
            "FOLIO_KAFKA__SESSION_TIMEOUT_S": "2",
            "FOLIO_KAFKA__PARTITIONS": "4",
            "FOLIO_KAFKA__REPLICATION": "1",
            "FOLIO_BLOBS__URL": f"file://{self.folder}/blobs",
            "FOLIO_INDEXER__EMBEDDER": "hash",
            "FOLIO_OCR__ENGINE": "scripted",
            "FOLIO_OCR__PROCESSES": "4",
            "FOLIO_INGEST__VERIFY_SHARE": "0",
            "FOLIO_LEDGER__PREFIX_WAIT_S": "0.5",
            "FOLIO_TELEMETRY__LEVEL": "INFO",
            "FOLIO_SERVER__PORT": "0",
            "NO_COLOR": "1",
        }
        return kept | site | dict(self.more)

    def settings(self) -> Settings:
        return load(environment={k: v for k, v in self.environment.items() if k.startswith("FOLIO_")})

    def cluster(self) -> Cluster:
        return Cluster(**self.settings().kafka.model_dump())

    def make_topics(self) -> None:
        async def apply() -> None:
            async with Topics.open(self.cluster()) as topics:
                await topics.apply(await topics.plan())

        asyncio.run(apply())

    def start(self, *roles: str, data: str = "data", wait: bool = True, **more: str) -> Process:
        """`data` names a folder of the site; without `wait` it is not waited for, and `ready` stays empty."""
        popen = subprocess.Popen(
            [sys.executable, "-m", "console.cli", "run", *roles, "--json", "--data", str(self.folder / data)],
            env=self.environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        process = Process(roles, popen, {}, data)
        self.processes.append(process)
        threading.Thread(target=_listen, args=(process,), daemon=True).start()
        if wait:
            self.wait_for(process)
        return process

    def wait_for(self, process: Process) -> Process:
        assert process.popen.stdout is not None
        watch = threading.Timer(READY_S_MAX, process.popen.kill)
        watch.start()
        line = process.popen.stdout.readline()
        watch.cancel()
        assert line, f"{process.roles} did not come up: {process.said}"
        process.ready = json.loads(line)
        return process

    def folio(
        self, *arguments: str, data: str = "data", seconds_max: float = 180
    ) -> "subprocess.CompletedProcess[str]":
        """A command of a person, against the process that serves the API in this folder."""
        return subprocess.run(
            [sys.executable, "-m", "console.cli", *arguments, "--data", str(self.folder / data)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds_max,
            check=False,
        )

    def end(self) -> None:
        for process in self.processes:
            with suppress(OSError):
                process.popen.kill()
        for process in self.processes:
            process.popen.wait(30)


def _listen(process: Process) -> None:
    assert process.popen.stderr is not None
    for line in process.popen.stderr:
        process.said.append(line.rstrip())


@contextmanager
def site(servers: str, folder: Path, **more: str) -> Iterator[Site]:
    """With its topics made."""
    made = Site(servers, folder, more)
    made.make_topics()
    try:
        yield made
    finally:
        made.end()


def until(true: Callable[[], bool], *, seconds_max: float = 120, every_s: float = 0.1) -> None:
    deadline = time.monotonic() + seconds_max
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(every_s)
