"""The socket's file: ours is replaced, any other is left alone, and nobody sees it half made."""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.errors import (
    EXIT_IOERR,
    EXIT_NOPERM,
    AlreadyRunning,
    ConfigError,
    JournalIOError,
    PathTaken,
)
from collector.paths import SUN_PATH_MAX
from collector.sources.socket_file import SocketFile
from tests.requirements import need_root


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
def made(path: Path) -> Iterator[SocketFile]:
    file = SocketFile(str(path), 0o660, None)
    yield file
    file.close()


def knock(path: Path) -> int:
    """What the kernel says to who connects: 0, or an error number."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        return probe.connect_ex(str(path))


def answers(path: Path) -> bool:
    return knock(path) == 0


def stale(path: Path) -> os.stat_result:
    """A socket that nobody listens on any more."""
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    return path.lstat()


def test_it_listens_with_its_mode_whatever_the_umask(path: Path) -> None:
    before = os.umask(0o077)
    try:
        file = SocketFile(str(path), 0o606, None)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o606
    assert answers(path)
    file.close()
    assert not path.exists()
    assert [name for name in os.listdir(path.parent) if name != "s.lock"] == []


def test_it_belongs_to_its_group(path: Path) -> None:
    groups = [gid for gid in os.getgroups() if gid != os.getegid()]
    if not groups:
        need_root()
        groups = [next(entry.gr_gid for entry in grp.getgrall() if entry.gr_gid != os.getegid())]
    file = SocketFile(str(path), 0o660, grp.getgrgid(groups[0]).gr_name)
    assert path.stat().st_gid == groups[0]
    file.close()


def test_a_group_that_is_not_there_is_a_mistake_of_the_configuration(path: Path) -> None:
    with pytest.raises(ConfigError, match="no group") as caught:
        SocketFile(str(path), 0o660, "no-such-group")
    assert caught.value.path == "sources.unix.group"
    SocketFile(str(path), 0o660, None).close()  # and the lock was let go


def test_nobody_ever_finds_it_with_other_permissions_or_not_listening(path: Path) -> None:
    modes: set[int] = set()
    codes: set[int] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            codes.add(knock(path))
            try:
                modes.add(stat.S_IMODE(path.lstat().st_mode))
            except FileNotFoundError:
                continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = os.umask(0)
    listening = []
    try:
        for _ in range(100):
            file = SocketFile(str(path), 0o600, None)
            listening.append(file.listener.dup())  # closing it is not what this is about
            file.close()
    finally:
        over.set()
        watcher.join()
        os.umask(before)
        for listener in listening:
            listener.close()
    assert modes == {0o600}
    # There and listening (or with a full backlog), or not there at all.
    assert codes <= {0, errno.EAGAIN, errno.ENOENT}


def test_a_stale_socket_is_replaced_in_one_step(path: Path) -> None:
    before = stale(path)
    file = SocketFile(str(path), 0o660, None)
    assert path.lstat().st_ino != before.st_ino
    assert answers(path)
    file.close()


def test_a_live_socket_of_another_program_is_left_alone(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(path))
        theirs.listen()
        with pytest.raises(AlreadyRunning):
            SocketFile(str(path), 0o660, None)
        assert answers(path)


def test_a_second_daemon_is_told_the_first_ones_pid(made: SocketFile, path: Path) -> None:
    with pytest.raises(AlreadyRunning) as caught:
        SocketFile(str(path), 0o660, None)
    assert caught.value.pid == os.getpid()
    assert answers(path)


@pytest.mark.parametrize("kind", ["file", "directory", "link to a socket", "dangling link", "fifo"])
def test_what_is_no_socket_is_left_alone(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(path.with_name("target"))
        if kind == "link to a socket":
            stale(path.with_name("target"))
    before = path.lstat()
    with pytest.raises(PathTaken, match=str(path)):
        SocketFile(str(path), 0o660, None)
    assert path.lstat() == before


AS_NOBODY = """
import os, sys
from collector.errors import CollectorError
from collector.sources.socket_file import SocketFile
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    SocketFile(sys.argv[1], 0o660, None)
except CollectorError as error:
    print(type(error).__name__, error.exit_code)
"""


def as_nobody(path: Path) -> str:
    """What happens to another user who tries to listen at `path`."""
    need_root()
    command = [sys.executable, "-c", AS_NOBODY, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_stale_socket_of_another_user_is_left_alone(path: Path, reachable: None) -> None:
    need_root()
    stale(path)
    os.chown(path, 1, 1)
    before = path.lstat()
    assert as_nobody(path) == "PathTaken 73"
    assert path.lstat() == before


def test_a_directory_that_is_not_ours_is_a_matter_of_permission(
    path: Path, reachable: None
) -> None:
    need_root()
    path.parent.chmod(0o755)
    assert as_nobody(path) == f"JournalIOError {EXIT_NOPERM}"
    assert not path.exists()


@pytest.fixture
def reachable(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.as_posix().startswith("/tmp/") and folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | 0o011)
    tmp_path.chmod(0o777)


def test_a_directory_that_is_not_there_is_an_input_output_error(path: Path) -> None:
    with pytest.raises(JournalIOError) as caught:
        SocketFile(str(path / "deeper"), 0o660, None)
    assert caught.value.exit_code == EXIT_IOERR


def test_a_path_as_long_as_the_kernel_allows_works_and_a_longer_one_is_refused(
    tmp_path: Path,
) -> None:
    folder = Path("/tmp") / f"c{os.getpid()}"
    folder.mkdir(mode=0o700)
    try:
        longest = folder / ("x" * (SUN_PATH_MAX - len(str(folder)) - 1))
        file = SocketFile(str(longest), 0o660, None)
        assert answers(longest)
        file.close()
        with pytest.raises(ConfigError) as caught:
            SocketFile(f"{longest}x", 0o660, None)
        assert caught.value.path == "sources.unix.path"
    finally:
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()


def test_at_the_end_only_its_own_file_goes(made: SocketFile, path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(path))
        theirs.listen()
        made.close()
        assert answers(path)
