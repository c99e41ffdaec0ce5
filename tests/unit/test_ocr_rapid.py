"""The CPU engine: its children may die, hang or never start; and RapidOCR itself on a few small pictures."""

import asyncio
import io
import math
import os
import signal
import subprocess
import sys
import textwrap
import tomllib
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from PIL import Image, ImageDraw, ImageFont

from folio.errors import Cause, Permanent, Transient
from ocr_stage import rapid
from ocr_stage.picture import has_ink, upright
from ocr_stage.rapid import RapidEngine
from ocr_stage.rapid_process import RapidReader

FONT = ImageFont.load_default(22)
EXAMPLES = Path(__file__).parents[2] / "examples"
LARGE = ImageFont.load_default(48)

SCRIPTED_CHILD = """
    import os, time
    from folio.errors import Cause, Permanent

    class Reader:
        def __init__(self, edge_pixels, pixels_max, layout, preprocess):
            if edge_pixels == 1:
                raise ImportError("no such package")

        def read(self, image):
            order = image.decode()
            if order == "die":
                os._exit(9)
            if order.startswith("die once "):
                mark = order.removeprefix("die once ")
                if not os.path.exists(mark):
                    open(mark, "w").close()
                    os._exit(9)
            if order == "hang":
                time.sleep(60)
            if order == "corrupt":
                raise Permanent(Cause.CORRUPT, "as asked")
            block = {"kind": "paragraph", "start": 0, "end": 2}
            return {"markdown": f"{os.getpid()}", "blocks": [block], "seconds": 0.5}
"""


@pytest.fixture
def scripted(tmp_path, monkeypatch):
    """Engines whose children follow orders instead of reading pictures; everything else is real."""
    (tmp_path / "scripted_child.py").write_text(textwrap.dedent(SCRIPTED_CHILD))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(rapid, "FACTORY", "scripted_child:Reader")


@asynccontextmanager
async def engine_of(*, processes=1, edge_pixels=1280, page_seconds_max=30.0):
    engine = RapidEngine(processes=processes, edge_pixels=edge_pixels, page_seconds_max=page_seconds_max)
    try:
        yield engine
    finally:
        await asyncio.wait_for(engine.close(), 20)


async def until(condition) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came")


async def test_children_start_when_pages_come_and_one_serves_many(scripted):
    async with engine_of(processes=2) as engine:
        assert engine.pids == []
        readings = [await engine.read(b"page") for _ in range(3)]
        assert {int(reading.markdown) for reading in readings} == set(engine.pids)
        assert len(engine.pids) == 1
        both = await asyncio.gather(engine.read(b"page"), engine.read(b"page"))
        assert len({reading.markdown for reading in both}) == 2
        pids = engine.pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


async def test_a_child_is_replaced_after_many_pages(scripted, monkeypatch):
    monkeypatch.setattr(rapid, "PAGES_MAX", 2)
    async with engine_of() as engine:
        pids = [(await engine.read(b"page")).markdown for _ in range(5)]
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]


async def test_zero_processes_means_one_a_core(scripted):
    async with engine_of(processes=0) as engine:
        await asyncio.gather(*(engine.read(b"page") for _ in range(8)))
        assert len(engine.pids) == min(8, rapid.cores())


async def test_a_page_that_takes_too_long_is_given_up_and_the_next_one_is_read(scripted):
    async with engine_of(page_seconds_max=0.5) as engine:
        with pytest.raises(Permanent) as failed:
            await engine.read(b"hang")
        assert failed.value.cause is Cause.OCR_TIMEOUT
        assert (await engine.read(b"page")).seconds == 0.5


async def test_a_page_whose_process_died_is_tried_once_more(scripted, tmp_path):
    async with engine_of() as engine:
        reading = await engine.read(f"die once {tmp_path / 'mark'}".encode())
        assert reading.blocks[0].end == 2


async def test_a_page_that_kills_its_process_twice_is_given_up(scripted):
    async with engine_of() as engine:
        with pytest.raises(Permanent) as failed:
            await engine.read(b"die")
        assert failed.value.cause is Cause.OCR_CRASH
        await engine.read(b"page")


