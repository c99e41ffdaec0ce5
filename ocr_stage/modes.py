"""The five resolutions of DeepSeek-OCR: how a page is laid on each one's canvas and tiles, and what it costs in tokens.

Counted as the model's own processor counts: a new-line token ends every row of patches, one token parts the views.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from folio.errors import SettingsError
from folio.nearest import nearest
from ocr_stage.transform import Corners, Transform

PATCH = 64
"""Pixels of a canvas that become one token, across and down."""
TILE = 640
TILES_MIN, TILES_MAX = 2, 6
PADDING = (127, 127, 127)
"""The grey of what a canvas shows beside the page."""


class Mode(StrEnum):
    """`canvas` is the side of the square that shows the whole page, in pixels."""

    TINY = "tiny"
    SMALL = "small"
    BASE = "base"
    LARGE = "large"
    GUNDAM = "gundam"

    @classmethod
    def named(cls, name: str) -> "Mode":
        """Raises SettingsError with the nearest name."""
        try:
            return cls(name)
        except ValueError:
            raise SettingsError(f"there is no mode {name!r}: did you mean {nearest(name, list(cls))}?") from None

    @property
    def canvas(self) -> int:
        return _CANVAS[self]

    @property
    def squashes(self) -> bool:
        """Stretched to the square; the others keep the page's shape and pad."""
        return self in {Mode.TINY, Mode.SMALL}

    @property
    def tokens_max(self) -> int:
        """Of the image, whatever the page's size."""
        if self is not Mode.GUNDAM:
            return canvas_tokens(self.canvas)
        return canvas_tokens(self.canvas) + max(tile_tokens(grid) for grid in GRIDS)


_CANVAS = {Mode.TINY: 512, Mode.SMALL: 640, Mode.BASE: 1024, Mode.LARGE: 1280, Mode.GUNDAM: 1024}
Grid = tuple[int, int]
"""Tiles across and down."""
ALONE: Grid = (1, 1)
"""No tiles: the canvas says it all."""
GRIDS: tuple[Grid, ...] = tuple(
    sorted(
        (
            (across, down)
            for across in range(1, TILES_MAX + 1)
            for down in range(1, TILES_MAX + 1)
            if TILES_MIN <= across * down <= TILES_MAX
        ),
        key=lambda grid: grid[0] * grid[1],
    )
)


@dataclass(frozen=True, slots=True)
class View:
    """How a mode sees a page of this size. `placed` is where the page lies on the canvas, in pixels of it."""

    mode: Mode
    width: int
    height: int
    placed: tuple[int, int, int, int]
    grid: Grid

    @property
    def canvas(self) -> int:
        return self.mode.canvas

    @property
    def tokens(self) -> int:
        """Of the image in the prompt."""
        tiles = 0 if self.grid == ALONE else tile_tokens(self.grid)
        return canvas_tokens(self.canvas) + tiles

    @property
    def mosaic(self) -> tuple[int, int]:
        """The size that the page is stretched to before it is cut into tiles; without tiles (0, 0)."""
        across, down = self.grid
        return (0, 0) if self.grid == ALONE else (across * TILE, down * TILE)

    @property
    def tiles(self) -> Iterator[tuple[int, int, int, int]]:
        """Corners of each tile in the mosaic, row by row, as the model is given them."""
        across, down = self.grid
        if self.grid == ALONE:
            return
        for row in range(down):
            for column in range(across):
                yield column * TILE, row * TILE, (column + 1) * TILE, (row + 1) * TILE

    def whole(self) -> Transform:
        """From fractions of the canvas to the page."""
        x0, y0, x1, y1 = self.placed
        page = Transform.whole(self.width, self.height).resized(x1 - x0, y1 - y0)
        return page.padded(left=x0, top=y0, right=self.canvas - x1, bottom=self.canvas - y1)

    def tile(self, corners: Corners) -> Transform:
        """From fractions of one tile to the page."""
        return Transform.whole(self.width, self.height).resized(*self.mosaic).cropped(corners)


def view(mode: Mode, width: int, height: int) -> View:
    """Of an upright picture in pixels. Raises ValueError for one without pixels."""
    if width < 1 or height < 1:
        raise ValueError(f"a picture of {width} x {height} pixels")
    canvas = mode.canvas
    placed = (0, 0, canvas, canvas) if mode.squashes else padded(width, height, canvas)
    return View(mode, width, height, placed, tile_grid(width, height) if mode is Mode.GUNDAM else ALONE)


def tokens(mode: Mode, width: int, height: int) -> int:
    """What a picture of this size takes of the prompt."""
    return view(mode, width, height).tokens


def padded(width: int, height: int, canvas: int) -> tuple[int, int, int, int]:
    """As large as it fits and in the middle, rounded as Pillow's ImageOps.pad rounds; never thinner than a pixel."""
    across, down = canvas, canvas
    if width > height:
        down = max(1, round(height / width * canvas))
    elif height > width:
        across = max(1, round(width / height * canvas))
    left, top = round((canvas - across) * 0.5), round((canvas - down) * 0.5)
    return left, top, left + across, top + down


def tile_grid(width: int, height: int) -> Grid:
    """The grid whose shape is nearest to the page's; of two as near, the finer where the page has pixels for it."""
    if width <= TILE and height <= TILE:
        return ALONE
    shape = width / height
    best, distance = ALONE, float("inf")
    for grid in GRIDS:
        away = abs(shape - grid[0] / grid[1])
        fills = width * height > 0.5 * TILE * TILE * grid[0] * grid[1]
        if away < distance or (away == distance and fills):
            best, distance = grid, away
    return best


def canvas_tokens(canvas: int) -> int:
    side = canvas // PATCH
    return side * (side + 1) + 1


def tile_tokens(grid: Grid) -> int:
    """Of all tiles together: they are read as one wide picture."""
    side = TILE // PATCH
    return grid[1] * side * (grid[0] * side + 1)
