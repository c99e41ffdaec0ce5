"""One owner of a data folder: found while it lives, forgotten when it dies."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.lock import ADDRESS_NAME, LOCK_NAME, Address, Owned, owner_of, owning, publish, withdraw

ADDRESS = Address(pid=1, host="127.0.0.1", port=7860, token="secret")


def test_a_second_owner_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    with owning(tmp_path), pytest.raises(Owned), owning(tmp_path):
        pass
    with owning(tmp_path):
        assert True, "and welcome afterwards"


def test_the_owner_is_found_by_its_address_and_forgotten_when_it_ends(tmp_path: Path) -> None:
    assert owner_of(tmp_path) is None
    with owning(tmp_path):
        publish(tmp_path, ADDRESS)
        assert owner_of(tmp_path) == ADDRESS
        assert (tmp_path / ADDRESS_NAME).stat().st_mode & 0o777 == 0o600
        assert (tmp_path / LOCK_NAME).stat().st_mode & 0o777 == 0o600
    assert owner_of(tmp_path) is None


def test_an_owner_that_does_not_listen_yet_is_waited_for_and_then_named(tmp_path: Path) -> None:
    with owning(tmp_path), pytest.raises(Owned, match="try again"):
        owner_of(tmp_path, wait_s=0.05)


def test_the_lock_of_a_killed_owner_is_free_and_its_address_is_stale(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib\n"
        "from infra.lock import *\n"
        "with owning(pathlib.Path(sys.argv[1])):\n"
        "    publish(pathlib.Path(sys.argv[1]), Address(1, 'h', 2, 't'))\n"
        "    print('up', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert owner_of(tmp_path) is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (tmp_path / ADDRESS_NAME).exists()
    assert owner_of(tmp_path) is None
    with owning(tmp_path):
        assert not (tmp_path / ADDRESS_NAME).exists()


def test_an_owner_that_ends_is_told_apart_from_one_that_begins(tmp_path: Path) -> None:
    heard: list[int] = []
    with owning(tmp_path):
        publish(tmp_path, ADDRESS)
        withdraw(tmp_path)
        with pytest.raises(Owned, match="is ending"):
            owner_of(tmp_path, wait_s=0.05, told=heard.append)
    assert heard == [os.getpid()]
    assert owner_of(tmp_path, told=heard.append) is None
