"""Three classes of failure, and the closed list of causes that a page or a document can fail with."""

from enum import StrEnum


class CauseKind(StrEnum):
    """Whose problem it is: the bytes', a dependency's for now, or somebody's who means harm."""

    DATA = "data"
    TRANSIENT = "transient"
    SECURITY = "security"


class Cause(StrEnum):
    """Why a page or a document failed. Closed: stages never write free text where a cause belongs."""

    ENCRYPTED = "encrypted"
    CORRUPT = "corrupt"
    ZERO_PAGES = "zero_pages"
    TOO_MANY_PAGES = "too_many_pages"
    TOO_LARGE = "too_large"
    PIXEL_LIMIT = "pixel_limit"
    RENDER_TIMEOUT = "render_timeout"
    RENDER_CRASH = "render_crash"
    RENDER_OOM = "render_oom"
    UNSUPPORTED_TYPE = "unsupported_type"
    PAGE_MISSING = "page_missing"
    OCR_LOOP = "ocr_loop"
    OCR_EMPTY = "ocr_empty"
    OCR_TRUNCATED = "ocr_truncated"
    OCR_TIMEOUT = "ocr_timeout"
    OCR_CRASH = "ocr_crash"
    OCR_MISMATCH = "ocr_mismatch"
    PROMPT_REFUSED = "prompt_refused"
    ENGINE_DOWN = "engine_down"
    ENGINE_REFUSED = "engine_refused"
    EMBEDDER_DOWN = "embedder_down"
    EMBEDDING_INVALID = "embedding_invalid"
    STORE_DOWN = "store_down"
    LOG_DOWN = "log_down"
    BLOBS_DOWN = "blobs_down"
    DISK_FULL = "disk_full"
    QUOTA = "quota"
    SCHEMA_INVALID = "schema_invalid"
    POLICY_DENIED = "policy_denied"
    FETCH_FAILED = "fetch_failed"
    HIDDEN_TEXT = "hidden_text"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    IMAGE_EXPIRED = "image_expired"
    INTERNAL = "internal"

    @property
    def kind(self) -> CauseKind:
        if self in _TRANSIENT:
            return CauseKind.TRANSIENT
        return CauseKind.SECURITY if self in _SECURITY else CauseKind.DATA

    @property
    def sentence(self) -> str:
        """What happened and what to do, for a person, in one line."""
        return _SENTENCES[self]


_TRANSIENT = frozenset(
    {
        *(Cause.ENGINE_DOWN, Cause.EMBEDDER_DOWN, Cause.STORE_DOWN, Cause.LOG_DOWN, Cause.BLOBS_DOWN),
        *(Cause.DISK_FULL, Cause.QUOTA),
    }
)
_SECURITY = frozenset({Cause.POLICY_DENIED, Cause.HIDDEN_TEXT})

_SENTENCES = {
    Cause.ENCRYPTED: "The file needs a password: add it again with --password.",
    Cause.CORRUPT: "The file or page cannot be decoded: export it again from its source.",
    Cause.ZERO_PAGES: "The file opens but holds no page: it is damaged or empty.",
    Cause.TOO_MANY_PAGES: "More pages than ingest.pages_max allows: raise the setting or split the file.",
    Cause.TOO_LARGE: "Larger than a limit allows (the detail names the setting): raise it or split the file.",
    Cause.PIXEL_LIMIT: "The image has more pixels than ingest.pixels_max allows: scale it down.",
    Cause.RENDER_TIMEOUT: "Opening or drawing it took longer than the time limit: print it to a new PDF.",
    Cause.RENDER_CRASH: "The renderer died on it, with both engines: print it to a new PDF.",
    Cause.RENDER_OOM: "Drawing it needed more memory than ingest.memory_bytes_max: print it to a new PDF.",
    Cause.UNSUPPORTED_TYPE: "Not a type that folio reads (PDF, images, HTML, Markdown, text): convert it first.",
    Cause.PAGE_MISSING: "The page was announced but never arrived: send it again.",
    Cause.OCR_LOOP: "The engine repeated itself on this page.",
    Cause.OCR_EMPTY: "The engine found no text on a page that has ink.",
    Cause.OCR_TRUNCATED: "The engine stopped at its output limit before the end of the page.",
    Cause.OCR_TIMEOUT: "The engine took longer than ocr.page_seconds_max for this page.",
    Cause.OCR_CRASH: "The engine's process died on this page.",
    Cause.OCR_MISMATCH: "The engine answered with another page's length, its text is not kept: look at the engine.",
    Cause.PROMPT_REFUSED: "The prompt is empty or too long: shorten it, or choose a preset.",
    Cause.ENGINE_DOWN: "The OCR engine does not answer; folio waits for it.",
    Cause.ENGINE_REFUSED: "The OCR server refuses this page (the detail has its words): see what it was asked.",
    Cause.EMBEDDER_DOWN: "The embedder does not answer; folio waits for it.",
    Cause.EMBEDDING_INVALID: "The embedder returned vectors that are not finite, or of the wrong size.",
    Cause.STORE_DOWN: "The index does not answer; folio waits for it.",
    Cause.LOG_DOWN: "The log (Kafka) does not answer; folio waits for it.",
    Cause.BLOBS_DOWN: "The store of files and pictures (blobs.url) does not answer; folio waits for it.",
    Cause.DISK_FULL: "The disk is (nearly) full; nothing is lost. Make space; folio goes on within a minute.",
    Cause.QUOTA: "A quota is used up; folio waits.",
    Cause.SCHEMA_INVALID: "The record is not what its topic promises: see docs/producing.md.",
    Cause.POLICY_DENIED: "A policy refused it.",
    Cause.FETCH_FAILED: "The announced address did not give the file: see the detail; folio dead redrive tries again.",
    Cause.HIDDEN_TEXT: "The page carries text that a reader cannot see.",
    Cause.CANCELLED: "It was cancelled.",
    Cause.SUPERSEDED: "A newer version of the document arrived first.",
    Cause.IMAGE_EXPIRED: "The page's picture is no longer kept; its text is.",
    Cause.INTERNAL: "It ended its process, or failed for no known cause, three times: folio dead redrive tries again.",
}


class FolioError(Exception):
    """Every error of ours. Its text says what happened, whose problem it is and what to do."""


class Permanent(FolioError):
    """This record can never succeed: the loop writes a dead letter and goes on."""

    def __init__(self, cause: Cause, detail: str = "") -> None:
        super().__init__(f"{cause}: {detail or cause.sentence}")
        self.cause = cause
        self.detail = detail


class Transient(FolioError):
    """A dependency is away: the loop waits and repeats; nothing is committed, nothing dead-lettered."""

    def __init__(self, cause: Cause, detail: str = "") -> None:
        super().__init__(f"{cause}: {detail or cause.sentence}")
        self.cause = cause
        self.detail = detail


class Gone(FolioError):
    """The entry or the blob is no longer there: expired, compacted away or swept."""


class LeaseLost(FolioError):
    """Another reader of the group owns the partition now; work under the old lease is dropped."""


class StageStopped(FolioError):
    """Everything a stage tries fails, so it is not the records: the process must not go on."""


class SettingsError(FolioError):
    """A setting that folio does not know or cannot use; names the nearest known key."""
