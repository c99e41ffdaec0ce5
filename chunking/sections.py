"""Blocks become sections: what stands under one heading, and the path of headings that leads to it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from chunking.blocks import TextBlock
from folio.records import BlockKind


@dataclass(slots=True)
class Section:
    """`opening` are the headings that stand right before its text; `above` is the path without those."""

    path: tuple[str, ...] = ()
    above: tuple[str, ...] = ()
    opening: list[TextBlock] = field(default_factory=list)
    blocks: list[TextBlock] = field(default_factory=list)


def sections(blocks: Iterable[TextBlock]) -> Iterator[Section]:
    """A heading begins a section, unless nothing but headings came before it: those open the next text together."""
    path: list[TextBlock] = []
    section = Section()
    for block in blocks:
        if block.kind is not BlockKind.HEADING:
            section.blocks.append(block)
            continue
        if section.blocks:
            yield section
            section = Section()
        while path and path[-1].level >= block.level:
            path.pop()
        path.append(block)
        section.opening.append(block)
        own = {id(heading) for heading in section.opening}
        section.path = tuple(heading.title for heading in path)
        section.above = tuple(heading.title for heading in path if id(heading) not in own)
    if section.opening or section.blocks:
        yield section
