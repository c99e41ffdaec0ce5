"""Which processes may work beside each other, whose turn it is, what is swept, and what a probe is told."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from console.health import alive, health, ready
from console.listening import listen
from folio.errors import FolioError, LeaseLost, SettingsError, Transient
from folio.log import Entry, Record
from folio.outputs import Output
from folio.settings import load
from folio.stage import Stage
from folio.topics import DEAD, TEXTS, UPLOADS
from infra.folder_blobs import FolderBlobs
from infra.housekeeping import Housekeeping
from infra.passwords import Passwords
from infra.roles import ALL, roles_of
from infra.turn import GROUP, Turn, in_turn
from ledger.store import LedgerStore
from tests.memory_log import MemoryLog

KAFKA = {"FOLIO_KAFKA__SERVERS": "host:9092"}
QDRANT = {"FOLIO_INDEXER__URL": "http://host:6333"}


@pytest.mark.parametrize(
    ("names", "environment", "roles"),
    [
        ("", {}, ALL),
        ("", KAFKA, ALL),
        ("ingest", KAFKA, {"ingest"}),
        ("ocr ledger", KAFKA, {"ocr", "ledger"}),
        ("index", KAFKA, {"index", "embed", "api"}),
        ("index", KAFKA | QDRANT, {"index"}),
        ("embed api", KAFKA | QDRANT, {"embed", "api"}),
    ],
)
def test_the_roles_of_a_process(names: str, environment: dict[str, str], roles: set[str]) -> None:
    assert roles_of(names.split(), load(environment=environment)) == roles


@pytest.mark.parametrize(
    ("names", "environment", "names_the_setting"),
    [
        ("ocr", {}, "kafka.servers"),
        ("api", KAFKA, "indexer.url"),
        ("embed", KAFKA, "indexer.url"),
        ("orc", KAFKA, "ingest, ocr"),
    ],
)
def test_what_cannot_be_is_refused_with_the_setting(names: str, environment: dict, names_the_setting: str) -> None:
    with pytest.raises(SettingsError, match=names_the_setting):
        roles_of(names.split(), load(environment=environment))


async def test_a_turn_says_once_that_it_was_lost_and_nothing_before(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    warns = SimpleNamespace(warning=lambda what, **_: said.append(what))
    monkeypatch.setattr("infra.turn.logger", lambda: warns)
    turn, answers = Turn(MemoryLog()), iter([False, False, True, False, False])

    async def commit(_: object) -> None:
        if not next(answers):
            raise LeaseLost("not held any more")

    monkeypatch.setattr(turn, "_reader", SimpleNamespace(commit=commit))
    monkeypatch.setattr(turn, "_following", lambda _: asyncio.sleep(0, 0))
    monkeypatch.setattr(turn, "_lease", lambda: 0)
    heard = [(await turn.is_ours(), len(said)) for _ in range(5)]
    assert heard == [(False, 0), (False, 0), (True, 0), (False, 1), (False, 1)]


async def test_a_turn_is_held_by_one_and_passes_on() -> None:
    log = MemoryLog()
    await log.append(DEAD, [Record("k", b"letter")])
    first, second = Turn(log), Turn(log)
    assert not await first.is_ours()
    stop_first, stop_second = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(first.run(stop_first))
    await until(first.is_ours)
    beside = asyncio.create_task(second.run(stop_second))  # this log gives the partition to who joined last
    await until(second.is_ours)
    assert not await first.is_ours(), "asked of the log, not remembered"
    stop_first.set()
    stop_second.set()
    await asyncio.gather(running, beside)
    assert not await second.is_ours()


async def test_a_turn_whose_lease_the_log_refuses_is_not_ours() -> None:
    class Refusing(MemoryLog):
        refuses = False

        def reader(self, topics: Any, group: Any) -> Any:
            outer, inner = self, super().reader(topics, group)

            class Wrapped:
                async def __aenter__(self) -> Any:
                    reader = await inner.__aenter__()
                    commit = reader.commit

                    async def refusing(positions: Any) -> None:
                        if outer.refuses:
                            raise LeaseLost("frozen past its session")
                        await commit(positions)

                    reader.commit = refusing
                    return reader

                async def __aexit__(self, *error: object) -> Any:
                    return await inner.__aexit__(*error)

            assert group == GROUP
            return Wrapped()

    log = Refusing()
    turn, stop = Turn(log), asyncio.Event()
    running = asyncio.create_task(turn.run(stop))
    await until(turn.is_ours)
    log.refuses = True
    assert not await turn.is_ours()
    stop.set()
    await running


async def test_a_proof_leaves_the_group_where_it_stands() -> None:
    log = MemoryLog()
    await log.append(DEAD, [Record("k", b"letter"), Record("k", b"letter")])
    await log.rewind(GROUP, DEAD, 2)
    turn, stop = Turn(log), asyncio.Event()
    running = asyncio.create_task(turn.run(stop))
    await until(turn.is_ours)
    assert await log.committed(GROUP, DEAD) == {0: 2}, "else retention overtakes it one day, and nobody has the turn"
    await log.append(DEAD, [Record("k", b"letter")])

    async def moved() -> bool:
        return await turn.is_ours() and await log.committed(GROUP, DEAD) == {0: 3}

    await until(moved)
    stop.set()
    await running


async def test_a_gap_that_cannot_be_passed_yet_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.turn.LOOK_S", 0.01)

    class Busy(MemoryLog):
        asked = 0

        async def accept_gap(self, group: str, topic: Any) -> Any:
            self.asked += 1
            if self.asked == 1:
                raise FolioError("group is being read")
            return await super().accept_gap(group, topic)

    log = Busy()
    await log.append(DEAD, [Record("k", b"letter"), Record("k", b"letter")])
    await log.rewind(GROUP, DEAD, 0)
    log.forget(DEAD)
    turn, stop = Turn(log), asyncio.Event()
    running = asyncio.create_task(turn.run(stop))
    await until(turn.is_ours)
    assert log.asked == 2
    stop.set()
    await running


async def test_a_stage_waits_while_its_turn_is_another_s_and_its_process_ends_if_it_stays_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a process that wakes up after its session must not do: write what another has the turn to write."""
    monkeypatch.setattr("infra.turn.LOOK_S", 0.01)
    monkeypatch.setattr("infra.turn.TRUE_FOR_S", 0.01)
    log = MemoryLog()
    [position] = await log.append(DEAD, [Record("k", b"letter")])
    entry = await log.fetch(position)
    done: list[Entry] = []

    async def process(entry: Entry) -> AsyncGenerator[Output, None]:
        done.append(entry)
        yield DEAD, Record("k", b"output")

    turn, other, stop = Turn(log), Turn(log), asyncio.Event()
    stage = in_turn(Stage(name="index", sources=(DEAD,), process=process), turn)
    running = asyncio.create_task(turn.run(stop))
    await until(turn.is_ours)
    watching = asyncio.create_task(turn.keep(stop, patience_s=0.1, otherwise="stop the other one"))
    assert len([output async for output in stage.process(entry)]) == 1
    assert not watching.done()

    beside = asyncio.create_task(other.run(stop))  # this log gives the partition to who joined last
    await until(other.is_ours)
    await asyncio.sleep(0.02)
    with pytest.raises(Transient, match="another process"):
        [output async for output in stage.process(entry)]
    assert len(done) == 1
    with pytest.raises(SettingsError, match="stop the other one"):
        await asyncio.wait_for(watching, 30)
    stop.set()
    await asyncio.gather(running, beside)


