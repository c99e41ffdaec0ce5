"""What to try next when a model's answer is no good: a page ends with text that can be trusted, or with its cause.

An answer is judged by how it ended and by what it says. Then, rung by rung and only those that can help: a wider
guard against repeats, another resolution, a little temperature, the page in halves, another engine. What fails for good
keeps the text that was won, without its loops. A model that is away is nobody's rung: `Transient` goes through.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from folio.errors import Cause, Permanent
from folio.records import Block
from folio.telemetry import OCR_RUNGS
from ocr_stage.engine import Engine, Reading, Warms
from ocr_stage.model import Ask, Finish, Guard, Model, ModelOutput
from ocr_stage.modes import Mode
from ocr_stage.repetition import loop_in
from ocr_stage.sight import Sight, Sighted
from ocr_stage.tidy_blocks import Rules

WIDE = Guard(ngram=20, window=400)
"""Shorter runs are caught, and loops of a longer period: for pages on which the usual guard was not enough."""
WARM = 0.2
OTHER_MODE = {
    Mode.TINY: Mode.BASE,
    Mode.SMALL: Mode.BASE,
    Mode.BASE: Mode.GUNDAM,
    Mode.LARGE: Mode.GUNDAM,
    Mode.GUNDAM: Mode.LARGE,
}
GARBLED_CHARS_MIN = 40
GARBLED_SHARE = 0.3
"""Of all signs but blanks, rules and markup, letters and digits: less is no text of any language."""
_SIGN = re.compile(r"[^\s|#*_~=.<>\-\u2026\u00b7]")
_MARKUP = re.compile(r"<[^<>]{0,60}>|&\w{1,8};|\\[A-Za-z]+")


class Trouble(StrEnum):
    """What is wrong with an answer."""

    LENGTH = "length"
    REPETITION = "repetition"
    EMPTY = "empty"
    GARBLED = "garbled"
    TIMEOUT = "timeout"
    MISMATCH = "mismatch"

    @property
    def cause(self) -> Cause:
        return _CAUSES[self]


class Rung(StrEnum):
    """From the cheapest to the dearest."""

    GUARD = "guard"
    MODE = "mode"
    TEMPERATURE = "temperature"
    HALVES = "halves"
    ENGINE = "engine"


PLAIN = frozenset({Rung.TEMPERATURE, Rung.HALVES, Rung.ENGINE})
"""What can be tried with a model that knows neither our modes nor a guard."""
_CAUSES = {
    Trouble.LENGTH: Cause.OCR_TRUNCATED,
    Trouble.REPETITION: Cause.OCR_LOOP,
    Trouble.EMPTY: Cause.OCR_EMPTY,
    Trouble.GARBLED: Cause.OCR_EMPTY,
    Trouble.TIMEOUT: Cause.OCR_TIMEOUT,
    Trouble.MISMATCH: Cause.OCR_MISMATCH,
}
_RAISED = {trouble.cause: trouble for trouble in (Trouble.TIMEOUT, Trouble.MISMATCH)}
HELPS: Mapping[Trouble, frozenset[Rung]] = {
    Trouble.LENGTH: frozenset({Rung.GUARD, Rung.HALVES, Rung.ENGINE}),
    Trouble.REPETITION: frozenset(Rung),
    Trouble.EMPTY: frozenset({Rung.MODE, Rung.TEMPERATURE, Rung.HALVES, Rung.ENGINE}),
    Trouble.GARBLED: frozenset({Rung.MODE, Rung.TEMPERATURE, Rung.HALVES, Rung.ENGINE}),
    Trouble.TIMEOUT: frozenset({Rung.HALVES, Rung.ENGINE}),
    Trouble.MISMATCH: frozenset({Rung.TEMPERATURE, Rung.HALVES, Rung.ENGINE}),
}
"""A guard says nothing to a model that said nothing; what was too long, or took too long, is too long again. An answer
that was another page's says nothing of this one: it is asked about once more."""


class Unread(Permanent):
    """The ladder's end. `reading` has the text that was won and the rungs that were climbed."""

    def __init__(self, trouble: Trouble, reading: Reading) -> None:
        tried = ", ".join(reading.rungs) or "nothing else could be tried"
        super().__init__(trouble.cause, f"{trouble.cause.sentence} Tried: {tried}.")
        self.reading = reading


@dataclass(frozen=True, slots=True)
class Attempt:
    """A reading and what is wrong with it, if anything is."""

    reading: Reading
    trouble: Trouble | None = None


