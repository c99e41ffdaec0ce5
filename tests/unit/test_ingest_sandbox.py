"""The sandbox: every way in which a file can be bad has its cause, and one bad page leaves a gap."""

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psutil
import pymupdf
import pytest
from PIL import Image

from folio.child import Zygote
from folio.errors import Cause, Permanent
from folio.records import SKIPPED, BlockKind, Box
from ingest.sandbox import FACTORIES, Limits, Mark, ReadPage, Sandbox
from tests import hostile_files as make

Engines = pytest.mark.parametrize("engine", ["auto", "pypdfium2"])


_SHARED: dict[str, Zygote] = {}


class SharedZygote(Zygote):
    """Starting one takes a second: one for each renderer serves the whole module, as it does in an owner."""

    def __new__(cls, factory: str) -> Self:
        return _SHARED.setdefault(factory, super().__new__(cls))  # type: ignore[return-value]  # only ours are in it

    def __init__(self, factory: str) -> None:
        if not hasattr(self, "_factory"):
            super().__init__(factory)


@pytest.fixture(autouse=True)
def _shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.sandbox.Zygote", SharedZygote)


@pytest.fixture(autouse=True, scope="module")
def _ended() -> Iterator[None]:
    yield
    for zygote in _SHARED.values():
        asyncio.run(Zygote.close(zygote))
    _SHARED.clear()


def zygote_of(factory: str) -> psutil.Process:
    process = _SHARED[factory]._process
    assert process is not None
    return psutil.Process(process.pid)


@asynccontextmanager
async def sandbox(factories: dict[str, str] = FACTORIES, **limits: Any) -> AsyncIterator[Sandbox]:
    yield Sandbox(Limits(**limits), factories=factories)  # closed with its zygotes, at the end of the module


async def read(path: Path, *, asked: dict[str, str] | None = None, **limits: Any) -> list[ReadPage]:
    async with sandbox(**limits) as made:
        return [page async for page in made.pages(path, **(asked or {}))]


async def cause(path: Path, **limits: Any) -> Cause:
    with pytest.raises(Permanent) as refused:
        await read(path, **limits)
    assert refused.value.detail or refused.value.cause.sentence
    return refused.value.cause


@Engines
async def test_pages_come_in_order_as_text_or_picture(tmp_path: Path, engine: str) -> None:
    pages = await read(make.pdf(tmp_path / "a.pdf", make.prose, make.scan, make.prose), pdf_engine=engine)
    assert [(page.page, page.page_count, page.trusted, page.image is None) for page in pages] == [
        (1, 3, True, True),
        (2, 3, False, False),
        (3, 3, True, True),
    ]
    assert pages[1].height == 1920
    assert pages[0].engine == ("pymupdf" if engine == "auto" else "pypdfium2")
    assert pages[0].blocks[0].box is not None


@Engines
async def test_a_page_to_be_verified_carries_its_picture_too(tmp_path: Path, engine: str) -> None:
    file = make.pdf(tmp_path / "a.pdf", make.prose, make.prose)
    async with sandbox(pdf_engine=engine) as made:
        first, second = [page async for page in made.pages(file, verify=lambda page: page == 2)]
    assert first.image is None
    assert second.image is not None
    assert second.trusted


@Engines
@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (lambda path: make.encrypted(path, user="secret"), Cause.ENCRYPTED),
        (make.no_pages, Cause.ZERO_PAGES),
        (lambda path: path.write_bytes(b"%PDF-1.7\nnothing of a PDF follows") and path, Cause.CORRUPT),
        (lambda path: path.write_text("Dear reader") and path, Cause.UNSUPPORTED_TYPE),
        (lambda path: path.touch() or path, Cause.UNSUPPORTED_TYPE),
        (make.huge_png, Cause.PIXEL_LIMIT),
        (lambda path: make.pdf(path, *[make.prose] * 4), Cause.TOO_MANY_PAGES),
        (lambda path: path.write_bytes(b"%PDF-1.7" + b"x" * 2_000_000) and path, Cause.TOO_LARGE),
    ],
    ids=["encrypted", "no pages", "corrupt", "text", "empty", "pixels", "pages", "bytes"],
)
async def test_a_bad_file_is_refused_with_its_cause(
    tmp_path: Path, bad: Callable[[Path], Path], expected: Cause, engine: str
) -> None:
    file = bad(tmp_path / "a.pdf")
    assert await cause(file, pdf_engine=engine, pages_max=3, file_bytes_max=1_000_000) == expected


