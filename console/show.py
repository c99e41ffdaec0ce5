"""Answers as people read them: passages, documents, pages, settings."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from console.passages import passage
from ledger.audit import DocumentStatus, PageStatus

SECTION_LINES_MAX = 40


def print_hits(hits: Sequence[dict[str, Any]], question: str, *, filtered: bool = False) -> None:
    if not hits:
        why = "the filters let nothing through" if filtered else "folio status shows which documents are searchable"
        print(f"nothing found: {why}")
    for number, hit in enumerate(hits, start=1):
        print(f"{number}. {where(hit)}   score {hit['score']:.3f}")
        for line in body(hit, question):
            print(f"   {line}".rstrip())
        print()


def body(hit: dict[str, Any], question: str) -> Iterator[str]:
    """What stands below a hit's first line: how it was found if that was asked, its heading, the text around it."""
    if hit.get("explanation"):
        yield f"found: {explained(hit['explanation'])}"
    if hit["headings"]:
        yield " > ".join(hit["headings"])
    if hit.get("metadata"):
        yield "  ".join(f"{key}={value}" for key, value in sorted(hit["metadata"].items()))
    if hit.get("section"):
        yield from passage(hit["section"], question, lines_max=SECTION_LINES_MAX)
    else:
        yield from (f"· {line}" for line in passage(hit.get("before", ""), question))
        yield from passage(hit["text"], question)
        yield from (f"· {line}" for line in passage(hit.get("after", ""), question))
    if hit["flags"]:
        yield f"note: {', '.join(hit['flags'])}"


def explained(how: dict[str, Any]) -> str:
    """`by meaning: rank 2 (0.612); by words: rank 1 (8.41); shared: pump, seal`."""
    parts = []
    for name, kind in (("by meaning", "dense"), ("by words", "lexical")):
        if how.get(f"{kind}_rank") is not None:
            score = how.get(f"{kind}_score")
            parts.append(f"{name}: rank {how[f'{kind}_rank']}" + (f" ({score:.3f})" if score is not None else ""))
        else:
            parts.append(f"{name}: not among the candidates")
    return "; ".join([*parts, *([f"shared: {', '.join(how['terms'])}"] if how.get("terms") else [])])


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


def print_documents(documents: Sequence[DocumentStatus]) -> None:
    if not documents:
        print("no documents yet: folio add FILE")
        return
    width = max(len(one.document) for one in documents)
    print(f"{'document':{width}}  {'state':21}  {'pages':>13}  {'chunks':>7}  remarks")
    for one in documents:
        read = one.pages_ok + one.pages_failed
        wanted = one.page_count - one.pages_skipped if one.page_count else None
        pages = f"{read:,} of {wanted:,}" if wanted is not None else f"{read:,}"
        print(f"{one.document:{width}}  {one.state:21}  {pages:>13}  {one.chunks:>7,}  {remarks(one)}".rstrip())


def print_document(one: DocumentStatus) -> None:
    revision = f", revision {one.revision}" if one.revision else ""
    print(f"{one.document}: {one.state}, version {one.version}{revision}, {one.chunks:,} chunks")
    if one.cause:
        print(f"  {one.cause}: {one.detail or one.sentence}")
    if one.page_range:
        print(f"  only pages {one.page_range} were asked for: {one.pages_skipped:,} of {one.page_count or 0:,} skipped")
    if one.metadata:
        print(f"  metadata: {facts(one.metadata)}")
    if one.uri:
        print(f"  from {one.uri}")
    for line in page_lines(one.pages):
        print(f"  {line}")


def remarks(one: DocumentStatus) -> str:
    """Why it failed or has gaps; which pages were asked for; what was said of it."""
    cause = f"{one.cause}: {one.detail or one.sentence}" if one.cause else ""
    pages = f"only pages {one.page_range}" if one.page_range else ""
    return "  ".join(part for part in (cause, pages, facts(one.metadata)) if part)


def facts(metadata: Mapping[str, Any]) -> str:
    return "  ".join(f"{key}={value}" for key, value in sorted(metadata.items()))


def page_lines(pages: Sequence[PageStatus]) -> Iterator[str]:
    """A line for every run of pages of which there is the same to say: a book stays readable."""
    for said, run in groupby(pages, key=page_words):
        numbers = [page.page for page in run]
        which = f"page {numbers[0]}" if len(numbers) == 1 else f"pages {numbers[0]}-{numbers[-1]}"
        yield f"{which}  {said}"


def page_words(page: PageStatus) -> str:
    source = page.source.replace("_", " ") if page.source else ""
    engine = "" if page.status == "skipped" else page.engine
    cause = f"{page.cause}: {page.sentence}" if page.cause else ""
    flags = [flag for flag in page.flags if flag != page.status]
    said = (page.status, source, engine, cause, f"flags: {', '.join(flags)}" if flags else "")
    return "  ".join(part for part in said if part)


def print_settings(rows: Sequence[dict[str, str]]) -> None:
    key_width = max(len(row["key"]) for row in rows)
    value_width = max(len(row["value"]) for row in rows)
    for row in rows:
        print(
            f"{row['key']:{key_width}}  {row['value']:{value_width}}  {row['origin']:12}  {row['description']}".rstrip()
        )
