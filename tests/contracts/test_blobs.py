"""What every blob store promises, one class run against every adapter; then what a folder promises besides."""

import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from folio.blobs import Blobs
from folio.errors import Cause, Gone, Permanent, SettingsError, Transient
from infra.folder_blobs import FOLDER_OF_UNFINISHED, FolderBlobs
from infra.object_blobs import PART_BYTES, ObjectBlobs
from tests.s3_server import BUCKET, Objects, s3_server


@pytest.fixture(params=["folder", "memory", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Blobs]:
    with ExitStack() as stack:
        if request.param == "folder":
            yield FolderBlobs(tmp_path / "blobs")
        elif request.param == "memory":
            yield ObjectBlobs.at("memory:///", tmp_path)
        else:
            yield at_server(stack.enter_context(s3_server()), tmp_path, monkeypatch)


def at_server(server: Objects, scratch: Path, monkeypatch: pytest.MonkeyPatch, url: str = f"s3://{BUCKET}/a/b") -> Any:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return ObjectBlobs.at(url, scratch)


class TestBlobs:
    async def test_bytes_come_back_under_their_hash(self, blobs: Blobs) -> None:
        for content in (b"", b"page", os.urandom(3_000_000)):
            sha256 = await blobs.put(content)
            assert sha256 == hashlib.sha256(content).hexdigest()
            assert await blobs.get(sha256) == content
            assert await blobs.exists(sha256)
            async with blobs.local(sha256) as path:
                assert path.read_bytes() == content

    async def test_a_store_is_one_owner_s_and_the_record_of_it_is_no_blob(self, blobs: Blobs) -> None:
        assert await blobs.claim("first") == "first"
        assert await blobs.claim("second") == "first"
        assert await blobs.claim("first") == "first"
        assert [blob async for blob in blobs.list()] == []
        assert await blobs.sweep(set(), older_than_s=-60) == 0
        assert await blobs.claim("second") == "first"

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

    async def test_the_sweep_takes_what_is_unreferenced_only(self, blobs: Blobs) -> None:
        kept, dropped = [await blobs.put(content) for content in (b"kept", b"dropped")]
        assert await blobs.sweep({kept}, older_than_s=3600) == 0
        assert await blobs.sweep({kept}, older_than_s=-5) == 1
        assert (await blobs.exists(kept), await blobs.exists(dropped)) == (True, False)


@pytest.fixture
def server() -> Iterator[Objects]:
    with s3_server() as running:
        yield running


class TestObjectBlobs:
    @pytest.fixture
    async def store(
        self, server: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[ObjectBlobs]:
        return at_server(server, tmp_path / "scratch", monkeypatch)

    async def test_objects_lie_under_the_prefix_and_a_large_file_goes_in_parts(
        self, store: ObjectBlobs, server: Objects, tmp_path: Path
    ) -> None:
        content = os.urandom(2 * PART_BYTES + 5)
        (tmp_path / "scan.pdf").write_bytes(content)
        sha256 = await store.put_file(tmp_path / "scan.pdf")
        assert sha256 == hashlib.sha256(content).hexdigest()
        assert list(server.objects) == [f"a/b/{sha256[:2]}/{sha256}"]
        assert sum("partNumber" in request for request in server.requests) == 3
        async with store.local(sha256) as path:
            assert path.read_bytes() == content
        assert not path.exists()

    async def test_what_was_put_lately_is_not_sent_again_and_what_is_old_is(
        self, store: ObjectBlobs, server: Objects
    ) -> None:
        sha256 = await store.put(b"page")
        await store.put(b"page")
        assert sum(request.startswith("PUT") for request in server.requests) == 1
        (key,) = server.objects
        server.objects[key] = (b"page", 1.0)
        await store.put(b"page")
        assert await store.sweep(set(), older_than_s=3600) == 0
        assert await store.exists(sha256)

    async def test_damaged_bytes_are_never_handed_out_as_good(self, store: ObjectBlobs, server: Objects) -> None:
        sha256 = await store.put(b"good")
        (key,) = server.objects
        server.objects[key] = (b"evil", time.time())
        with pytest.raises(Permanent, match="changed"):
            await store.get(sha256)
        with pytest.raises(Permanent, match="changed"):
            async with store.local(sha256):
                pass

    async def test_a_store_that_is_away_is_waited_for(self, store: ObjectBlobs, server: Objects) -> None:
        sha256 = await store.put(b"page")
        server.down = True
        for call in (store.put(b"other"), store.get(sha256), store.exists(sha256), store.check()):
            with pytest.raises(Transient) as raised:
                await call
            assert raised.value.cause is Cause.BLOBS_DOWN
        server.down = False
        assert await store.get(sha256) == b"page"

    @pytest.mark.parametrize(
        ("variable", "value", "url"),
        [("AWS_ACCESS_KEY_ID", "nobody", f"s3://{BUCKET}"), ("AWS_REGION", "us-east-1", "s3://other")],
    )
    async def test_wrong_credentials_and_buckets_are_said_when_it_opens(
        self, variable: str, value: str, url: str, server: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at_server(server, tmp_path, monkeypatch)
        monkeypatch.setenv(variable, value)
        with pytest.raises(SettingsError, match=r"blobs\.url and its credentials"):
            await ObjectBlobs.at(url, tmp_path).check()

    def test_a_url_that_is_none_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"blobs\.url"):
            ObjectBlobs.at("bucket/without/scheme", tmp_path)


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

    async def test_a_blob_that_another_process_puts_again_while_it_is_swept_stays(
        self, folder: FolderBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sha256 = await folder.put(b"again")
        async with folder.local(sha256) as path:
            os.utime(path, (1, 1))
        rename = Path.rename

        def put_meanwhile(self: Path, target: Path) -> Path:
            monkeypatch.undo()
            os.utime(self)  # what a put of another process does to a blob that is there
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", put_meanwhile)
        assert await folder.sweep(set(), older_than_s=3600) == 0
        assert await folder.get(sha256) == b"again"
        assert list((tmp_path / FOLDER_OF_UNFINISHED).iterdir()) == []

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

    async def test_what_was_finished_while_the_sweep_looked_does_not_end_it(
        self, folder: FolderBlobs, tmp_path: Path
    ) -> None:
        await folder.put(b"whole")
        (tmp_path / FOLDER_OF_UNFINISHED / "gone").symlink_to(tmp_path / "nowhere")  # listed, and not there
        assert await folder.sweep(set(), older_than_s=3600) == 0

    async def test_a_failed_put_leaves_nothing_behind(self, folder: FolderBlobs, tmp_path: Path) -> None:
        with pytest.raises(IsADirectoryError):
            await folder.put_file(tmp_path)
        with pytest.raises(FileNotFoundError):
            await folder.put_file(tmp_path / "missing")
        await folder.put(b"x")
        assert list((tmp_path / FOLDER_OF_UNFINISHED).iterdir()) == []
