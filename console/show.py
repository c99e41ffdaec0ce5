"""Answers as people read them: passages, documents, pages, settings."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from console.numbers import count
from console.passages import passage, telling, words
from console.shown import shown, tell
from ledger.audit import DocumentStatus, PageStatus
from ocr_stage.prompts import FREE, UNTRAINED

SECTION_LINES_MAX = 40
REMARK_CHARS_MAX = 110


def print_hits(hits: Sequence[dict[str, Any]], question: str, *, filtered: bool = False, explain: bool = False) -> None:
    """Every hit must carry its explanation; `explain` shows all of it."""
    if not hits:
        why = "the filters let nothing through" if filtered else "folio status shows which documents are searchable"
        tell(f"nothing found: {why}")
    for number, hit in enumerate(hits, start=1):
        tell(f"{number}. {where(hit)}   {found_by(hit['explanation'])}")
        if explain:
            tell(f"   found: {explained(hit['explanation'])}")
        for line in body(hit, question):
            tell(f"   {line}".rstrip())
        tell()


def found_by(how: Mapping[str, Any]) -> str:
    """`by meaning and words`: which of the two lists had it. A fused score says nothing to a person."""
    names = {"meaning": how.get("dense_rank"), "words": how.get("lexical_rank")}
    return f"by {' and '.join(name for name, rank in names.items() if rank is not None)}"


def is_far_off(hits: Sequence[dict[str, Any]], question: str) -> bool:
    """True when no hit has a word of the question that tells anything: nearest in meaning, however far that is."""
    return bool(hits and telling(words(question))) and not any(
        telling(term.lower() for term in hit["explanation"].get("terms", ())) for hit in hits
    )


def body(hit: dict[str, Any], question: str) -> Iterator[str]:
    """What stands below a hit's first line: its heading, what was said of it, the text around it."""
    if hit["headings"]:
        yield " > ".join(map(shown, hit["headings"]))
    if hit.get("metadata"):
        yield facts(hit["metadata"])
    if hit.get("section"):
        yield from passage(hit["section"], question, lines_max=SECTION_LINES_MAX)
    else:
        yield from (f"· {line}" for line in passage(hit.get("before", ""), question))
        yield from passage(_below_heading(hit), question)
        yield from (f"· {line}" for line in passage(hit.get("after", ""), question))
    if hit["flags"]:
        yield f"note: {', '.join(hit['flags'])}"


def _below_heading(hit: dict[str, Any]) -> str:
    """The text without a first line that the heading path has just said."""
    first, _, rest = hit["text"].partition("\n")
    said_already = hit["headings"] and rest.strip() and first.strip("# ") == hit["headings"][-1]
    return str(rest if said_already else hit["text"])


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
    return f"{shown(hit['document'])}  {span}{box(hit)}"


def box(hit: dict[str, Any]) -> str:
    """The rectangle around all boxes of the first page, in fractions of the page from its top left."""
    found = [one["box"] for one in hit["boxes"] if one["page"] == hit["pages"][0]]
    if not found:
        return ""
    left, top = min(one["x0"] for one in found), min(one["y0"] for one in found)
    right, bottom = max(one["x1"] for one in found), max(one["y1"] for one in found)
    return f"  box {left:.2f},{top:.2f}-{right:.2f},{bottom:.2f}"


def print_documents(documents: Sequence[DocumentStatus], *, every: bool = False, prefix: str | None = None) -> None:
    """A table and a line of sums; what was deleted only with `every`. `prefix`: of the topics, where Kafka has them."""
    if not documents:
        records = f", or records on {prefix}uploads or {prefix}pages (docs/producing.md)" if prefix is not None else ""
        tell(f"no documents yet: folio add FILE{records}")
        return
    listed = [one for one in documents if every or one.state != "deleted"]
    width = max((cells(shown(one.document)) for one in listed), default=0)
    if listed:
        tell(f"{padded('document', width)}  {'state':21}  {'pages':>13}  {'chunks':>7}  remarks")
    for one in listed:
        read = one.pages_ok + one.pages_failed
        wanted = one.page_count - one.pages_skipped if one.page_count else None
        pages = f"{read:,} of {wanted:,}" if wanted is not None else f"{read:,}"
        row = f"{padded(shown(one.document), width)}  {one.state:21}  {pages:>13}  {one.chunks:>7,}"
        tell(f"{row}  {cut(remarks(one))}".rstrip())
    tell(total(documents))


