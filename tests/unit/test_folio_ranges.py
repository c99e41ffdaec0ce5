"""Page ranges and marks: what people write, what is refused early, what is drawn and cut out."""

import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from folio.errors import Cause, FolioError, Permanent
from folio.ranges import parse_pages
from folio.records import Box
from ingest.marks import Mark, cut, draw_marks

RED, WHITE = (255, 0, 0), (255, 255, 255)


@pytest.mark.parametrize(
    ("text", "count", "pages"),
    [
        ("", 3, [1, 2, 3]),
        ("2", 3, [2]),
        ("1-3,7,10-", 12, [1, 2, 3, 7, 10, 11, 12]),
        (" 3 , 1 - 2 ", 9, [1, 2, 3]),
        ("2\u20133", 9, [2, 3]),
        ("1-3,2-4", 9, [1, 2, 3, 4]),
        ("2-9999999", 3, [2, 3]),
        ("1,9", 3, [1]),
    ],
)
def test_ranges_mean_what_a_print_dialogue_means(text: str, count: int, pages: list[int]) -> None:
    assert parse_pages(text).within(count) == pages


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("3-1", "3-1 runs backwards"),
        ("0", "pages count from 1"),
        ("0-4", "pages count from 1"),
        ("-5", "'-5' is no page and no range"),
        ("1,,2", "a range is empty"),
        ("1,", "a range is empty"),
        ("a", "'a' is no page"),
        ("1.5", "'1.5' is no page"),
        ("1-2-3", "'1-2-3' is no page"),
        ("99999999", "is no page"),
        ("\u0663", "is no page"),
    ],
)
def test_a_bad_range_is_refused_with_its_reason_and_how_it_is_written(text: str, why: str) -> None:
    with pytest.raises(FolioError, match="write pages like 1-3,7,10-") as refused:
        parse_pages(text)
    assert why in str(refused.value)


def test_pages_that_the_document_does_not_have_are_a_failure_that_says_so() -> None:
    with pytest.raises(Permanent, match=r"Pages 7,9-12,20- were asked for, but the document has 3") as refused:
        parse_pages("7,9-12,20-").within(3)
    assert refused.value.cause == Cause.PAGE_MISSING


@given(some.text("0123456789-, ", max_size=12))
def test_what_is_read_is_written_the_same_way(text: str) -> None:
    try:
        ranges = parse_pages(text)
    except FolioError:
        return
    assert parse_pages(str(ranges)) == ranges


def box(x0: float, y0: float, x1: float, y1: float) -> Box:
    return Box(x0=x0, y0=y0, x1=x1, y1=y1)


def marked(*marks: Mark, size: tuple[int, int] = (400, 600)) -> Image.Image:
    picture = Image.new("RGB", size, "white")
    draw_marks(picture, [mark.packed() for mark in marks])
    return picture


def test_a_mark_is_an_outline_where_its_box_is() -> None:
    picture = marked(Mark(box(0.25, 0.5, 0.75, 0.75), "#ff0000"))
    assert [picture.getpixel(at) for at in ((99, 350), (300, 350), (200, 299), (200, 450))] == [RED] * 4
    assert [picture.getpixel(at) for at in ((200, 375), (90, 350), (310, 350), (200, 290), (100, 350), (299, 449))] == [
        WHITE
    ] * 6


def test_a_label_stands_above_its_box_or_inside_where_there_is_no_room() -> None:
    above = marked(Mark(box(0.25, 0.5, 0.75, 0.75), "red", "heading"))
    assert any(above.getpixel((x, 290)) == RED for x in range(100, 160))
    inside = marked(Mark(box(0.25, 0.0, 0.75, 0.75), "red", "heading"))
    assert any(inside.getpixel((x, 8)) == RED for x in range(104, 160))


@pytest.mark.parametrize(
    "mark",
    [
        Mark(box(0, 0, 1, 1), "no colour", "x"),
        Mark(box(1, 1, 1, 1), "red", "at the very corner"),
        Mark(box(0.5, 0.5, 0.5, 0.5), "red"),
        Mark(box(0, 0, 0.1, 0.1), "red", "章节 " * 100),
        Mark(box(0, 0, 0.1, 0.1), "red", "a\nb\0c"),
    ],
)
def test_no_mark_keeps_the_picture_from_being_shown(mark: Mark) -> None:
    assert marked(mark).getpixel((200, 200)) == WHITE
    marked(mark, size=(1, 1))


def test_what_is_cut_out_is_the_box() -> None:
    picture = Image.new("RGB", (400, 600), "white")
    picture.paste("black", (100, 300, 300, 450))
    part = cut(picture, (0.25, 0.5, 0.75, 0.75))
    assert part.size == (200, 150)
    assert part.getextrema() == ((0, 0),) * 3
    assert cut(picture, (0.5, 0.5, 0.5, 0.5)).size == (1, 1)
