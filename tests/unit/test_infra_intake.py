"""Putting many documents in: a put waits for the ledger only where an earlier one could decide what it is."""

from pathlib import Path

import pytest

from folio.errors import Transient
from folio.records import Upload
from folio.topics import UPLOADS
from infra.folder_blobs import FolderBlobs
from infra.intake import Intake, Named
from infra.passwords import Passwords
from tests.memory_log import MemoryLog


@pytest.fixture
def intake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Intake:
    """Over a ledger that never reads."""
    monkeypatch.setattr("infra.intake.SETTLED_S_MAX", 0.3)
    blobs = FolderBlobs(tmp_path / "blobs")
    return Intake(
        MemoryLog(), blobs, tmp_path / "ledger.sqlite", group="ledger", file_bytes_max=1 << 20, passwords=Passwords()
    )


def file(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(name)
    return path


async def test_files_of_other_names_need_not_wait_for_the_ledger(intake: Intake, tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf", "c.pdf"):
        path = file(tmp_path, name)
        done = await intake.put(path, Named(name=name, uri=path.as_uri()))
        assert (done.document, done.outcome) == (name, "new")
    async with intake._log.reader((UPLOADS,), None) as follower:
        found = await follower.read(entries_max=9, bytes_max=1 << 20, wait_s=1)
    assert [Upload.decode(entry.value).name for entry in found] == ["a.pdf", "b.pdf", "c.pdf"]


async def test_a_file_of_the_same_name_waits_until_the_ledger_can_tell_them_apart(
    intake: Intake, tmp_path: Path
) -> None:
    first = file(tmp_path, "a.pdf")
    await intake.put(first, Named(name="a.pdf", uri=first.as_uri()))
    other = file(tmp_path, "sub/a.pdf")
    with pytest.raises(Transient, match="nothing was recorded: the same again"):
        await intake.put(other, Named(name="a.pdf", uri=other.as_uri()))
    with pytest.raises(Transient, match="nothing was recorded: the same again"):
        await intake.delete("a.pdf")
