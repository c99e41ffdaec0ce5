"""Boxes come back to the page as it came, through whatever was done to the picture on the way."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_stage.transform import Matrix, Transform, around, as_matrix, inverse, moved, times

SHARE = 0.003
"""Of the page: what a box may be off."""
BINS = 999
shares = st.floats(0.02, 0.98)
boxes = st.tuples(shares, shares, shares, shares).map(
    lambda four: (*sorted((four[0], four[2])), *sorted((four[1], four[3])))
).map(lambda four: (four[0], four[2], four[1], four[3])).filter(
    lambda four: four[2] - four[0] > 0.02 and four[3] - four[1] > 0.01
)  # fmt: skip
sizes = st.tuples(st.integers(200, 3000), st.integers(200, 3000))


def forth(transform: Transform, corners) -> tuple[float, ...]:
    """Where a rectangle of the page (its pixels) appears in the picture: fractions around it."""
    x0, y0, x1, y1 = corners
    away = inverse(transform.back)
    x0, y0, x1, y1 = around(moved(away, point) for point in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))
    width, height = transform.seen
    return x0 / width, y0 / height, x1 / width, y1 / height


def said(corners) -> tuple[float, ...]:
    """As the model says it: whole numbers from 0 to 999."""
    return tuple(round(value * BINS) / BINS for value in corners)


def off(transform: Transform, corners, truth) -> float:
    box = transform.box(said(corners))
    return max(abs(a - b) for a, b in zip((box.x0, box.y0, box.x1, box.y1), truth, strict=True))


@given(sizes, boxes, st.integers(0, 3), st.floats(0.2, 5), st.floats(0.2, 5))
def test_turned_stretched_and_padded(size, box, quarters: int, across: float, down: float) -> None:
    width, height = size
    whole = Transform.whole(width, height).turned(quarters)
    seen = whole.resized(whole.seen[0] * across, whole.seen[1] * down).padded(left=30, top=7, right=11, bottom=200)
    pixels = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
    assert off(seen, forth(seen, pixels), box) < SHARE


@given(sizes, boxes)
def test_a_half_of_the_page(size, box) -> None:
    width, height = size
    upper = Transform.whole(width, height).cropped((0, 0, width, height * 0.55))
    inside = (box[0], box[1] * 0.5, box[2], box[3] * 0.5)
    pixels = (inside[0] * width, inside[1] * height, inside[2] * width, inside[3] * height)
    assert off(upper, forth(upper, pixels), inside) < SHARE


@given(sizes, boxes, st.floats(-14, 14))
def test_a_crooked_scan_that_was_levelled(size, box, degrees: float) -> None:
    """Drawn level, scanned crooked: the truth is the rectangle around the block on the scan."""
    flat = Transform.whole(*size).levelled(math.radians(degrees))
    width, height = flat.seen
    seen = (box[0], box[1], box[2], box[3])
    there = [flat.place(x * width, y * height) for x, y in corners_of(seen)]
    x0, y0, x1, y1 = around(there)
    truth = tuple(min(1.0, max(0.0, value)) for value in (x0 / size[0], y0 / size[1], x1 / size[0], y1 / size[1]))
    if truth[0] < truth[2] and truth[1] < truth[3]:
        assert off(flat, seen, truth) < SHARE


def corners_of(box):
    x0, y0, x1, y1 = box
    return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


corner_moves = st.lists(st.floats(-0.12, 0.12), min_size=8, max_size=8)


@given(sizes, boxes, corner_moves)
def test_a_photographed_page_that_was_straightened(size, box, moves) -> None:
    width, height = size
    sheet = np.float32([[0.15, 0.15], [0.85, 0.15], [0.85, 0.85], [0.15, 0.85]]) + np.float32(moves).reshape(4, 2)
    photo = sheet * np.float32([width, height])
    straight = np.float32([[0, 0], [1000, 0], [1000, 1400], [0, 1400]])
    matrix = cv2.getPerspectiveTransform(photo, straight)
    flat = Transform.whole(width, height).warped(matrix, 1000, 1400)
    there = cv2.perspectiveTransform(
        np.float32([[(x * 1000, y * 1400) for x, y in corners_of(box)]]), np.linalg.inv(matrix)
    )[0]
    truth = [*(there.min(axis=0) / size), *(there.max(axis=0) / size)]
    truth = [truth[0], truth[1], truth[2], truth[3]]
    assert off(flat, box, truth) < SHARE


@given(sizes, boxes, st.floats(-10, 10), st.integers(0, 3))
def test_a_chain_is_the_same_in_one_or_in_two_pieces(size, box, degrees: float, quarters: int) -> None:
    first = Transform.whole(*size).turned(quarters).levelled(math.radians(degrees))
    whole = first.cropped((10, 10, first.seen[0] - 10, first.seen[1] / 2)).padded(left=50, right=80)
    half = (first.seen[0] / 2, first.seen[1] / 2)  # the same picture, counted at half its size
    second = Transform.whole(*half).cropped((5, 5, half[0] - 5, half[1] / 2)).padded(left=25, right=40)
    one, two = whole.box(box), first.then(second).box(box)
    assert (one is None) == (two is None)
    if one and two:
        assert one.model_dump() == pytest.approx(two.model_dump(), abs=0.0002)


def test_turns_are_those_of_numpy() -> None:
    page = np.zeros((40, 60), np.uint8)
    page[5:15, 20:45] = 1
    for quarters in range(4):
        turned = np.rot90(page, quarters)
        rows, columns = np.nonzero(turned)
        height, width = turned.shape
        seen = Transform.whole(60, 40).turned(quarters)
        assert seen.seen == (width, height)
        corners = (columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height)
        box = seen.box(corners)
        assert box is not None
        assert (box.x0 * 60, box.y0 * 40, box.x1 * 60, box.y1 * 40) == pytest.approx((20, 5, 45, 15), abs=0.01)


def test_what_lies_beside_the_page_has_no_box() -> None:
    padded = Transform.whole(100, 100).padded(left=100)
    assert padded.box((0.0, 0.1, 0.4, 0.9)) is None
    assert padded.box((0.25, 0.0, 1.0, 1.0)) is not None
    assert Transform.whole().box((0.5, 0.5, 0.5, 0.9)) is None


def test_a_point_beyond_the_horizon_has_no_box() -> None:
    horizon: Matrix = (1, 0, 0, 0, 1, 0, 0, -2, 1)
    assert Transform((1, 1), (1, 1), horizon).box((0, 0, 1, 1)) is None


@pytest.mark.parametrize("matrix", [[[0, 0, 0], [0, 1, 0]], [[1, 1, 0], [1, 1, 0], [0, 0, 1]]])
def test_a_matrix_that_flattens_the_page_is_refused(matrix) -> None:
    with pytest.raises(ValueError, match="no way back"):
        Transform.whole(10, 10).warped(matrix, 10, 10)


def test_matrices_of_two_or_three_rows_or_nine_numbers() -> None:
    flat = (2.0, 0.0, 1.0, 0.0, 3.0, 2.0, 0.0, 0.0, 1.0)
    assert as_matrix([[2, 0, 1], [0, 3, 2]]) == as_matrix(np.array(flat).reshape(3, 3)) == as_matrix(flat) == flat
    assert times(inverse(flat), flat) == pytest.approx((1, 0, 0, 0, 1, 0, 0, 0, 1))
