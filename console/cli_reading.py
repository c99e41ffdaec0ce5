"""The commands that take things out: search, open, page and export."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from console.options import (
    DataOption,
    Exit,
    JsonOption,
    PasswordOption,
    app,
    must_exist,
    password_of,
    print_json,
    say,
    settings_of,
)
from console.shown import shown, tell
from folio.errors import FolioError

QUESTION_CHARS_MAX = 4000
MODES = ("hybrid", "dense", "lexical")


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many passages.")] = 5,
    document: Annotated[list[str] | None, typer.Option("--document", help="Only in this document; repeatable.")] = None,
    source: Annotated[list[str] | None, typer.Option("--source", help="Only from this file name or URI.")] = None,
    page: Annotated[str | None, typer.Option("--page", help="Only on these pages: 3, 3-7, 3-, -7.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only table, list, heading, ...; repeatable.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", help="Added since: 2026-01-31, or 7d ago.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Added until: 2026-01-31, or 12h ago.")] = None,
    meta: Annotated[
        list[str] | None, typer.Option("--meta", metavar="KEY=VALUE", help="Only with this metadata; repeatable.")
    ] = None,
    mode: Annotated[str, typer.Option("--mode", help="hybrid, dense (by meaning) or lexical (by words).")] = "hybrid",
    neighbours: Annotated[
        int, typer.Option("--neighbours", min=0, max=10, help="Show this many passages before and after.")
    ] = 0,
    section: Annotated[bool, typer.Option("--section", help="Show the whole section of each hit.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show how each hit came to its place.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find passages, each with document, pages, boxes and heading path. `folio open 1` shows the first one's page.

    \b
    Examples:
      folio search "net revenue 2025"
      folio search "保修期多久" -k 3 --json
      folio search "deliveries" --document report.pdf --page 3-7 --kind table
      folio search "permit" --since 7d --meta department=legal --explain
      folio search "PS-4471" --mode lexical --neighbours 1
    """
    from console.asked import kinds_of, metadata_of, moment_of, span_of
    from console.finding import find
    from console.session import open_session
    from folio.questions import Filters, Question

    settings = settings_of(data)
    if not 0 < len(question.strip()) <= QUESTION_CHARS_MAX:
        raise typer.BadParameter(f"the question is empty, or longer than {QUESTION_CHARS_MAX:,} characters")
    if any("\ud800" <= letter <= "\udfff" for letter in question):  # what a terminal gives for other bytes
        raise typer.BadParameter("the question is no UTF-8")
    if mode not in MODES:
        raise typer.BadParameter(f"--mode {mode!r}: one of {', '.join(MODES)} is wanted")
    now, (first, last) = datetime.now(UTC), span_of(page)
    filters = Filters(
        documents=tuple(document or ()),
        sources=tuple(source or ()),
        page_first=first,
        page_last=last,
        kinds=kinds_of(kind),
        since_ms=moment_of(since, "--since", now=now),
        until_ms=moment_of(until, "--until", now=now, end=True),
        metadata=metadata_of(meta),
    )
    asked = Question(
        question=question,
        k=k,
        mode="dense" if mode == "dense" else "lexical" if mode == "lexical" else "hybrid",
        filters=filters,
        neighbours=neighbours,
        section=section,
        explain=True,  # how a hit was found is said of each; all of it only where it was asked for
    )
    must_exist(settings.data)
    with open_session(settings) as session:
        answer = find(session, settings, asked)
    if as_json:
        print_json(answer if explain else _unexplained(answer))
    else:
        _print_found(answer, question, filtered=filters != Filters(), explain=explain)


def _unexplained(answer: dict[str, Any]) -> dict[str, Any]:
    return answer | {"hits": [hit | {"explanation": None} for hit in answer["hits"]]}


def _print_found(answer: dict[str, Any], question: str, *, filtered: bool, explain: bool) -> None:
    from console.show import is_far_off, print_hits

    print_hits(answer["hits"], question, filtered=filtered, explain=explain)
    if is_far_off(answer["hits"], question):
        say("note: no passage has a word of the question: these are the nearest in meaning, however far that is")
    if answer["note"]:
        say(f"note: {answer['note']}")


