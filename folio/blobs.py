"""The Blobs port: content-addressed bytes, a folder here or an object store by URL."""

from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

OWNER = "owner"
"""Where the one whose store it is stands on record, beside the blobs."""


@dataclass(frozen=True, slots=True)
class Blob:
    """What is known of stored bytes without reading them."""

    sha256: str
    size_bytes: int
    modified_s: float


class Blobs(Protocol):
    """Bytes under the sha256 of their content. Putting the same content again changes nothing."""

    async def put(self, content: bytes) -> str:
        """Store durably; returns the sha256 in hex. Raises Transient(disk_full)."""
        ...

    async def put_file(self, path: Path) -> str:
        """Store a file's bytes without holding them in memory."""
        ...

    async def get(self, sha256: str) -> bytes:
        """Raises Gone when nothing lies there."""
        ...

    def local(self, sha256: str) -> AbstractAsyncContextManager[Path]:
        """The bytes as a readable local file for as long as the context lasts. Raises Gone."""
        ...

    async def exists(self, sha256: str) -> bool: ...

    def list(self) -> AsyncIterator[Blob]: ...

    async def claim(self, owner: str) -> str:
        """Put `owner` on record if nobody is; returns who is. Two that sweep one store lose each other's blobs."""
        ...

    async def sweep(self, keep: AbstractSet[str], *, older_than_s: float) -> int:
        """Delete blobs that `keep` does not name and nobody has put for `older_than_s`; returns how many."""
        ...