async def test_a_refusal_names_the_count_and_the_setting(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match=r"4 pages; ingest\.pages_max is 3"):
        await read(make.pdf(tmp_path / "a.pdf", *[make.prose] * 4), pages_max=3)


@Engines
async def test_a_pdf_cut_in_half_gives_its_pages_or_a_cause(tmp_path: Path, engine: str) -> None:
    file = make.pdf(tmp_path / "a.pdf", *[make.prose] * 10)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    outcome: Cause | list[int]
    try:
        outcome = [page.page for page in await read(file, pdf_engine=engine)]
    except Permanent as error:
        outcome = error.cause
    assert outcome in (Cause.CORRUPT, Cause.ZERO_PAGES) or outcome == [*range(1, 11)][: len(outcome)]


@Engines
async def test_an_owner_password_alone_locks_nobody_out(tmp_path: Path, engine: str) -> None:
    (page,) = await read(make.encrypted(tmp_path / "a.pdf", user=""), pdf_engine=engine)
    assert "Harbour dues" in page.markdown


@Engines
@pytest.mark.parametrize("shape", [make.vast_page, make.sliver], ids=["vast", "sliver"])
async def test_no_page_size_makes_a_picture_large(tmp_path: Path, shape: Callable[[Path], Path], engine: str) -> None:
    (page,) = await read(shape(tmp_path / "a.pdf"), pdf_engine=engine, edge_pixels=500, memory_bytes_max=1 << 30)
    assert page.image is not None
    assert max(page.width, page.height) <= 501


@Engines
async def test_a_bomb_ends_with_its_page(tmp_path: Path, engine: str) -> None:
    (page,) = await read(make.flate_bomb(tmp_path / "a.pdf", 64), pdf_engine=engine, page_seconds_max=0.7)
    assert page.cause in (Cause.RENDER_TIMEOUT, Cause.RENDER_OOM)


async def test_frames_of_a_tiff_are_pages(tmp_path: Path) -> None:
    pages = await read(make.frames_tiff(tmp_path / "a.tiff", 3))
    assert [page.width for page in pages] == [120, 130, 140]


async def test_an_image_cut_off_is_a_page_with_a_cause(tmp_path: Path) -> None:
    file = make.image(tmp_path / "a.jpg", size=(900, 900))
    file.write_bytes(file.read_bytes()[:3000])
    (page,) = await read(file)
    assert page.cause == Cause.CORRUPT


FRAGILE = {**FACTORIES, "pymupdf": "tests.unit.renderers:Fragile"}
BOTH_FRAGILE = dict.fromkeys(FACTORIES, "tests.unit.renderers:Fragile")


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("dies", Cause.RENDER_CRASH),
        ("hangs", Cause.RENDER_TIMEOUT),
        ("eats memory", Cause.RENDER_OOM),
        ("raises", Cause.CORRUPT),
    ],
)
async def test_one_bad_page_leaves_a_gap_and_the_rest_arrives(tmp_path: Path, way: str, expected: Cause) -> None:
    file = make.pdf(tmp_path / f"{way}.pdf", *[make.prose] * 5)
    pages = await read(file, factories=BOTH_FRAGILE, page_seconds_max=0.5)
    assert [(page.page, page.cause) for page in pages] == [(1, None), (2, None), (3, expected), (4, None), (5, None)]
    assert {page.page_count for page in pages} == {5}


def headed(number: int) -> Callable[[Any], None]:
    """A page whose head and number are found by looking at the next pages."""

    def draw(canvas: Any) -> None:
        make.prose(canvas)
        canvas.drawString(72, 815, "The book of harbours")
        canvas.drawString(285, 30, str(number))

    return draw