@app.command("open")
def open_hit(
    hit: Annotated[str, typer.Argument(help="Its number in the last search, or the start of its chunk id.")],
    page: Annotated[int | None, typer.Option("--page", min=1, help="Of a hit on several pages: this one.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the picture (JPEG) goes; - for stdout.")
    ] = None,
    show: Annotated[
        bool, typer.Option("--view/--no-view", help="Open the desktop's viewer, where there is one.")
    ] = True,
    password: PasswordOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the page of a hit of the last search, with its box marked. Prints where the picture is.

    \b
    Examples:
      folio open 1
      folio open 2 --page 8 -o page.jpg
    """
    from console import reading
    from console.session import open_session

    settings = settings_of(data)
    must_exist(settings.data)
    if output is not None:
        reading.check_place(output, "--output")
    number, found = reading.hit_of(settings.data, hit)
    pages = found["pages"]
    if page is None and not pages:
        raise FolioError(f"hit {number} is on no page: it has no place in {found['document']} to show")
    wanted = page or pages[0]
    if wanted not in pages:
        raise typer.BadParameter(f"--page {wanted}: hit {number} is on {', '.join(map(str, pages))}")
    marks = reading.marks_of(number, found, wanted)
    with open_session(settings, warm=False) as session:
        secret = password_of(password)
        jpeg = reading.picture(session, found["document"], wanted, marks=marks, password=secret)
    place = output or reading.place_of(settings.data, number, wanted)
    reading.put_picture(place, jpeg)
    if place == reading.STDOUT:
        return
    path = place.absolute()
    viewed = show and not as_json and reading.view(path)
    if as_json:
        print_json({"document": found["document"], "page": wanted, "hit": number, "picture": str(path)})
        return
    print(path)
    others = f"; also on {', '.join(str(one) for one in pages if one != wanted)} (--page)" if len(pages) > 1 else ""
    say(f"page {wanted} of {found['document']}{others}{'' if viewed else ' (no viewer was opened)'}")


@app.command()
def page(
    document: Annotated[str, typer.Argument(help="Document id, as folio status shows it.")],
    number: Annotated[int, typer.Argument(min=1, help="The page, from 1.")],
    image: Annotated[
        Path | None, typer.Option("--image", help="Write the page's picture (JPEG) here instead; - for stdout.")
    ] = None,
    boxes: Annotated[bool, typer.Option("--boxes", help="Draw the page's blocks on it, a colour a kind.")] = False,
    hit: Annotated[bool, typer.Option("--hit", help="Mark the last search's hits on it.")] = False,
    again: Annotated[
        bool, typer.Option("--reread", help="Read its picture once more and print that; nothing is kept.")
    ] = False,
    keep: Annotated[bool, typer.Option("--replace", help="What --reread prints is its text from now on.")] = False,
    engine: Annotated[str | None, typer.Option("--engine", help="To reread: rapid, remote, deepseek.")] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", help="To reread: tiny, small, base, large, gundam, auto.")
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", help="To reread: markdown, text, ocr, figure, describe, locate: TERM, free: TEXT."),
    ] = None,
    password: PasswordOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a page as Markdown, or write its picture. How OCR read it (engine, mode, further tries) is said on stderr.

    \b
    Examples:
      folio page report.pdf 3
      folio page report.pdf 3 --image page.jpg --boxes
      folio page report.pdf 3 --reread --mode large --prompt text
      folio page report.pdf 3 --reread --engine remote --replace
      folio page report.pdf 3 --json
    """
    from console import reading
    from console.session import open_session

    asked = {
        name: value for name, value in (("engine", engine), ("mode", mode), ("prompt", prompt)) if value is not None
    }
    if image is None and (boxes or hit):
        raise typer.BadParameter("--boxes and --hit draw on the picture: add --image FILE")
    if (asked or keep) and not again:
        raise typer.BadParameter("--engine, --mode, --prompt and --replace are of reading it once more: add --reread")
    if image is not None:
        if again:
            raise typer.BadParameter("--reread prints text, --image writes the picture: one of them")
        reading.check_place(image, "--image")
    settings = settings_of(data)
    must_exist(settings.data)
    if again:
        from console.rereading import replace, reread

        text = reread(settings, asked, document, number, password=password_of(password))
        print_json(text) if as_json else _print_page(text, document, number)
        replace(settings, document, text) if keep else None
        return
    with open_session(settings, warm=False) as session:
        if image is not None:
            marks = reading.marks_on(settings.data, document, number) if hit else ()
            secret = password_of(password)
            jpeg = reading.picture(session, document, number, marks=marks, boxes=boxes, password=secret)
            reading.put_picture(image, jpeg)
            if image != reading.STDOUT:
                print_json({"document": document, "page": number, "picture": str(image)}) if as_json else print(image)
            return
        text = session.told(lambda client: client.page(document, number))
    if as_json:
        print_json(text)
    else:
        _print_page(text, document, number)


def _print_page(text: dict[str, Any], document: str, number: int) -> None:
    """Its Markdown on stdout, how it was read on stderr; of a page that failed, whatever text was won."""
    from console.show import how_read

    failed = text["status"] == "failed"
    if text["markdown"].strip() or not failed:
        tell(text["markdown"])
    for line in how_read(text):
        say(line)
    if failed:
        raise FolioError(f"page {number} of {document} could not be read: {text['cause']}: {_why(text)}")
    if not text["markdown"].strip():
        say(f"page {number} of {document} has no text" + (" (it was skipped)" if "skipped" in text["flags"] else ""))


@app.command()
def export(
    names: Annotated[list[str], typer.Argument(metavar="[DOC]... DIR", help="Documents, then the folder to write to.")],
    every: Annotated[bool, typer.Option("--all", help="Every document there is.")] = False,
    password: PasswordOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write documents as Markdown with their figures beside it, and as JSON: a folder for each.

    \b
    Examples:
      folio export report.pdf out/
      folio export --all out/
    """
    from console.exporting import export, not_exported, swept
    from console.session import open_session
    from infra.places import LEDGER_FILE
    from ledger import audit

    settings, (*documents, into) = settings_of(data), names
    if every == bool(documents):
        raise typer.BadParameter("documents and then a folder are wanted, or --all and a folder")
    must_exist(settings.data)
    secret = password_of(password)
    exported: list[dict[str, Any]] = []
    good = failed = 0
    with open_session(settings, warm=False) as session:
        session.call(lambda client: client.stages())  # an owner rebuilds a ledger that was lost, before it is asked
        swept(Path(into))
        for document in documents or _exportable(settings):
            done = export(session, document, Path(into), password=secret)
            good += not done.error
            failed += bool(done.error)
            exported.append(_as_answer(done)) if as_json else _print_exported(done)
    if as_json:
        print_json({"documents": exported})
    for line in not_exported(audit.documents(settings.data / LEDGER_FILE)) if every else ():
        say(line)
    if failed:
        raise typer.Exit(Exit.PARTIAL if good else Exit.ERROR)


def _exportable(settings: Any) -> list[str]:
    """Names alone are held in memory; a document that was never read has nothing to export."""
    from infra.places import LEDGER_FILE
    from ledger import audit

    known = audit.documents(settings.data / LEDGER_FILE)
    names = [one.document for one in known if one.revision is not None and one.state != "deleted"]
    if not names:
        raise FolioError("there is nothing to export yet: folio status shows what there is")
    return sorted(names)


def _as_answer(done: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(done)


def _print_exported(done: Any) -> None:
    from console.summary import count

    if done.error:
        tell(f"{shown(done.document)}: failed: {done.error}", file=sys.stderr)
        return
    figures = f", {count(done.figures, 'figure')}" if done.figures else ""
    tell(f"{shown(done.document)}: {done.folder}: {count(done.pages, 'page')}{figures}")
    for note in done.notes[:3]:
        say(f"  note: {note}")


def _why(text: dict[str, Any]) -> str:
    from folio.errors import Cause

    return str(text["detail"] or Cause(text["cause"]).sentence)
