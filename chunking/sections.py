"""Blocks become sections: what stands under one heading, and the path of headings that leads to it."""

from collections.abc import Iterable, Iterator, Sequence
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

    def under(self, path: Sequence[TextBlock]) -> "Section":
        own = set(map(id, self.opening))
        self.path = tuple(heading.title for heading in path)
        self.above = tuple(heading.title for heading in path if id(heading) not in own)
        return self


def sections(blocks: Iterable[TextBlock]) -> Iterator[Section]:
    """A heading begins a section, unless nothing but headings came before it: those open the next text together."""
    path: list[TextBlock] = []
    section = Section()
    for block in blocks:
        if block.kind is not BlockKind.HEADING:
            section.blocks.append(block)
            continue
        if section.blocks:
            yield section.under(path)
            section = Section()
        while path and path[-1].level >= block.level:
            path.pop()
        path.append(block)
        section.opening.append(block)
    if section.opening or section.blocks:
        yield section.under(path)
