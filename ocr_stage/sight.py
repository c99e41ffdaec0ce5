"""What is seen of a page before a model is asked about it; pictures are opened in child processes only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from folio.child import Child, ChildDied, ChildTimeout, RemoteError
from folio.errors import Cause, Permanent, Transient
from ocr_stage.engine import ONE_THREAD
from ocr_stage.modes import Mode
from ocr_stage.plans import OFF, Plan
from ocr_stage.router import Features, Router
from ocr_stage.transform import Transform

FACTORY = "ocr_stage.sight_process:PageSight"
TRIES = 2


@dataclass(frozen=True, slots=True)
class Sighted:
    """A picture for a model, and the way from it to the page as it came. `mode` None: nobody chose one."""

    image: bytes
    transform: Transform = field(default_factory=Transform.whole)
    mode: Mode | None = None
    steps: tuple[str, ...] = ()


class Sight(Protocol):
    """Looks at pages before, and between, the questions."""

    async def see(self, image: bytes) -> Sighted: ...

    async def has_ink(self, image: bytes) -> bool: ...

    async def halves(self, page: Sighted) -> list[Sighted]:
        """From top to bottom; the page alone where it cannot be cut."""
        ...

    async def close(self) -> None: ...


class ChildSight:
    """Without a router and with preprocessing off, a page is not looked at before it is read."""

    def __init__(
        self,
        *,
        preprocess: str = OFF,
        router: Router | None = None,
        processes: int = 1,
        page_seconds_max: float = 60.0,
        pixels_max: int = 64_000_000,
    ) -> None:
        self._looks = Plan.of(preprocess) != Plan() or router is not None
        self._router = router
        self._seconds_max = page_seconds_max
        settings = {"preprocess": preprocess, "pixels_max": pixels_max}
        self._children = [Child(FACTORY, settings, environment=ONE_THREAD) for _ in range(processes)]
        self._free: asyncio.LifoQueue[Child] = asyncio.LifoQueue()
        for child in self._children:
            self._free.put_nowait(child)

    async def see(self, image: bytes) -> Sighted:
        """Raises Permanent: corrupt, pixel_limit, render_timeout, render_crash; Transient(engine_down)."""
        if not self._looks:
            return Sighted(image)
        seen = await self._call("see", image, self._router is not None)
        mode = self._router.mode(Features(**seen["features"])) if self._router else None
        if not seen["image"]:
            return Sighted(image, mode=mode)
        return Sighted(seen["image"], _transform(seen), mode, tuple(map(str, seen["steps"])))

    async def has_ink(self, image: bytes) -> bool:
        return bool(await self._call("has_ink", image))

    async def halves(self, page: Sighted) -> list[Sighted]:
        cut = await self._call("halves", page.image)
        if len(cut) < 2:
            return [page]
        return [
            Sighted(each["image"], page.transform.then(Transform.whole(*each["size"]).cropped(tuple(each["corners"]))))
            for each in cut
        ]

    async def close(self) -> None:
        await asyncio.gather(*(child.close() for child in self._children))

    async def _call(self, method: str, *args: Any) -> Any:
        for _ in range(TRIES):
            async with self._child() as child:
                try:
                    return await child.call(method, *args, seconds_max=self._seconds_max)
                except ChildTimeout:
                    raise Permanent(Cause.RENDER_TIMEOUT, f"not looked at after {self._seconds_max:g} s") from None
                except ChildDied:
                    continue
                except RemoteError as error:
                    raise Transient(Cause.ENGINE_DOWN, f"pages cannot be looked at: {error}") from error
        raise Permanent(Cause.RENDER_CRASH, f"the process that looked at it died {TRIES} times")

    @asynccontextmanager
    async def _child(self) -> AsyncIterator[Child]:
        child = await self._free.get()
        try:
            yield child
        finally:
            self._free.put_nowait(child)


def _transform(seen: dict[str, Any]) -> Transform:
    a, b, c, d, e, f, g, h, i = map(float, seen["back"])
    (width, height), (seen_width, seen_height) = seen["page"], seen["seen"]
    return Transform((width, height), (seen_width, seen_height), (a, b, c, d, e, f, g, h, i))
