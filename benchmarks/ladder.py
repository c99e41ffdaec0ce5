"""The ladder over 5,000 pages with a model that fails on a fifth of them: how pages end, and what it costs in calls.

Input: pages as bytes, in three worlds. `bound`: a fifth of the pages is in trouble, a quarter each with a loop, a cut
end, an empty and a garbled answer, and a draw says what cures each (below; pages with a cut end mostly want halves).
`alike`: the same, whatever the trouble is; what is cut has fewer tries than that draw, and fails more often. `chance`:
every answer goes wrong with one in five by itself. Nobody has measured what cures the real model's pages: the
draws are assumptions. Everything but the model, the pictures and the other engine is what runs in production. The
reference in the same run is the model without a ladder. Must reach: every page ends as text or as failed with its
cause, no loop in the output (partial texts included), at most 1.4 calls of engines a page, every rung in the metrics.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import REGISTRY

from benchmarks.synthetic import markdown, table
from folio.errors import Cause, Permanent
from ocr_stage.engine import Reading
from ocr_stage.ladder import Ladder, Trouble, Unread, judged
from ocr_stage.model import Ask, Finish, ModelOutput
from ocr_stage.repetition import loop_in
from ocr_stage.sight import Sighted
from ocr_stage.transform import Transform

TROUBLED = 0.2
CALLS_MAX = 1.4
CURES = {"try 1": 0.65, "try 2": 0.18, "try 3": 0.07, "halves": 0.05, "other engine": 0.03, "nothing": 0.02}
CURES_OF_LENGTH = {"try 1": 0.40, "halves": 0.55, "other engine": 0.03, "nothing": 0.02}
KINDS = (Trouble.REPETITION, Trouble.LENGTH, Trouble.EMPTY, Trouble.GARBLED)
AT_ONCE = 64


@dataclass(slots=True)
class Fate:
    """Of a page: what its answers are like, what cures it, and how often it was asked as a whole."""

    trouble: Trouble | None = None
    cure: str = ""
    asked: int = 0

    def spoils(self, *, half: bool) -> Trouble | None:
        """What is wrong with the next answer."""
        self.asked += not half
        cured = self.cure == "halves" if half else self.cure == f"try {self.asked - 1}"
        return None if cured else self.trouble


class Chance:
    """In place of a fate: every answer by itself."""

    cure = "other engine"

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def spoils(self, *, half: bool) -> Trouble | None:
        return self._chance.choice(KINDS) if self._chance.random() < TROUBLED else None


@dataclass(slots=True)
class World:
    """A model and another engine that follow the pages' fates, and how often each was called."""

    fates: Sequence[Fate | Chance]
    calls: Counter[str] = field(default_factory=Counter)
    name: str = "scripted"

    async def ask(self, image: bytes, ask: Ask) -> ModelOutput:
        await asyncio.sleep(0)
        self.calls["model"] += 1
        number, _, half = image.decode().partition("/")
        trouble = self.fates[int(number)].spoils(half=bool(half))
        text = markdown(1, int(number))
        said, finish = spoiled(text, trouble) if trouble else (text, Finish.STOP)
        return ModelOutput(text=said, finish=finish, mode=ask.mode, tokens=len(said) // 4)

    async def read(self, image: bytes) -> Reading:
        self.calls["other engine"] += 1
        if self.fates[int(image)].cure != "other engine":
            raise Permanent(Cause.OCR_EMPTY)
        return Reading(markdown=markdown(1, int(image)))

    async def close(self) -> None:
        return


class Eyes:
    """Pages are numbers; a half says of which."""

    async def see(self, image: bytes) -> Sighted:
        return Sighted(image)

    async def has_ink(self, image: bytes) -> bool:
        return True

    async def halves(self, page: Sighted) -> list[Sighted]:
        whole = Transform.whole(100, 100)
        return [
            Sighted(page.image + b"/upper", whole.cropped((0, 0, 100, 50))),
            Sighted(page.image + b"/lower", whole.cropped((0, 50, 100, 100))),
        ]

    async def close(self) -> None:
        return


def spoiled(text: str, trouble: Trouble) -> tuple[str, Finish]:
    """What a failing model says in its place. Every other loop runs to the limit without being noticed there."""
    if trouble is Trouble.REPETITION:
        looped = text + "\n\n" + "The seal was replaced again by the team. " * 60
        return looped, Finish.LENGTH if len(text) % 2 else Finish.REPETITION
    if trouble is Trouble.LENGTH:
        return text[: len(text) // 2], Finish.LENGTH
    return ("", Finish.STOP) if trouble is Trouble.EMPTY else ("%&@}{$)(/" * 40, Finish.STOP)


def bound(pages: int, seed: int, of_length: Mapping[str, float] = CURES_OF_LENGTH) -> list[Fate]:
    chance = random.Random(seed)
    return [drawn(chance, of_length) if chance.random() < TROUBLED else Fate() for _ in range(pages)]


def alike(pages: int, seed: int) -> list[Fate]:
    return bound(pages, seed, CURES)


def drawn(chance: random.Random, of_length: Mapping[str, float]) -> Fate:
    trouble = chance.choice(KINDS)
    cures = of_length if trouble is Trouble.LENGTH else CURES
    return Fate(trouble, chance.choices(list(cures), list(cures.values()))[0])


def by_chance(pages: int, seed: int) -> list[Chance]:
    chance = random.Random(seed)
    return [Chance(chance)] * pages


WORLDS: dict[str, Callable[[int, int], Sequence[Fate | Chance]]] = {"bound": bound, "alike": alike, "chance": by_chance}


async def run(world: World) -> tuple[Counter[str], Counter[str], int]:
    """How pages ended, what was climbed, and how many loops are in what came out."""
    pages = len(world.fates)
    ladder = Ladder(world, Eyes(), Ask(), other=world)
    ends, rungs, loops = Counter[str](), Counter[str](), 0
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Reading:
        async with turns:
            try:
                reading = await ladder.read(str(number).encode())
                ends["ok"] += 1
                right = reading.markdown.startswith("## Section")
                ends["ok, but not the page's text"] += not right
            except Unread as error:
                ends[f"failed({error.cause})"] += 1
                reading = error.reading
        return reading

    for reading in await asyncio.gather(*(one(number) for number in range(pages))):
        rungs.update(reading.rungs)
        loops += loop_in(reading.markdown) is not None
    return +ends, rungs, loops


async def bare(world: World) -> Counter[str]:
    """The same model asked once a page."""
    ends = Counter[str]()
    for number in range(len(world.fates)):
        ends[judged(await world.ask(str(number).encode(), Ask())).trouble or "ok"] += 1
    return ends


def counted() -> dict[str, int]:
    """What the metrics say of the rungs."""
    samples = [sample for metric in REGISTRY.collect() for sample in metric.samples]
    return {
        f"{sample.labels['rung']}: {sample.labels['trouble']}": int(sample.value)
        for sample in samples
        if sample.name == "folio_ocr_rungs_total"
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    reached = [shown(name, made, asked.pages, asked.seed) for name, made in WORLDS.items()]
    return 0 if all(reached) else 1


def shown(name: str, made: Callable[[int, int], Sequence[Fate | Chance]], pages: int, seed: int) -> bool:
    """One world's tables; whether it reached what it must."""
    without = asyncio.run(bare(World(made(pages, seed))))
    world, before = World(made(pages, seed)), counted()
    began = time.process_time()
    ends, rungs, loops = asyncio.run(run(world))
    spent = time.process_time() - began
    metrics = {rung: count - before.get(rung, 0) for rung, count in counted().items()}
    said = ", ".join(f"{count} {end}" for end, count in without.most_common())
    print(f"world {name}, {pages} pages; without a ladder: {said}")
    table([("how a page ends", "pages"), *((end, str(count)) for end, count in ends.most_common())])
    rows = ((rung, str(count), str(metrics.get(rung, 0))) for rung, count in sorted(rungs.items()))
    table([("rung: trouble", "pages", "in the metrics"), *rows])
    calls = world.calls.total() / pages
    print(
        f"{calls:.3f} calls a page ({dict(world.calls)}), at most {CALLS_MAX}; {loops} loops in the output, at most 0"
    )
    print(f"{1000 * spent / pages:.2f} CPU-ms a page for judging, tidying and climbing, the script's own included\n")
    all_ended = ends.total() == pages and "ok, but not the page's text" not in ends
    agree = all(metrics.get(rung) == count for rung, count in rungs.items())
    return all_ended and not loops and calls <= CALLS_MAX and agree


if __name__ == "__main__":
    sys.exit(main())
