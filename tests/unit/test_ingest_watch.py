"""Watching a folder: what is there, what comes, what is not finished, what goes; and the filters of names."""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path, PurePath

import pytest

from folio.errors import FolioError
from ingest.folder import Choice, chosen_files, matches
from ingest.watch import Settled, settled_files

SETTLE_S = 0.3
Watching = AsyncGenerator[Settled, None]
Polls = pytest.mark.parametrize("poll", [False, True], ids=["notices", "polling"])


def old(path: Path, content: bytes = b"%PDF-") -> Path:
    """A file that nobody has touched for an hour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (path.stat().st_mtime - 3600,) * 2)
    return path


async def following(watching: Watching, *, wait_s: float = 15.0) -> str:
    async with asyncio.timeout(wait_s):
        settled = await anext(watching)
    return f"{settled.path.name}: {settled.problem}" if settled.problem else settled.path.name


async def quiet(watching: Watching, wait_s: float = 1.2) -> None:
    """Nothing comes; the generator is at its end afterwards, as a cancelled one is."""
    with pytest.raises(TimeoutError):
        await following(watching, wait_s=wait_s)


async def after(watching: Watching, act: Callable[[], object], *, wait_s: float = 15.0) -> str:
    """What comes once somebody has done something while the folder is being watched."""
    coming = asyncio.ensure_future(following(watching, wait_s=wait_s))
    await asyncio.sleep(0.5)
    act()
    return await coming


@Polls
async def test_what_is_there_comes_first_in_order_then_what_arrives(tmp_path: Path, poll: bool) -> None:
    for name in ("b.pdf", "a.pdf", "sub/c.md"):
        old(tmp_path / name)
    async with aclosing(settled_files(tmp_path, settle_s=SETTLE_S, poll=poll)) as watching:
        assert [await following(watching) for _ in range(3)] == ["a.pdf", "b.pdf", "c.md"]
        assert await after(watching, lambda: (tmp_path / "new.pdf").write_bytes(b"%PDF-")) == "new.pdf"


async def test_a_folder_may_be_named_from_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with aclosing(settled_files(Path(), settle_s=SETTLE_S)) as watching:
        assert await after(watching, lambda: (tmp_path / "new.pdf").write_bytes(b"%PDF-")) == "new.pdf"


async def test_a_file_that_grows_is_left_alone_until_it_rests(tmp_path: Path) -> None:
    growing = tmp_path / "a.pdf"

    async def write() -> None:
        for _ in range(24):
            with growing.open("ab") as file:
                file.write(b"x" * 500)
            await asyncio.sleep(0.1)

    async with aclosing(settled_files(tmp_path, settle_s=1.5)) as watching:  # much longer than a busy machine's pauses
        writing = asyncio.ensure_future(write())
        assert await following(watching, wait_s=15) == "a.pdf"
        assert writing.done(), "it was given while somebody wrote to it"
        assert growing.stat().st_size == 12_000


@pytest.mark.parametrize("name", ["a.pdf.part", "a.pdf.crdownload", "~$a.pdf", ".a.pdf", "._a.pdf", "a.docx", "a.tmp"])
async def test_what_is_not_finished_or_not_ours_never_comes(tmp_path: Path, name: str) -> None:
    old(tmp_path / name)
    async with aclosing(settled_files(tmp_path, settle_s=0.1)) as watching:
        await quiet(watching, 0.8)


async def test_a_download_that_gets_its_name_comes_under_it(tmp_path: Path) -> None:
    part = old(tmp_path / "a.pdf.part")
    async with aclosing(settled_files(tmp_path, settle_s=SETTLE_S)) as watching:
        assert await after(watching, lambda: part.rename(tmp_path / "a.pdf")) == "a.pdf"


async def test_a_folder_that_is_moved_in_comes_with_its_files(tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    old(tmp_path / "outside/deep/a.pdf")
    async with aclosing(settled_files(watched, settle_s=SETTLE_S)) as watching:
        assert await after(watching, lambda: (tmp_path / "outside").rename(watched / "inside")) == "a.pdf"


async def test_a_changed_file_comes_again_and_an_unchanged_one_does_not(tmp_path: Path) -> None:
    file = old(tmp_path / "a.pdf")
    async with aclosing(settled_files(tmp_path, settle_s=SETTLE_S)) as watching:
        assert await following(watching) == "a.pdf"
        assert await after(watching, lambda: file.write_bytes(b"%PDF- and more")) == "a.pdf"
        await quiet(watching)


async def test_a_file_that_is_deleted_while_it_is_waited_for_is_forgotten(tmp_path: Path) -> None:
    def come_and_go() -> None:
        (tmp_path / "gone.pdf").write_bytes(b"%PDF-")
        (tmp_path / "gone.pdf").unlink()
        (tmp_path / "stays.pdf").write_bytes(b"%PDF-")

    async with aclosing(settled_files(tmp_path, settle_s=SETTLE_S)) as watching:
        assert await after(watching, come_and_go) == "stays.pdf"


async def test_loops_of_links_end_and_dead_links_and_pipes_are_nothing(tmp_path: Path) -> None:
    old(tmp_path / "sub/a.pdf")
    (tmp_path / "sub/loop").symlink_to(tmp_path)
    (tmp_path / "dead.pdf").symlink_to(tmp_path / "nowhere.pdf")
    os.mkfifo(tmp_path / "pipe.pdf")
    async with aclosing(settled_files(tmp_path, settle_s=0.1)) as watching:
        assert await following(watching) == "a.pdf"
        await quiet(watching)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
async def test_an_unreadable_file_is_said_once_and_taken_when_it_can_be_read(tmp_path: Path) -> None:
    file = old(tmp_path / "a.pdf")
    file.chmod(0)
    async with aclosing(settled_files(tmp_path, settle_s=SETTLE_S)) as watching:
        assert await following(watching) == "a.pdf: it cannot be read: Permission denied"
        assert await after(watching, lambda: file.chmod(0o600)) == "a.pdf"


async def test_a_folder_that_goes_is_said_once_and_waited_for(tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    old(watched / "a.pdf")

    def come_back() -> None:
        watched.mkdir()
        (watched / "b.pdf").write_bytes(b"%PDF-")

    async with aclosing(settled_files(watched, settle_s=SETTLE_S)) as watching:
        assert await following(watching) == "a.pdf"
        assert "the folder is gone" in await after(watching, lambda: shutil.rmtree(watched))
        assert await after(watching, come_back) == "b.pdf"


async def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    stop = asyncio.Event()
    coming = asyncio.ensure_future(anext(settled_files(tmp_path, stop=stop, settle_s=0.2), None))
    await asyncio.sleep(0.3)
    stop.set()
    assert await asyncio.wait_for(coming, 5) is None


async def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FolioError, match="there is no such folder"):
        await anext(settled_files(tmp_path / "missing"))


async def test_thousands_of_files_come_without_a_look_at_each_at_every_tick(tmp_path: Path) -> None:
    for number in range(3000):
        old(tmp_path / f"{number % 10}/{number:05}.pdf")
    async with aclosing(settled_files(tmp_path, settle_s=0.2)) as watching:
        names = [await following(watching) for _ in range(3000)]
        spent = os.times().user + os.times().system
        await quiet(watching, 1.5)
    assert len(set(names)) == 3000
    assert os.times().user + os.times().system - spent < 0.5


@pytest.mark.parametrize(
    ("path", "glob", "expected"),
    [
        ("a/b/report.pdf", "*.PDF", True),
        ("a/b/report.pdf", "report.*", True),
        ("drafts/a.pdf", "drafts", True),
        ("a/drafts/b/c.pdf", "drafts/", True),
        ("2025/a/b.pdf", "2025/**", True),
        ("2025/b.pdf", "2025/*.pdf", True),
        ("2025/a/b.pdf", "2025/*.pdf", False),
        ("x/2025/b.pdf", "2025/*.pdf", False),
        ("x/2025/b.pdf", "**/2025/*.pdf", True),
        ("2025/b.pdf", "**/2025/*.pdf", True),
        ("a.pdf", "?.pdf", True),
        ("a+b.pdf", "a+b.pdf", True),
        ("aab.pdf", "a+b.pdf", False),
    ],
)
def test_globs_mean_what_people_expect(path: str, glob: str, expected: bool) -> None:
    assert matches(PurePath(path), glob) is expected


def test_a_folder_gives_what_folio_reads_and_what_was_asked_for(tmp_path: Path) -> None:
    for name in ("b.PDF", "a.md", "c.docx", ".hidden.pdf", ".git/x.pdf", "drafts/d.pdf", "sub/e.jpeg", "sub/f.json"):
        old(tmp_path / name)

    def names(*include: str, exclude: tuple[str, ...] = ()) -> list[str]:
        return [str(path.relative_to(tmp_path)) for path in chosen_files(tmp_path, include, exclude)]

    assert names() == ["a.md", "b.PDF", "drafts/d.pdf", "sub/e.jpeg"]
    assert names(exclude=("drafts", "*.md")) == ["b.PDF", "sub/e.jpeg"]
    assert names("*.json", "sub/*.jpeg") == ["sub/e.jpeg", "sub/f.json"]
    assert names("*.pdf", exclude=("**/d.*",)) == ["b.PDF"]


def test_hidden_parts_of_the_path_to_the_folder_do_not_count(tmp_path: Path) -> None:
    old(tmp_path / ".cache/inbox/a.pdf")
    assert [path.name for path in chosen_files(tmp_path / ".cache/inbox")] == ["a.pdf"]
    assert Choice().enters(PurePath("sub"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root lists everything")
def test_a_folder_that_cannot_be_listed_is_an_error_or_told(tmp_path: Path) -> None:
    old(tmp_path / "a.pdf")
    (tmp_path / "closed").mkdir(mode=0)
    told: list[str] = []
    assert len(list(chosen_files(tmp_path, trouble=lambda path, _: told.append(path.name)))) == 1
    assert told == ["closed"]
    with pytest.raises(FolioError, match="closed"):
        list(chosen_files(tmp_path))
