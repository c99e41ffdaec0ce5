"""The commands that put documents in: add and watch."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from console.options import (
    DataOption,
    ExcludeOption,
    Exit,
    IncludeOption,
    JsonOption,
    MetaOption,
    PagesOption,
    PasswordOption,
    app,
    ask_password,
    password_of,
    print_json,
    say,
    settings_of,
)
from console.shown import tell
from folio.legible import legible
from infra.places import PRIVATE

TRIES_MAX = 3


@app.command()
def add(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, or - for stdin.")],
    document: Annotated[str | None, typer.Option("--id", help="Your own document id (one file only).")] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="File name of what comes from stdin; its ending decides text types.")
    ] = None,
    pages: PagesOption = "",
    meta: MetaOption = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    password: PasswordOption = None,
    wait: Annotated[bool, typer.Option(help="Wait until searchable.")] = True,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read documents until they are searchable. The same bytes with other pages or metadata are a new version.

    Without --meta a document keeps the metadata that it has; --meta none takes them away.

    \b
    Examples:
      folio add report.pdf
      folio add scans/ letters/2024-*.jpg
      folio add archive/ --include "*.pdf" --exclude drafts --meta department=legal --meta year=2024
      folio add book.pdf --pages 1-3,7
      folio add locked.pdf --password -
      curl -s https://example.org/a.pdf | folio add - --name a.pdf
    """
    from console.adding import Adding, collect, sentences
    from console.session import open_session

    os.umask(PRIVATE)
    settings, reading = settings_of(data), _reading(pages, meta, password)
    with (
        collect(paths, name=name, document=document, include=include or (), exclude=exclude or ()) as files,
        open_session(settings) as session,
    ):
        adding = Adding(session, settings, reading)
        try:
            adding.run(files, wait=wait, talk=True)
            _ask_for_passwords(adding, ask=wait and not as_json)
        except KeyboardInterrupt:
            _stopped(adding, len(files), settings, is_owner=session.is_owner)
            sys.exit(Exit.INTERRUPTED)  # all is said
    summary = adding.summary()
    if as_json:
        print_json({"documents": adding.results, "summary": summary})
    out = sys.stderr if as_json else sys.stdout
    for line in sentences(adding.results):
        tell(line, file=out)
    _print_end(summary, adding.results, out)
    _exit(adding.results)


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(help="A folder that keeps filling.")],
    once: Annotated[bool, typer.Option("--once", help="Add what is there, then end.")] = False,
    settle: Annotated[float, typer.Option("--settle", min=0.1, help="Seconds that a file must be left alone.")] = 2.0,
    pages: PagesOption = "",
    meta: MetaOption = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    password: PasswordOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add what comes into a folder, until Ctrl-C. After a restart nothing is added twice; changes are new versions.

    \b
    Examples:
      folio watch inbox/
      folio watch scans/ --include "*.pdf" --meta origin=scanner
      folio watch inbox/ --once --json
    """
    from console import adding, watching
    from console.progress import Progress
    from console.session import open_session
    from ingest.folder import Choice

    if not folder.is_dir():
        raise typer.BadParameter(f"{folder}: there is no such folder to watch")
    os.umask(PRIVATE)
    settings, reading = settings_of(data), _reading(pages, meta, password)
    choice = Choice(tuple(include or ()), tuple(exclude or ()))
    with open_session(settings) as session, Progress(talk=True) as progress:
        _begun(session)
        say(f"watching {folder}: Ctrl-C ends" if not once else f"adding what is in {folder}")
        if others := adding.left_out(folder, choice):
            say(others)
        watched = watching.Watching(
            session=session,
            settings=settings,
            folder=folder.resolve(),
            choice=choice,
            settle_s=settle,
            reading=reading,
            once=once,
        )

        def tell(result: dict[str, Any]) -> None:
            progress.out(_one_line(result) if as_json else legible(adding.line(result)))

        summary = watched.run(tell, progress)
    _end_watch(watched, summary, as_json=as_json)
    raise typer.Exit(watching.exit_code(summary) if once else Exit.OK)


def _begun(session: Any) -> None:
    """Who owns the folder is settled before two threads ask. A Ctrl-C meanwhile ends a watch as any other does."""
    try:
        session.call(lambda client: client.stages())
    except KeyboardInterrupt:
        say("stopped before anything was added; the same command again begins anew")
        session.close()
        sys.exit(Exit.INTERRUPTED)


def _reading(pages: str, meta: list[str] | None, password: str | None) -> Any:
    """Everything about the options is checked before anything is sent."""
    from console.asked import metadata_of
    from console.client import Reading
    from folio.errors import FolioError
    from folio.ranges import parse_pages

    try:
        chosen = str(parse_pages(pages))
    except FolioError as error:
        raise typer.BadParameter(f"--pages: {error}") from None
    metadata = {} if meta == ["none"] else metadata_of(meta) if meta else None
    return Reading(pages=chosen, metadata=metadata, password=password_of(password))


def _ask_for_passwords(adding: Any, *, ask: bool) -> None:
    """A person at a terminal may open what is encrypted; an empty answer leaves it failed."""
    for _ in range(TRIES_MAX):
        locked = [one["document"] for one in adding.results if one["cause"] == "encrypted"]
        if not (ask and locked and sys.stdin.isatty() and sys.stderr.isatty()):
            return
        password = ask_password(f"Password of {', '.join(locked[:3])} (empty: leave it): ")
        if not password:
            return
        adding.again(password=password)


def _stopped(adding: Any, files: int, settings: Any, *, is_owner: bool) -> None:
    """What was reached, and how to go on. Said at once: leaving cleanly may take seconds."""
    results = adding.results
    settled = sum(one["state"] not in ("queued", "reading", "indexing") for one in results)
    say(f"stopping (Ctrl-C again ends at once): {settled} of {files} documents are done, {len(results)} acknowledged")
    if any(one["lacking"] for one in results):
        say("what is searchable is found by its words; found by meaning too when folio runs again")
    if adding.in_hand:
        say(f"{adding.in_hand} was just being handed over: it may have been taken all the same")
    if not is_owner:
        say("the running folio goes on reading what it acknowledged: folio status")
    elif len(results) < files:
        say("what was acknowledged is kept: the same command again goes on with it, and skips what is done")
    else:
        say(f"this is kept: folio run --data {settings.data}, or the same command again, goes on with it")


def _print_end(summary: dict[str, Any], results: list[dict[str, Any]], out: Any) -> None:
    from console import summary as ending

    if len(results) > 1 or summary["causes"]:
        print(file=out)
        for line in ending.lines(summary):
            tell(line, file=out)
    if (following := ending.next_step(results)) and out is sys.stdout:
        say(following)


def _exit(results: list[dict[str, Any]]) -> None:
    from console.following import BAD, is_flawed

    bad = [result for result in results if result["state"] in (*BAD, "deleted")]
    if bad or any(map(is_flawed, results)):
        raise typer.Exit(Exit.ERROR if len(bad) == len(results) else Exit.PARTIAL)


def _one_line(answer: dict[str, Any]) -> str:
    import json

    return json.dumps(answer, ensure_ascii=False, default=str)


def _end_watch(watched: Any, summary: dict[str, Any], *, as_json: bool) -> None:
    from console import summary as ending

    if as_json:
        print(_one_line({"summary": summary}), flush=True)
    for line in ending.lines(summary):
        tell(line, file=sys.stderr if as_json else sys.stdout)
    if watched.known:
        say(f"{ending.count(watched.known, 'file')} already there, unchanged")
    if watched.deleted:
        names = ", ".join(watched.deleted[:3])
        be = "was" if len(watched.deleted) == 1 else "were"
        stay = "stays" if len(watched.deleted) == 1 else "stay"
        say(f"{len(watched.deleted)} {be} deleted from the index and {stay} so ({names}): folio add puts them in again")
    if watched.failed_before:
        names = ", ".join(watched.failed_before[:3])
        say(f"{len(watched.failed_before)} of them failed before ({names}): folio add tries again")
    for path in watched.left_alone[:3]:
        say(f"left alone, still being written: {path}")
    if watched.unsettled:
        say(f"{watched.unsettled} not done yet: folio run, or the same command again, goes on")
