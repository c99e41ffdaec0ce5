"""folio replay: a stretch of a topic read once more, planned first, beside everything that is live."""

import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from console.options import DataOption, Exit, JsonOption, app, must_exist, print_json, say, settings_of
from console.replaying import Apart, Doors, Through, plan_lines, progress_line, summary_line
from folio.errors import FolioError

RATE = re.compile(r"(\d+(?:\.\d+)?)(?:/(s|min|h))?")
SECONDS = {"s": 1, "min": 60, "h": 3600}
LOOK_S = 0.5
SAY_S = 5.0
SAY_FIRST_S = 2.5


@app.command()
def replay(
    topic: Annotated[str | None, typer.Option("--topic", help="uploads, pages, pages.bulk or documents.")] = None,
    group: Annotated[str | None, typer.Option("--group", help="From where this group stands.")] = None,
    from_offset: Annotated[int | None, typer.Option("--from-offset", min=0, help="Of every partition.")] = None,
    from_time: Annotated[
        str | None, typer.Option("--from-time", help="Appended since: 2026-01-31, or 12h ago.")
    ] = None,
    document: Annotated[str | None, typer.Option("--document", help="Only records of this document.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only records of this tenant.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Only records that were given up, and close them.")] = False,
    rate: Annotated[str | None, typer.Option("--rate", help="At most so many records: 5/s, 300/min.")] = None,
    accept_gap: Annotated[
        bool, typer.Option("--accept-gap", help="Move --group, or --resume, over records that retention took.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    every: Annotated[bool, typer.Option("--list", help="Replays that are known, the newest first.")] = False,
    resume: Annotated[str | None, typer.Option("--resume", metavar="ID", help="Go on with one.")] = None,
    stop: Annotated[str | None, typer.Option("--stop", metavar="ID", help="Stop one; it can be resumed.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read records once more: uploads are opened again, pages read by the engine of the settings, documents indexed.

    It ends where the topic ends now, has its own progress, and never moves a live group. What comes out is what would
    come out now: a later reading takes the place of an earlier one, what is unchanged is not indexed again.

    \b
    Examples:
      folio replay --topic pages --document report.pdf --dry-run
      folio replay --topic pages --from-time 7d --rate 300/min
      folio replay --topic pages --dead --yes
      folio replay --topic documents
      folio replay --topic pages --group ocr --accept-gap
      folio replay --list
    """
    settings = settings_of(data)
    must_exist(settings.data)
    if accept_gap and group and topic:
        _accept_gap(settings, topic, group, as_json=as_json)
        return
    if accept_gap and not resume:
        raise typer.BadParameter("--accept-gap goes with --topic and --group, or with --resume ID")
    _refuse_unless_one((every, bool(resume), bool(stop), bool(topic)))
    if resume and (
        dead or dry_run or any(one is not None for one in (group, from_offset, from_time, document, tenant, rate))
    ):
        raise typer.BadParameter("--resume goes on as it was begun: what it reads and its --rate cannot be changed")
    doc = f"{tenant or 'default'}/{document}" if document else ""
    asked = {
        "topic": topic or "",
        "group": group or "",
        "from_offset": from_offset,
        "from_ms": _moment(from_time),
        "doc": doc,
        "tenant": "" if doc else tenant or "",
        "dead": dead,
        "rate": _per_second(rate),
    }
    with _doors(settings, topic) as doors:
        if every or stop:
            _tell_known(doors, stop, as_json=as_json)
            return
        if resume:
            begun = doors.ask("resume", {"replay": resume, "accept_gap": accept_gap})
        else:
            plan = doors.ask("plan", asked)
            _print_plan(plan, asked, as_json=as_json, all_of_it=dry_run or not yes)
            if dry_run or not _agreed(plan, yes=yes, as_json=as_json):
                return
            begun = doors.ask("begin", asked)
        _follow(doors, begun, settings.kafka.session_timeout_s, as_json=as_json)


def _refuse_unless_one(given: Sequence[bool]) -> None:
    """Raises BadParameter."""
    if not any(given):
        raise typer.BadParameter(
            "say what to read again (--topic pages, --dry-run prints the plan), or --list, --resume ID, --stop ID"
        )
    if sum(given) > 1:
        raise typer.BadParameter("only one of --topic, --list, --resume and --stop goes: see folio replay --help")


def _doors(settings: Any, topic: str | None) -> Any:
    """Through whoever owns the folder; over Kafka in this process, with the one stage that it needs."""
    if settings.kafka.servers and not (topic == "documents" and not settings.indexer.url):
        return Apart(settings)
    return Through(settings)


def _print_plan(plan: dict[str, Any], asked: dict[str, Any], *, as_json: bool, all_of_it: bool) -> None:
    if as_json and all_of_it:
        print_json({"plan": plan})
        return
    for line in plan_lines(plan, asked):
        say(line) if as_json else print(line)


def _agreed(plan: dict[str, Any], *, yes: bool, as_json: bool) -> bool:
    """Raises FolioError when there is nobody to ask."""
    if not plan["records"] or (as_json and not yes):
        return False
    if not yes and not sys.stdin.isatty():
        raise FolioError("--yes begins it: there is no terminal to ask at")
    return yes or typer.confirm("begin?", err=True)


def _tell_known(doors: Doors, stop: str | None, *, as_json: bool) -> None:
    if stop:
        stopped = doors.ask("stop", {"replay": stop})
        print_json(stopped) if as_json else print(summary_line(stopped))
        return
    known = doors.every()
    if as_json:
        print_json({"replays": known})
        return
    for one in known:
        print(summary_line(one))
    if not known:
        print("there were no replays here")


def _follow(doors: Doors, begun: dict[str, Any], session_s: float, *, as_json: bool) -> None:
    """Until it ends. Ctrl-C leaves it to whoever runs on, or to --resume."""
    say_s = time.monotonic() + SAY_FIRST_S
    now, replay_id = begun, begun["id"]
    try:
        while now["state"] == "running":
            time.sleep(LOOK_S)
            now = doors.ask("one", {"replay": replay_id})
            if time.monotonic() > say_s:
                say_s = time.monotonic() + SAY_S
                say(progress_line(now, session_s))
        doors.settle()
    except KeyboardInterrupt:
        say(f"replay {replay_id} is not done: folio replay --resume {replay_id} goes on with it, --list shows it")
        raise
    print_json(now) if as_json else print(summary_line(now))
    if now["state"] == "failed":
        say(now["detail"])
        raise typer.Exit(Exit.ERROR)
    if now["failed"]:
        say(f"next: folio dead list --stage replay-{replay_id}")
        raise typer.Exit(Exit.PARTIAL)


def _accept_gap(settings: Any, topic: str, group: str, *, as_json: bool) -> None:
    from console.replaying import accept_gap

    lost = accept_gap(settings, topic, group)
    count = sum(lost.values())
    if as_json:
        print_json({"group": group, "topic": topic, "lost": count})
    elif count:
        print(f"group {group} goes on behind {count:,} records of {topic} that were deleted before it read them")
    else:
        print(f"group {group} has lost no record of {topic}")


def _moment(given: str | None) -> int | None:
    from console.asked import moment_of

    now = datetime.now(UTC)
    found = moment_of(given, "--from-time", now=now)
    if found is not None and found > now.timestamp() * 1000:
        raise typer.BadParameter(f"--from-time {given!r} lies in the future: nothing was appended since")
    return found


def _per_second(given: str | None) -> float:
    """0 without the option: as fast as it goes. A rate of 0 that somebody typed is not meant so."""
    if given is None:
        return 0.0
    match = RATE.fullmatch(given.strip())
    if match is None or not float(match[1]):
        raise typer.BadParameter(
            f"--rate {given!r}: a number of records above 0 for a time is wanted, like 5/s or 300/min"
        )
    return float(match[1]) / SECONDS[match[2] or "s"]
