"""Blobs in an object store by its URL (S3 and what speaks like it, GCS, Azure): the bytes of many machines."""

import asyncio
import hashlib
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import obstore
from obstore import exceptions as errors
from obstore.store import ObjectStore, from_url

from folio.blobs import OWNER, Blob
from folio.errors import Cause, Gone, Permanent, SettingsError, Transient
from folio.faults import effect

PART_BYTES = 8 << 20
"""A file up to this size is one request, a larger one is sent in parts of it."""
FRESH_S = 600.0
"""A blob put so lately is not put again; an older one is, so that the sweep sees that it is wanted."""
CLIENT = {"timeout": timedelta(seconds=300), "connect_timeout": timedelta(seconds=5), "allow_http": True}
RETRY = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
"""The stage waits and repeats by itself, and says so meanwhile."""
_HASH = re.compile(r"[0-9a-f]{64}")
_NOT_THERE = (FileNotFoundError, errors.NotFoundError)
_REFUSED = re.compile(r"status code: 4(?!08|29)")
"""A listing is refused with no error class of its own."""


class ObjectBlobs:
    """Content-addressed objects `aa/HASH`. An object appears whole or not at all, so a reader never sees half of one.

    Any number of processes may put and read; the ledger that emits sweeps. A blob that is put again in the very moment
    in which the sweep deletes it can be lost: the sweep looks once more right before.
    """

    def __init__(self, store: ObjectStore, scratch: Path) -> None:
        """`scratch`: a folder for local copies, each gone when its reader is done."""
        self._store = store
        self._scratch = scratch

    @classmethod
    def at(cls, url: str, scratch: Path) -> "ObjectBlobs":
        """Credentials come from the environment, as for the store's own tools (AWS_ACCESS_KEY_ID, AWS_ENDPOINT ...)."""
        try:
            return cls(from_url(url, client_options=CLIENT, retry_config=RETRY), scratch)  # type: ignore[call-overload]
        except (errors.BaseError, ValueError) as error:
            raise SettingsError(f"setting blobs.url = {url!r}: {_first_line(error)}") from None

    async def check(self) -> None:
        """Raises SettingsError when it refuses us or has no such bucket, Transient(blobs_down) when it is away."""
        with _translated():
            try:
                await obstore.list_with_delimiter_async(self._store, "00")
            except (errors.BaseError, OSError) as error:
                why = _first_line(error)
                if not _REFUSED.search(why):
                    raise
                raise SettingsError(
                    f"the object store refuses us: check blobs.url and its credentials ({why})"
                ) from None

    async def put(self, content: bytes) -> str:
        """Store durably. Raises Transient(blobs_down)."""
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
        if not await self._is_fresh(sha256):
            with _translated(), effect("blobs.put_object"):
                await obstore.put_async(self._store, _key(sha256), content, use_multipart=False)
        return sha256

    async def put_file(self, path: Path) -> str:
        """Store a file's bytes a part at a time. Raises Transient(blobs_down)."""
        if path.stat().st_size <= PART_BYTES:
            return await self.put(await asyncio.to_thread(path.read_bytes))
        sha256 = await asyncio.to_thread(_hash_of, path)
        if not await self._is_fresh(sha256):
            with _translated(), effect("blobs.put_file_object"):
                await obstore.put_async(self._store, _key(sha256), path, chunk_size=PART_BYTES)
        return sha256

    async def get(self, sha256: str) -> bytes:
        """Raises Gone when nothing lies there, Permanent(corrupt) when other bytes lie there than were put."""
        with _translated(sha256):
            found = await obstore.get_async(self._store, _key(sha256))
            content = bytes(await found.bytes_async())
        if await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest()) != sha256:
            raise _changed(sha256)
        return content

    @asynccontextmanager
    async def local(self, sha256: str) -> AsyncIterator[Path]:
        """A copy in the scratch folder for as long as the context lasts."""
        key = _key(sha256)
        await asyncio.to_thread(self._scratch.mkdir, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._scratch, prefix="blob-") as file:
            await self._fetch(key, sha256, file)  # type: ignore[arg-type]  # a wrapper with all of BinaryIO's methods
            yield Path(file.name)

    async def exists(self, sha256: str) -> bool:
        return await self._modified_s(sha256) is not None

    async def list(self) -> AsyncIterator[Blob]:
        with _translated():
            async for found in obstore.list(self._store, chunk_size=1000):
                for one in found:
                    name = one["path"].rpartition("/")[2]
                    if _HASH.fullmatch(name):
                        yield Blob(name, one["size"], one["last_modified"].timestamp())

    async def claim(self, owner: str) -> str:
        """In the object `owner`. Put on record if nobody is; returns who is. Raises Transient(blobs_down)."""
        with _translated():
            if found := await self._owner():  # looked at first: some stores know no "if none is there"
                return found
            with suppress(errors.AlreadyExistsError), effect("blobs.claim_object"):
                await obstore.put_async(self._store, OWNER, owner.encode(), mode="create")
            return await self._owner() or owner

    async def sweep(self, keep: AbstractSet[str], *, older_than_s: float) -> int:
        """Delete blobs that `keep` does not name and nobody has put for `older_than_s`; returns how many."""
        before_s = time.time() - older_than_s
        swept = 0
        async for blob in self.list():
            if blob.sha256 in keep or blob.modified_s > before_s:
                continue
            modified_s = await self._modified_s(blob.sha256)
            if modified_s is None or modified_s > before_s:
                continue
            with _translated(), effect("blobs.sweep_object"):
                await obstore.delete_async(self._store, _key(blob.sha256))
            swept += 1
        return swept

    async def _owner(self) -> str | None:
        try:
            found = await obstore.get_async(self._store, OWNER)
        except _NOT_THERE:
            return None
        return bytes(await found.bytes_async()).decode()

    async def _is_fresh(self, sha256: str) -> bool:
        modified_s = await self._modified_s(sha256)
        return modified_s is not None and time.time() - modified_s < FRESH_S

    async def _modified_s(self, sha256: str) -> float | None:
        key = _key(sha256)
        try:
            with _translated(sha256):
                return (await obstore.head_async(self._store, key))["last_modified"].timestamp()
        except Gone:
            return None

    async def _fetch(self, key: str, sha256: str, file: BinaryIO) -> None:
        digest = hashlib.sha256()
        with _translated(sha256):
            found = await obstore.get_async(self._store, key)
            async for part in found.stream(min_chunk_size=PART_BYTES):
                digest.update(part)
                await asyncio.to_thread(file.write, part)
        await asyncio.to_thread(file.flush)
        if digest.hexdigest() != sha256:
            raise _changed(sha256)


def _key(sha256: str) -> str:
    if not _HASH.fullmatch(sha256):
        raise ValueError(f"{sha256[:80]!r} is not a sha256 in hex")
    return f"{sha256[:2]}/{sha256}"


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _changed(sha256: str) -> Permanent:
    return Permanent(Cause.CORRUPT, f"blob {sha256}: its object was changed or is damaged")


@contextmanager
def _translated(sha256: str = "") -> Iterator[None]:
    """Away, or refused after it was let in: wait for it. Nothing there: Gone, where something was asked for."""
    try:
        yield
    except _NOT_THERE as error:
        if not sha256:
            raise Transient(Cause.BLOBS_DOWN, _first_line(error)) from None
        raise Gone(f"blob {sha256}: nothing lies there") from None
    except (errors.BaseError, OSError) as error:
        raise Transient(Cause.BLOBS_DOWN, _first_line(error)) from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
