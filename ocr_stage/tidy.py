"""What a model said becomes a page's Markdown with typed blocks, exact offsets, and boxes on the page as it came."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from folio.records import Block, BlockKind, Box
from ocr_stage.grammar import Flag, Said, said
from ocr_stage.tidy_blocks import Rules, Words, words
from ocr_stage.tidy_boxes import placed, united
from ocr_stage.tidy_tables import closes_first, left_open
from ocr_stage.transform import Transform

K = BlockKind
FURNITURE = frozenset({"header", "footer", "page_header", "page_footer", "page_number", "header_image", "footer_image"})
"""What stands in the margins of every page."""
LABELS = {
    K.HEADING: ("title", "doc_title", "sub_title", "section_header", "heading", "paragraph_title"),
    K.PARAGRAPH: ("text", "paragraph", "abstract", "reference", "references", "content", "aside_text", *FURNITURE),
    K.LIST: ("list", "list_item"),
    K.TABLE: ("table",),
    K.FIGURE: ("image", "figure", "picture", "chart", "seal", "logo"),
    K.FORMULA: ("equation", "formula", "isolate_formula", "display_formula"),
    K.CAPTION: (
        "caption", "table_caption", "image_caption", "figure_caption", "chart_caption", "code_caption",
        "table_title", "figure_title", "equation_caption", "formula_caption",
    ),
    K.FOOTNOTE: ("footnote", "page_footnote", "table_footnote", "image_footnote", "figure_footnote"),
    K.CODE: ("code", "algorithm"),
}  # fmt: skip
"""The model's labels, and those of its relatives."""
KINDS = {label: kind for kind, labels in LABELS.items() for label in labels}
TITLES = frozenset({"title", "doc_title"})
LINES = frozenset({"ocr", "locate"})
"""Prompts after which the model writes the words themselves where a label would stand."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """Blocks are in the order of their offsets; `flags` say what was wrong."""

    markdown: str
    blocks: tuple[Block, ...]
    flags: tuple[str, ...]


def tidied(
    text: str, *, prompt: str = "markdown", transform: Transform | None = None, rules: Rules | None = None
) -> Tidied:
    """Never raises for what the text holds. `transform` leads from what its boxes are fractions of to the page."""
    pieces, flags = said(text)
    page = _Page(transform or Transform.whole(), rules or Rules())
    page.flags |= dict.fromkeys(flags)
    for one in _rejoined(pieces, page.flags):
        label = _label(one)
        is_bare = not one.text.strip()
        if is_bare and one.label and (label not in KINDS or prompt in LINES):
            page.add_lines(one)
        else:
            page.add(label, one)
    return page.tidied()


def _label(one: Said) -> str:
    return "_".join(one.label.lower().replace("-", " ").split())


def _rejoined(pieces: Sequence[Said], flags: dict[str, None]) -> Iterator[Said]:
    """A piece that begins within a cell, as what follows shows, is part of that table, with its label where that is no
    label but words.
    """
    held, is_open = Said(), False
    for one in pieces:
        if is_open and closes_first(one.text):
            flags[Flag.TAG_NESTED] = None
            held.parts += [one.text] if _label(one) in KINDS else [one.label, one.text]
        else:
            yield held
            held, is_open = one, False
        is_open = left_open(one.text, before=is_open)
    yield held


@dataclass(slots=True)
class _Piece:
    words: Words
    box: Box | None
    furniture: bool = False


class _Page:
    """Pieces as they come. A table's box may come before its caption, and its cells only after that."""

    def __init__(self, transform: Transform, rules: Rules) -> None:
        self.flags: dict[str, None] = {}
        self._transform = transform
        self._rules = rules
        self._pieces: list[_Piece] = []
        self._waiting: _Piece | None = None

    def add_lines(self, one: Said) -> None:
        """The label is the text: once for every place that it stands at."""
        boxes: list[Box | None] = [*placed(one.boxes, self._transform, self.flags)]
        for part in words(one.label, K.PARAGRAPH, self._rules, self.flags):
            self._pieces += [_Piece(part, box) for box in boxes or [None]]

    def add(self, label: str, one: Said) -> None:
        kind = KINDS.get(label)
        if label and kind is None:
            self.flags[Flag.LABEL_UNKNOWN] = None
        box = united(placed(one.boxes, self._transform, self.flags))
        before = len(self._pieces)
        for part in words(one.text, kind or K.PARAGRAPH, self._rules, self.flags):
            is_heading = part.kind is K.HEADING
            level = part.level or (1 if label in TITLES else 2)
            own = Words(K.HEADING, f"{'#' * level} {part.text}", level) if is_heading else part
            self._pieces.append(_Piece(own, self._box_of(own, box, kind), label in FURNITURE))
        if len(self._pieces) == before and box and kind in {K.FIGURE, K.TABLE}:
            self._pieces.append(_Piece(Words(K.FIGURE, ""), box))
            if kind is K.TABLE:
                self._give_up()
                self._waiting = self._pieces[-1]

    def _box_of(self, part: Words, box: Box | None, kind: BlockKind | None) -> Box | None:
        """Cells that come with a caption have the box of the table that waits for them."""
        if part.kind is not K.TABLE or kind is K.TABLE or self._waiting is None:
            return box
        waiting, self._waiting = self._waiting, None
        self._pieces.remove(waiting)
        return waiting.box

    def _give_up(self) -> None:
        """A table whose cells never came stays as a picture."""
        if self._waiting:
            self.flags[Flag.TABLE_EMPTY] = None
            self._waiting = None

    def tidied(self) -> Tidied:
        self._give_up()
        parts: list[str] = []
        blocks: list[Block] = []
        at = 0
        for piece in self._pieces:
            kind, text, level = piece.words
            if text and parts:
                at += 2
            end = at + len(text)
            blocks.append(Block(kind=kind, start=at, end=end, box=piece.box, level=level, furniture=piece.furniture))
            parts += [text] if text else []
            at = end
        return Tidied("\n\n".join(parts), tuple(blocks), tuple(self.flags))
