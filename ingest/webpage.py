"""HTML files as Markdown: what a reader of the page would see, in order; nothing is run, loaded or followed.

The tree is walked without recursion, and what lies too deep joins the level above it: pages come from strangers.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from folio.errors import Cause, Permanent
from ingest.webtable import Cell, Grid

OPEN_ELEMENTS_MAX = 10_000
"""The parser's time grows with the square of this; real pages have less than a hundred."""
CONTAINERS_MAX = 40
_DROPPED = frozenset(
    {
        *("script", "style", "noscript", "template", "iframe", "object", "embed", "canvas", "svg", "audio", "video"),
        *("map", "nav", "button", "input", "select", "textarea", "datalist", "dialog", "head"),
    }
)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_HEADING = re.compile(r"h[1-6]")
_INLINE = frozenset(
    {
        *("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i"),
        *("img", "ins", "kbd", "label", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strike"),
        *("strong", "sub", "sup", "time", "tt", "u", "var", "wbr", "br", "math", "mi", "mn", "mo", "mrow"),
    }
)
_CONTAINERS = frozenset({"ul", "ol", "li", "blockquote", "table", "td", "th", "dd", "tr"})
_MARKS = {"strong": "b", "b": "b", "em": "i", "i": "i", "code": "c", "kbd": "c", "samp": "c", "tt": "c"}
_SIGNS = (("c", "`"), ("i", "*"), ("b", "**"), ("i", "*"))
"""What a mark becomes, in order of writing: from the inside out, and slanted once more around bold."""
_LINK = re.compile(r"(?:https?://|mailto:)[^\s<>()\"]{1,2000}", re.IGNORECASE)
_BLANK = re.compile(r"[ \n]{2,}")
_SPACE = re.compile(r"[ \t\n\r\f\u00a0]+")
_LETTERED = re.compile(
    r"(\\(?=[!-/:-@\[-`{-~])|`|(?<=\S)\*|\*(?=\S)|\](?=\()|<(?=[a-zA-Z/!?])|(?<!\w)_(?=\w)|(?<=\w)_(?!\w))"
)
_STRUCTURE = re.compile(r"(#{1,6}(?=\s|$)|[-+>](?=\s|$)|(?:=+|-{2,}|~{3,})\s*$|\|)|(\d{1,9})([.)])(?=\s|$)")
_LANGUAGE = re.compile(r"(?:^|\s)(?:language|lang|highlight-source)-([\w+#-]{1,20})")
_UNESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)\b[^<>]*?(/?)>")
_CLOSED_BY_THEMSELVES = frozenset(
    {
        *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr", "p"),
        *("li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "option", "html", "body", "head"),
        *("colgroup", "rt", "rp"),
    }
)


@dataclass(slots=True)
class _Frame:
    """An element that holds blocks, and what it holds so far."""

    tag: str
    blocks: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    number: int | None = None
    grid: Grid | None = None
    cell: Cell | None = None


def to_markdown(source: str) -> str:
    """The page's text. Raises Permanent(corrupt) where elements are nested without end."""
    _refuse_depth(source)
    parser = LexborHTMLParser(source)
    writer = _Writer()
    for node, entering in _walk(parser.body):
        writer.enter(node) if entering else writer.leave(node)
    text = writer.finished()
    title = parser.css_first("head > title") if not re.search(r"^# ", text, re.MULTILINE) else None
    name = _SPACE.sub(" ", title.text()).strip() if title is not None else ""
    return f"# {_escaped(name)}\n\n{text}" if name and text else text


def _refuse_depth(source: str) -> None:
    depth = 0
    for tag in _TAG.finditer(source):
        if tag[2].lower() not in _CLOSED_BY_THEMSELVES and not tag[3]:
            depth = max(0, depth + (-1 if tag[1] else 1))
            if depth > OPEN_ELEMENTS_MAX:
                raise Permanent(Cause.CORRUPT, f"More than {OPEN_ELEMENTS_MAX:,} elements are open inside each other.")


def _walk(root: Any) -> Iterator[tuple[Any, bool]]:
    """Every node that is shown, on the way in (True) and on the way out."""
    node = root.child if root is not None else None
    while node is not None:
        if _is_shown(node):
            yield node, True
            if node.child is not None:
                node = node.child
                continue
            yield node, False
        while node.next is None:
            node = node.parent
            if node is None or node.mem_id == root.mem_id:
                return
            yield node, False
        node = node.next


def _is_shown(node: Any) -> bool:
    if node.is_text_node:
        return True
    if node.tag in _DROPPED or node.is_comment_node:
        return False
    attributes = node.attributes
    if not attributes:
        return True
    hidden = "hidden" in attributes or attributes.get("aria-hidden") == "true"
    return not hidden and not _HIDDEN.search(attributes.get("style") or "")


class _Writer:
    """Writes Markdown while the tree is walked."""

    def __init__(self) -> None:
        self._frames = [_Frame("body")]
        self._deep = 0
        self._raw: list[str] | None = None
        self._links: list[str] = []

    @property
    def _top(self) -> _Frame:
        return self._frames[-1]

    def enter(self, node: Any) -> None:
        tag = node.tag
        if tag == "-text":
            self._text(node.text_content or "")
        elif self._raw is not None:
            self._raw.append("\n" if tag == "br" else "")
        elif tag == "pre":
            self._end_paragraph()
            self._raw = []
        elif tag in _CONTAINERS:
            self._open(node)
        elif tag in _INLINE:
            self._inline(node)
        else:
            self._end_paragraph()

    def leave(self, node: Any) -> None:
        tag = node.tag
        if tag == "pre" and self._raw is not None:
            self._code(node)
        elif self._raw is not None or tag == "-text":
            return
        elif tag in _CONTAINERS:
            self._close(tag)
        elif tag in _MARKS:
            self._top.words.append(f"\0{_MARKS[tag]}\0")
        elif tag == "a":
            self._top.words.append(self._links.pop() if self._links else "")
        elif _HEADING.fullmatch(tag):
            self._heading(int(tag[1]))
        elif tag == "dt":
            self._end_paragraph("**", "**")
        elif tag not in _INLINE:
            self._end_paragraph()

    def finished(self) -> str:
        while len(self._frames) > 1:
            self._shut(self._frames.pop())
        self._end_paragraph()
        return "\n\n".join(self._top.blocks)

    def _text(self, text: str) -> None:
        if self._raw is not None:
            self._raw.append(text)
        else:
            self._top.words.append(_escaped(_SPACE.sub(" ", text)))

    def _inline(self, node: Any) -> None:
        tag = node.tag
        if tag == "br":
            self._top.words.append("\n")
        elif tag == "img":
            alt = _SPACE.sub(" ", node.attributes.get("alt") or "").strip()
            self._top.words.append(_escaped(alt))
        elif tag == "a":
            link = (node.attributes.get("href") or "").strip()
            allowed = _LINK.fullmatch(link) is not None
            self._top.words.append("[" if allowed else "")
            self._links.append(f"]({link})" if allowed else "")
        elif tag in _MARKS:
            self._top.words.append(f"\0{_MARKS[tag]}\0")

    def _open(self, node: Any) -> None:
        """What is nested too deep is read as part of what it lies in."""
        tag, top = node.tag, self._top
        if len(self._frames) >= CONTAINERS_MAX:
            self._deep += 1
            self._end_paragraph()
            return
        self._end_paragraph()
        frame = _Frame(tag)
        if tag == "ol":
            start = node.attributes.get("start") or "1"
            frame.number = int(start) if start.isdecimal() and len(start) < 10 else 1
        elif tag == "table":
            frame.grid = Grid()
        elif tag in ("td", "th"):
            frame.cell = Cell.of(tag, node.attributes)
        elif tag == "tr" and top.grid is not None:
            top.grid.new_row()
        if tag != "tr":
            self._frames.append(frame)

    def _close(self, tag: str) -> None:
        if self._deep:
            self._deep -= 1
            self._end_paragraph()
        elif tag != "tr" and len(self._frames) > 1:
            self._end_paragraph()
            self._shut(self._frames.pop())

    def _shut(self, frame: _Frame) -> None:
        """What a container held becomes blocks of the one around it."""
        if frame.words:
            frame.blocks.append(_paragraph(frame.words))
        blocks = [block for block in frame.blocks if block]
        outer = self._top
        if frame.cell is not None and outer.grid is not None:
            outer.grid.add(frame.cell, blocks)
        elif frame.grid is not None:
            outer.blocks += [*blocks, *frame.grid.written()]
        elif frame.tag == "li":
            outer.blocks.append(_item(blocks, outer))
        elif frame.tag in ("ul", "ol"):
            outer.blocks.append("\n".join(blocks))
        elif frame.tag == "blockquote":
            outer.blocks.append("\n".join(f"> {line}".rstrip() for line in "\n\n".join(blocks).split("\n")))
        else:
            outer.blocks += blocks

    def _heading(self, level: int) -> None:
        words = _paragraph(self._top.words).replace("\n", " ")
        self._top.words.clear()
        if words:
            self._top.blocks.append(f"{'#' * level} {words}")

    def _end_paragraph(self, before: str = "", after: str = "") -> None:
        text = _paragraph(self._top.words)
        self._top.words.clear()
        if text:
            lines = "\n".join(map(_safe_start, text.split("\n")))
            self._top.blocks.append(lines if before and before in lines else f"{before}{lines}{after}")

    def _code(self, node: Any) -> None:
        body = "".join(self._raw or []).strip("\n").replace("\0", "")
        self._raw = None
        inner = node.css_first("code")
        named = [(one.attributes.get("class") or "") for one in (node, inner) if one is not None]
        language = next((found[1] for found in map(_LANGUAGE.search, named) if found), "")
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", body)), default=0))
        if body.strip():
            self._top.blocks.append(f"{fence}{language}\n{body}\n{fence}")


def _paragraph(words: list[str]) -> str:
    """Joined, with marks (strong, code) where they belong: at words, not at the spaces beside them."""
    text = _BLANK.sub(_blank, "".join(words))
    if "\0" in text:
        text = _BLANK.sub(_blank, _marked(text))
    return text.strip()


def _blank(found: "re.Match[str]") -> str:
    """Spaces are one, breaks at most two, which end a paragraph: no run is left that patterns could be slow at."""
    return "\n" * min(2, found[0].count("\n")) or " "


def _marked(text: str) -> str:
    """Marks stand in pairs around something; one that holds nothing, or lies in one of its kind, goes."""
    for letter, sign in _SIGNS:
        mark = f"\0{letter}\0"
        text = re.sub(f"{mark}(\\s*){mark}", r"\1", text)
        text = re.sub(f"{mark}(\\s*)([^\0]*[^\0\\s])(\\s*){mark}", partial(_pair, sign), text)
    return re.sub("\0[bci]\0", "", text)


def _pair(sign: str, found: "re.Match[str]") -> str:
    inner = _UNESCAPED.sub(r"\1", found[2]) if sign == "`" else found[2]
    return f"{found[1]}{sign}{inner}{sign}{found[3]}"


def _item(blocks: list[str], outer: _Frame) -> str:
    """A list's item: its sign, and everything after its first line indented by the width of that sign."""
    sign = "- "
    if outer.number is not None:
        sign = f"{outer.number}. "
        outer.number += 1
    tight = all("\n" not in block for block in blocks[:1]) and all(map(_is_list, blocks[1:]))
    body = ("\n" if tight else "\n\n").join(blocks)
    return sign + re.sub(r"\n(?=[^\n])", "\n" + " " * len(sign), body) if body else ""


def _is_list(block: str) -> bool:
    return block.startswith("- ") or re.match(r"\d{1,9}\. ", block) is not None


def _escaped(text: str) -> str:
    """Signs that Markdown would take for marks, links or tags; all others stay as they are."""
    return _LETTERED.sub(r"\\\1", text)


def _safe_start(text: str) -> str:
    """A line that begins like a heading, a list or a quotation is none."""
    found = _STRUCTURE.match(text)
    if found is None:
        return text
    return f"\\{text}" if found[1] else f"{found[2]}\\{text[len(found[2]) :]}"