@Engines
@pytest.mark.parametrize("bad", ["5", "1,6"])
@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("dies", Cause.RENDER_CRASH),
        ("hangs", Cause.RENDER_TIMEOUT),
        ("eats memory", Cause.RENDER_OOM),
        ("runs out of memory", Cause.RENDER_OOM),
    ],
)
async def test_a_page_that_is_looked_ahead_to_takes_no_other_with_it(
    tmp_path: Path, way: str, expected: Cause, bad: str, engine: str
) -> None:
    file = make.pdf(tmp_path / f"{way} at {bad}.pdf", *(headed(number) for number in range(1, 9)))
    pages = await read(file, factories=BOTH_FRAGILE, pdf_engine=engine, page_seconds_max=0.5)
    failed = [int(page) for page in bad.split(",")]
    assert [page.page for page in pages] == [*range(1, 9)]
    assert [page.page for page in pages if page.cause] == failed
    assert {page.cause for page in pages if page.cause} == {expected}
    assert all(page.trusted and "Harbour dues" in page.markdown for page in pages if page.page not in failed)
    assert len({page.engine for page in pages}) == 1


async def test_a_page_looks_ahead_while_nothing_breaks(tmp_path: Path) -> None:
    pages = await read(make.pdf(tmp_path / "a.pdf", *(headed(number) for number in range(1, 4))))
    assert [sum(block.furniture for block in page.blocks) for page in pages] == [2, 2, 2]


@pytest.mark.parametrize("way", ["dies", "raises"])
async def test_the_second_engine_saves_the_page_that_the_first_cannot_read(tmp_path: Path, way: str) -> None:
    pages = await read(make.pdf(tmp_path / f"{way}.pdf", *[make.prose] * 4), factories=FRAGILE)
    assert [(page.page, page.engine) for page in pages] == [
        (1, "pymupdf"),
        (2, "pymupdf"),
        (3, "pypdfium2"),
        (4, "pymupdf"),
    ]
    assert pages[2].markdown == pages[1].markdown


async def test_nonsense_from_a_child_is_a_crash_of_that_page(tmp_path: Path) -> None:
    file = make.pdf(tmp_path / "a.pdf", *[make.prose] * 14)
    babbling = dict.fromkeys(FACTORIES, "tests.unit.renderers:Babbling")
    pages = await read(file, factories=babbling)
    assert [page.cause is None for page in pages] == [page % 2 == 0 for page in range(1, 15)]
    assert all(page.cause == Cause.RENDER_CRASH for page in pages if page.page % 2)


async def test_an_impossible_page_count_is_not_believed(tmp_path: Path) -> None:
    overcounting = dict.fromkeys(FACTORIES, "tests.unit.renderers:Overcounting")
    assert await cause(make.pdf(tmp_path / "a.pdf", make.prose), factories=overcounting) == Cause.RENDER_CRASH


async def test_pages_after_the_documents_time_fail_at_once(tmp_path: Path) -> None:
    file = make.pdf(tmp_path / "hangs.pdf", *[make.prose] * 6)
    pages = await read(file, factories=BOTH_FRAGILE, document_seconds_max=0.8)
    assert [page.cause for page in pages] == [None, None, *[Cause.RENDER_TIMEOUT] * 4]


async def test_a_zygote_that_was_killed_is_started_again(tmp_path: Path) -> None:
    file = make.pdf(tmp_path / "a.pdf", *[make.prose] * 3)
    async with sandbox() as made:
        assert len([page async for page in made.pages(file)]) == 3
        zygote_of(FACTORIES["pymupdf"]).kill()
        assert [page.cause async for page in made.pages(file)] == [None] * 3


async def test_many_documents_side_by_side_do_not_mix(tmp_path: Path) -> None:
    def draw(number: int) -> Callable[[Any], None]:
        return lambda canvas: canvas.drawString(72, 700, f"This is document number {number}")

    files = [make.pdf(tmp_path / f"{number}.pdf", *[draw(number)] * 5) for number in range(6)]
    async with sandbox() as made:

        async def texts(file: Path) -> set[str]:
            return {page.markdown async for page in made.pages(file)}

        found = await asyncio.gather(*map(texts, files))
    assert found == [{f"This is document number {number}"} for number in range(6)]


