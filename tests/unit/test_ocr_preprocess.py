"""Preprocessing: what auto leaves alone and what it mends, and that every box finds its way back to the picture."""

import math
from pathlib import Path

import cv2
import numpy as np
import pypdfium2
import pytest
from PIL import Image, ImageDraw, ImageFont

from folio.errors import SettingsError
from ocr_stage.plans import Plan, Step
from ocr_stage.preprocess import cleaned, noise, prepared, shaped, softness, specks
from ocr_stage.sheet import sheet, skew

DOCUMENTS = Path(__file__).parents[2] / "examples" / "documents"
FONT = ImageFont.load_default(20)
AUTO = Plan.of("auto")
MARK = (300, 500, 360, 560)
"""A square that nothing else looks like: where it comes out says how the page was moved."""


def page(size=(800, 1100)) -> np.ndarray:
    picture = Image.new("RGB", size, (250, 250, 248))
    pen = ImageDraw.Draw(picture)
    for row in range(24):
        pen.text(
            (70, 70 + 40 * row), f"Line {row} of a page that says enough to be found level", font=FONT, fill="black"
        )
    pen.rectangle(MARK, fill="red")
    return np.array(picture)


def on_a_table(pixels, corners, size=(1200, 1500), level=60):
    height, width = pixels.shape[:2]
    near = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    way = cv2.getPerspectiveTransform(near, np.array(corners, np.float32))
    scene = np.full((size[1], size[0], 3), level, np.uint8)
    mask = cv2.warpPerspective(np.full((height, width), 255, np.uint8), way, size) > 127
    scene[mask] = cv2.warpPerspective(pixels, way, size)[mask]
    return scene, way


def red_box(pixels):
    """Fractions of the picture around what is red."""
    height, width = pixels.shape[:2]
    red = (pixels[:, :, 0] > 150) & (pixels[:, :, 1] < 90) & (pixels[:, :, 2] < 90)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    return columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height


def test_a_clean_page_comes_out_as_it_came():
    pixels = page()
    done = prepared(pixels, AUTO)
    assert done.steps == ()
    assert done.pixels is pixels
    assert done.transform.box((0.1, 0.2, 0.3, 0.4)).x0 == 0.1


@pytest.mark.parametrize("path", sorted(DOCUMENTS.glob("*.pdf")), ids=lambda path: path.stem)
def test_no_page_of_the_bundled_documents_is_touched(path):
    """So none of them can be read worse than with preprocessing off."""
    with pypdfium2.PdfDocument(path) as pdf:
        for sheet in pdf:
            picture = sheet.render(scale=1280 / max(sheet.get_size())).to_pil().convert("RGB")
            assert prepared(np.asarray(picture), Plan.of("auto", levelled=True)).steps == ()


def test_off_does_nothing_to_the_worst_page():
    worst = np.clip(page() + np.random.default_rng(1).normal(0, 80, (1100, 800, 1)), 0, 255).astype(np.uint8)
    assert prepared(worst, Plan.of("off")).pixels is worst


PHOTOGRAPHS = {
    "from the left": [(230, 160), (1000, 240), (960, 1330), (140, 1400)],
    "turned": [(300, 120), (1080, 330), (860, 1400), (110, 1180)],
    "from below": [(300, 200), (900, 210), (1080, 1400), (120, 1380)],
}


@pytest.mark.parametrize("corners", PHOTOGRAPHS.values(), ids=PHOTOGRAPHS)
def test_a_photographed_sheet_is_squared_and_boxes_return_to_the_photograph(corners):
    scene, way = on_a_table(page(), corners)
    done = prepared(scene, AUTO)
    assert done.steps[0] is Step.PERSPECTIVE
    height, width = done.pixels.shape[:2]
    assert done.pixels[height // 50, width // 2].mean() > 200, "the table is cut off"
    back = done.transform.box(red_box(done.pixels))
    x0, y0, x1, y1 = MARK
    there = cv2.perspectiveTransform(np.array([[(x0, y0), (x1, y0), (x1, y1), (x0, y1)]], np.float32), way)[0]
    wanted = (*(there.min(axis=0) / (1200, 1500)), *(there.max(axis=0) / (1200, 1500)))
    assert (back.x0, back.y0, back.x1, back.y1) == pytest.approx(wanted, abs=0.012)


def slide():
    picture = Image.new("RGB", (1280, 720), (20, 60, 90))
    pen = ImageDraw.Draw(picture)
    pen.text((60, 30), "A title above a white panel", font=ImageFont.load_default(40), fill="white")
    pen.rectangle((100, 150, 1180, 650), fill="white")
    pen.text((140, 200), "What the panel says", font=FONT, fill="black")
    return np.array(picture)


def half_in_shadow():
    return (page() * np.linspace(1, 0.2, 800)[None, :, None]).astype(np.uint8)


def cut_off():
    scene, _ = on_a_table(page(), [(-60, -80), (1000, 10), (1000, 1450), (-90, 1600)])
    return scene


@pytest.mark.parametrize("picture", [page, slide, half_in_shadow, cut_off], ids=lambda made: made.__name__)
def test_what_is_no_whole_sheet_on_a_table_is_not_cut(picture):
    pixels = picture()
    assert sheet(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)) is None
    assert Step.PERSPECTIVE not in shaped(pixels, AUTO).steps


