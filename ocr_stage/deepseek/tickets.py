"""What the engine is told of a page in the arena, and where its features lie; plain numbers, no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from ocr_stage.modes import ALONE, PATCH, TILE, Grid, canvas_tokens, tile_tokens


@dataclass(frozen=True, slots=True)
class Shape:
    """What pages must share to be encoded together."""

    canvas: int
    tiles: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """A page in the arena: which slot, which page, and how its pixels lie there."""

    slot: int
    number: int
    canvas: int
    grid: Grid

    @classmethod
    def of(cls, words: Sequence[int]) -> "Ticket":
        """Of the five numbers that travel with a request."""
        slot, number, canvas, across, down = words
        return cls(slot, number, canvas, (across, down))

    @property
    def words(self) -> list[int]:
        return [self.slot, self.number, self.canvas, *self.grid]

    @property
    def places(self) -> int:
        """What it takes of the prompt, in tokens: the rows of its embedding."""
        return canvas_tokens(self.canvas) + (0 if self.grid == ALONE else tile_tokens(self.grid))

    @property
    def shape(self) -> Shape:
        return Shape(self.canvas, 0 if self.grid == ALONE else self.grid[0] * self.grid[1])


def page_rows(page: Ticket, index: int, count: int) -> list[int]:
    """Rows of the feature table that make up page `index` of a group of `count` equal shapes, in the prompt's order.

    The table: every page's canvas, every page's tiles, then one row for the new line and one for the separator. The
    prompt: all tiles as one wide picture, the canvas, each row of patches ended by a new line; the separator.
    """
    side, cell = page.canvas // PATCH, TILE // PATCH
    tiles = page.shape.tiles
    tiles_at = count * side * side
    newline = tiles_at + count * tiles * cell * cell
    rows = []
    if tiles:
        across, down = page.grid
        first = tiles_at + index * tiles * cell * cell
        for y in range(down * cell):
            for x in range(across * cell):
                tile = (y // cell) * across + x // cell
                rows.append(first + tile * cell * cell + (y % cell) * cell + x % cell)
            rows.append(newline)
    for y in range(side):
        start = index * side * side + y * side
        rows += [*range(start, start + side), newline]
    return [*rows, newline + 1]