async def test_a_log_that_is_away_takes_no_turn_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.turn.LOOK_S", 0.01)
    log = MemoryLog()
    turn, stop = Turn(log), asyncio.Event()
    turn._away = True  # as its reader found it
    watching = asyncio.create_task(turn.keep(stop, patience_s=0.02, otherwise="stop the other one"))
    await asyncio.sleep(0.2)
    assert not watching.done()
    turn._away = False
    with pytest.raises(SettingsError):
        await asyncio.wait_for(watching, 30)


async def until(true: Any) -> None:
    async with asyncio.timeout(30):
        while not await true():
            await asyncio.sleep(0.01)


async def test_blobs_are_swept_only_by_a_ledger_that_has_read_what_may_name_them(tmp_path: Path) -> None:
    blobs, log, store = FolderBlobs(tmp_path / "blobs"), MemoryLog(), LedgerStore(tmp_path / "ledger.sqlite")
    sha256 = await blobs.put(b"named by an upload that was not read yet")
    stage = SimpleNamespace(name="ledger-x", sources=(UPLOADS, TEXTS))
    ledger = SimpleNamespace(emits=False, stage=stage)
    parts: Any = SimpleNamespace(log=log, blobs=blobs, ledger=ledger, ledger_file=tmp_path / "ledger.sqlite")
    housekeep = Housekeeping(parts, grace_s=0)
    assert await housekeep() == 0
    ledger.emits = True
    await log.append(UPLOADS, [Record("k", b"")])
    assert await housekeep() == 0, "what it has not read may name it"
    async with log.reader([UPLOADS], "ledger-x") as reader:
        (entry,) = await reader.read(entries_max=1, bytes_max=100, wait_s=1)
        await reader.commit({entry.lease: 1})
    assert await housekeep() == 1
    assert not await blobs.exists(sha256)
    await store.close()


def test_a_password_that_could_reach_nobody_is_refused() -> None:
    passwords = Passwords(are_read_here=False)
    passwords.remember("doc", "sha", "")
    with pytest.raises(Exception, match="folio run api ingest"):
        passwords.remember("doc", "sha", "secret")


async def test_a_probe_hears_of_stages_that_wait_stop_or_hang() -> None:
    worker: Any = SimpleNamespace(failed=asyncio.get_running_loop().create_future(), silent_s=0.0, waiting={})
    with health(worker, (listening := listen("127.0.0.1", 0))):
        port = listening.getsockname()[1]

        def get(path: str) -> Any:
            return json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10).read())

        assert await asyncio.to_thread(get, "/healthz") == {"status": "ok"}
        assert (await asyncio.to_thread(get, "/readyz"))["ready"]
    worker.waiting = {"ocr": "The OCR engine does not answer; folio waits for it."}
    assert ready(worker)[0] == 503
    worker.silent_s = 3600.0
    assert alive(worker) == (503, {"status": "silent"})
    worker.failed.set_result(None)
    assert alive(worker) == (503, {"status": "failed"})