def turned(degrees):
    picture = Image.fromarray(page())
    return np.array(picture.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(250, 250, 248)))


@pytest.mark.parametrize("degrees", [-12, -4, -0.8, 2.5, 7, 13])
def test_the_angle_of_a_crooked_page_is_found(degrees):
    assert math.degrees(skew(cv2.cvtColor(turned(degrees), cv2.COLOR_RGB2GRAY))) == pytest.approx(-degrees, abs=0.25)


def test_a_crooked_page_is_levelled_only_for_engines_that_do_not_do_it_themselves():
    crooked = turned(5)
    done = shaped(crooked, AUTO)
    assert done.steps == (Step.DESKEW,)
    assert abs(skew(cv2.cvtColor(done.pixels, cv2.COLOR_RGB2GRAY))) < math.radians(0.3)
    back, wanted = done.transform.box(red_box(done.pixels)), red_box(crooked)
    centre = ((back.x0 + back.x1) / 2, (back.y0 + back.y1) / 2)
    assert centre == pytest.approx(((wanted[0] + wanted[2]) / 2, (wanted[1] + wanted[3]) / 2), abs=0.003)
    assert shaped(crooked, Plan.of("auto", levelled=True)).steps == ()


def test_a_blank_page_has_no_angle():
    assert skew(np.full((900, 700), 244, np.uint8)) == 0.0


def peppered():
    pixels, chance = page(), np.random.default_rng(4).random((1100, 800))
    pixels[chance < 0.02], pixels[chance > 0.98] = 0, 255
    return pixels


def grainy(deviation=80):
    return np.clip(page() + np.random.default_rng(4).normal(0, deviation, (1100, 800, 1)), 0, 255).astype(np.uint8)


def pale():
    return (180 + page() // 6).astype(np.uint8)


def soft():
    return cv2.GaussianBlur(page(), (0, 0), 2.2)


@pytest.mark.parametrize(
    ("spoiled", "step"),
    [(peppered, Step.DENOISE), (grainy, Step.DENOISE), (pale, Step.STRETCH), (soft, Step.SHARPEN)],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_auto_mends_what_is_bad_and_says_so(spoiled, step):
    before = spoiled()
    done = cleaned(before, AUTO)
    assert step in done.steps
    grey, was = (cv2.cvtColor(each, cv2.COLOR_BGR2GRAY) for each in (done.pixels, before))
    measured = {
        Step.DENOISE: lambda one: specks(one) + noise(one),
        Step.STRETCH: lambda one: -float(np.ptp(np.percentile(one, (1, 99)))),
        Step.SHARPEN: lambda one: -softness(one),
    }[step]
    assert measured(grey) < measured(was)


def test_a_little_grain_is_left_alone():
    assert cleaned(grainy(20), AUTO).steps == ()


def test_steps_that_are_named_are_done_whatever_the_page_looks_like():
    done = prepared(page(), Plan.of("clahe, Binarise"))
    assert done.steps == (Step.CLAHE, Step.BINARISE)
    assert set(np.unique(done.pixels)) <= {0, 255}


def test_an_unknown_step_is_named_with_the_nearest_one():
    with pytest.raises(SettingsError, match="did you mean sharpen"):
        Plan.of("sharpn")


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (7, 5)])
def test_the_smallest_and_thinnest_pictures_pass_through_every_step(size):
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    for asked in ("auto", ",".join(Step)):
        assert prepared(pixels, Plan.of(asked)).pixels.size > 0
