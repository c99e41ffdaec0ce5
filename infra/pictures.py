"""The picture of a page: the image that was read, else drawn from the kept original; with boxes on it, or a part."""

from dataclasses import dataclass
from pathlib import Path

from folio.blobs import Blobs
from folio.errors import Gone
from folio.ids import TENANT_DEFAULT, doc_of
from folio.records import BlockKind, Box, PageText
from infra.intake import Unknown
from ingest.marks import Mark
from ingest.sandbox import Sandbox
from ledger import audit
from ledger.shown import Original, original

COLOURS = {
    BlockKind.HEADING: "#c2185b",
    BlockKind.PARAGRAPH: "#1565c0",
    BlockKind.LIST: "#00838f",
    BlockKind.TABLE: "#2e7d32",
    BlockKind.CODE: "#5d4037",
    BlockKind.FORMULA: "#6a1b9a",
    BlockKind.FIGURE: "#ef6c00",
    BlockKind.CAPTION: "#f9a825",
    BlockKind.FOOTNOTE: "#455a64",
}
FURNITURE = "#9e9e9e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A page's picture: what to draw on it, the part to cut out, and the password of an encrypted original."""

    document: str
    page: int
    marks: tuple[Mark, ...] = ()
    crop: Box | None = None
    password: str = ""


class Pictures:
    """Finds or draws them. Untrusted bytes are opened in the sandbox, as ever."""

    def __init__(self, ledger: Path, blobs: Blobs, sandbox: Sandbox) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._sandbox = sandbox

    async def picture(self, wanted: Wanted) -> bytes:
        """JPEG. Raises Gone when neither image nor original is kept, Permanent when it cannot be drawn."""
        found = self._original(wanted)
        if found.image and not wanted.marks and wanted.crop is None:
            return await self._blobs.get(found.image)
        if not found.image and not found.sha256:
            raise Gone(f"the picture of page {wanted.page} of {wanted.document} is not kept")
        async with self._blobs.local(found.image or found.sha256) as path:
            return await self._sandbox.picture(
                path,
                1 if found.image else wanted.page,
                name="" if found.image else found.name,
                password=wanted.password,
                marks=wanted.marks,
                crop=wanted.crop,
            )

    def _original(self, wanted: Wanted) -> Original:
        doc = doc_of(TENANT_DEFAULT, wanted.document)
        found = original(self._ledger, doc, wanted.page)
        if found is not None:
            return found
        if audit.summary(self._ledger, doc) is None:
            raise Unknown(f"there is no document {wanted.document!r}")
        raise Gone(f"{wanted.document} was deleted, and its pictures with it")


def marks_of(text: PageText) -> tuple[Mark, ...]:
    """One mark a block that has a place on the page: a colour for each kind, grey for what stands in the margins."""
    return tuple(
        Mark(box=block.box, colour=FURNITURE if block.furniture else COLOURS[block.kind], label=block.kind.value)
        for block in text.blocks
        if block.box is not None
    )
