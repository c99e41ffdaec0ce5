"""Text, Markdown and HTML files as pages of Markdown with blocks; they have no picture, and no boxes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from folio.errors import Cause, Permanent
from ingest import sniff
from ingest.cut import PAGE_CHARS, cut_pages
from ingest.encoding import decoded

TEXT_BYTES_MAX = 64 << 20
HTML_BYTES_MAX = 16 << 20
"""Far above any text that people write; below what the sandbox's memory can hold, parsed."""
_FRONT = re.compile(r"\A---[ \t]*\n(?P<front>(?:[^\n]*\n){0,200}?)(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
_TITLE = re.compile(r"^title[ \t]*:[ \t]*(?P<title>\S[^\n]*)$", re.MULTILINE | re.IGNORECASE)
_FRONT_KEY = re.compile(r"[\w-]+[ \t]*:")
_KINDS = {
    "heading_open": "heading",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "table_open": "table",
    "fence": "code",
    "code_block": "code",
}


class TextFile:
    """An open text file. All of it is decoded at once, and cut into pages; the blocks of a page are found when read."""

    def __init__(self, path: Path, media_type: str) -> None:
        size = path.stat().st_size
        most = HTML_BYTES_MAX if media_type == sniff.HTML else TEXT_BYTES_MAX
        if size > most:
            raise Permanent(
                Cause.TOO_LARGE, f"{size:,} bytes; files of {media_type} are read up to {most:,}: split it."
            )
        self._pages = _pages(decoded(path.read_bytes(), media_type), media_type)

    @property
    def page_count(self) -> int:
        return len(self._pages)

    def frame(self, page: int) -> dict[str, Any]:
        """As the child sends it."""
        markdown = self._pages[page - 1]
        return {"markdown": markdown, "blocks": list(blocks_of(markdown)), "trusted": True}


def _pages(text: str, media_type: str) -> list[str]:
    """What a kind of text becomes; each is imported only where one is opened."""
    if media_type == sniff.HTML:
        from ingest.webpage import to_markdown

        text = to_markdown(text)
    elif media_type == sniff.MARKDOWN:
        text = without_front_matter(text)
    elif media_type == sniff.CSV:
        from ingest.separated import table_pages

        return table_pages(text) or cut_pages(text, form_feeds=False)
    return cut_pages(text, form_feeds=media_type == sniff.TEXT)


def without_front_matter(text: str) -> str:
    """Front matter is about the file and shown by no reader; its title becomes the heading where there is none."""
    match = _FRONT.match(text)
    if match is None or not _FRONT_KEY.match(match["front"].lstrip()):
        return text
    body = text[match.end() :].lstrip("\n")
    title = _TITLE.search(match["front"])
    if title is None or any(block["level"] == 1 for block in blocks_of(body[:PAGE_CHARS])):
        return body
    return f"# {title['title'].strip().strip(chr(34) + chr(39))}\n\n{body}"


def blocks_of(markdown: str) -> Iterator[dict[str, Any]]:
    """The blocks of a page of Markdown, as offsets into it. They have no boxes: nobody has drawn them."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    starts = [0, *(found.end() for found in re.finditer("\n", markdown))]
    for token in parser.parse(markdown):
        if token.level > 0 or token.map is None or token.type == "hr":
            continue
        first, last = token.map
        start, end = starts[first], starts[last] if last < len(starts) else len(markdown)
        body = markdown[start:end]
        if body.strip():
            kind = "table" if "<table" in body[:2000] and token.type == "html_block" else _KINDS.get(token.type)
            level = int(token.tag[1]) if token.type == "heading_open" else 0
            start += len(body) - len(body.lstrip("\n"))
            yield {"kind": kind or "paragraph", "start": start, "end": start + len(body.strip("\n")), "level": level}
