"""Dead letters and replays over HTTP, as the command line asks for them."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from folio.errors import Cause
from infra.dead import Redriven, Shown, Which, causes
from infra.replay import Asked, Plan, Replay
from infra.run import Owner

POSITIONS_MAX = 100


class Looked(BaseModel):
    """Which dead letters; `doc` is tenant and document id, `every` has those that were redriven too."""

    model_config = ConfigDict(extra="forbid")

    cause: Cause | None = None
    stage: str = ""
    doc: str = ""
    since_ms: int = Field(default=0, ge=0)
    every: bool = False


def dead_letters(owner: Owner) -> APIRouter:
    router = APIRouter()

    @router.get("/dead")
    async def listed(asked: Annotated[Looked, Query()]) -> dict[str, Any]:
        """What was given up and is open, the oldest first, and how many of each cause."""
        found = await owner.dead.listed(Which(**asked.model_dump()))
        return {"dead": [one.model_dump(mode="json") for one in found], "causes": causes(found)}

    @router.get("/dead/entry")
    async def show(position: str) -> Shown:
        """One of them: its headers, whether its bytes are still there, what to do."""
        return await owner.dead.show(position)

    @router.post("/dead/redrive")
    async def redrive(
        position: Annotated[list[str], Query(min_length=1, max_length=POSITIONS_MAX)],
    ) -> dict[str, list[Redriven]]:
        """Append their records again. Twice is harmless."""
        return {"redriven": await owner.dead.redrive(position)}

    return router


def replays(owner: Owner) -> APIRouter:
    router = APIRouter()

    @router.post("/replays/plan")
    async def plan(asked: Annotated[Asked, Query()]) -> Plan:
        """What it would read; changes nothing."""
        return await owner.replays.plan(asked)

    @router.post("/replays", status_code=202)
    async def begin(asked: Annotated[Asked, Query()]) -> Replay:
        return await owner.replays.begin(asked)

    @router.get("/replays")
    async def every() -> dict[str, list[Replay]]:
        """All that are known, the newest first."""
        return {"replays": owner.replays.every()}

    @router.get("/replays/one")
    async def one(replay: str) -> Replay:
        return owner.replays.one(replay)

    @router.post("/replays/stop")
    async def stop(replay: str) -> Replay:
        return await owner.replays.stop(replay)

    @router.post("/replays/resume", status_code=202)
    async def resume(replay: str, accept_gap: bool = False) -> Replay:
        return await owner.replays.resume(replay, accept_gap=accept_gap)

    return router
