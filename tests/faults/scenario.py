"""A small life of an index, as a process that may be killed anywhere and started again: add, change, delete, settle.

``python -m tests.faults.scenario DATA FILES`` puts every document of FILES, changes one, deletes one, does the
housekeeping, waits until all is settled and exits with 0. Every step may be repeated: that is what a client does
that was not answered.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from folio import topics
from folio.errors import FolioError
from folio.ids import Doc, page_key, sha256
from folio.log import Record
from folio.records import Page
from folio.settings import Settings, load
from indexer.store import Stretch
from infra.dead import Which
from infra.folder_blobs import FOLDER_OF_UNFINISHED
from infra.intake import Named
from infra.run import Owner, open_owner
from ledger import audit

PAGE_IMAGES = 3


def settings(data: Path) -> Settings:
    """The real stores and children; a scripted engine, a hash embedder and short waits."""
    return load(
        environment={},
        overrides={
            "data": data,
            "indexer": {"embedder": "hash"},
            "ocr": {"engine": "scripted", "quiet_s": 0},
            "ingest": {"verify_share": 1},
            "ledger": {"prefix_wait_s": 0.05, "receipt_s": 3},
            "retention": {"blob_grace_s": 0},
        },
    )


async def live(data: Path, files: Path) -> None:
    async with open_owner(settings(data)) as owner:
        for path in sorted(files.glob("*.pdf")):
            await put(owner, path, path.name)
        await settle(owner)
        await put(owner, files / "changed" / "b.pdf", "b.pdf")
        if await is_there(owner, "c.pdf"):
            await owner.intake.delete("c.pdf")
        await owner.parts.log.append(topics.PAGES, page_images())
        await settle(owner)
        await owner.housekeep()
        await settle(owner)


async def live_on_without_ledger(data: Path) -> None:
    """The ledger's file is lost, and what a crash left unfinished lies about: both are made good."""
    for file in data.glob("ledger.sqlite*"):
        file.unlink()
    unfinished = data / "blobs" / FOLDER_OF_UNFINISHED
    unfinished.mkdir(parents=True, exist_ok=True)
    (unfinished / "left-by-a-crash").write_bytes(b"half of a blo")
    async with open_owner(settings(data)) as owner:
        await settle(owner)
        await owner.housekeep()


async def put(owner: Owner, path: Path, document: str) -> None:
    """Again after a crash: what moved on since must not go back, so only what is not there yet is put."""
    known = audit.document(owner.ledger_file, Doc(f"default/{document}"))
    later = known is not None and (known.state == "deleted" or known.sha256 == changed_sha256(path))
    if not later:
        await owner.intake.put(path, Named(name=document, document=document))


def changed_sha256(path: Path) -> str:
    changed = path.parent / "changed" / path.name
    return sha256(changed.read_bytes()) if changed.exists() else ""


async def is_there(owner: Owner, document: str) -> bool:
    known = audit.document(owner.ledger_file, Doc(f"default/{document}"))
    return known is not None and known.state != "deleted"


def page_images() -> list[Record]:
    """A document whose pages a producer puts on `pages` itself, its count on the last one only."""
    doc = Doc("default/images")
    records = []
    for number in range(1, PAGE_IMAGES + 1):
        page = Page(doc=doc, version=7, page=number, page_count=PAGE_IMAGES if number == PAGE_IMAGES else None)
        image = f"folio:# Page {number}\n\nWhat the camera saw on sheet {number}.".encode()
        records.append(Record(page_key(doc, number), image, page.headers()))
    return records


async def settle(owner: Owner) -> None:
    """Wait until nothing is left to do; an owner that cannot go on ends the process."""
    async with asyncio.timeout(60):
        quiet = 0
        while quiet < 2:
            if owner.failed.done():
                owner.failed.result()
            quiet = quiet + 1 if await owner.idle() else 0
            await asyncio.sleep(0.05)


async def contents(data: Path) -> dict[str, Any]:
    """What the index shows, without what differs from run to run (versions, times), and what is left over."""
    async with open_owner(settings(data)) as owner:
        await settle(owner)
        await owner.housekeep()
        totals = await owner.parts.store.totals()
        rows = [row async for row in shown(owner)]
        statuses = audit.documents(owner.ledger_file)
        blobs = sorted([blob.sha256 async for blob in owner.parts.blobs.list()])
        given_up = sorted({letter.doc for letter in await owner.dead.listed(Which())})
    states = {one.document: (one.state, one.pages_ok, one.pages_failed, one.chunks, one.lacking) for one in statuses}
    left_over = totals.points - len(rows)
    return {
        "chunks": sorted(rows), "states": states, "blobs": blobs, "points left over": left_over, "given up": given_up
    }  # fmt: skip


async def shown(owner: Owner) -> AsyncIterator[tuple[str, ...]]:
    """Every visible chunk with its place."""
    store = owner.parts.store
    async for head in store.all_heads():
        for payload in (await store.passages([Stretch(head.doc, head.revision, 0, 10_000)]))[0]:
            metadata = payload["metadata"]
            place = (str(metadata["pages"]), str(metadata["boxes"]), str(metadata["headings"]))
            yield (head.doc, payload["chunk_id"], payload["page_content"], *place)


def main() -> None:
    data, files = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        asyncio.run(live(data, files))
        asyncio.run(live_on_without_ledger(data))
    except FolioError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
