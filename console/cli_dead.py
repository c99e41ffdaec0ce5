"""folio dead: what was given up, why, and how it is appended again."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from console.options import DataOption, Exit, JsonOption, app, must_exist, print_json, say, settings_of
from console.shown import shown
from folio.errors import Cause, FolioError

AT_ONCE = 20
dead_app = typer.Typer(help="Records that were given up: list, show, redrive.", rich_markup_mode=None)
app.add_typer(dead_app, name="dead")

CauseOption = Annotated[str | None, typer.Option("--cause", help="Only this cause, like corrupt or ocr_loop.")]
StageOption = Annotated[str | None, typer.Option("--stage", help="Only what this stage gave up: ingest, ocr, ...")]
DocumentOption = Annotated[str | None, typer.Option("--document", help="Only of this document.")]
TenantOption = Annotated[str, typer.Option("--tenant", help="Whose document.")]
SinceOption = Annotated[str | None, typer.Option("--since", help="Given up since: 2026-01-31, or 7d ago.")]


@dead_app.command("list")
def dead_list(
    cause: CauseOption = None,
    stage: StageOption = None,
    document: DocumentOption = None,
    tenant: TenantOption = "default",
    since: SinceOption = None,
    every: Annotated[bool, typer.Option("--all", help="What was redriven, too.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """What was given up and is still open, with its cause and its position.

    \b
    Examples:
      folio dead list
      folio dead list --cause ocr_loop --since 7d
      folio dead list --document report.pdf --json
    """
    asked = _asked(cause, stage, _doc(document, tenant), since) | {"every": "true" if every else ""}
    settings = settings_of(data)
    answer = _ask(settings, lambda client: client.dead(asked))
    _remember(settings.data, [one["position"] for one in answer["dead"]])
    if as_json:
        print_json(answer)
        return
    for number, one in enumerate(answer["dead"], 1):
        print(_line(number, one))
    _print_end(answer, filtered=any(asked.values()))


def _print_end(answer: dict[str, Any], *, filtered: bool) -> None:
    if not answer["dead"]:
        print("nothing was given up" + (" of that kind" if filtered else ""))
        return
    causes = ", ".join(f"{cause} {count}" for cause, count in answer["causes"].items())
    print(f"{len(answer['dead'])} by cause: {causes}")
    print("next: folio dead show 1")


@dead_app.command("show")
def dead_show(
    which: Annotated[str, typer.Argument(help="Its number in the last list, or its position: pages/0/12.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """One of them: what happened, what to do, its headers, and whether its bytes are still there.

    \b
    Examples:
      folio dead show 1
      folio dead show pages/0/12 --json
    """
    settings = settings_of(data)
    position = _positions(settings.data, [which])[0]
    one = _ask(settings, lambda client: client.dead_entry(position))
    one["searchable_version"] = _older(settings.data, one)
    print_json(one) if as_json else _print_one(one)


def _older(data: Path, one: dict[str, Any]) -> int | None:
    """Of a document whose record was given up: the version that is searchable all the same."""
    from infra.places import LEDGER_FILE
    from ledger import audit

    known = audit.summary(data / LEDGER_FILE, one["doc"])
    older = known.searchable_version if known is not None else None
    return older if older != one["version"] else None


@dead_app.command("redrive")
def dead_redrive(
    which: Annotated[list[str] | None, typer.Argument(metavar="[POSITION]...", help="Numbers or positions.")] = None,
    cause: CauseOption = None,
    stage: StageOption = None,
    document: DocumentOption = None,
    tenant: TenantOption = "default",
    since: SinceOption = None,
    every: Annotated[bool, typer.Option("--all", help="Everything that is open.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Append records that were given up again, each to its topic. Redriving twice is harmless.

    \b
    Examples:
      folio dead redrive 1
      folio dead redrive pages/0/12 pages/0/13
      folio dead redrive --cause ocr_timeout --yes
      folio dead redrive --all --yes
    """
    asked = _asked(cause, stage, _doc(document, tenant), since)
    if bool(which) == (every or any(asked.values())):
        raise typer.BadParameter("give positions, or what to choose by (--cause, --document, ...), or --all")
    settings = settings_of(data)
    must_exist(settings.data)
    from console.client import Client
    from console.session import open_session

    done: list[dict[str, Any]] = []
    with open_session(settings, warm=False) as session:
        if which:
            positions = _positions(settings.data, which)
        else:
            found = session.told(lambda client: client.dead(asked))["dead"]
            positions = [one["position"] for one in found]
            _confirm(len(positions), yes=yes)
        for some in _parts(positions):
            answer = session.told(partial(Client.redrive, positions=some))
            done += answer["redriven"]
            if not as_json:
                _print_redriven(answer["redriven"])
    good = sum(one["outcome"] == "redriven" for one in done)
    if as_json:
        print_json({"redriven": done})
    else:
        say(f"{good} of {len(done)} appended again" + ("; folio status says what becomes of them" if good else ""))
    if any(one["outcome"] not in ("redriven", "already redriven") for one in done):
        raise typer.Exit(Exit.PARTIAL if good else Exit.ERROR)


