"""Document -> ChunkSet: a pure function, the same chunks from the same document on every machine.

Sections by heading, filled chunk by chunk up to the embedder's own limit, every chunk with its heading path, its pages
and its boxes. No text is lost, and nothing that is embedded is ever longer than the embedder reads.
"""

import hashlib
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from chunking.blocks import TextBlock
from chunking.cutting import Cutter, Piece
from chunking.join import document_blocks, gaps_of
from chunking.packing import Group, packed
from chunking.places import Places
from chunking.revision import REVISION
from chunking.sections import Section, sections
from chunking.tokens import Counter, open_counter
from folio.errors import SettingsError
from folio.ids import Doc, chunk_id
from folio.records import BlockKind, Chunk, ChunkSet, Document

ROOM_MIN = 12
LEAD_SHARE = 3
PATH_GLUE = " > "
_INTRODUCED = frozenset({BlockKind.LIST, BlockKind.CODE, BlockKind.FORMULA})


@dataclass(frozen=True, slots=True)
class _Draft:
    """A chunk before its document is known; `tokens` as embedded."""

    section: int
    context: str
    headings: tuple[str, ...]
    pieces: Group
    body: str
    tokens: int

    @property
    def kind(self) -> BlockKind:
        """Table where there are rows, else the kind of most of its text."""
        shares: Tally[BlockKind] = Tally()
        for piece in self.pieces:
            shares[piece.kind] += piece.tokens + 1
        if BlockKind.TABLE in shares:
            return BlockKind.TABLE
        if len(shares) > 1:
            del shares[BlockKind.HEADING]
        return shares.most_common(1)[0][0]


class Chunker:
    """`tokens_max` is what the embedder reads, its special tokens included; `model` goes into every embed_hash."""

    def __init__(self, tokenizer: str, *, tokens_max: int, context_tokens_max: int, model: str) -> None:
        self._counter: Counter = open_counter(tokenizer)
        self._limit = tokens_max - self._counter.specials
        self._context_max = min(context_tokens_max, self._limit // 3)
        self._model = model
        if self._limit - self._context_max < ROOM_MIN:
            raise SettingsError(f"chunking.tokens_max = {tokens_max}: too few to hold a passage")

    def chunk(self, document: Document) -> ChunkSet:
        """Every chunk of this revision; the pages that could not be read are named as gaps."""
        gaps = {} if document.deleted else gaps_of(document)
        pages = () if document.deleted else document.pages
        parts = enumerate(sections(document_blocks(pages)))
        drafts = [draft for number, section in parts for draft in self._drafts(section, number)]
        return ChunkSet(
            doc=document.doc,
            version=document.version,
            revision=document.revision,
            name=document.name,
            uri=document.uri,
            metadata=document.metadata,
            page_count=document.page_count,
            complete=document.complete,
            deleted=document.deleted,
            gaps=gaps,
            chunks=tuple(self._chunks(document.doc, drafts, Places(pages, gaps))),
        )

    def _chunks(self, doc: Doc, drafts: Sequence[_Draft], places: Places) -> Iterator[Chunk]:
        seen: Tally[str] = Tally()
        spans = [[span for piece in draft.pieces for span in piece.spans] for draft in drafts]
        beside_gaps = places.gap_flags(spans)
        for order, draft in enumerate(drafts):
            words = " ".join(draft.body.split())
            own = [flag for piece in draft.pieces for flag in piece.flags]
            yield Chunk(
                chunk_id=chunk_id(doc, draft.body, seen[words]),
                embed_hash=self._embed_hash(draft.context, draft.body),
                body=draft.body,
                context=draft.context,
                kind=draft.kind,
                headings=draft.headings,
                pages=places.pages(spans[order]),
                boxes=places.boxes(spans[order]),
                order=order,
                section=draft.section,
                tokens=draft.tokens,
                flags=tuple(dict.fromkeys(own + beside_gaps[order])),
            )
            seen[words] += 1

    def _embed_hash(self, context: str, body: str) -> str:
        return hashlib.sha256(f"{context}\0{body}\0{self._model}\0{REVISION}".encode()).hexdigest()

    def _drafts(self, section: Section, number: int) -> list[_Draft]:
        """The section's chunks; packed again with less room where the parts counted less than the whole."""
        path, above = self._context(section.path), self._context(section.above)
        counts = self._counter.counts([path, above])
        room, first_room = self._room(section, *counts), self._limit - counts[1]
        while True:
            groups = packed(self._pieces(section, room), room, first_room=first_room)
            contexts = [above if section.opening else path, *[path] * len(groups)]
            given = zip(groups, contexts, strict=False)
            drafts = [self._draft(number, section, group=group, context=context) for group, context in given]
            over = max((draft.tokens for draft in drafts), default=0) - self._limit - self._counter.specials
            if over <= 0 or room <= 1:
                return drafts
            room, first_room = max(1, room - over), max(1, first_room - over)

    def _room(self, section: Section, path: int, above: int) -> int:
        """What a chunk's body may count, such that the headings fit before any first piece."""
        opening = sum(self._counter.counts([block.text for block in section.opening]))
        room = self._limit - path
        beside = self._limit - above - opening
        return min(room, beside) if opening <= self._limit // LEAD_SHARE else room

    def _draft(self, number: int, section: Section, *, group: Group, context: str) -> _Draft:
        first, *more = group
        body = first.text + "".join(piece.joint + piece.text for piece in more)
        embedded = f"{context}\n{body}" if context else body
        tokens = self._counter.counts([embedded])[0] + self._counter.specials
        return _Draft(number, context, section.path, group, body, tokens)

    def _pieces(self, section: Section, room: int) -> list[Piece]:
        blocks = [*section.opening, *_with_items(section.blocks)]
        counts = self._counter.counts([block.text for block in blocks])
        cutter = Cutter(self._counter, room)
        pieces: list[Piece] = []
        before: TextBlock | None = None
        for block, following, tokens in zip(blocks, [*blocks[1:], None], counts, strict=True):
            lead = pieces[-1] if pieces and pieces[-1].binds and pieces[-1].kind is BlockKind.PARAGRAPH else None
            made = cutter.pieces(block, tokens, lead)
            if made and before and before.kind is block.kind is BlockKind.LIST:
                made[0] = replace(made[0], joint="\n")
            if made and _binds(block, following, made[-1].tokens <= room // LEAD_SHARE):
                made[-1] = replace(made[-1], binds=True)
            pieces += made
            before = block
        return pieces

    def _context(self, path: Sequence[str]) -> str:
        """The heading path within its allowance: first the middle goes, then the root, then the leaf's end."""
        names = list(path)
        text = PATH_GLUE.join(names)
        while self._counter.counts([text])[0] > self._context_max:
            if len(names) > 1:
                del names[1 if len(names) > 2 else 0]
                text = PATH_GLUE.join(names)
            else:
                text = text[: len(text) * 3 // 4].rstrip()
        return text


def _with_items(blocks: Iterable[TextBlock]) -> Iterator[TextBlock]:
    """Lists as their items: they are packed one by one."""
    for block in blocks:
        if block.kind is BlockKind.LIST:
            yield from block.parts
        else:
            yield block


def _binds(block: TextBlock, following: TextBlock | None, is_short: bool) -> bool:
    """Headings stay with what follows, so do a table's lead-in and a sentence that ends with a colon."""
    if following is None or not is_short:
        return False
    if block.kind is not BlockKind.PARAGRAPH:
        return block.kind is BlockKind.HEADING
    return following.kind is BlockKind.TABLE or (following.kind in _INTRODUCED and block.text.endswith((":", "\uff1a")))
