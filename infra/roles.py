"""What a process does: everything, or some of the stages; and which sets of them can work beside others."""

from collections.abc import Iterable

from folio.errors import SettingsError
from folio.settings import Settings

INGEST, OCR, LEDGER, INDEX, EMBED, API = "ingest", "ocr", "ledger", "index", "embed", "api"
ROLES = {
    INGEST: "files become pages",
    OCR: "page images become text",
    LEDGER: "documents are put together from pages; one at a time does, others wait",
    INDEX: "documents become chunks that are found by their words",
    EMBED: "chunks are given their vectors",
    API: "add, search, status over HTTP",
}
"""What `folio run` takes, in the order of a page's way."""
ALL = frozenset(ROLES)
AT_THE_INDEX = frozenset({INDEX, EMBED, API})
"""What the embedded index ties to one process."""


def roles_of(names: Iterable[str], settings: Settings) -> frozenset[str]:
    """The roles of one process; none named: all. Raises SettingsError for sets that the settings do not allow."""
    asked = frozenset(names) or ALL
    if unknown := sorted(asked - ALL):
        raise SettingsError(f"there is no stage {unknown[0]!r}: folio run takes {', '.join(ROLES)}, or nothing for all")
    if asked != ALL and not settings.kafka.servers:
        raise SettingsError(
            f"folio run {' '.join(sorted(asked))}: with the embedded log one process does everything. Set kafka.servers"
            " (FOLIO_KAFKA__SERVERS=host:9092) to share the work, or use folio run alone"
        )
    if settings.indexer.url or not asked & AT_THE_INDEX:
        return asked
    if INDEX not in asked:
        raise SettingsError(
            f"folio run {' '.join(sorted(asked))}: only the one process that writes the embedded index can use it."
            " Use folio run index, which embeds and serves the API too, or set indexer.url to a Qdrant server"
        )
    return asked | AT_THE_INDEX
