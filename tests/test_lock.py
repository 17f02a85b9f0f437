"""The lock: one holder, whose pid is told, and never removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collector.errors import AlreadyRunning, JournalIOError
from collector.lock import LockFile


def test_a_second_holder_is_refused_with_the_firsts_pid(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.lock")
    with LockFile(path):
        with pytest.raises(AlreadyRunning) as caught:
            LockFile(path)
        assert caught.value.pid == os.getpid()
        assert caught.value.exit_code == 69
    LockFile(path).release()
    assert Path(path).exists()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalIOError):
        LockFile(str(tmp_path / "lock"))
    assert not (tmp_path / "elsewhere").exists()
