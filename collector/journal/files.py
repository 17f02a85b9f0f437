"""The journal's files: their names, what must be so before SQLite opens them, and making moves durable.

SQLite deletes a write-ahead log beside a database of 0 bytes, and says of a file that it may not
read only that it cannot open it. So both are looked at first, by name alone: nothing is opened here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import Final

from collector.errors import (
    EXIT_IOERR,
    EXIT_NOPERM,
    JournalError,
    JournalFull,
    JournalIOError,
    JournalMissing,
)

PARTS: Final = ("", "-wal", "-shm")
"""What is appended to a journal's name: the database, its write-ahead log, the log's index."""

INTENT: Final = ".intent"
"""Appended to a journal's name: the record of moves that are under way; see `intents`."""


def part(path: Path, end: str) -> Path:
    """The file beside `path` whose name has `end` appended."""
    return path.with_name(path.name + end)


def size_of(path: Path) -> int | None:
    """Bytes of a file; None where there is none. Raises `JournalIOError`."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refusal(path, error) from error


def is_locked(path: Path) -> bool:
    """Whether a process that we can see holds a lock on a file; it is not opened for that."""
    try:
        found = path.stat()
        locks = Path("/proc/locks").read_text()
    except OSError:
        return False
    major, minor = os.major(found.st_dev), os.minor(found.st_dev)
    return f" {major:02x}:{minor:02x}:{found.st_ino} " in locks


def check_main(path: Path) -> None:
    """Raise `JournalMissing` where a log with content has lost its database: opening would delete it."""
    if size_of(path):
        return
    wal = part(path, "-wal")
    if not size_of(wal):
        return
    what = "is missing" if size_of(path) is None else "has 0 bytes"
    raise JournalMissing(
        f"{path} {what} but its write-ahead log is there; nothing was touched. "
        f"Put the database back, or move {wal} away to start anew"
    )


def check_readable(path: Path) -> None:
    """Raise `JournalIOError` (77) for a part of a journal that this process may not read."""
    for each in (part(path, end) for end in PARTS):
        if size_of(each) is not None and not os.access(each, os.R_OK):
            raise JournalIOError(f"{each} may not be read; {way_in(each)}", EXIT_NOPERM)


def check_before_reading(path: Path) -> None:
    """Raise `JournalError` where there is no journal to read, or what must not be touched."""
    size = size_of(path)
    if size is None and size_of(part(path, INTENT)) is not None:
        raise JournalMissing(
            f"{path} is being moved, or that was interrupted; a start finishes it, and so does"
            " `collector restore`"
        )
    check_main(path)
    if size is None:
        raise JournalError(
            f"{path}: no journal is there; is the daemon running, or is --db missing?"
        )
    if not path.is_file():
        raise JournalError(f"{path}: not a regular file, and so no journal")
    check_readable(path)


def refusal(path: Path, error: OSError) -> JournalIOError:
    """The journal's error for one of the system's, with the way out where a permission is missing."""
    if isinstance(error, PermissionError):
        return JournalIOError(f"{path}: {error.strerror}; {way_in(path)}", EXIT_NOPERM)
    return JournalIOError(f"{path}: {error.strerror}", EXIT_IOERR)


def failure(path: Path, error: OSError) -> JournalError:
    """The same, where it may also be that no room is left."""
    return JournalFull(f"{path}: {error.strerror}") if is_full(error) else refusal(path, error)


def make_directory(directory: Path) -> None:
    """A directory of ours, mode 0750 where it is made. Raises `JournalError`."""
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise failure(directory, error) from error


def way_in(path: Path) -> str:
    """What gives somebody access to a file: the group to join, or what its mode lacks."""
    for barred in (*reversed(path.absolute().parents), path):
        directory = barred != path
        if os.access(barred, os.R_OK | os.X_OK if directory else os.R_OK):
            continue
        with contextlib.suppress(OSError):
            return _admission(barred, directory=directory)
    return "its owner and its group may"


def _admission(barred: Path, *, directory: bool) -> str:
    found = barred.stat()
    needed = stat.S_IRGRP | (stat.S_IXGRP if directory else 0)
    group = _group(found.st_gid)
    mode = stat.S_IMODE(found.st_mode)
    if mode & needed == needed:
        return f"join the group {group}: usermod --append --groups {group} USER, then log in anew"
    wanted = "0750" if directory else "0640"
    return (
        f"the mode of {barred} is {mode:04o}: chmod {wanted} lets the user {_user(found.st_uid)} and"
        f" the group {group} in, and usermod --append --groups {group} USER makes somebody a member"
    )


def _group(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


# ── making it durable ───────────────────────────────────────────────────────────────────────────


def sync_file(path: Path) -> None:
    """Bring a file's content to the disk."""
    _sync(path, os.O_RDONLY)


def sync_directory(directory: Path) -> None:
    """Bring a directory's entries to the disk: what was made, renamed and removed in it."""
    _sync(directory, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_full(error: OSError) -> bool:
    """Whether an error of the system's means that no room is left."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