def total(documents: Sequence[DocumentStatus]) -> str:
    """`6 documents: 5 searchable, 1 failed; 14 pages read, 32 chunks; 1 more deleted (--all shows them)`."""
    there = [one for one in documents if one.state != "deleted"]
    states = ", ".join(f"{number:,} {state}" for state, number in Counter(one.state for one in there).most_common())
    read, chunks = sum(one.pages_ok for one in there), sum(one.chunks for one in there)
    parts = [f"{count(len(there), 'document')}{': ' if states else ''}{states}"]
    parts += [f"{count(read, 'page')} read, {count(chunks, 'chunk')}"] if read else []
    gone = len(documents) - len(there)
    return "; ".join([*parts, *([f"{gone:,} more deleted (--all shows them)"] if gone else [])])


def cells(text: str) -> int:
    """How many columns of a terminal a text fills: an ideograph two, a combining mark none."""
    return sum((unicodedata.east_asian_width(one) in "WF") + (not unicodedata.combining(one)) for one in text)


def padded(text: str, width: int) -> str:
    return text + " " * (width - cells(text))


def cut(text: str) -> str:
    """One line, and not a long one: folio status DOC shows all of it."""
    line = " ".join(text.splitlines())
    return line if len(line) <= REMARK_CHARS_MAX else f"{line[: REMARK_CHARS_MAX - 1].rstrip()}…"


def print_document(one: DocumentStatus) -> None:
    revision = f", revision {one.revision}" if one.revision else ""
    tell(f"{shown(one.document)}: {one.state}, version {one.version}{revision}, {count(one.chunks, 'chunk')}")
    if one.cause:
        tell(f"  {one.cause}: {shown(one.detail) or one.sentence}")
    if still := still_found(one):
        tell(f"  {still}")
    if one.lacking:
        tell(f"  {by_words(one)}")
    if one.page_range:
        left_out = f": {one.pages_skipped:,} of {one.page_count:,} skipped" if one.page_count else ""
        tell(f"  only pages {one.page_range} were asked for{left_out}")
    if one.metadata:
        tell(f"  metadata: {facts(one.metadata)}")
    if one.uri:
        tell(f"  from {shown(one.uri)}")
    for line in page_lines(one.pages):
        tell(f"  {line}")


def remarks(one: DocumentStatus) -> str:
    """Why it failed or has gaps; how it is found; which pages were asked for; what was said of it."""
    cause = f"{one.cause}: {shown(one.detail) or one.sentence}" if one.cause else ""
    pages = f"only pages {one.page_range}" if one.page_range else ""
    return "  ".join(part for part in (still_found(one), cause, by_words(one), pages, facts(one.metadata)) if part)


def still_found(one: DocumentStatus) -> str:
    """Of a version that came to nothing, or that is being read: that an older one still answers."""
    older = one.searchable_version
    return f"version {older} is still searchable" if older and older != one.version else ""


def by_words(one: DocumentStatus) -> str:
    """What of it is not found by its meaning yet, or why it never will be."""
    if one.lacking_cause:
        return f"by words only: {one.lacking_cause}: {shown(one.lacking_detail) or one.lacking_cause.sentence}"
    return f"found by words, {one.chunks - one.lacking:,} of {one.chunks:,} chunks embedded" if one.lacking else ""


def facts(metadata: Mapping[str, Any]) -> str:
    """As --meta takes them: true, not True."""
    return "  ".join(f"{shown(key)}={shown(_value(value))}" for key, value in sorted(metadata.items()))


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


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


def how_read(page: Mapping[str, Any]) -> Iterator[str]:
    """Of a page that OCR read: `read by deepseek-ocr, mode base, prompt markdown, 903 tokens, in 0.8 s`; then what was
    done to its picture before, and what was tried after the first answer was no good.
    """
    if page.get("source") != "ocr":
        return
    facts = [f"{name} {page[name]}" for name in ("mode", "prompt") if page.get(name)]
    facts += [count(page["tokens"], "token")] if page.get("tokens") else []
    facts += [f"in {page['seconds']:.1f} s"] if page.get("seconds") else []
    yield ", ".join([f"read by {page.get('engine') or 'no engine'}", *facts])
    for what, key in (("picture mended", "steps"), ("tried", "rungs"), ("flags", "flags")):
        if page.get(key):
            yield f"{what}: {', '.join(page[key])}"
    if page.get("prompt") == FREE:
        yield f"note: {UNTRAINED}"


def print_settings(rows: Sequence[dict[str, str]]) -> None:
    """Each with its origin and meaning, and then how one is set."""
    key_width = max(len(row["key"]) for row in rows)
    value_width = max(len(row["value"]) for row in rows)
    for row in rows:
        print(
            f"{row['key']:{key_width}}  {row['value']:{value_width}}  {row['origin']:12}  {row['description']}".rstrip()
        )
    print()
    print("to set one: an environment variable, or the file folio.toml in the folder where folio is started;")
    print('  ocr.engine is FOLIO_OCR__ENGINE=..., or engine = "..." under [ocr]; a variable wins over the file;')
    print('  a list is a,b or ["a", "b"] in a variable, ["a", "b"] in the file')
