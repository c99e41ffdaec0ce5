"""What every blob store promises, one class run against every adapter; then what a folder promises besides."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from folio.blobs import Blobs
from folio.errors import Cause, Gone, Permanent
from infra.folder_blobs import FOLDER_OF_UNFINISHED, FolderBlobs

ADAPTERS: dict[str, Callable[[Path], Blobs]] = {"folder": lambda path: FolderBlobs(path / "blobs")}


@pytest.fixture(params=ADAPTERS)
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return ADAPTERS[request.param](tmp_path)


class TestBlobs:
    async def test_bytes_come_back_under_their_hash(self, blobs: Blobs) -> None:
        for content in (b"", b"page", os.urandom(3_000_000)):
            sha256 = await blobs.put(content)
            assert sha256 == hashlib.sha256(content).hexdigest()
            assert await blobs.get(sha256) == content
            assert await blobs.exists(sha256)
            async with blobs.local(sha256) as path:
                assert path.read_bytes() == content

    async def test_a_file_is_stored_like_its_bytes(self, blobs: Blobs, tmp_path: Path) -> None:
        content = os.urandom(2_500_000)
        (tmp_path / "a.pdf").write_bytes(content)
        assert await blobs.put_file(tmp_path / "a.pdf") == await blobs.put(content)
        assert await blobs.put_file(tmp_path / "a.pdf") == hashlib.sha256(content).hexdigest()
        assert (tmp_path / "a.pdf").exists()

    async def test_the_same_content_is_stored_once_and_listed_with_its_size(self, blobs: Blobs) -> None:
        for content in (b"one", b"three", b"one"):
            await blobs.put(content)
        listed = [blob async for blob in blobs.list()]
        assert sorted(blob.size_bytes for blob in listed) == [3, 5]
        assert all(abs(blob.modified_s - time.time()) < 60 for blob in listed)

    async def test_what_is_not_there_is_gone(self, blobs: Blobs) -> None:
        sha256 = hashlib.sha256(b"x").hexdigest()
        assert not await blobs.exists(sha256)
        with pytest.raises(Gone):
            await blobs.get(sha256)
        with pytest.raises(Gone):
            async with blobs.local(sha256):
                pass
        assert [blob async for blob in blobs.list()] == []

    @pytest.mark.parametrize("name", ["", "../../etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", "a" * 62 + "/b"])
    async def test_a_hash_is_never_a_path(self, blobs: Blobs, name: str) -> None:
        for call in (blobs.get, blobs.exists):
            with pytest.raises(ValueError, match="sha256"):
                await call(name)
        with pytest.raises(ValueError, match="sha256"):
            async with blobs.local(name):
                pass


class TestFolderBlobs:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> FolderBlobs:
        return FolderBlobs(tmp_path)

    async def test_damaged_bytes_are_never_handed_out_as_good(self, folder: FolderBlobs) -> None:
        sha256 = await folder.put(b"good")
        async with folder.local(sha256) as path:
            path.write_bytes(b"evil")
        with pytest.raises(Permanent) as raised:
            await folder.get(sha256)
        assert raised.value.cause is Cause.CORRUPT

    async def test_the_sweep_takes_what_is_old_and_unreferenced_only(self, folder: FolderBlobs) -> None:
        kept, old, fresh, again = [await folder.put(content) for content in (b"kept", b"old", b"fresh", b"again")]
        for sha256 in (kept, old, again):
            async with folder.local(sha256) as path:
                os.utime(path, (1, 1))
        await folder.put(b"again")  # its record is on its way to the log
        assert await folder.sweep({kept}, older_than_s=3600) == 1
        assert {blob.sha256 async for blob in folder.list()} == {kept, fresh, again}
        assert await folder.sweep({kept}, older_than_s=0) == 2

    async def test_what_a_crash_left_unfinished_is_no_blob_and_is_swept(
        self, folder: FolderBlobs, tmp_path: Path
    ) -> None:
        await folder.put(b"whole")
        half = tmp_path / FOLDER_OF_UNFINISHED / "half"
        half.write_bytes(b"ha")
        os.utime(half, (1, 1))
        assert len([blob async for blob in folder.list()]) == 1
        assert await folder.sweep(set(), older_than_s=3600) == 0
        assert not half.exists()

    async def test_a_failed_put_leaves_nothing_behind(self, folder: FolderBlobs, tmp_path: Path) -> None:
        with pytest.raises(IsADirectoryError):
            await folder.put_file(tmp_path)
        with pytest.raises(FileNotFoundError):
            await folder.put_file(tmp_path / "missing")
        await folder.put(b"x")
        assert list((tmp_path / FOLDER_OF_UNFINISHED).iterdir()) == []
