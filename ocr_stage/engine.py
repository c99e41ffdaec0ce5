"""The port between the stage and whatever reads pages, image in, `Reading` out; and an engine that follows a script.

A model that answers in a grammar has a port of its own (`ocr_stage.model`); `Reading.of` tidies what it said.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

from folio.child import Child, ChildDied, Remote, RemoteError
from folio.errors import Cause, CauseKind, Permanent, Transient
from folio.records import Block, BlockKind, Box
from ocr_stage.model import ModelOutput
from ocr_stage.tidy import tidied
from ocr_stage.tidy_blocks import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an engine read on one page. `mode` and `tokens` stay empty for engines that have neither.

    Raises Permanent(ocr_mismatch) where a block lies beyond the text: one of the two is another page's.
    `engine` is set where another one than was asked has read it. `steps` are what was done to the picture before,
    `rungs` what was tried after the first answer was no good, each with why (`ocr_stage.ladder`).
    """

    markdown: str
    blocks: tuple[Block, ...] = ()
    mode: str = ""
    tokens: int = 0
    seconds: float = 0.0
    finish: str = ""
    flags: tuple[str, ...] = ()
    engine: str = ""
    prompt: str = ""
    steps: tuple[str, ...] = ()
    rungs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for block in self.blocks:
            if not block.start <= block.end <= len(self.markdown):
                where = f"a block from {block.start} to {block.end} in a text of {len(self.markdown)} characters"
                raise Permanent(Cause.OCR_MISMATCH, where)

    @classmethod
    def of(cls, output: ModelOutput, rules: Rules | None = None) -> Self:
        """What a model said, tidied. Never raises for what it said: a loop or a cut end stays in `finish`."""
        tidy = tidied(output.text, prompt=output.prompt, transform=output.transform, rules=rules)
        return cls(
            markdown=tidy.markdown,
            blocks=tidy.blocks,
            mode=output.mode,
            tokens=output.tokens,
            seconds=output.seconds,
            finish=output.finish,
            flags=tidy.flags,
        )


class Engine(Protocol):
    """Reads one image a call; many calls run at once, and an engine that can batch does so inside.

    Where pages wait inside an engine, those of which `ocr_stage.lanes.is_bulk` says so come last.
    """

    @property
    def name(self) -> str:
        """Recorded with every page that it read."""
        ...

    async def read(self, image: bytes) -> Reading:
        """Raises Permanent when this image can never be read, Transient when the engine is away.

        Cancelling the call frees whatever it held.
        """
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Warms(Protocol):
    """An engine, or the model behind one, that takes long to start."""

    async def warm(self) -> None:
        """Start before the first page, which would start it too. Raises Transient when it is away."""
        ...


ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Of an engine's child processes: there is one a core."""


async def started(child: Child, what: str) -> Remote:
    """The object in an engine's child process. One that cannot even start is away: that is no page's fault."""
    try:
        return await child.remote()
    except (ChildDied, RemoteError) as error:
        raise Transient(Cause.ENGINE_DOWN, f"{what} does not start: {error}") from error


SCRIPT = b"folio:"
SAID = b"model:"
REFUSAL = b"folio!"
PAUSE = b"folio~"


class ScriptedEngine:
    """Reads what a test wrote into the bytes; for tests, and to measure everything but the reading.

    ``folio:MARKDOWN`` is read as MARKDOWN; ``model:TEXT`` as what a model said, in its grammar; ``folio!CAUSE`` fails
    with that cause (transient causes as Transient); ``folio!hang`` never ends, ``folio!die`` ends the process;
    ``folio~SECONDS:MARKDOWN`` takes so long. Any other bytes read as a sentence made from their hash.
    """

    name = "scripted"

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.reads = 0
        self._seconds = seconds

    async def read(self, image: bytes) -> Reading:
        self.reads += 1
        began = time.monotonic()
        if image.startswith(REFUSAL):
            await _refuse(image.removeprefix(REFUSAL).decode())
        seconds = self._seconds
        if image.startswith(PAUSE):
            pause, _, rest = image.removeprefix(PAUSE).partition(b":")
            seconds, image = float(pause), SCRIPT + rest
        if seconds:
            await asyncio.sleep(seconds)
        if image.startswith(SAID):
            text = image.removeprefix(SAID).decode()
            return Reading.of(ModelOutput(text=text, tokens=len(text.split()), mode="script"))
        markdown = image.removeprefix(SCRIPT).decode() if image.startswith(SCRIPT) else _sentence(image)
        return Reading(
            markdown=markdown,
            blocks=tuple(_blocks(markdown)),
            mode="script",
            tokens=len(markdown.split()),
            seconds=time.monotonic() - began,
            finish="stop",
        )

    async def close(self) -> None:
        return


async def _refuse(how: str) -> None:
    if how == "die":
        os._exit(137)
    if how == "hang":
        await asyncio.Event().wait()
    cause = Cause(how)
    failure: Callable[[Cause, str], Exception] = Transient if cause.kind is CauseKind.TRANSIENT else Permanent
    raise failure(cause, "as the script says")


def _sentence(image: bytes) -> str:
    digest = hashlib.sha256(image).hexdigest()
    return f"An image of {len(image)} bytes, known as " + " ".join(digest[at : at + 8] for at in range(0, 64, 8)) + "."


def _blocks(markdown: str) -> Iterator[Block]:
    """Pieces between blank lines, in bands of equal height from top to bottom."""
    pieces = [piece for piece in markdown.split("\n\n") if piece.strip()]
    at = 0
    for index, piece in enumerate(pieces):
        start = markdown.index(piece, at)
        at = start + len(piece)
        box = Box(x0=0.1, y0=index / len(pieces), x1=0.9, y1=(index + 1) / len(pieces))
        level = len(piece) - len(piece.lstrip("#"))
        yield Block(kind=_kind(piece), start=start, end=at, box=box, level=level)


def _kind(piece: str) -> BlockKind:
    starts = {"#": BlockKind.HEADING, "-": BlockKind.LIST, "|": BlockKind.TABLE, "`": BlockKind.CODE}
    return starts.get(piece[0], BlockKind.PARAGRAPH)
