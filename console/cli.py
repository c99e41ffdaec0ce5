"""The command line: run, add, search, status, delete, demo, config. stdout is data, stderr is talk."""

import json
import os
import signal
import sys
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from folio.errors import FolioError, SettingsError


class Exit(IntEnum):
    """What a command's end means to a script."""

    OK = 0
    ERROR = 1
    USAGE = 2
    PARTIAL = 3
    NOT_READY = 4
    INTERRUPTED = 130


DataOption = Annotated[Path | None, typer.Option("--data", help="Where state lives [FOLIO_DATA, default .folio].")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable answer on stdout.")]

QUESTION_CHARS_MAX = 4000

EXAMPLES = """
\b
Examples:
  folio add report.pdf scans/        read documents until they are searchable
  folio search "net revenue 2025"    passages with document, page and box
  folio status                       what became of every document
  folio run                          serve on; other commands find it
"""

app = typer.Typer(
    help=f"Documents in, cited answers out.\n{EXAMPLES}",
    no_args_is_help=True,
    rich_markup_mode=None,  # the plain help answers in half the time
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="What can be set, and where each value comes from.", rich_markup_mode=None)
app.add_typer(config_app, name="config")


def main() -> None:
    """Entry point: every error ends in one sentence and an exit code, never in a traceback."""
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        code = app(standalone_mode=False)
        if code == Exit.INTERRUPTED:
            raise KeyboardInterrupt
        sys.exit(code)
    except SettingsError as error:
        _end(str(error), Exit.USAGE)
    except FolioError as error:
        _end(str(error), Exit.ERROR)
    except KeyboardInterrupt:
        _end("stopped; what was acknowledged is kept, `folio add` or `folio run` goes on with it", Exit.INTERRUPTED)
    except typer.Abort:
        _end("stopped", Exit.INTERRUPTED)
    except Exception as error:
        _usage_or_defect(error)


def _usage_or_defect(error: Exception) -> None:
    if os.environ.get("FOLIO_TELEMETRY__LEVEL", "").upper() == "DEBUG":
        raise error
    show = getattr(error, "show", None)
    if show is not None:  # the command line library's own usage errors
        show()
        sys.exit(int(getattr(error, "exit_code", Exit.USAGE)))
    if isinstance(error, OSError):
        _end(f"{error.filename or ''}: {error.strerror or error}".lstrip(": "), Exit.ERROR)
    _end(f"a defect of folio: {type(error).__name__}: {error} (FOLIO_TELEMETRY__LEVEL=DEBUG shows where)", Exit.ERROR)


def _end(sentence: str, code: Exit) -> None:
    print(f"folio: {sentence}", file=sys.stderr)
    sys.exit(int(code))


@app.command()
def add(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, or - for stdin.")],
    document: Annotated[str | None, typer.Option("--id", help="Your own document id (one file only).")] = None,
    name: Annotated[str | None, typer.Option("--name", help="File name of what comes from stdin.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait until searchable.")] = True,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read documents until they are searchable.

    \b
    Examples:
      folio add report.pdf
      folio add scans/ letters/2024-*.jpg
      curl -s https://example.org/a.pdf | folio add - --name a.pdf
    """
    from console.adding import add_all, collect, sentences
    from console.session import open_session

    settings = _settings(data)
    with collect(paths, name=name, document=document) as files, open_session(settings) as session:
        results = add_all(session, settings, files, wait=wait)
    if as_json:
        _print_json({"documents": results})
    for line in sentences(results):
        print(line, file=sys.stderr if as_json else sys.stdout)
    bad = [result for result in results if result["state"] in ("failed", "refused", "cancelled")]
    flawed = [result for result in results if result["state"] == "searchable with gaps"]
    if bad or flawed:
        raise typer.Exit(Exit.ERROR if len(bad) == len(results) else Exit.PARTIAL)


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many passages.")] = 5,
    document: Annotated[str | None, typer.Option("--document", help="Only in this document.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find passages, each with document, pages, boxes and heading path.

    \b
    Examples:
      folio search "net revenue 2025"
      folio search "保修期多久" -k 3 --json
    """
    from console.session import open_session
    from console.show import print_hits
    from folio.records import Filters, Question

    settings = _settings(data)
    if not 0 < len(question.strip()) <= QUESTION_CHARS_MAX:
        raise typer.BadParameter(f"the question is empty, or longer than {QUESTION_CHARS_MAX:,} characters")
    _must_exist(settings.data)
    with open_session(settings) as session:
        asked = Question(question=question, k=k, filters=Filters(documents=(document,) if document else ()))
        hits = session.call(lambda client: client.search(asked))
    if as_json:
        _print_json({"hits": hits})
    else:
        print_hits(hits, question)


@app.command()
def status(
    document: Annotated[str | None, typer.Argument(help="One document: shows every page.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """What became of every document, or of every page of one. Works with or without a running owner.

    \b
    Examples:
      folio status
      folio status report.pdf --json
    """
    from console.show import print_document, print_documents
    from folio.ids import TENANT_DEFAULT, doc_of
    from infra.places import LEDGER_FILE
    from ledger import audit

    settings = _settings(data)
    ledger = _must_exist(settings.data) / LEDGER_FILE
    if not ledger.exists():
        _rebuild_ledger(settings)
    if document is None:
        known = audit.documents(ledger)
        _print_json({"documents": [one.model_dump(mode="json") for one in known]}) if as_json else print_documents(
            known
        )
        return
    try:
        one = audit.document(ledger, doc_of(TENANT_DEFAULT, document))
    except ValueError:  # not even an id
        one = None
    if one is None:
        raise FolioError(f"there is no document {document!r}: folio status lists what there is")
    _print_json(one.model_dump(mode="json")) if as_json else print_document(one)


@app.command()
def delete(
    document: Annotated[str, typer.Argument(help="Document id, as folio status shows it.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a document from the index; its passages are gone when the command returns.

    \b
    Example:
      folio delete report.pdf
    """
    from console.adding import wait_until_settled
    from console.session import open_session

    settings = _settings(data)
    _must_exist(settings.data)
    with open_session(settings, warm=False) as session:
        done = session.call(lambda client: client.delete(document))
        (result,) = wait_until_settled(session, settings, [done], talk=False)
    if as_json:
        _print_json(result)
    else:
        print(f"{document}: deleted")


@app.command()
def run(
    port: Annotated[int | None, typer.Option("--port", help="Port of the HTTP API; 0 for any free one.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Own the data folder and serve until Ctrl-C; other folio commands find this process by themselves.

    \b
    Example:
      folio run --data /srv/folio
    """
    from console.serving import run_until_stopped

    overrides = {"server": {"port": port}} if port is not None else {}
    run_until_stopped(_settings(data, overrides), as_json=as_json)


@app.command()
def demo(
    serve: Annotated[bool, typer.Option("--serve", help="Serve on until Ctrl-C.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the bundled example documents through the whole pipeline and answer questions from them.

    \b
    Example:
      folio demo --data /tmp/demo
    """
    from console.demo import run_demo
    from console.serving import hold
    from console.session import open_session

    settings = _settings(data)
    with open_session(settings, port=settings.server.port) as session:
        answers = run_demo(session, settings, talk=not as_json)
        if as_json:
            _print_json({"answers": answers})
        if serve:
            hold(session, settings)


@config_app.command("show")
def config_show(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Every setting with its value, where it comes from and what it does.

    \b
    Examples:
      folio config show
      FOLIO_INGEST__PAGES_MAX=100 folio config show --json
    """
    from console.show import print_settings
    from folio.settings import described

    rows = described(_settings(data), overrides=_overrides(data))
    if as_json:
        _print_json({row["key"]: {"value": row["value"], "origin": row["origin"]} for row in rows})
    else:
        print_settings(rows)


def _overrides(data: Path | None, more: dict[str, Any] | None = None) -> dict[str, Any]:
    return ({"data": data} if data else {}) | (more or {})


def _settings(data: Path | None, more: dict[str, Any] | None = None) -> Any:
    from folio.settings import load

    return load(overrides=_overrides(data, more))


def _rebuild_ledger(settings: Any) -> None:
    """A lost ledger is rebuilt by whoever owns the folder next, so be that one."""
    from console.session import open_session

    with open_session(settings, warm=False) as session:
        session.call(lambda client: client.stages())


def _must_exist(folder: Path) -> Path:
    if not folder.is_dir():
        raise FolioError(f"{folder}: no folio data here yet: `folio add FILE` makes it, --data names another place")
    return folder


def _print_json(answer: Any) -> None:
    json.dump(answer, sys.stdout, ensure_ascii=False, indent=2, default=str)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
