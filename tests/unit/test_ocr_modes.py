"""Every mode sees a page as the model's own processor does, and counts its tokens as that does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from folio.errors import SettingsError
from ocr_stage.modes import ALONE, GRIDS, Mode, View, tile_grid, tokens, view
from ocr_stage.transform import Transform

sizes = st.tuples(st.integers(1, 4000), st.integers(1, 4000))
modes = st.sampled_from(list(Mode))


@pytest.mark.parametrize(("mode", "count"), [("tiny", 73), ("small", 111), ("base", 273), ("large", 421)])
def test_a_canvas_costs_its_rows_and_a_token_for_each_end_of_one(mode: str, count: int) -> None:
    assert tokens(Mode(mode), 1240, 1754) == count == Mode(mode).tokens_max


@pytest.mark.parametrize(
    ("size", "grid", "count"),
    [
        ((640, 640), (1, 1), 273),
        ((641, 641), (2, 2), 693),
        ((1240, 1754), (2, 3), 903),  # A4
        ((1275, 1650), (2, 3), 903),  # Letter
        ((1754, 1240), (3, 2), 893),
        ((700, 1400), (1, 2), 493),
        ((700, 2100), (1, 3), 603),
        ((300, 3000), (1, 6), 933),
    ],
)
def test_gundam_tiles_by_the_shape_of_the_page(size: tuple[int, int], grid: tuple[int, int], count: int) -> None:
    assert tile_grid(*size) == grid
    assert tokens(Mode.GUNDAM, *size) == count <= Mode.GUNDAM.tokens_max == 933


def test_of_two_grids_as_near_the_finer_is_for_pages_with_enough_pixels() -> None:
    assert tile_grid(1000, 800) == (2, 2)  # 1.25 is as far from 2:2 as from 3:2
    assert tile_grid(2000, 1600) == (3, 2)


@given(sizes)
def test_no_grid_is_nearer_to_the_page_s_shape(size: tuple[int, int]) -> None:
    grid, shape = tile_grid(*size), size[0] / size[1]
    if max(size) <= 640:
        assert grid == ALONE
    else:
        assert abs(shape - grid[0] / grid[1]) == min(abs(shape - across / down) for across, down in GRIDS)


@given(modes, st.tuples(st.integers(20, 3000), st.integers(20, 3000)))
def test_a_page_lies_where_pillow_puts_it(mode: Mode, size: tuple[int, int]) -> None:
    seen = view(mode, *size)
    page = Image.new("L", size, 255)
    square = (mode.canvas, mode.canvas)
    put = page.resize(square) if mode.squashes else ImageOps.pad(page, square, color=0)
    assert put.getbbox() == seen.placed


@given(modes, sizes, st.data())
def test_boxes_come_back_from_the_canvas_and_from_tiles(mode: Mode, size: tuple[int, int], data: st.DataObject) -> None:
    seen = view(mode, *size)
    x0, y0, x1, y1 = seen.placed
    across, down = sorted(data.draw(fractions)), sorted(data.draw(fractions))
    corners = (across[0], down[0], across[1], down[1])
    canvas = [
        (left + fraction * (right - left)) / mode.canvas
        for fraction, (left, right) in zip(corners, ((x0, x1), (y0, y1)) * 2, strict=True)
    ]
    close(seen.whole(), tuple(canvas), corners)
    for tile in seen.tiles:
        part = in_mosaic(seen, tile)
        close(seen.tile(tile), (0, 0, 1, 1), part)


fractions = st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda pair: abs(pair[0] - pair[1]) > 0.001)


def in_mosaic(seen: View, tile: tuple[int, int, int, int]) -> tuple[float, ...]:
    across, down = seen.mosaic
    return (tile[0] / across, tile[1] / down, tile[2] / across, tile[3] / down)


def close(transform: Transform, corners: tuple[float, ...], truth: tuple[float, ...]) -> None:
    box = transform.box(corners)  # type: ignore[arg-type]
    assert box is not None
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx(truth, abs=0.0002)


@given(sizes)
def test_tiles_cover_the_mosaic_once(size: tuple[int, int]) -> None:
    seen = view(Mode.GUNDAM, *size)
    tiles = list(seen.tiles)
    assert len(tiles) == (0 if seen.grid == ALONE else seen.grid[0] * seen.grid[1])
    assert len(set(tiles)) == len(tiles)
    assert sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in tiles) == seen.mosaic[0] * seen.mosaic[1]


def test_an_unknown_mode_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="gundam"):
        Mode.named("Gundum")
    assert Mode.named("base") is Mode.BASE


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="0 x 10"):
        view(Mode.BASE, 0, 10)
