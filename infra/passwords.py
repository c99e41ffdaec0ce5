"""Passwords of documents that are being read: in the owner's memory only, and forgotten when the reading is done."""

from pathlib import Path

from folio.errors import FolioError
from folio.records import Upload
from ledger import audit

READ_STILL = frozenset({"queued", "reading"})


class Passwords:
    """What producers gave, by document and content. Nothing here is ever written, logged or shown."""

    def __init__(self, *, are_read_here: bool = True) -> None:
        """`are_read_here`: documents are opened in this process, the only one that a password may reach."""
        self._are_read_here = are_read_here
        self._given: dict[tuple[str, str], tuple[str, int | None]] = {}

    def __bool__(self) -> bool:
        return bool(self._given)

    def remember(self, doc: str, sha256: str, password: str, *, version: int | None = None) -> None:
        """Before the upload's version is known it is kept in any case. Raises FolioError where it can reach nobody."""
        if password and not self._are_read_here:
            raise FolioError(
                "a password is kept in memory only, and files are opened by another process here:"
                " add this document through a folio that does both (folio run, or folio run api ingest)"
            )
        if password:
            self._given[doc, sha256] = (password, version)

    def of(self, upload: Upload) -> str:
        """Empty when none was given, or the owner was started anew."""
        return self._given.get((upload.doc, upload.sha256), ("", None))[0]

    def forget(self, doc: str, sha256: str) -> None:
        self._given.pop((doc, sha256), None)

    def forget_read(self, ledger: Path) -> None:
        """Drop the passwords of versions that were read, or will not be."""
        known = audit.summaries(ledger, sorted({doc for doc, _ in self._given}))
        for (doc, sha256), (_, version) in list(self._given.items()):
            status = known.get(doc)
            if version is None or status is None or status.version < version:
                continue
            if status.version > version or status.state not in READ_STILL:
                self.forget(doc, sha256)
