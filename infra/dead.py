"""Dead letters: what was given up and is still open, why, and how it is appended again."""

import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from folio.claims import whole_number
from folio.errors import Cause, CauseKind, FolioError, Gone, Permanent
from folio.ids import Doc
from folio.letters import DeadLetter
from folio.log import Entry, Log, Position, Record
from folio.records import PageText, Upload, upload_version
from folio.topics import BY_NAME, DEAD, DOCUMENTS, PAGES, PAGES_BULK, PAGES_VERIFY, TEXTS, UPLOADS
from infra.bounded import held
from infra.intake import Unknown

OF_A_VERSION = (PAGES.name, PAGES_BULK.name, PAGES_VERIFY.name, TEXTS.name)
"""Topics whose records are of one version of a document, which a newer upload makes pointless."""


class Dead(BaseModel):
    """An entry that was given up, as its newest dead letter has it. `count`: how often it was."""

    model_config = ConfigDict(frozen=True)

    position: str
    stage: str
    cause: Cause
    sentence: str
    detail: str = ""
    document: str = ""
    doc: str = ""
    version: int | None = None
    page: int | None = None
    key: str = ""
    attempts: int = 1
    count: int = 1
    dead_ms: int
    redriven_ms: int = 0


class Shown(Dead):
    """One of them with everything: the headers of the entry, and whether its bytes are still there."""

    headers: dict[str, str]
    there: bool
    size_bytes: int = 0
    appended_ms: int = 0
    advice: str


class Redriven(BaseModel):
    """What became of a redrive. `appended`: where the record is now, if it was appended again."""

    model_config = ConfigDict(frozen=True)

    position: str
    outcome: Literal["redriven", "already redriven", "gone", "superseded", "deleted", "needs its password", "refused"]
    detail: str = ""
    appended: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which dead letters are meant; what is not given is any. `every`: those that were redriven too."""

    cause: Cause | None = None
    stage: str = ""
    doc: str = ""
    since_ms: int = 0
    every: bool = False

    def has(self, dead: Dead) -> bool:
        return (
            (self.every or not dead.redriven_ms)
            and self.cause in (None, dead.cause)
            and self.stage in ("", dead.stage)
            and self.doc in ("", dead.doc)
            and dead.dead_ms >= self.since_ms
        )


@dataclass(slots=True)
class _Known:
    """What the topic says of one given-up entry, read in its order."""

    letter: DeadLetter
    headers: Mapping[str, str]
    dead_ms: int = 0
    redriven_ms: int = 0
    count: int = 0


class DeadLetters:
    """The dead letters of one log. Each question reads the topic `dead`: they are few, or something is wrong."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def listed(self, which: Which) -> list[Dead]:
        """The oldest first."""
        found = [_dead(known) for known in (await self._known()).values()]
        return sorted((one for one in found if which.has(one)), key=lambda one: (one.dead_ms, one.position))

    async def open(self, topic: str) -> dict[Position, DeadLetter]:
        """Entries of one topic that were given up and not redriven since."""
        known = await self._known()
        return {at: one.letter for at, one in known.items() if at.topic == topic and not one.redriven_ms}

    async def show(self, position: str) -> Shown:
        """One of them. Raises Unknown when nothing was given up there."""
        known = _one(await self._known(), position)
        entry = await self._fetched(known.letter.at)
        return Shown(
            **_dead(known).model_dump(),
            headers=dict(known.headers),
            there=entry is not None,
            size_bytes=len(entry.value) if entry else 0,
            appended_ms=entry.appended_ms if entry else 0,
            advice=_advice(known, there=entry is not None),
        )

    async def redrive(self, positions: Sequence[str]) -> list[Redriven]:
        """Append the original records again, each to its topic. Twice is harmless. Raises Unknown."""
        known = await self._known()
        asked = {position: _one(known, position) for position in positions}
        newest = await Newest.of(self._log, [one.letter for one in asked.values()])
        return [await self._redrive(position, one, newest) for position, one in asked.items()]

    async def _redrive(self, position: str, known: "_Known", newest: "Newest") -> Redriven:
        if known.redriven_ms:
            return Redriven(position=position, outcome="already redriven")
        if known.letter.cause is Cause.ENCRYPTED:
            detail = "no record holds a password: add the file again with --password -"
            return Redriven(position=position, outcome="needs its password", detail=detail)
        entry = await self._fetched(known.letter.at)
        if entry is None:
            return Redriven(position=position, outcome="gone", detail="its bytes are no longer kept: send it again")
        why = newest.why_not(entry)
        if why is not None:
            return why.model_copy(update={"position": position})
        record = Record(key=entry.key, value=_anew(entry), headers=entry.headers)
        try:
            (appended,) = await self._log.append(BY_NAME[entry.position.topic], [record])
        except Permanent as error:  # the log's limit, as this record came past it
            return Redriven(position=position, outcome="refused", detail=f"{error.detail}: send it again, smaller")
        await self._log.append(DEAD, [mark(known.letter, known.headers)])
        return Redriven(position=position, outcome="redriven", appended=text_of(appended))

    async def _fetched(self, at: Position) -> Entry | None:
        try:
            return await self._log.fetch(at)
        except Gone:
            return None

    async def _known(self) -> dict[Position, _Known]:
        """By the position of the entry that was given up; letters and redrives of one lie in one partition."""
        found: dict[Position, _Known] = {}
        async for entries in held(self._log, DEAD):
            for entry in entries:
                _learn(found, entry)
        return found


def _one(known: Mapping[Position, _Known], position: str) -> _Known:
    found = known.get(position_of(position))
    if found is None:
        raise Unknown(f"nothing was given up at {position}: folio dead list --all shows what was")
    return found