async def test_a_consumer_that_leaves_ends_the_child(tmp_path: Path) -> None:
    file = make.pdf(tmp_path / "a.pdf", *[make.prose] * 50)
    async with sandbox() as made:
        pages = made.pages(file)
        await anext(pages)
        zygote = zygote_of(FACTORIES["pymupdf"])
        assert len(zygote.children()) == 1
        await pages.aclose()
        for _ in range(100):
            if not zygote.children():
                break
            await asyncio.sleep(0.02)
        assert not zygote.children()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
async def test_a_child_has_given_up_what_it_does_not_need(tmp_path: Path) -> None:
    file = make.pdf(tmp_path / "a.pdf", *[make.prose] * 50)
    async with sandbox(memory_bytes_max=1 << 30) as made:
        pages = made.pages(file)
        await anext(pages)
        (child,) = zygote_of(FACTORIES["pymupdf"]).children()
        limits = Path(f"/proc/{child.pid}/limits").read_text()
        status = Path(f"/proc/{child.pid}/status").read_text()
        libraries = Path(f"/proc/{child.pid}/maps").read_text()
        await pages.aclose()
    found = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()}
    assert found["Max address space"] == str(1 << 30)
    assert found["Max file size"] == found["Max core file size"] == found["Max processes"] == "0"
    assert found["Max open files"] == "64"
    assert found["Max cpu time"] == "3601"
    assert "NoNewPrivs:\t1" in status
    assert "Threads:\t1\n" in status
    assert "onnxruntime" not in libraries


@Engines
async def test_a_picture_is_drawn_on_demand(tmp_path: Path, engine: str) -> None:
    file = make.pdf(tmp_path / "a.pdf", make.prose, make.prose)
    async with sandbox(pdf_engine=engine, edge_pixels=640) as made:
        assert (await made.picture(file, 2)).startswith(b"\xff\xd8\xff")
        with pytest.raises(Permanent) as refused:
            await made.picture(file, 3)
    assert refused.value.cause == Cause.PAGE_MISSING


@Engines
async def test_a_password_opens_what_needs_one(tmp_path: Path, engine: str) -> None:
    file = make.encrypted(tmp_path / "a.pdf", user="secret")
    (page,) = await read(file, asked={"password": "secret"}, pdf_engine=engine)
    assert "Harbour dues" in page.markdown
    async with sandbox(pdf_engine=engine) as made:
        assert (await made.picture(file, 1, password="secret")).startswith(b"\xff\xd8\xff")


@Engines
@pytest.mark.parametrize(("password", "says"), [("", "folio has none for it"), ("guess", "does not open it")])
async def test_a_missing_password_and_a_wrong_one_are_told_apart(
    tmp_path: Path, password: str, says: str, engine: str
) -> None:
    file = make.encrypted(tmp_path / "a.pdf", user="secret")
    with pytest.raises(Permanent) as refused:
        await read(file, asked={"password": password}, pdf_engine=engine)
    assert refused.value.cause == Cause.ENCRYPTED
    assert says in refused.value.detail
    assert "--password" in refused.value.detail
    assert "guess" not in str(refused.value)


def shown_by(process: psutil.Process) -> str:
    """What other users' tools can see of a process; nothing of one that has just ended."""
    with suppress(psutil.NoSuchProcess):
        return " ".join([*process.cmdline(), *process.environ().values()])
    return ""


async def test_a_password_shows_nowhere(tmp_path: Path) -> None:
    file = make.encrypted(tmp_path / "a.pdf", user="s3cr3t")
    async with sandbox() as made:
        pages = made.pages(file, password="s3cr3t")
        await anext(pages)
        zygote = zygote_of(FACTORIES["pymupdf"])
        shown = [text for process in (zygote, *zygote.children(recursive=True)) if (text := shown_by(process))]
        assert len(shown) > 1
        assert not any("s3cr3t" in text for text in shown)
        assert "s3cr3t" not in repr(made._what(file, "", "s3cr3t"))
        await pages.aclose()


