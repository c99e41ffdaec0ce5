"""The topics of a Kafka cluster on the command line: what would be made or altered, and doing it."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from console.numbers import count
from console.options import DataOption, JsonOption, print_json, settings_of
from folio.errors import SettingsError

topics_app = typer.Typer(help="The topics of the Kafka cluster that kafka.servers names.", rich_markup_mode=None)


@topics_app.callback()
def topics() -> None:
    """Needed so that `apply` is a word of its own."""


@topics_app.command()
def apply(
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without it, only say what would be done.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create missing topics and give every topic the settings that folio needs. Nothing is ever deleted.

    \b
    Examples:
      folio topics apply            what would be done
      folio topics apply --yes
    """
    settings = settings_of(data)
    if not settings.kafka.servers:
        raise SettingsError("kafka.servers is not set: the embedded log needs no topics to be made")
    changes = asyncio.run(_apply(settings, really=yes))
    if as_json:
        print_json({"applied": yes, "changes": [str(change) for change in changes]})
        return
    for change in changes:
        print(change)
    if not changes:
        print("nothing to do: every topic is as folio needs it")
    elif yes:
        typer.echo(f"done: {count(len(changes), 'topic')}", err=True)
    else:
        typer.echo("nothing was done yet: folio topics apply --yes does it", err=True)


async def _apply(settings: Any, *, really: bool) -> Sequence[Any]:
    from infra.kafka_cluster import Cluster
    from infra.kafka_topics import Topics
    from infra.wiring import kept_s

    async with Topics.open(Cluster(**settings.kafka.model_dump())) as cluster:
        changes = await cluster.plan(keep_s=kept_s(settings))
        if really:
            await cluster.apply(changes)
        return changes
