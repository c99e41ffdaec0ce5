"""The ledger's file and the one thread that writes it: many entries, one commit."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from folio import topics
from folio.faults import effect
from folio.log import Position
from folio.records import PageText
from ledger import following, plans
from ledger.arrivals import Arrival, Books, markdown, store
from ledger.plans import Emitted, Plan, Restored
from ledger.rules import Index, Timings
from ledger.schema import connect, transaction

P = ParamSpec("P")
T = TypeVar("T")


class LedgerStore:
    """One SQLite file. Every method runs in the store's own thread; no transaction outlives its call."""

    def __init__(self, path: Path) -> None:
        """Open or create. Raises FolioError when the file is something else or from another folio."""
        self.path = path
        self._db = connect(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        (heard, revision) = self._db.execute("SELECT 0, coalesce(max(revision), 0) FROM receipts").fetchone()
        self._index = Index(heard, revision)

    async def close(self) -> None:
        await self._run(sqlite3.Connection.close)
        self._thread.shutdown()

    async def apply(self, arrivals: Sequence[Arrival], timings: Timings, now_ms: int) -> int | None:
        """Store entries in one commit; returns when the first of their documents is due."""
        return await self._run(self._apply, arrivals, timings, now_ms)

    async def plan(self, timings: Timings, now_ms: int) -> tuple[list[Plan], int | None]:
        """What is due, its revisions on record; and when something is due next."""
        return await self._run(self._plan, timings, now_ms)

    async def keep_bodies(self, plan: Plan, bodies: dict[int, bytes]) -> None:
        await self._run(plans.keep_bodies, plan, bodies)

    async def mark(self, emitted: Sequence[Emitted], timings: Timings, now_ms: int) -> None:
        """The appends are acknowledged."""
        await self._run(plans.mark, emitted, timings, now_ms)

    async def layer(self, text: PageText) -> "str | Position | None":
        """The text layer beside a verify read: its Markdown, or where it rests, or None."""
        return await self._run(_layer, text)

    async def name(self) -> str:
        """This file's own, given when it was made. It reads the log under it: no other misses what this one read."""
        return await self._run(_name)

    async def is_known(self, doc: str, revision: int) -> bool:
        """Whether this file emitted that revision, is about to, or followed it already."""
        return await self._run(following.is_known, doc, revision)

    async def follow(self, found: Restored, timings: Timings, now_ms: int) -> int | None:
        """Take over a Document that another ledger emitted; returns when something of it is due."""
        return await self._run(following.follow, found, timings, now_ms)

    async def rebuilt(self) -> bool:
        """False for a new file, until it holds what the log tells."""
        return bool(await self._run(_rebuilt))

    async def restore(self, found: Sequence[Restored], now_ms: int) -> None:
        """What Documents on the log tell, in their order."""
        await self._run(_restore, found, now_ms)

    async def finish_rebuild(self, timings: Timings, now_ms: int) -> None:
        await self._run(_finish_rebuild, timings, now_ms)

    async def _run(self, call: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: call(self._db, *args, **kwargs))

    def _apply(self, db: sqlite3.Connection, arrivals: Sequence[Arrival], timings: Timings, now_ms: int) -> int | None:
        with effect("ledger.store"), transaction(db):
            books = Books(db, now_ms)
            index = store(books, arrivals, self._index)
            for known in books.touched:
                plans.recognise(books, known)
            due = books.save(timings)
        self._index = index
        return due

    def _plan(self, db: sqlite3.Connection, timings: Timings, now_ms: int) -> tuple[list[Plan], int | None]:
        made = plans.make(db, timings, self._index, now_ms)
        return made, plans.next_due(db)


def _layer(db: sqlite3.Connection, text: PageText) -> "str | Position | None":
    found = db.execute(
        "SELECT pages.id, text_partition, text_offset FROM pages JOIN versions ON versions.id = version_id"
        " WHERE doc = ? AND version = ? AND page = ? AND source = 'text_layer'",
        (text.doc, text.version, text.page),
    ).fetchone()
    if found is None:
        return None
    page_id, partition, offset = found
    here = markdown(db, page_id)
    return here if here is not None else Position(topics.TEXTS.name, partition, offset)


def _name(db: sqlite3.Connection) -> str:
    name: str = db.execute("SELECT name FROM ledger").fetchone()[0]
    return name


def _rebuilt(db: sqlite3.Connection) -> int:
    rebuilt: int = db.execute("SELECT rebuilt FROM ledger").fetchone()[0]
    return rebuilt


def _restore(db: sqlite3.Connection, found: Sequence[Restored], now_ms: int) -> None:
    with effect("ledger.restored"), transaction(db):
        books = Books(db, now_ms)
        for one in found:
            plans.restore(books, one)
        books.write()


def _finish_rebuild(db: sqlite3.Connection, timings: Timings, now_ms: int) -> None:
    with effect("ledger.rebuilt"), transaction(db):
        for (doc,) in db.execute("SELECT DISTINCT doc FROM versions").fetchall():
            books = Books(db, now_ms)
            plans.recognise(books, books.doc(doc))
            books.save(timings)
        db.execute("UPDATE ledger SET rebuilt = 1")
