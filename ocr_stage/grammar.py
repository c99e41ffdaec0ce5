"""The grammar of DeepSeek-OCR: what a model said, cut into pieces with label, boxes and text; never evaluated.

``<|ref|>label<|/ref|><|det|>[[x0, y0, x1, y1]]<|/det|>`` and then the text of that piece, up to the next one. Whatever
breaks this is read as far as it makes sense: no text is lost, no tag is left in it, and a flag says what was wrong.
One pass over the text, whatever it holds.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from ocr_stage.prompts import BAR

TEXT_CHARS_MAX = 1_000_000
"""Of one answer: forty times what the model's context holds."""
COORDINATES_CHARS_MAX = 4000
TAG = re.compile(rf"<{BAR}(/?[\w\u2581]+){BAR}>|</?image>")
"""Every special token that is not part of a table."""
_HALF = re.compile(rf"<{BAR}/?[\w\u2581]+\Z")
"""Where an answer was cut within a token."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")
_BOXES = re.compile(r"[ \t\[\](),;.\d+-]*")
_CLOSED = re.compile(r"\s*\[[^\[\]]*\[[^\]]*\](?:\s*,\s*\[[^\]]*\])*\s*\]")
_NUMBER = re.compile(r"[+-]?\d{1,9}(?:\.\d{1,9})?")
_FOUR = re.compile(r"\[([^\[\]]*)\]")
_WORDS = re.compile(r"[^\W\d_]{2,}\s+[^\W\d_]{2,}")


class Flag(StrEnum):
    """What was wrong with what a model said, or had to be mended."""

    TAG_UNCLOSED = "tag_unclosed"
    TAG_NESTED = "tag_nested"
    TAG_STRAY = "tag_stray"
    TOKEN_STRAY = "token_stray"  # noqa: S105  # a flag, no secret
    LABEL_UNKNOWN = "label_unknown"
    BOX_MISSING = "box_missing"
    BOX_UNREADABLE = "box_unreadable"
    BOX_OUTSIDE = "box_outside"
    BOX_REVERSED = "box_reversed"
    BOX_EMPTY = "box_empty"
    TABLE_RAGGED = "table_ragged"
    TABLE_UNCLOSED = "table_unclosed"
    TABLE_EMPTY = "table_empty"
    TEXT_CUT = "text_cut"


@dataclass(slots=True)
class Said:
    """One piece: `boxes` as the model counts, four numbers each; a piece without a label is text before the first."""

    label: str = ""
    boxes: tuple[tuple[float, ...], ...] = ()
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.parts)


class _Where(StrEnum):
    """What the text that comes now is."""

    BODY = "body"
    LABEL = "label"
    BETWEEN = "between"
    BOXES = "boxes"


class _Reader:
    def __init__(self) -> None:
        self.said = [Said()]
        self.flags: dict[Flag, None] = {}
        self.where = _Where.BODY
        self.held: list[str] = []

    def read(self, text: str) -> None:
        at = 0
        for tag in TAG.finditer(text):
            self._text(text[at : tag.start()])
            self._tag(tag[1] or "image")
            at = tag.end()
        half = _HALF.search(text, at)
        if half:
            self._flag(Flag.TOKEN_STRAY)
        self._text(text[at : half.start() if half else None])
        self._settle()

    def _text(self, text: str) -> None:
        if not text:
            return
        if self.where in {_Where.LABEL, _Where.BOXES}:
            self.held.append(text)
        elif self.where is _Where.BODY:
            self.said[-1].parts.append(text)
        elif text.strip():
            self._after_label(text)

    def _after_label(self, text: str) -> None:
        """Where the boxes should stand: they do without their tag, or there are none."""
        found = _CLOSED.match(text, 0, COORDINATES_CHARS_MAX)
        self.where = _Where.BODY
        if found:
            self._flag(Flag.TAG_UNCLOSED)
            self._boxed(found[0])
        else:
            self._flag(Flag.BOX_MISSING)
        self.said[-1].parts.append(text[found.end() :] if found else text)

    def _tag(self, name: str) -> None:
        if name == "ref":
            self._settle()
            self.where = _Where.LABEL
        elif name == "/ref" and self.where is _Where.LABEL:
            self._named("".join(self.held))
            self.where = _Where.BETWEEN
        elif name == "det":
            self._open_boxes()
        elif name == "/det" and self.where is _Where.BOXES:
            self._boxed("".join(self.held))
            self.where = _Where.BODY
        else:
            self._flag(Flag.TAG_STRAY if name in {"/ref", "/det"} else Flag.TOKEN_STRAY)

    def _open_boxes(self) -> None:
        """After a label; or of a label that nobody closed; or instead of the tag that closes; or out of the blue."""
        before = self.where
        if before is not _Where.BETWEEN:
            self._settle()
        if before is _Where.BOXES:
            self._flag(Flag.TAG_NESTED)
            if self.said[-1].boxes:
                return
        elif before is _Where.BODY:
            self._flag(Flag.TAG_STRAY)
            self.said.append(Said())
        self.where = _Where.BOXES

    def _settle(self) -> None:
        """Whatever was open ends here: at the next piece, or where the model stopped."""
        held, where = "".join(self.held), self.where
        self.held = []
        self.where = _Where.BODY
        if where is _Where.BETWEEN:
            self._flag(Flag.BOX_MISSING)
        elif where is _Where.LABEL:
            self._flag(Flag.TAG_UNCLOSED)
            label, line, rest = held.partition("\n")
            self._named(label)
            self.said[-1].parts.append(line + rest)
        elif where is _Where.BOXES:
            self._flag(Flag.TAG_UNCLOSED)
            closed = _CLOSED.match(held, 0, COORDINATES_CHARS_MAX) or _BOXES.match(held)
            end = closed.end() if closed else 0
            self._boxed(held[:end])
            self.said[-1].parts.append(held[end:])

    def _named(self, label: str) -> None:
        self.held = []
        self.said.append(Said(label=label.strip()))

    def _boxed(self, coordinates: str) -> None:
        self.held = []
        boxes = tuple(_numbers(coordinates))
        if not all(boxes) or not boxes:
            self._flag(Flag.BOX_UNREADABLE)
        if not boxes and _WORDS.search(coordinates):
            self.said[-1].parts.append(coordinates)
        self.said[-1].boxes = tuple(box for box in boxes if box)

    def _flag(self, flag: Flag) -> None:
        self.flags[flag] = None


def _numbers(coordinates: str) -> Iterator[tuple[float, ...]]:
    """Each innermost bracket: four numbers, or nothing where it holds anything else."""
    for inside in _FOUR.findall(coordinates[:COORDINATES_CHARS_MAX]):
        parts = [part.strip() for part in inside.split(",")]
        numbers = len(parts) == 4 and all(_NUMBER.fullmatch(part) for part in parts)
        yield tuple(map(float, parts)) if numbers else ()


def _plain(text: str) -> str:
    """Lines end in one way; what no text holds (control characters, halves of a surrogate pair) is taken out."""
    text = _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\x85", "\n"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def said(text: str) -> tuple[list[Said], list[Flag]]:
    """The pieces in the model's order, those without label, box and text left out; and what was wrong."""
    reader = _Reader()
    if len(text) > TEXT_CHARS_MAX:
        reader.flags[Flag.TEXT_CUT] = None
    reader.read(_plain(text[:TEXT_CHARS_MAX]))
    pieces = [one for one in reader.said if one.label or one.boxes or one.text.strip()]
    return pieces, list(reader.flags)
