"""Blobs in a folder: each under the hash of its bytes, there entirely or not at all, also after a crash."""

import asyncio
import errno
import hashlib
import os
import re
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from folio.blobs import OWNER, Blob
from folio.errors import Cause, Gone, Permanent, Transient
from folio.faults import effect

COPY_BYTES = 1 << 20
FOLDER_OF_UNFINISHED = "unfinished"
_HASH = re.compile(r"[0-9a-f]{64}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FolderBlobs:
    """Content-addressed files under `root/aa/`. Any number of processes may read and write; one sweeps.

    A blob is written under another name, synced and renamed, so a reader never sees half of one. `get` checks the
    hash, which costs less than reading the bytes; `local` hands out the file unchecked. One level of folders: a
    second would mean two more folders made and synced for nearly every one of the first 65,000 blobs.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unfinished = root / FOLDER_OF_UNFINISHED
        self._writing: set[Path] = set()
        self._deciding = threading.Lock()
        """Held while a blob is found to exist and marked as used, and while the sweep decides about one."""

    async def put(self, content: bytes) -> str:
        """Store durably; a blob that is there already costs a look. Raises Transient(disk_full)."""
        return await asyncio.to_thread(self._put, content)

    async def put_file(self, path: Path) -> str:
        """Store a file's bytes, copied and hashed a piece at a time. Raises Transient(disk_full)."""
        return await asyncio.to_thread(self._put_file, path)

    async def get(self, sha256: str) -> bytes:
        """Raises Gone when nothing lies there, Permanent(corrupt) when other bytes lie there than were put."""
        return await asyncio.to_thread(self._get, sha256)

    @asynccontextmanager
    async def local(self, sha256: str) -> AsyncIterator[Path]:
        """The blob's own file: read it, never write to it."""
        path = self._path(sha256)
        if not path.is_file():
            raise Gone(f"blob {sha256}: nothing lies there")
        yield path

    async def exists(self, sha256: str) -> bool:
        return self._path(sha256).is_file()

    async def list(self) -> AsyncIterator[Blob]:
        for folder in await asyncio.to_thread(self._folders):
            for blob in await asyncio.to_thread(_blobs_in, folder):
                yield blob

    async def claim(self, owner: str) -> str:
        """In the file `owner`. Put on record if nobody is; returns who is. Raises Transient(disk_full)."""
        return await asyncio.to_thread(self._claim, owner)

    async def sweep(self, keep: AbstractSet[str], *, older_than_s: float) -> int:
        """Delete blobs that `keep` does not name and nobody has put for `older_than_s`, and what a crash left
        unfinished; returns how many blobs. The grace covers blobs whose record is still on its way to the log.
        """
        before_s = time.time() - older_than_s
        swept = 0
        for folder in await asyncio.to_thread(self._folders):
            swept += await asyncio.to_thread(self._sweep_folder, folder, keep, before_s)
        await asyncio.to_thread(self._sweep_unfinished, before_s)
        return swept

    def _claim(self, owner: str) -> str:
        record = self._root / OWNER
        with _disk_full_is_transient(self._root), self._new_file() as (file, path):
            file.write(owner.encode())
            os.fsync(file.fileno())
            with suppress(FileExistsError), effect("blobs.claim"):
                os.link(path, record)
                sync(self._root)
        return record.read_text(encoding="utf-8")

    def _path(self, sha256: str) -> Path:
        if not _HASH.fullmatch(sha256):
            raise ValueError(f"{sha256[:80]!r} is not a sha256 in hex")
        return self._root / sha256[:2] / sha256

    def _put(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        if not self._used_again(sha256):
            with _disk_full_is_transient(self._root), self._new_file() as (file, path):
                file.write(content)
                self._finish(file, path, sha256)
        return sha256

    def _put_file(self, source: Path) -> str:
        digest = hashlib.sha256()
        with source.open("rb") as read, _disk_full_is_transient(self._root), self._new_file() as (file, path):
            while piece := read.read(COPY_BYTES):
                digest.update(piece)
                file.write(piece)
            sha256 = digest.hexdigest()
            if not self._used_again(sha256):
                self._finish(file, path, sha256)
        return sha256

    def _used_again(self, sha256: str) -> bool:
        """True when it is there; then it counts as put now, so that the sweep leaves it alone."""
        with self._deciding:
            try:
                os.utime(self._path(sha256))
            except FileNotFoundError:
                return False
            return True

    @contextmanager
    def _new_file(self) -> Iterator[tuple[BinaryIO, Path]]:
        """A file of our own that is gone at the end, unless it was renamed."""
        path = self._unfinished / uuid.uuid4().hex
        self._writing.add(path)
        try:
            self._unfinished.mkdir(parents=True, exist_ok=True)
            with path.open("xb", buffering=0) as file:
                yield file, path
        finally:
            path.unlink(missing_ok=True)
            self._writing.discard(path)

    def _finish(self, file: BinaryIO, path: Path, sha256: str) -> None:
        target = self._path(sha256)
        os.fsync(file.fileno())
        if not target.parent.is_dir():
            target.parent.mkdir(exist_ok=True)
            sync(self._root)
        with effect("blobs.rename"):
            path.rename(target)
            sync(target.parent)

    def _get(self, sha256: str) -> bytes:
        try:
            content = self._path(sha256).read_bytes()
        except FileNotFoundError:
            raise Gone(f"blob {sha256}: nothing lies there") from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise Permanent(Cause.CORRUPT, f"blob {sha256}: its file was changed or is damaged")
        return content

    def _folders(self) -> Sequence[Path]:
        return sorted(self._root.glob("[0-9a-f][0-9a-f]"))

    def _sweep_folder(self, folder: Path, keep: AbstractSet[str], before_s: float) -> int:
        return sum(self._sweep_one(blob, before_s) for blob in _blobs_in(folder) if blob.sha256 not in keep)

    def _sweep_one(self, blob: Blob, before_s: float) -> bool:
        """Another process may put it again at any moment: it is taken aside, looked at once more, and brought back."""
        path, aside = self._path(blob.sha256), self._unfinished / f"{blob.sha256}.{uuid.uuid4().hex}"
        with self._deciding:
            if path.stat().st_mtime > before_s:
                return False
            self._unfinished.mkdir(parents=True, exist_ok=True)
            with effect("blobs.sweep"):
                path.rename(aside)
                if aside.stat().st_mtime > before_s:
                    aside.rename(path)
                    return False
                aside.unlink()
            return True

    def _sweep_unfinished(self, before_s: float) -> None:
        for path in self._unfinished.glob("*"):
            with suppress(FileNotFoundError):  # somebody has just finished it
                if path not in self._writing and path.stat().st_mtime <= before_s:
                    with effect("blobs.sweep_unfinished"):
                        path.unlink(missing_ok=True)


def _blobs_in(folder: Path) -> list[Blob]:
    found = ((path.name, path.stat()) for path in sorted(folder.iterdir()) if _HASH.fullmatch(path.name))
    return [Blob(name, stat.st_size, stat.st_mtime) for name, stat in found]


@contextmanager
def _disk_full_is_transient(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise Transient(Cause.DISK_FULL, f"{folder}: no space left") from error


def sync(folder: Path) -> None:
    """Make a folder's list of names durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