async def test_what_the_child_says_of_an_image_stands(scripted):
    async with engine_of() as engine:
        with pytest.raises(Permanent) as failed:
            await engine.read(b"corrupt")
        assert (failed.value.cause, failed.value.detail) == (Cause.CORRUPT, "as asked")


async def test_an_engine_that_cannot_start_is_away_and_no_page_is_blamed(scripted):
    async with engine_of(edge_pixels=1) as engine:
        with pytest.raises(Transient) as failed:
            await engine.read(b"page")
        assert failed.value.cause is Cause.ENGINE_DOWN
        assert "no such package" in failed.value.detail


async def test_a_cancelled_page_frees_its_child(scripted):
    async with engine_of() as engine:
        running = asyncio.create_task(engine.read(b"hang"))
        waiting = asyncio.create_task(engine.read(b"page"))
        await asyncio.sleep(0.5)
        running.cancel()
        assert (await asyncio.wait_for(waiting, 10)).markdown


def drawn(*texts, size=(800, 400), font=FONT) -> Image.Image:
    """A white picture with texts at their places."""
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    for x, y, text, *own in texts:
        pen.text((x, y), text, font=own[0] if own else font, fill="black")
    return picture


def encoded(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


async def test_a_page_is_read_although_its_process_was_killed_in_the_middle():
    image = encoded(drawn((40, 40, "Pump station seven"), (40, 120, "Seal KX-204 replaced.")))
    async with engine_of() as engine:
        running = asyncio.create_task(engine.read(image))
        await until(lambda: engine.pids)
        await engine._children[0].remote()
        await asyncio.sleep(0.1)
        os.kill(engine.pids[0], signal.SIGKILL)
        reading = await running
        assert engine._children[0].starts == 2
    assert "Pump station seven" in reading.markdown
    assert "KX-204" in reading.markdown
    assert reading.seconds > 0


@pytest.fixture(scope="module")
def reader() -> RapidReader:
    """The child's object, in this process: loading the models once is enough."""
    return RapidReader(edge_pixels=1280, pixels_max=8_000_000)


def read(reader, picture: Image.Image, **options):
    answer = reader.read(encoded(picture, **options))
    return answer["markdown"], answer["blocks"]


def test_text_becomes_headings_and_paragraphs_with_boxes_where_it_lies(reader):
    markdown, blocks = read(
        reader,
        drawn(
            (40, 30, "Maintenance report", LARGE),
            (40, 120, "The pump station was inspected twice, and the main-"),
            (40, 150, "tenance team replaced three seals last spring."),
            (40, 240, "The pressure stayed below 4.2 bar at all times."),
        ),
    )
    assert markdown == (
        "# Maintenance report\n\n"
        "The pump station was inspected twice, and the maintenance team replaced three seals last spring.\n\n"
        "The pressure stayed below 4.2 bar at all times."
    )
    assert [markdown[block["start"] : block["end"]] for block in blocks] == markdown.split("\n\n")
    box = blocks[1]["box"]
    assert (box["x0"], box["y0"], box["y1"]) == pytest.approx((40 / 800, 120 / 400, 178 / 400), abs=0.02)


def test_two_columns_are_read_one_after_the_other(reader):
    left = [
        (30, 120 + 30 * row, f"left line {word} runs on here") for row, word in enumerate(["one", "two", "six", "ten"])
    ]
    right = [
        (470, 120 + 30 * row, f"right line {word} runs on") for row, word in enumerate(["one", "two", "six", "ten"])
    ]
    title = (200, 40, "A title that stands over both columns")
    markdown, _ = read(reader, drawn(title, *left, *right))
    places = [
        markdown.index(text)
        for text in ("A title", "left line one", "left line ten", "right line one", "right line ten")
    ]
    assert places == sorted(places)


def test_a_picture_is_turned_as_its_exif_says_before_anything_is_measured(reader):
    picture = drawn((40, 60, "The meter reads 318 cubic metres"), (40, 90, "on the morning of the visit."))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    markdown, blocks = read(reader, turned, kind="JPEG", exif=exif, quality=90)
    assert "318 cubic metres on the morning" in markdown
    assert blocks[0]["box"]["y1"] < 0.4


def test_a_blank_page_has_no_text_and_a_scrawl_without_letters_is_no_success(reader):
    assert read(reader, Image.new("RGB", (600, 400), "#f4efe6")) == ("", [])
    scrawl = Image.new("RGB", (600, 400), "white")
    ImageDraw.Draw(scrawl).line([(100, 300), (300, 100), (500, 320)], fill="black", width=9)
    with pytest.raises(Permanent) as failed:
        read(reader, scrawl)
    assert failed.value.cause is Cause.OCR_EMPTY


SENTENCE = ("The crane must not stand closer than six metres to", "the quay edge, by order of the harbour office.")


def report(size=(900, 1200)) -> Image.Image:
    """A page whose boxes are known: a title, a paragraph of two lines, a table."""
    rows = [("Pump", "Flow", "Head"), ("KX-204", "860", "4.5"), ("KX-260", "15,120", "2.9"), ("Hallow", "1,440", "3.7")]
    cells = [(80 + 260 * at, 500 + 50 * row, text) for row, each in enumerate(rows) for at, text in enumerate(each)]
    prose = [(80, 250 + 32 * at, text) for at, text in enumerate(SENTENCE)]
    picture = drawn((80, 100, "Harbour works", LARGE), *prose, *cells, size=size)
    pen = ImageDraw.Draw(picture)
    for y in range(490, 700, 50):
        pen.line([(60, y), (800, y)], fill="black", width=2)
    for x in (60, 320, 580, 800):
        pen.line([(x, 490), (x, 690)], fill="black", width=2)
    return picture


REPORT = {
    "heading": (80, 105, 80 + LARGE.getlength("Harbour works"), 150),
    "paragraph": (80, 252, 80 + FONT.getlength(SENTENCE[0]), 308),
    "table": (60, 490, 800, 690),
}


def around(corners, place, size):
    """The rectangle around a rectangle's corners, each moved to its place on a picture of that size, in fractions."""
    x0, y0, x1, y1 = corners
    places = [place(x, y) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
    return [pick(each[axis] for each in places) / size[axis] for pick in (min, max) for axis in (0, 1)]


def check_report(reader, picture, place):
    markdown, blocks = read(reader, picture)
    assert markdown.startswith("# Harbour works")
    assert "closer than six metres to the quay edge, by order" in markdown
    assert "| KX-260 | 15,120 | 2.9 |" in markdown
    found = {block["kind"]: block["box"] for block in blocks}
    for kind, corners in REPORT.items():
        box = [found[kind].get(side, 0.0) for side in ("x0", "y0", "x1", "y1")]
        assert box == pytest.approx(around(corners, place, picture.size), abs=0.025), kind


@pytest.mark.parametrize(
    ("turn", "place"),
    [
        (Image.Transpose.ROTATE_90, lambda x, y: (y, 900 - x)),
        (Image.Transpose.ROTATE_180, lambda x, y: (900 - x, 1200 - y)),
        (Image.Transpose.ROTATE_270, lambda x, y: (1200 - y, x)),
    ],
    ids=["90", "180", "270"],
)
def test_a_turned_page_is_read_upright_and_its_boxes_lie_on_the_page_as_it_came(reader, turn, place):
    check_report(reader, report().transpose(turn), place)


def test_a_crooked_page_is_read_level_and_its_boxes_lie_on_the_page_as_it_came(reader):
    angle = math.radians(3)

    def place(x, y):
        across, down = x - 450, y - 600
        return (
            450 + across * math.cos(angle) + down * math.sin(angle),
            600 + down * math.cos(angle) - across * math.sin(angle),
        )

    check_report(reader, report().rotate(3, Image.Resampling.BICUBIC, fillcolor="white"), place)


def test_a_pale_page_is_read(reader):
    markdown, _ = read(reader, report().point(lambda value: 170 + value // 6))
    assert "closer than six metres to the quay edge" in markdown


def test_a_chinese_page_has_headings_a_table_a_list_and_furniture(reader):
    answer = reader.read(page_image(EXAMPLES / "documents" / "product-manual-zh.pdf"))
    markdown, blocks = answer["markdown"], answer["blocks"]
    assert "# KX系列潮汐水泵产品手册" in markdown.replace(" 系列", "系列")
    assert "| 防护等级 | IP68 | IP68 |" in markdown
    assert "1. 基础混凝土的强度不低于" in markdown
    assert [markdown[block["start"] : block["end"]] for block in blocks if block.get("furniture")][-1] == "第1页"


def test_without_the_layout_model_the_same_page_is_read_and_no_model_is_loaded():
    plain = RapidReader(edge_pixels=1280, pixels_max=8_000_000, layout=False)
    markdown, blocks = read(plain, report())
    assert plain._layout is None
    assert "| KX-204 | 860 | 4.5 |" in markdown
    assert {block["kind"] for block in blocks} == {"heading", "paragraph", "table"}


def test_every_part_of_the_work_is_accounted_for(reader):
    before = dict(reader.spent())
    read(reader, drawn((40, 40, "Pump station seven")))
    assert {part for part, spent in reader.spent().items() if spent > before.get(part, 0.0)} >= {"detect", "recognise"}


QUESTIONS = tomllib.loads((EXAMPLES / "questions.toml").read_text(encoding="utf-8"))["question"]


@pytest.mark.parametrize(
    "question", [each for each in QUESTIONS if each.get("scan")], ids=lambda each: each["document"]
)
def test_the_scan_and_the_photograph_among_the_examples_answer_their_questions(reader, question):
    path = EXAMPLES / "documents" / question["document"]
    assert question["phrase"] in reader.read(page_image(path))["markdown"]


def page_image(path: Path) -> bytes:
    if path.suffix != ".pdf":
        return path.read_bytes()
    with pypdfium2.PdfDocument(path) as pdf:
        return encoded(pdf[0].render(scale=2).to_pil(), "JPEG", quality=85)


@pytest.mark.parametrize(
    ("image", "cause"),
    [
        (b"", Cause.CORRUPT),
        (b"%PDF-1.7", Cause.CORRUPT),
        (encoded(Image.effect_noise((300, 300), 50), "JPEG")[:2000], Cause.CORRUPT),
        (encoded(Image.new("1", (2100, 2100))), Cause.PIXEL_LIMIT),
    ],
    ids=["empty", "no image", "cut off", "too many pixels"],
)
def test_bytes_that_are_no_good_picture_are_named(image, cause):
    with pytest.raises(Permanent) as failed:
        upright(image, edge_pixels=1280, pixels_max=4_000_000)
    assert failed.value.cause is cause


def test_pictures_of_every_mode_become_upright_rgb_of_bounded_size():
    deep = Image.fromarray(np.full((40, 60), 60_000, dtype=np.uint16))
    clear = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    for picture in (deep, clear):
        paper = upright(encoded(picture), edge_pixels=30, pixels_max=10_000)
        assert (paper.mode, paper.size) == ("RGB", (30, 20))
        assert paper.getpixel((5, 5))[0] > 200


def test_ink_is_what_stands_out_from_the_paper_but_not_a_dark_edge():
    paper = Image.new("L", (1000, 1400), 230)
    assert not has_ink(paper)
    edge = paper.copy()
    edge.paste(0, (0, 0, 20, 1400))
    assert not has_ink(edge)
    edge.paste(40, (200, 200, 400, 240))
    assert has_ink(edge)


SLIVERS = """
import io, resource
from PIL import Image
from ocr_stage.rapid_process import RapidReader

reader = RapidReader(edge_pixels=1280, pixels_max=64_000_000)
for size in ((1, 5000), (1, 1), (5000, 1)):
    kept = io.BytesIO()
    Image.new("RGB", size, "white").save(kept, "PNG")
    assert reader.read(kept.getvalue())["markdown"] == ""
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


def test_a_sliver_of_a_picture_costs_no_more_than_a_page() -> None:
    """Of 1 x 5,000 pixels the detector made 2.7 billion, and 23 GB."""
    limited = ["bash", "-c", 'ulimit -v 12000000; exec "$0" -c "$1"', sys.executable, SLIVERS]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 2000
