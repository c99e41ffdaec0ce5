"""The router: features of pages that were drawn with known lines, the table, and the child that looks at pages."""

import io
import random

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from folio.errors import Cause, FolioError, Permanent, SettingsError
from ocr_stage.features import features
from ocr_stage.modes import Mode
from ocr_stage.router import TABLE, Features, Router, Row
from ocr_stage.sight import ChildSight, Sighted
from ocr_stage.sight_process import seam
from quality.mode_table import Limits, Measured, fitted, measurements, written

TEXT = "The pump station was inspected twice and the seals were replaced"


def drawn(*, size=20, rows=30, page=(1200, 1600), paper="white", ink="black") -> Image.Image:
    picture = Image.new("RGB", page, paper)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    for row in range(rows):
        pen.text((80, 60 + row * 1.6 * size), TEXT, font=font, fill=ink)
    return picture


def looked(picture: Image.Image) -> Features:
    return features(cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2GRAY))


def encoded(picture: Image.Image, kind="PNG") -> bytes:
    out = io.BytesIO()
    picture.save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("paper", [("white", "black"), ("#dddddd", "#555555"), ("#123456", "white")], ids=str)
def test_lines_are_counted_and_measured_on_any_paper(paper):
    found = looked(drawn(paper=paper[0], ink=paper[1]))
    assert found.lines == 30
    assert found.line_height * 1600 == pytest.approx(20, rel=0.35)
    assert found.letters == pytest.approx(30 * len(TEXT.replace(" ", "")), rel=0.4)


def test_smaller_print_has_lower_lines_and_a_fuller_page_more_letters():
    small, large = looked(drawn(size=14, rows=60)), looked(drawn(size=32, rows=20))
    assert small.line_height < large.line_height
    assert small.letters > large.letters
    assert Router().mode(small) is not Router().mode(looked(drawn(size=40, rows=5, page=(1280, 720)))) is Mode.BASE


def test_a_blank_page_and_the_smallest_pictures_have_features():
    assert looked(Image.new("RGB", (800, 1100), "#f4efe6")).lines == 0
    for size in ((1, 1), (1, 900), (900, 1)):
        assert Router().mode(looked(Image.new("RGB", size))) in Mode


def test_the_first_row_that_takes_a_page_chooses_and_the_last_takes_the_rest():
    page = Features(width=1000, height=1400, line_height=0.012, lines=40, letters=2000)
    dense = Features(width=1000, height=1400, line_height=0.006, lines=150, letters=12000)
    assert Router().mode(page) is Mode.BASE
    assert Router().mode(dense) is Mode.GUNDAM
    only = Router((Row(mode=Mode.TINY, letters_max=10), Row(mode=Mode.SMALL, letters_max=10)))
    assert only.mode(dense) is Mode.SMALL


def test_a_table_is_written_and_read_again(tmp_path):
    path = tmp_path / "table.json"
    path.write_text(Router().written())
    assert Router.read(path).table == TABLE


@pytest.mark.parametrize(
    ("text", "said"),
    [("[]", "no rows"), ("{", "Invalid JSON"), ('[{"mode": "huge"}]', "0.mode"), ('[{"mode": "base", "x": 1}]', "0.x")],
)
def test_a_table_that_is_wrong_says_where(tmp_path, text, said):
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=said):
        Router.read(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        Router.read(tmp_path / "none.json")


def measured(seed=1, pages=300) -> list[Measured]:
    """Base reads well what has lines of 12 pixels and up to 3,000 letters, Large of 9 and 4,500; Gundam everything."""
    chance = random.Random(seed)
    found = []
    for _ in range(pages):
        height, letters = chance.uniform(0.004, 0.025), chance.uniform(50, 8000)
        base = 0.97 if height * 1024 >= 12 and letters <= 3000 else 0.6
        large = 0.97 if height * 1280 >= 9 and letters <= 4500 else 0.7
        found.append(Measured(height, letters, {"base": base, "large": large, "gundam": 0.975}))
    return found


def test_a_table_is_fitted_that_loses_little_and_spares_most(tmp_path):
    rows = fitted(measured())
    assert [row.mode for row in rows] == ["base", "large", "gundam"]
    assert rows[0].line_pixels_min == pytest.approx(12, abs=1.5)
    assert rows[0].letters_max == pytest.approx(3000, rel=0.15)
    path = tmp_path / "table.json"
    path.write_text(written(rows))
    router, lost, spared = Router.read(path), [], 0
    for page in measured(seed=2):
        seen = Features(width=1, height=1, line_height=page.line_height, lines=9, letters=round(page.letters))
        mode = router.mode(seen)
        lost.append(page.loss(mode))
        spared += mode is not Mode.GUNDAM
    assert sum(lost) / len(lost) < 0.03
    assert spared > 0.8 * sum(min(page.loss("base"), page.loss("large")) < 0.02 for page in measured(seed=2))


def test_a_mode_that_reads_nothing_well_gets_no_row():
    pages = [Measured(0.01, 1000, {"tiny": 0.4, "gundam": 0.9}) for _ in range(20)]
    assert fitted(pages)[0].mode == "gundam"
    assert fitted(pages)[-1] == Limits("gundam")


def test_measurements_come_as_csv_or_json_and_a_wrong_line_is_named(tmp_path):
    good, bad = tmp_path / "good.csv", tmp_path / "bad.json"
    good.write_text("page,line_height,letters,base,gundam\na,0.01,900,0.9,0.95\nb,0.02,100,,0.9\n")
    assert [page.scores for page in measurements(good)] == [{"base": 0.9, "gundam": 0.95}, {"gundam": 0.9}]
    bad.write_text('[{"line_height": 0.1, "letters": 3, "base": 1}, {"line_height": "tall"}]')
    with pytest.raises(FolioError, match="page 2"):
        measurements(bad)
    with pytest.raises(FolioError, match="no measured pages"):
        fitted([])


def test_the_seam_between_halves_runs_between_two_lines():
    picture = drawn(size=40, rows=24)
    at = seam(np.asarray(picture.convert("L")))
    assert 0.4 * 1600 <= at <= 0.6 * 1600
    assert np.ptp(np.asarray(picture.convert("L"))[at]) == 0


async def test_a_page_is_looked_at_in_a_child_and_cut_there():
    sight = ChildSight(preprocess="auto", router=Router())
    try:
        seen = await sight.see(encoded(drawn(size=30, rows=8)))
        assert (seen.mode, seen.steps) == (Mode.BASE, ())
        upper, lower = await sight.halves(seen)
        assert lower.transform.box((0, 0, 1, 1)).y0 == pytest.approx(upper.transform.box((0, 0, 1, 1)).y1, abs=1e-4)
        assert await sight.has_ink(upper.image)
        assert not await sight.has_ink(encoded(Image.new("RGB", (400, 300), "white")))
        alone = Sighted(encoded(Image.new("RGB", (400, 30))))
        assert await sight.halves(alone) == [alone]
        with pytest.raises(Permanent) as error:
            await sight.see(b"no picture")
        assert error.value.cause is Cause.CORRUPT
    finally:
        await sight.close()


async def test_a_pale_page_comes_back_mended_and_nothing_is_started_where_nothing_is_asked():
    sight, idle = ChildSight(preprocess="stretch"), ChildSight()
    try:
        image = encoded(drawn())
        assert (await idle.see(image)).image is image
        assert idle._children[0].pid is None
        seen = await sight.see(image)
        assert seen.steps == ("stretch",)
        assert seen.image != image
        assert seen.mode is None
    finally:
        await sight.close()
        await idle.close()