def _print_redriven(done: Sequence[dict[str, Any]]) -> None:
    for one in done:
        more = f": {shown(one['detail'])}" if one["detail"] else f" as {one['appended']}" if one["appended"] else ""
        print(f"{one['position']}: {one['outcome']}{more}", flush=True)


def _confirm(count: int, *, yes: bool) -> None:
    if count and not yes:
        typer.confirm(f"append {count} records again?", abort=True, err=True)


def _parts(positions: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(positions), AT_ONCE):
        yield list(positions[start : start + AT_ONCE])


def _ask(settings: Any, ask: Any) -> dict[str, Any]:
    from console.session import open_session

    must_exist(settings.data)
    with open_session(settings, warm=False) as session:
        answer: dict[str, Any] = session.told(ask)
        return answer


def _asked(cause: str | None, stage: str | None, doc: str, since: str | None) -> dict[str, Any]:
    """Query parameters; what is not given is empty. Raises BadParameter."""
    from console.asked import moment_of

    if cause is not None and cause not in list(Cause):
        raise typer.BadParameter(f"--cause {cause!r}: there are {', '.join(sorted(Cause))}")
    since_ms = moment_of(since, "--since", now=datetime.now(UTC))
    return {"cause": cause or "", "stage": stage or "", "doc": doc, "since_ms": since_ms or ""}


def _doc(document: str | None, tenant: str) -> str:
    return f"{tenant}/{document}" if document else ""


def _remember(data: Path, positions: Sequence[str]) -> None:
    from console.reading import write_whole
    from infra.places import LAST_DEAD_FILE

    with suppress(OSError):
        write_whole(data / LAST_DEAD_FILE, json.dumps(list(positions)).encode())


def _positions(data: Path, which: Sequence[str]) -> list[str]:
    """Numbers of the last list as positions; positions as they are. Raises FolioError."""
    from infra.places import LAST_DEAD_FILE

    if not any(one.isdecimal() for one in which):
        return list(which)
    try:
        last: list[str] = json.loads((data / LAST_DEAD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise FolioError("nothing was listed here yet: folio dead list numbers what was given up") from None
    wrong = [one for one in which if one.isdecimal() and not 1 <= int(one) <= len(last)]
    if wrong:
        raise FolioError(f"{wrong[0]}: the last list had {len(last)}: give a number of it, or a position")
    return [last[int(one) - 1] if one.isdecimal() else one for one in which]


def _line(number: int, one: dict[str, Any]) -> str:
    page = f" p. {one['page']}" if one["page"] else ""
    again = f"  ({one['count']} times)" if one["count"] > 1 else ""
    closed = "  redriven" if one["redriven_ms"] else ""
    facts = (
        f"{_when(one['dead_ms'])}  {one['position']}  {one['stage']}  {one['cause']}  {shown(one['document'])}{page}"
    )
    return f"{number}. {facts}{again}{closed}\n   {shown(one['detail']) or one['sentence']}"


def _print_one(one: dict[str, Any]) -> None:
    there = f"still there ({one['size_bytes']:,} bytes)" if one["there"] else "no longer kept"
    page = f", page {one['page']}" if one["page"] else ""
    version = f", version {one['version']}" if one["version"] else ""
    print(f"{one['position']}: {one['cause']} in {one['stage']}, {_when(one['dead_ms'])}")
    print(f"  {one['sentence']}")
    if one["detail"]:
        print(f"  {shown(one['detail'])}")
    print(f"document:  {shown(one['document'])}{version}{page}")
    if one["searchable_version"]:
        print(f"           version {one['searchable_version']} of it is still searchable")
    print(f"attempts:  {one['attempts']}" + (f", given up {one['count']} times" if one["count"] > 1 else ""))
    print(f"its bytes: {there}")
    for name, value in sorted(one["headers"].items()):
        print(f"  {shown(name)}: {shown(value)}")
    print(one["advice"])


def _when(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
