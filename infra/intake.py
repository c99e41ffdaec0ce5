"""A document is put in: its bytes made durable, its id chosen, a repeat recognised, its record appended."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from folio.blobs import Blobs
from folio.errors import Cause, FolioError, Permanent, Transient
from folio.ids import NOT_UTF8, TENANT_DEFAULT, Doc, doc_id_of, doc_of, version_at
from folio.log import Log, Record
from folio.ranges import parse_pages
from folio.records import Upload
from folio.topics import UPLOADS
from infra.passwords import Passwords
from ledger import audit

SETTLED_S_MAX = 30.0
UNREAD_MAX = 1000


@dataclass(frozen=True, slots=True)
class Put:
    """What became of a document that was put in.

    `unchanged`: the same bytes are there already; `pending`: they are acknowledged and on their way.
    `changes` says what a new version differs in: contents, pages, metadata; nothing when it is only tried again.
    """

    document: str
    version: int
    outcome: Literal["new", "changed", "unchanged", "pending"]
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """What a producer says of a document. `document` None: folio chooses an id from the name.

    `metadata` None: what was said of it before stays.
    """

    name: str
    document: str | None = None
    uri: str = ""
    tenant: str = TENANT_DEFAULT
    metadata: dict[str, Any] | None = None
    pages: str = ""


class Unknown(FolioError):
    """There is no such document, or no such page of it."""


class Intake:
    """Puts, deletes and cancels documents, one decision at a time, so that two puts of one file make one version."""

    def __init__(
        self, log: Log, blobs: Blobs, ledger_file: Path, *, group: str, file_bytes_max: int, passwords: Passwords
    ) -> None:
        """`group` is what fills the ledger file from the log."""
        self._log = log
        self._blobs = blobs
        self._ledger_file = ledger_file
        self._group = group
        self._file_bytes_max = file_bytes_max
        self._passwords = passwords
        self._deciding = asyncio.Lock()
        self._unread: dict[Doc, int] | None = None
        """Versions that we appended and may not be in the ledger yet; None: nor may what came before us."""

    async def put(self, path: Path, named: Named, *, password: str = "") -> Put:
        """Acknowledged when this returns: the bytes are in the blob store and the record is on `uploads`.

        The same bytes with other pages or metadata are a new version. The password stays in memory until the document
        has been read. Raises Permanent(too_large), Transient(disk_full), FolioError for pages that are none.
        """
        pages = str(parse_pages(named.pages))
        size = path.stat().st_size
        if size > self._file_bytes_max:
            raise Permanent(Cause.TOO_LARGE, f"{size:,} bytes, ingest.file_bytes_max is {self._file_bytes_max:,}")
        sha256 = await self._blobs.put_file(path)
        async with self._deciding:
            await self._ledger_has_read(named.document or _parts(named)[-1])
            document = named.document or self._free_id(named, sha256)
            before = audit.document(self._ledger_file, doc_of(named.tenant, document))
            metadata = _kept(before) if named.metadata is None else named.metadata
            if before is not None and _same(before, sha256, pages, metadata):
                self._passwords.remember(before.doc, sha256, password, version=before.version)
                return Put(document, before.version, "pending" if before.unfinished else "unchanged")
            upload = Upload(
                doc=doc_of(named.tenant, document),
                sha256=sha256,
                name=named.name,
                uri=named.uri,
                size_bytes=size,
                metadata=metadata,
                pages=pages,
            )
            version = await self._append_with(upload, password)
            if before is None or before.state == "deleted":
                return Put(document, version, "new")
            return Put(document, version, "changed", _changes(before, upload))

    async def delete(self, document: str, *, tenant: str = TENANT_DEFAULT) -> Put:
        """Record the deletion. Raises Unknown when there is no such document."""
        known = await self._known(document, tenant)
        upload = Upload(doc=known.doc, sha256=known.sha256, name=known.name, uri=known.uri, deleted=True)
        return Put(document, await self._append(upload), "changed")

    async def cancel(self, document: str, *, tenant: str = TENANT_DEFAULT) -> Put:
        """Record the cancellation of what is still being read. Raises Unknown when there is no such document."""
        known = await self._known(document, tenant)
        upload = Upload(  # all that the record before it said: compaction keeps only this one
            doc=known.doc,
            sha256=known.sha256,
            name=known.name,
            uri=known.uri,
            size_bytes=known.size_bytes,
            metadata=known.metadata,
            pages=known.page_range,
            cancelled=True,
        )
        return Put(document, await self._append(upload), "changed")

    async def _known(self, document: str, tenant: str) -> audit.DocumentStatus:
        async with self._deciding:
            await self._ledger_has_read(document)
        known = audit.document(self._ledger_file, doc_of(tenant, document))
        if known is None or known.state == "deleted":
            raise Unknown(f"there is no document {document!r}: folio status lists what there is")
        return known

    async def _append_with(self, upload: Upload, password: str) -> int:
        """The stage may open the file before the append returns, so the password is there first."""
        self._passwords.remember(upload.doc, upload.sha256, password)
        try:
            version = await self._append(upload)
        except BaseException:
            self._passwords.forget(upload.doc, upload.sha256)
            raise
        self._passwords.remember(upload.doc, upload.sha256, password, version=version)
        return version

    async def _append(self, upload: Upload) -> int:
        try:
            (position,) = await self._log.append(UPLOADS, [Record(key=upload.doc, value=upload.encode())])
        except Transient as error:
            again = "whether it was recorded is not known: do the same again when the log answers, it does no harm"
            raise Transient(error.cause, f"{error.detail or error.cause.sentence}; {again}") from error
        entry = await self._log.fetch(position)
        version = version_at(entry.appended_ms, position.offset)
        if upload.cancelled:  # what the ledger shows then is the version before, so there is nothing to look for
            self._unread = None
        elif self._unread is not None:
            self._unread[upload.doc] = version
        return version

    async def _ledger_has_read(self, ending: str) -> None:
        """Earlier uploads whose names end like this must be in the ledger before it can say what is new.

        Waiting for all of them, every time, would make many small files a queue: the ledger commits now and then.
        """
        try:
            async with asyncio.timeout(SETTLED_S_MAX):
                self._unread = await self._unread_of(ending)
        except TimeoutError:
            why = f"what was put in before has not been read within {SETTLED_S_MAX:.0f} s, so nothing was recorded"
            raise Transient(Cause.LOG_DOWN, f"{why}: the same again when the log answers (/readyz)") from None

    async def _unread_of(self, ending: str) -> dict[Doc, int]:
        """What of ours is still not in the ledger, when what ends like this is."""
        unread = self._unread
        if unread is None or len(unread) > UNREAD_MAX:
            while await self._log.lag(self._group, UPLOADS):
                await asyncio.sleep(0.01)
            unread = {}
        for doc in [doc for doc in unread if doc.endswith(ending)]:
            while not self._shows(doc, unread[doc]):
                await asyncio.sleep(0.01)
            del unread[doc]
        return unread

    def _shows(self, doc: Doc, version: int) -> bool:
        known = audit.summary(self._ledger_file, doc)
        return known is not None and known.version >= version

    def _free_id(self, named: Named, sha256: str) -> str:
        """The shortest end of the path that no other file has: report.pdf, then 2025/report.pdf, ..."""
        for known in audit.find(self._ledger_file, uri=named.uri) if named.uri else []:
            return doc_id_of(Doc(known.doc))
        parts = _parts(named)
        for count in range(1, len(parts) + 1):
            document = "/".join(parts[-count:])
            taken = audit.document(self._ledger_file, doc_of(named.tenant, document))
            if taken is None or taken.state == "deleted" or taken.sha256 == sha256 or taken.uri in ("", named.uri):
                return document
        return f"{named.name}-{sha256[:12]}"


def _parts(named: Named) -> list[str]:
    """The file's path or name in parts that a person can type, the last one there in any case."""
    path = unquote(named.uri.removeprefix("file://")) or named.name
    return [_printable(part) for part in Path(path).parts if part != "/"] or [""]


def _same(before: audit.DocumentStatus, sha256: str, pages: str, metadata: dict[str, Any]) -> bool:
    """Nothing would come of it: what is there, or on its way, was read from the same bytes in the same way."""
    asked = (before.sha256, before.page_range, before.metadata)
    return asked == (sha256, pages, metadata) and before.state not in ("deleted", "failed", "cancelled")


def _kept(before: audit.DocumentStatus | None) -> dict[str, Any]:
    return before.metadata if before is not None and before.state != "deleted" else {}


def _changes(before: audit.DocumentStatus, upload: Upload) -> tuple[str, ...]:
    differs = {
        "contents": before.sha256 != upload.sha256,
        "pages": before.page_range != upload.pages,
        "metadata": before.metadata != upload.metadata,
    }
    return tuple(what for what, changed in differs.items() if changed)


def _printable(part: str) -> str:
    """Line ends and the like in a file name would make an id that nobody can type."""
    return "".join(sign if sign.isprintable() and sign != NOT_UTF8 else "_" for sign in part)
