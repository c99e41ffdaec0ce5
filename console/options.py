"""What every command shares: the application, options, exit codes, settings, and how answers leave."""

import json
import os
import sys
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from console.shown import tell
from folio.errors import FolioError

EXAMPLES = """
\b
Examples:
  folio add report.pdf scans/        read documents until they are searchable
  folio watch inbox/                 a folder that keeps filling
  folio search "net revenue 2025"    passages with document, page and box
  folio open 1                       the page of the first hit, its box marked
  folio page report.pdf 3            a page as Markdown
  folio export --all out/            Markdown, figures and JSON, a folder a document
  folio status                       what became of every document
  folio dead list                    what was given up, and why
  folio replay --topic pages         records read once more
  folio run                          serve on; other commands find it
"""

app = typer.Typer(
    help=f"Documents in, cited answers out.\n{EXAMPLES}",
    no_args_is_help=True,
    rich_markup_mode=None,  # the plain help answers in half the time
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="What can be set, and where each value comes from.", rich_markup_mode=None)


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
PasswordOption = Annotated[
    str | None,
    typer.Option(
        "--password",
        metavar="-",
        help="Of encrypted files: - asks for it (or reads a line of stdin); FOLIO_PASSWORD does too. Never stored.",
    ),
]
MetaOption = Annotated[
    list[str] | None,
    typer.Option("--meta", metavar="KEY=VALUE", help="Repeatable; numbers and true/false are taken as such."),
]
IncludeOption = Annotated[
    list[str] | None, typer.Option("--include", metavar="GLOB", help="Of folders only what matches; repeatable.")
]
ExcludeOption = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="GLOB", help="Of folders not what matches; repeatable.")
]
PagesOption = Annotated[str, typer.Option("--pages", help="Only these pages: 1-3,7,10- (of every file given).")]

PASSWORD_VARIABLE = "FOLIO_PASSWORD"  # noqa: S105  # a name, not a password
_from_environment = ""


def take_password() -> None:
    """Take FOLIO_PASSWORD out of the environment: it is no setting, and children must not inherit it."""
    global _from_environment  # noqa: PLW0603  # once, before any command runs
    _from_environment = os.environ.pop(PASSWORD_VARIABLE, "")


def password_of(given: str | None) -> str:
    """What --password says. Raises BadParameter for a password typed as an argument, which everybody could read."""
    if given is None:
        return _from_environment
    if given != "-":
        raise typer.BadParameter(
            f"--password takes only -, and then asks: arguments can be read by every user of this machine."
            f" {PASSWORD_VARIABLE} works too"
        )
    if sys.stdin.isatty():
        return ask_password("Password: ")
    return sys.stdin.buffer.readline().decode(errors="surrogateescape").rstrip("\r\n")


def ask_password(prompt: str) -> str:
    """From the terminal, without echo."""
    from getpass import getpass

    return getpass(prompt, stream=sys.stderr)


def settings_of(data: Path | None, more: dict[str, Any] | None = None) -> Any:
    from folio.settings import load

    return load(overrides=overrides_of(data, more))


def overrides_of(data: Path | None, more: dict[str, Any] | None = None) -> dict[str, Any]:
    return ({"data": data} if data else {}) | (more or {})


def must_exist(folder: Path) -> Path:
    if not folder.is_dir():
        raise FolioError(
            f"{folder}: no folio data here yet: `folio add FILE` or `folio run` makes it, --data names another place"
        )
    return folder


def print_json(answer: Any) -> None:
    json.dump(answer, sys.stdout, ensure_ascii=False, indent=2, default=str)
    sys.stdout.write("\n")


def say(line: str) -> None:
    """Talk, on stderr."""
    tell(line, file=sys.stderr)