class Ladder:
    """An engine made of a model and what to do when it fails. `rungs` are those that the model is able to climb."""

    def __init__(
        self,
        model: Model,
        sight: Sight,
        ask: Ask,
        *,
        other: Engine | None = None,
        rules: Rules | None = None,
        rungs: frozenset[Rung] = frozenset(Rung),
    ) -> None:
        self._model = model
        self._sight = sight
        self._ask = ask
        self._other = other
        self._rules = rules
        self._rungs = rungs - (frozenset() if other else {Rung.ENGINE})

    @property
    def name(self) -> str:
        return self._model.name

    async def warm(self) -> None:
        if isinstance(self._model, Warms):
            await self._model.warm()

    async def read(self, image: bytes) -> Reading:
        """Raises Unread, Permanent for a picture that nobody can read, Transient when the model is away."""
        page = await self._sight.see(image)
        ask = replace(self._ask, mode=page.mode or self._ask.mode)
        attempt = await self._asked(page, ask)
        best, rungs = attempt, []
        for rung in Rung:
            if attempt.trouble is None:
                break
            if rung in self._rungs & HELPS[attempt.trouble] and self._can(rung, attempt, ask):
                rungs.append(f"{rung}: {attempt.trouble}")
                OCR_RUNGS.labels(rung, attempt.trouble).inc()
                ask, attempt = await self._climbed(rung, image, page, ask, attempt)
                best = max(best, attempt, key=lambda one: (one.trouble is None, len(one.reading.markdown)))
        reading = replace(best.reading, rungs=tuple(rungs), steps=page.steps, prompt=self._ask.prompt.name)
        if attempt.trouble:
            OCR_RUNGS.labels("failed", attempt.trouble).inc()
            raise Unread(attempt.trouble, reading)
        return reading

    async def close(self) -> None:
        await self._model.close()
        await self._sight.close()
        if self._other:
            await self._other.close()

    def _can(self, rung: Rung, attempt: Attempt, ask: Ask) -> bool:
        """A model that answered in another mode than it was asked in has no second one."""
        return rung is not Rung.MODE or attempt.reading.mode in {"", ask.mode}

    async def _climbed(
        self, rung: Rung, image: bytes, page: Sighted, ask: Ask, attempt: Attempt
    ) -> tuple[Ask, Attempt]:
        """What is asked from now on, and what came of it. A rung that is refused leaves all as it was."""
        with suppress(Permanent):
            if rung is Rung.HALVES:
                return ask, await self._halved(page, ask, attempt)
            if rung is Rung.ENGINE:
                return ask, await self._by_other(image, attempt)
            changed = _changed(rung, ask)
            return changed, await self._asked(page, changed)
        return ask, attempt

    async def _asked(self, page: Sighted, ask: Ask) -> Attempt:
        try:
            output = await self._model.ask(page.image, ask)
        except Permanent as error:
            if error.cause not in _RAISED:
                raise
            return Attempt(Reading(markdown="", mode=ask.mode), _RAISED[error.cause])
        moved = replace(output, transform=page.transform.then(output.transform))
        attempt = judged(moved, self._rules)
        if attempt.trouble is Trouble.EMPTY and not await self._sight.has_ink(page.image):
            return Attempt(attempt.reading)
        return attempt

    async def _halved(self, page: Sighted, ask: Ask, attempt: Attempt) -> Attempt:
        """Each asked as the page was, from the top; one that fails fails the page, and those below it are not asked."""
        halves = await self._sight.halves(page)
        if len(halves) < 2:
            return attempt
        tried = list[Attempt]()
        for half in halves:
            tried.append(await self._asked(half, ask))
            if tried[-1].trouble:
                break
        return Attempt(joined([one.reading for one in tried]), tried[-1].trouble)

    async def _by_other(self, image: bytes, attempt: Attempt) -> Attempt:
        if self._other is None:
            return attempt
        reading = await self._other.read(image)
        return Attempt(replace(reading, engine=self._other.name))


def _changed(rung: Rung, ask: Ask) -> Ask:
    if rung is Rung.GUARD:
        return replace(ask, guard=WIDE)
    if rung is Rung.MODE:
        return replace(ask, mode=OTHER_MODE[ask.mode])
    return replace(ask, temperature=WARM)


def judged(output: ModelOutput, rules: Rules | None = None) -> Attempt:
    """What a model said, tidied and without what it repeated; and what is wrong with it."""
    loop = loop_in(output.text)
    whole = output.text
    if loop:
        output = replace(output, text=whole[: loop.start], finish=Finish.REPETITION)
    reading = Reading.of(output, rules)
    if output.finish is Finish.REPETITION:
        return Attempt(reading, Trouble.REPETITION)
    if output.finish is Finish.LENGTH:
        return Attempt(reading, Trouble.LENGTH)
    if not reading.markdown.strip() and not reading.blocks:
        return Attempt(reading, Trouble.GARBLED if whole.strip() else Trouble.EMPTY)
    return Attempt(reading, Trouble.GARBLED if is_garbled(reading.markdown) else None)


def is_garbled(markdown: str) -> bool:
    """Hardly a letter or a digit in it, although it is long enough to tell."""
    signs = _SIGN.findall(_MARKUP.sub(" ", markdown))
    if len(signs) < GARBLED_CHARS_MIN:
        return False
    said = sum(sign.isalnum() for sign in signs)
    return bool(said < GARBLED_SHARE * len(signs))


def joined(parts: Sequence[Reading]) -> Reading:
    """Readings of parts of a page, one under the other, as one."""
    markdown, blocks = "", list[Block]()
    for part in parts:
        start = len(markdown) + 2 if markdown and part.markdown else len(markdown)
        markdown = f"{markdown}\n\n{part.markdown}" if markdown and part.markdown else markdown + part.markdown
        moved = ({"start": block.start + start, "end": block.end + start} for block in part.blocks)
        blocks += [block.model_copy(update=by) for block, by in zip(part.blocks, moved, strict=True)]
    return replace(
        parts[0],
        markdown=markdown,
        blocks=tuple(blocks),
        tokens=sum(part.tokens for part in parts),
        seconds=max(part.seconds for part in parts),
        flags=tuple(dict.fromkeys(flag for part in parts for flag in part.flags)),
    )