@Engines
async def test_pages_that_were_not_chosen_are_there_and_empty(tmp_path: Path, engine: str) -> None:
    file = make.pdf(tmp_path / "a.pdf", *[make.prose] * 3, make.scan, *[make.prose] * 3)
    pages = await read(file, asked={"chosen": "2,4,6-"}, pdf_engine=engine)
    assert [page.page for page in pages] == [1, 2, 3, 4, 5, 6, 7]
    assert [SKIPPED in page.flags for page in pages] == [True, False, True, False, True, False, False]
    assert all(page.trusted and not page.markdown and page.image is None for page in pages if SKIPPED in page.flags)
    assert {page.page_count for page in pages} == {7}
    assert pages[3].image is not None


async def test_pages_that_were_not_chosen_are_not_opened(tmp_path: Path) -> None:
    file = make.pdf(tmp_path / "dies.pdf", *[make.prose] * 5)
    pages = await read(file, asked={"chosen": "1-2,4-"}, factories=BOTH_FRAGILE)
    assert [page.cause for page in pages] == [None] * 5
    pages = await read(file, asked={"chosen": "2-3"}, factories=BOTH_FRAGILE)
    assert [(page.page, page.cause, page.flags) for page in pages] == [
        (1, None, (SKIPPED,)),
        (2, None, ()),
        (3, Cause.RENDER_CRASH, ()),
        (4, None, (SKIPPED,)),
        (5, None, (SKIPPED,)),
    ]


@pytest.mark.parametrize(("chosen", "expected"), [("9-", Cause.PAGE_MISSING), ("3-1", Cause.SCHEMA_INVALID)])
async def test_ranges_that_name_no_page_fail(tmp_path: Path, chosen: str, expected: Cause) -> None:
    file = make.pdf(tmp_path / "a.pdf", make.prose)
    with pytest.raises(Permanent) as refused:
        await read(file, asked={"chosen": chosen})
    assert refused.value.cause == expected


@pytest.mark.parametrize("suffix", ["bmp", "gif", "jp2", "heic", "avif", "tiff"])
async def test_images_of_every_format_are_pages(tmp_path: Path, suffix: str) -> None:
    (page,) = await read(make.image(tmp_path / f"a.{suffix}"))
    assert page.image is not None
    assert (page.width, page.height, page.trusted, page.cause) == (300, 200, False, None)


async def test_text_files_are_pages_of_their_own_engine(tmp_path: Path) -> None:
    blob = tmp_path / "0123abcd"  # a blob has no name: the producer's tells Markdown from plain text
    blob.write_text("# Harbour dues\n\nRose again.\n", encoding="utf-8")
    for name, engine in (("a.md", "markdown"), ("a.txt", "text"), ("a.html", "html")):
        (page,) = await read(blob, asked={"name": name})
        assert (page.engine, page.trusted, page.image) == (engine, True, None)
        assert "Rose again." in page.markdown
    (page,) = await read(blob, asked={"name": "a.md"})
    assert [block.kind for block in page.blocks] == [BlockKind.HEADING, BlockKind.PARAGRAPH]
    assert [block.box for block in page.blocks] == [None, None]


