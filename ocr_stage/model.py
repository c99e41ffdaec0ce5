"""The port of models that answer in a grammar: a picture and what is asked of it in, what the model said out.

Nothing that a model says is trusted: `ocr_stage.engine.Reading.of` tidies it.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from ocr_stage.modes import Mode
from ocr_stage.prompts import MARKDOWN, Prompt
from ocr_stage.transform import Transform


class Finish(StrEnum):
    """Why a model stopped: it was done, it came to its limit, or it went round in circles."""

    STOP = "stop"
    LENGTH = "length"
    REPETITION = "repetition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """No run of `ngram` tokens comes twice among the last `window`; cells of tables are let off."""

    ngram: int = 30
    window: int = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked of a model about one picture. `tokens_max` bounds its answer; None: as much as fits."""

    mode: Mode = Mode.GUNDAM
    prompt: Prompt = MARKDOWN
    guard: Guard = field(default_factory=Guard)
    temperature: float = 0.0
    tokens_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOutput:
    """What a model said about one picture, word for word, special tokens included; `prompt` is the name of what it was
    asked, since what stands where a label would stand depends on it.

    `transform` leads from what its boxes are fractions of to the picture that it was given. For DeepSeek-OCR these are
    one and the same, padding and tiles left out, so it stays as it is; a model whose boxes speak of the padded canvas
    gives `View.whole()`. Whoever turned or cut the picture before puts that in front: ``mine.then(output.transform)``.
    """

    text: str
    finish: Finish = Finish.STOP
    tokens: int = 0
    mode: str = ""
    prompt: str = MARKDOWN.name
    transform: Transform = field(default_factory=Transform.whole)
    seconds: float = 0.0


class Model(Protocol):
    """Asked about one picture a call; many calls run at once, and it batches inside."""

    @property
    def name(self) -> str:
        """Recorded with every page that it read."""
        ...

    async def ask(self, image: bytes, ask: Ask) -> ModelOutput:
        """Raises Permanent when this picture can never be read, Transient when the model is away.

        Cancelling the call frees whatever it held.
        """
        ...

    async def close(self) -> None: ...
