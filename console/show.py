"""Answers as people read them: passages, documents, pages, settings."""

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from ledger.audit import DocumentStatus, PageStatus

TEXT_WIDTH = 100
TEXT_LINES_MAX = 8


def print_hits(hits: Sequence[dict[str, Any]], question: str) -> None:
    if not hits:
        print("nothing found: folio status shows which documents are searchable")
    for number, hit in enumerate(hits, start=1):
        print(f"{number}. {where(hit)}   score {hit['score']:.3f}")
        if hit["headings"]:
            print(f"   {' > '.join(hit['headings'])}")
        for line in passage(hit["text"], question):
            print(f"   {line}")
        if hit["flags"]:
            print(f"   note: {', '.join(hit['flags'])}")
        print()


def where(hit: dict[str, Any]) -> str:
    """Document, pages and the box of the first page: `report.pdf  page 3  box 0.10,0.22-0.88,0.41`."""
    pages = hit["pages"]
    span = f"page {pages[0]}" if len(pages) == 1 else f"pages {pages[0]}-{pages[-1]}" if pages else "page ?"
    return f"{hit['document']}  {span}{box(hit)}"


def box(hit: dict[str, Any]) -> str:
    """The rectangle around all boxes of the first page, in fractions of the page from its top left."""
    found = [one["box"] for one in hit["boxes"] if one["page"] == hit["pages"][0]]
    if not found:
        return ""
    left, top = min(one["x0"] for one in found), min(one["y0"] for one in found)
    right, bottom = max(one["x1"] for one in found), max(one["y1"] for one in found)
    return f"  box {left:.2f},{top:.2f}-{right:.2f},{bottom:.2f}"


def passage(text: str, question: str) -> list[str]:
    """A passage wrapped; of a long one the lines that share most words with the question, rare ones first."""
    lines = [part for line in text.splitlines() if line.strip() for part in textwrap.wrap(line, TEXT_WIDTH)]
    if len(lines) <= TEXT_LINES_MAX:
        return lines
    asked = words(question)
    shared = [words(line) & asked for line in lines]
    weight = {word: 1 / sum(word in line for line in shared) for line in shared for word in line}
    starts = range(len(lines) - TEXT_LINES_MAX + 1)
    start = max(starts, key=lambda at: sum(weight[word] for word in set().union(*shared[at : at + TEXT_LINES_MAX])))
    shown = lines[start : start + TEXT_LINES_MAX]
    return [*(["..."] if start else []), *shown, *(["..."] if start + TEXT_LINES_MAX < len(lines) else [])]


def words(text: str) -> set[str]:
    """Words of letters and digits; of scripts without spaces, their characters."""
    return set(re.findall(r"[a-z0-9]{2,}|[^\W\da-z_]", text.lower()))


def print_documents(documents: Sequence[DocumentStatus]) -> None:
    if not documents:
        print("no documents yet: folio add FILE")
        return
    width = max(len(one.document) for one in documents)
    print(f"{'document':{width}}  {'state':21}  {'pages':>11}  {'chunks':>6}  cause")
    for one in documents:
        read = one.pages_ok + one.pages_failed
        pages = f"{read} of {one.page_count}" if one.page_count else str(read)
        cause = f"{one.cause}: {one.detail or one.sentence}" if one.cause else ""
        print(f"{one.document:{width}}  {one.state:21}  {pages:>11}  {one.chunks:>6}  {cause}".rstrip())


def print_document(one: DocumentStatus) -> None:
    revision = f", revision {one.revision}" if one.revision else ""
    print(f"{one.document}: {one.state}, version {one.version}{revision}, {one.chunks} chunks")
    if one.cause:
        print(f"  {one.cause}: {one.detail or one.sentence}")
    for page in one.pages:
        print(f"  {page_line(page)}")


def page_line(page: PageStatus) -> str:
    parts = [f"page {page.page}", page.status, page.source.replace("_", " ") if page.source else "", page.engine]
    cause = f"{page.cause}: {page.sentence}" if page.cause else ""
    flags = f"flags: {', '.join(page.flags)}" if page.flags else ""
    return "  ".join(part for part in (*parts, cause, flags) if part)


def print_settings(rows: Sequence[dict[str, str]]) -> None:
    key_width = max(len(row["key"]) for row in rows)
    value_width = max(len(row["value"]) for row in rows)
    for row in rows:
        print(
            f"{row['key']:{key_width}}  {row['value']:{value_width}}  {row['origin']:12}  {row['description']}".rstrip()
        )
