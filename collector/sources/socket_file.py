"""The socket's file: made with its final group and mode, never in the way of anything not ours.

The socket is bound inside a directory that only we can enter, gets its group and mode there, and is
moved to its place: there is no moment at which it stands there with other permissions, and a stale
socket is replaced in one step. That is done only under the socket's lock, and only over a socket
that nobody answers and that belongs to us.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import socket
import stat
import tempfile
from typing import Final

from collector.errors import (
    EXIT_IOERR,
    EXIT_NOPERM,
    AlreadyRunning,
    ConfigError,
    JournalIOError,
    PathTaken,
)
from collector.lock import LockFile
from collector.paths import SUN_PATH_MAX

BACKLOG: Final = 512


class SocketFile:
    """A listening socket at `path` and its lock. `close` removes the file, if it is still ours."""

    def __init__(self, path: str, mode: int, group: str | None) -> None:
        if len(os.fsencode(path)) > SUN_PATH_MAX:
            raise ConfigError(
                f"{path} is longer than the {SUN_PATH_MAX} bytes that a socket's path may have",
                "sources.unix.path",
            )
        self.path = path
        self._lock = LockFile(f"{path}.lock")
        try:
            clear_the_way(path)
            self.listener = _listen(path, mode, _group_id(group))
            self._inode = os.lstat(path).st_ino
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        """Stop listening, take the file away and let go of the lock."""
        self.listener.close()
        with contextlib.suppress(OSError):
            if os.lstat(self.path).st_ino == self._inode:
                os.unlink(self.path)
        self._lock.release()


def clear_the_way(path: str) -> None:
    """Check that a socket may be put at `path`. Raises `PathTaken`, `AlreadyRunning`."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise JournalIOError(f"{path}: {error.strerror}", _exit(error)) from error
    if not stat.S_ISSOCK(found.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a socket"
        raise PathTaken(f"{path} is {what}; move it away, or choose another sources.unix.path")
    if found.st_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
        raise PathTaken(f"{path} belongs to user {found.st_uid}; choose another sources.unix.path")
    if _answers(path):
        raise AlreadyRunning(path)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        code = probe.connect_ex(path)
    return code in (0, errno.EAGAIN, errno.EINPROGRESS, errno.EACCES)


def _group_id(group: str | None) -> int:
    if group is None:
        return -1
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(f"there is no group {group!r}", "sources.unix.group") from None


def _listen(path: str, mode: int, gid: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with tempfile.TemporaryDirectory(
            prefix=".collector-", dir=os.path.dirname(path)
        ) as private:
            place = os.path.join(private, "s")
            _bind(listener, private, place)
            if gid != -1:
                os.chown(place, -1, gid)
            os.chmod(place, mode)
            listener.listen(BACKLOG)
            listener.setblocking(False)
            os.rename(place, path)
    except PermissionError as error:
        listener.close()
        raise JournalIOError(f"{path}: {error.strerror}", EXIT_NOPERM) from error
    except OSError as error:
        listener.close()
        raise JournalIOError(f"{path}: {error.strerror or error}", EXIT_IOERR) from error
    except BaseException:
        listener.close()
        raise
    return listener


def _bind(listener: socket.socket, private: str, place: str) -> None:
    """Bind in the private directory, by way of its descriptor where its path would be too long."""
    if len(os.fsencode(place)) <= SUN_PATH_MAX:
        listener.bind(place)
        return
    directory = os.open(private, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{directory}/s")
    finally:
        os.close(directory)


def _exit(error: OSError) -> int:
    return EXIT_NOPERM if isinstance(error, PermissionError) else EXIT_IOERR
