"""Outputs of many entries on their way to the log: one append a topic, positions in the order of the outputs."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from folio.log import Log, Position, Record
from folio.topics import Topic

Output = tuple[Topic, Record]


async def append_all(to: Log, outputs: Sequence[Output], appended: Callable[[str, int], None]) -> Sequence[Position]:
    """Returns when all are durable; `appended` counts them by topic. Raises what the first append that fails raises."""
    by_topic: dict[Topic, list[int]] = defaultdict(list)
    for index, (topic, _) in enumerate(outputs):
        by_topic[topic].append(index)
    appends = (to.append(topic, [outputs[n][1] for n in indexes]) for topic, indexes in by_topic.items())
    answers = await asyncio.gather(*appends, return_exceptions=True)
    positions: dict[int, Position] = {}
    for (topic, indexes), answer in zip(by_topic.items(), answers, strict=True):
        if isinstance(answer, BaseException):
            raise answer
        positions.update(zip(indexes, answer, strict=True))
        appended(topic.name, len(indexes))
    return [positions[index] for index in range(len(outputs))]
