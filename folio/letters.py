"""Dead letters: why a record was given up, and where it lies. Readable by tools that know Kafka Connect's."""

from collections.abc import Mapping
from contextlib import suppress

from folio.claims import whole_number
from folio.errors import Cause
from folio.ids import Doc
from folio.log import Entry, Position, Record
from folio.records import Message, upload_version
from folio.topics import UPLOADS

KEY_CHARS_MAX = 1024
HEADERS_CHARS_MAX = 64 * 1024
"""Of what a dead letter repeats of its record: anybody's key and headers may be as large as a record."""
CONNECT = "__connect.errors."
"""How Kafka Connect begins the names of the headers of its dead letters: tools that know them read ours."""


class DeadLetter(Message):
    """Why a record was given up, and where it lies; never its bytes.

    `redriven_ms`: not a failure but the end of one. The record was appended again at that time, or read by a replay.
    """

    stage: str
    cause: Cause
    detail: str = ""
    topic: str
    partition: int
    offset: int
    key: str
    attempts: int = 1
    doc: Doc | None = None
    version: int | None = None
    page: int | None = None
    redriven_ms: int = 0

    @property
    def at(self) -> Position:
        return Position(self.topic, self.partition, self.offset)

    def record(self, headers: Mapping[str, str]) -> Record:
        """To be appended to `dead`: with the headers that the given-up record had, and Kafka Connect's."""
        facts = {
            "topic": self.topic,
            "partition": str(self.partition),
            "offset": str(self.offset),
            "connector.name": "folio",
            "stage": self.stage,
            "exception.class.name": self.cause.value,
            "exception.message": self.detail or self.cause.sentence,
        }
        ours = {CONNECT + name: value for name, value in facts.items()}
        return Record(key=self.doc or self.key, value=self.encode(), headers={**_that_fit(headers), **ours})

    @classmethod
    def of(cls, entry: Entry, stage: str, *, cause: Cause, detail: str) -> "DeadLetter":
        """Page and version come from the entry, so that the ledger can name the gap."""
        at, header = entry.position, entry.headers.get
        version, page = _number(header("folio-version")), _number(header("folio-page"))
        if at.topic == UPLOADS.name:
            version = upload_version(entry)
        doc = f"{header('folio-tenant') or 'default'}/{header('folio-doc-id')}" if header("folio-doc-id") else entry.key
        return cls(
            stage=stage,
            cause=cause,
            detail=detail[:2000],
            topic=at.topic,
            partition=at.partition,
            offset=at.offset,
            key=entry.key[:KEY_CHARS_MAX],
            attempts=entry.attempt + 1,
            doc=Doc(doc[:KEY_CHARS_MAX]),
            version=version,
            page=page,
        )


def _number(said: str | None) -> int | None:
    with suppress(ValueError):
        return whole_number("", said or "") or None
    return None


def _that_fit(headers: Mapping[str, str]) -> dict[str, str]:
    """As many as are no burden: a letter must fit into the log, whatever its record carried."""
    kept, left = {}, HEADERS_CHARS_MAX
    for name, value in headers.items():
        size = len(name) + len(value)
        if size <= left:
            kept[name] = value
            left -= size
    return kept
