"""What `uploads` says of each document: its newest version, and whether that one took the document away."""

from collections import OrderedDict

from folio.errors import Cause, Permanent
from folio.ids import Doc
from folio.log import Entry
from folio.records import Upload

DOCS_MAX = 200_000
"""Documents remembered, the ones that changed last: some 50 MB. One that was forgotten costs a needless reading of
its outdated pages, nothing more: which version is shown is the ledger's decision."""


class Versions:
    """Learns every entry of `uploads` in order and answers whether a page is still wanted."""

    def __init__(self, *, docs_max: int = DOCS_MAX) -> None:
        self._docs_max = docs_max
        self._newest: OrderedDict[Doc, tuple[int, Cause | None]] = OrderedDict()

    def learn(self, entry: Entry) -> Doc | None:
        """Take one entry in; returns the document whose older pages are unwanted from now on."""
        try:
            upload = Upload.of(entry)
        except Permanent:
            return None  # ingest writes its dead letter
        version = upload.version_in(entry)
        if version < self._newest.get(upload.doc, (0, None))[0]:
            return None
        self._newest[upload.doc] = (version, Cause.CANCELLED if upload.cancelled or upload.deleted else None)
        self._newest.move_to_end(upload.doc)
        if len(self._newest) > self._docs_max:
            self._newest.popitem(last=False)
        return upload.doc

    def unwanted(self, doc: Doc, version: int) -> Cause | None:
        """Why pages of this version need not be read: cancelled (or deleted), superseded, or None."""
        newest, cause = self._newest.get(doc, (0, None))
        if version < newest:
            return cause or Cause.SUPERSEDED
        return cause if version == newest else None