def _learn(found: dict[Position, _Known], entry: Entry) -> None:
    try:
        letter = DeadLetter.decode(entry.value)
    except Permanent:
        return  # not ours: the ledger has said so
    if letter.redriven_ms:
        if letter.at in found:
            found[letter.at].redriven_ms = letter.redriven_ms
        return
    count = found[letter.at].count if letter.at in found else 0
    found[letter.at] = _Known(letter, entry.headers, entry.appended_ms, count=count + 1)


def mark(letter: DeadLetter, headers: Mapping[str, str]) -> Record:
    """The record that says: this one is no longer open."""
    return letter.model_copy(update={"redriven_ms": time.time_ns() // 1_000_000}).record(headers)


class Newest:
    """The newest entry of each document on the compacted topics: what must not be overtaken by an older one."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}

    @classmethod
    async def of(cls, log: Log, letters: Collection[DeadLetter]) -> "Newest":
        """What is known of the documents of these letters."""
        newest = cls()
        docs = {letter.doc or letter.key for letter in letters}
        topics = [UPLOADS] if docs else []
        topics += [DOCUMENTS] if any(letter.topic == DOCUMENTS.name for letter in letters) else []
        for topic in topics:
            async for found in held(log, topic):
                for entry in found:
                    newest._learn((topic.name, doc_of_entry(entry)), entry, docs)
        return newest

    def _learn(self, of: tuple[str, str], entry: Entry, docs: Collection[str]) -> None:
        """By time: clients that hash keys in another way put one document into two partitions."""
        if of[1] not in docs:
            return
        before = self._entries.get(of)
        if before is None or _age(before) <= _age(entry):
            self._entries[of] = entry

    def why_not(self, entry: Entry) -> Redriven | None:
        """Why appending this again would do nothing good; None when it may be."""
        topic, doc = entry.position.topic, doc_of_entry(entry)
        upload = self._entries.get((UPLOADS.name, doc))
        if upload is not None and (topic in OF_A_VERSION or topic == UPLOADS.name):
            version = upload_version(upload)
            if _version_of(entry) < version:
                return _outdated(upload, version)
        last = self._entries.get((topic, doc))
        if last is not None and last.position != entry.position:
            return Redriven(position="", outcome="superseded", detail=f"{text_of(last.position)} is newer")
        return None


def _anew(entry: Entry) -> bytes:
    """The answer to an announcement becomes an upload of its own, or the failure of that version would stay."""
    if entry.position.topic == UPLOADS.name:
        with suppress(Permanent):
            upload = Upload.decode(entry.value)
            return upload.model_copy(update={"answers": 0}).encode() if upload.answers else entry.value
    return entry.value


def _age(entry: Entry) -> int:
    """The answer to an announcement is as old as that one."""
    return upload_version(entry) if entry.position.topic == UPLOADS.name else entry.appended_ms


def _outdated(upload: Entry, version: int) -> Redriven:
    try:
        said = Upload.decode(upload.value)
    except Permanent:
        return Redriven(position="", outcome="superseded", detail=f"version {version} is newer")
    if said.deleted:
        return Redriven(position="", outcome="deleted", detail="the document was deleted since")
    what = "cancelled since" if said.cancelled else f"version {version} is newer"
    return Redriven(position="", outcome="superseded", detail=what)


def doc_of_entry(entry: Entry) -> str:
    """Tenant and document id of any record: by its headers, else its key."""
    document = entry.headers.get("folio-doc-id")
    return f"{entry.headers.get('folio-tenant') or 'default'}/{document}" if document else entry.key


def _version_of(entry: Entry) -> int:
    if entry.position.topic == UPLOADS.name:
        return upload_version(entry)
    if entry.position.topic == TEXTS.name:
        with suppress(Permanent):
            return PageText.decode(entry.value).version
    with suppress(ValueError):
        return whole_number("folio-version", entry.headers.get("folio-version", "")) or sys.maxsize
    return sys.maxsize  # nothing says that it is an older one


def text_of(at: Position) -> str:
    return f"{at.topic}/{at.partition}/{at.offset}"


def position_of(text: str) -> Position:
    """`pages/0/12`. Raises FolioError."""
    topic, _, rest = text.partition("/")
    partition, _, offset = rest.partition("/")
    if topic not in BY_NAME or not partition.isdecimal() or not offset.isdecimal():
        raise FolioError(f"{text!r}: a position is TOPIC/PARTITION/OFFSET, like pages/0/12")
    return Position(topic, int(partition), int(offset))


def causes(found: Sequence[Dead]) -> dict[str, int]:
    """How many there are of each cause, the most frequent first."""
    return dict(Counter(one.cause.value for one in found).most_common())


def _dead(known: _Known) -> Dead:
    letter = known.letter
    doc = letter.doc or Doc("")
    return Dead(
        position=text_of(letter.at),
        stage=letter.stage,
        cause=letter.cause,
        sentence=letter.cause.sentence,
        detail=letter.detail,
        document=doc.partition("/")[2],
        doc=doc,
        version=letter.version,
        page=letter.page,
        key=letter.key,
        attempts=letter.attempts,
        count=known.count,
        dead_ms=known.dead_ms,
        redriven_ms=known.redriven_ms,
    )


def _advice(known: _Known, *, there: bool) -> str:
    position = text_of(known.letter.at)
    if known.redriven_ms:
        return "It was redriven; folio status says what became of its document."
    if known.letter.cause is Cause.ENCRYPTED:
        return "Add the file again with --password -: no record holds a password."
    if not there:
        return "Its bytes are no longer kept: send it again."
    again = f"folio dead redrive {position} appends it again"
    if known.letter.cause.kind is CauseKind.TRANSIENT:
        return f"{again}."
    return f"When what the cause names is mended, {again}; if its bytes are at fault, send others."
