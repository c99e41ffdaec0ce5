"""The command line: every command is in one of the modules imported here. stdout is data, stderr is talk."""

import os
import signal
import sys
from functools import partial
from typing import Annotated, Any

import typer

from console import cli_adding, cli_dead, cli_reading, cli_replay, cli_topics
from console.options import (
    DataOption,
    Exit,
    JsonOption,
    app,
    config_app,
    must_exist,
    overrides_of,
    print_json,
    settings_of,
    take_password,
)
from console.shown import shown, tell
from folio import __version__
from folio.errors import FolioError, SettingsError
from infra.places import PRIVATE

COMMANDS = (cli_adding.add, cli_adding.watch, cli_reading.search, cli_dead.dead_list, cli_replay.replay)
"""Importing their modules has registered them; status and the rest follow here."""
PUT_IN = ("add", "watch", "run", "demo")
"""Commands that acknowledge documents: to these a Ctrl-C says what is kept."""

app.add_typer(config_app, name="config")
app.add_typer(cli_topics.topics_app, name="topics")


def main() -> None:
    """Entry point: every error ends in one sentence and an exit code, never in a traceback."""
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.signal(signal.SIGINT, _interrupted)
        take_password()
        code = app(standalone_mode=False)
        if code == Exit.INTERRUPTED:
            raise KeyboardInterrupt
        sys.exit(code)
    except SettingsError as error:
        _end(str(error), Exit.USAGE)
    except FolioError as error:
        _end(str(error), Exit.USAGE if getattr(error, "is_usage", False) else Exit.ERROR)
    except KeyboardInterrupt:
        kept = "; what was acknowledged is kept, `folio add` or `folio run` goes on with it"
        _end(f"stopped{kept if sys.argv[1:2] and sys.argv[1] in PUT_IN else ''}", Exit.INTERRUPTED)
    except typer.Abort:
        _end("stopped", Exit.INTERRUPTED)
    except Exception as error:
        _usage_or_defect(error)


def _interrupted(number: int, frame: Any) -> None:
    """The first Ctrl-C stops cleanly, the second ends at once: what was acknowledged is on the log either way."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(Exit.INTERRUPTED))
    signal.default_int_handler(number, frame)


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
    tell(f"folio: {sentence}", file=sys.stderr)
    sys.exit(int(code))


def _version(*, wanted: bool) -> None:
    if wanted:
        print(f"folio {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=lambda wanted: _version(wanted=wanted), help="Say which folio this is."
        ),
    ] = False,
) -> None:
    """What stands before a command."""


@app.command()
def status(
    document: Annotated[str | None, typer.Argument(help="One document: shows every page.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Deleted documents too.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """What became of every document, or of every page of one. Works with or without a running owner.

    \b
    Examples:
      folio status
      folio status --all
      folio status report.pdf --json
    """
    from console.show import print_document, print_documents
    from folio.ids import TENANT_DEFAULT, doc_of
    from infra.places import LEDGER_FILE
    from ledger import audit

    settings = settings_of(data)
    ledger = must_exist(settings.data) / LEDGER_FILE
    if not ledger.exists() or audit.out_of_date(ledger):
        _rebuild_ledger(settings)
    if document is None:
        known = audit.documents(ledger)
        if as_json:
            print_json({"documents": [one.model_dump(mode="json") for one in known]})
        else:
            prefix = settings.kafka.prefix if settings.kafka.servers else None
            print_documents(known, every=every, prefix=prefix)
        _say_who_is_missing(settings, any(one.unfinished for one in known))
        return
    try:
        one = audit.document(ledger, doc_of(TENANT_DEFAULT, document))
    except ValueError:  # not even an id
        one = None
    if one is None:
        raise FolioError(f"there is no document {document!r}: folio status lists what there is")
    print_json(one.model_dump(mode="json")) if as_json else print_document(one)
    _say_who_is_missing(settings, one.unfinished)


def _say_who_is_missing(settings: Any, unfinished: bool) -> None:
    if not (unfinished and settings.kafka.servers):
        return
    from console.waiting import missing

    for sentence in missing(settings.data, settings.kafka.servers):
        print(f"waiting: {sentence}", file=sys.stderr)


@app.command()
def delete(
    documents: Annotated[list[str], typer.Argument(metavar="DOC...", help="Document ids, as folio status shows them.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete documents from the index; their passages are gone when the command returns.

    \b
    Examples:
      folio delete report.pdf
      folio delete report.pdf letter.pdf
    """
    from console.client import Client, Refused
    from console.following import wait_until_settled
    from console.session import open_session

    settings = settings_of(data)
    must_exist(settings.data)
    asked, wrong = [], []
    with open_session(settings, warm=False) as session:
        for document in dict.fromkeys(documents):
            try:
                asked.append(session.told(partial(Client.delete, document=document)))
            except Refused as error:
                wrong.append({"document": document, "state": "refused", "detail": str(error)})
        # with Kafka it is others who must be there, and whoever waits is told who is not
        results = wait_until_settled(session, settings, asked, talk=bool(settings.kafka.servers))
    if as_json:
        print_json(results[0] if len(documents) == 1 and results else {"documents": [*results, *wrong]})
    else:
        for result in results:
            tell(f"{shown(result['document'])}: deleted")
    for one in wrong:
        tell(f"folio: {one['detail']}", file=sys.stderr)
    if wrong:
        raise typer.Exit(Exit.PARTIAL if results else Exit.ERROR)


@app.command()
def run(
    stages: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STAGE...]", help="ingest, ocr, ledger, index, embed, api; none: all of them."),
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port of the HTTP API; 0 for any free one.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Own the data folder and serve until Ctrl-C; other folio commands find this process by themselves.

    With Kafka a process may run some of the stages, and several may share the work: docs/processes.md.

    \b
    Examples:
      folio run --data /srv/folio
      FOLIO_KAFKA__SERVERS=kafka:9092 folio run ocr
    """
    from console.serving import run_until_stopped
    from infra.roles import roles_of

    overrides = {"server": {"port": port}} if port is not None else {}
    settings = settings_of(data, overrides)
    run_until_stopped(settings, roles_of(stages or (), settings), as_json=as_json)


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

    os.umask(PRIVATE)
    settings = settings_of(data)
    with open_session(settings, port=settings.server.port) as session:
        answers = run_demo(session, settings, talk=not as_json)
        if as_json:
            print_json({"answers": answers})
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

    rows = described(settings_of(data), overrides=overrides_of(data))
    if as_json:
        print_json({row["key"]: {"value": row["value"], "origin": row["origin"]} for row in rows})
    else:
        print_settings(rows)


def _rebuild_ledger(settings: Any) -> None:
    """A lost ledger is rebuilt by whoever owns the folder next, so be that one."""
    from console.session import open_session

    with open_session(settings, warm=False) as session:
        session.call(lambda client: client.stages())


if __name__ == "__main__":
    main()