async def test_pages_of_a_text_can_be_chosen_and_are_never_drawn(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one\ftwo\fthree", encoding="utf-8")
    pages = await read(file, asked={"chosen": "2"})
    assert [(page.markdown, page.engine) for page in pages] == [("", "text"), ("two", "text"), ("", "text")]
    async with sandbox() as made:
        with pytest.raises(Permanent, match="A text file has no picture"):
            await made.picture(file, 2)


async def test_an_error_quotes_no_path_of_ours(tmp_path: Path) -> None:
    for name, content in (("a.pdf", b"%PDF-1.7\nnothing"), ("a.avif", b"\0\0\0\x1cftypavif" + b"\0" * 40)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Permanent) as refused:
            await read(tmp_path / name)
        assert str(tmp_path) not in refused.value.detail


@Engines
async def test_marks_are_drawn_and_parts_cut_out_in_the_sandbox(tmp_path: Path, engine: str) -> None:
    file = make.pdf(tmp_path / "a.pdf", lambda canvas: canvas.rect(200, 300, 100, 200, fill=1))
    mark = Mark(Box(x0=0.1, y0=0.1, x1=0.9, y1=0.2), "#00ff00", "heading")
    async with sandbox(pdf_engine=engine, edge_pixels=842) as made:
        plain, marked = [opened(await made.picture(file, 1, marks=marks)) for marks in ((), (mark,))]
        part = opened(await made.picture(file, 1, crop=Box(x0=200 / 595, y0=342 / 842, x1=300 / 595, y1=542 / 842)))
    assert plain.size == marked.size
    assert plain.getpixel((300, 84)) == (255, 255, 255)
    red, green, blue = marked.getpixel((300, 83))
    assert green > red + 80
    assert green > blue + 80
    assert part.height == pytest.approx(600, abs=8), "a small part is drawn three times as large"
    assert part.width == pytest.approx(300, abs=8)
    assert max(high for _, high in part.crop((9, 9, part.width - 9, part.height - 9)).getextrema()) < 60


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
async def test_a_kept_page_image_is_marked_too(tmp_path: Path, suffix: str) -> None:
    blob = make.image(tmp_path / f"a.{suffix}").rename(tmp_path / "0123abcd")
    async with sandbox() as made:
        picture = opened(await made.picture(blob, 1, marks=[Mark(Box(x0=0.5, y0=0.5, x1=0.9, y1=0.9), "blue", "7")]))
    assert picture.size == (300, 200)
    red, _, blue = picture.getpixel((149, 140))
    assert blue > red + 80


def opened(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg), formats=["JPEG"]).convert("RGB")


async def test_memory_is_flat_over_many_pages(tmp_path: Path) -> None:
    file = make.pdf(tmp_path / "a.pdf", *[make.prose] * 300)
    sizes = []
    async with sandbox() as made:
        async for page in made.pages(file):
            if page.page % 50 == 0:
                (child,) = zygote_of(FACTORIES["pymupdf"]).children()
                sizes.append(child.memory_info().rss)
    assert len(sizes) == 6
    assert sizes[-1] < sizes[0] * 1.1 + (4 << 20), sizes


WITHOUT_PYMUPDF = """
import asyncio, sys
from pathlib import Path

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pymupdf", "fitz"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())
import importlib.util
if len(sys.argv) > 2:
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if name == "pymupdf" else find(name, *rest)
from ingest.sandbox import Limits, Sandbox

async def main():
    made = Sandbox(Limits(pdf_engine="auto" if len(sys.argv) > 2 else "pypdfium2"))
    print([(page.engine, page.trusted, page.cause) async for page in made.pages(Path(sys.argv[1]))])
    await made.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["not asked for", "not installed"])
def test_everything_works_without_pymupdf(tmp_path: Path, how: str) -> None:
    """The package is hidden in the owner and, by an empty package of its name, in every child."""
    hidden = tmp_path / "hidden" / "pymupdf"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('pymupdf must not be imported')")
    file = make.pdf(tmp_path / "a.pdf", make.prose, make.scan)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYMUPDF, str(file), *(["auto"] if how == "not installed" else [])],
        env={**os.environ, "PYTHONPATH": f"{hidden.parent}{os.pathsep}{root}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "[('pypdfium2', True, None), ('pypdfium2', False, None)]", done.stderr


@pytest.mark.parametrize("broken", ["content", "object", "missing"])
async def test_a_page_that_no_engine_can_read_fails_and_is_not_taken_for_a_blank_one(
    tmp_path: Path, broken: str
) -> None:
    made = pymupdf.open()
    for number in (1, 2, 3, 4):
        made.new_page().insert_text((72, 400), f"Chapter {number} is about otters." if number != 4 else "")
    content = made[1].get_contents()[0]
    if broken == "content":
        made.update_stream(content, bytes(200), compress=False)
        made.xref_set_key(content, "Filter", "/FlateDecode")
    elif broken == "object":
        made.update_object(made[1].xref, "(junk)")
    else:
        made.xref_set_key(made[1].xref, "Contents", "999 0 R")
    made.save(tmp_path / "a.pdf")
    pages = await read(tmp_path / "a.pdf")
    assert [page.cause for page in pages] == [None, Cause.CORRUPT, None, None]
    assert [page.markdown for page in pages] == [
        "Chapter 1 is about otters.",
        "",
        "Chapter 3 is about otters.",
        "",
    ]
