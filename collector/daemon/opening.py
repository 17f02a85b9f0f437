"""Opening the journal for a daemon: its lock, its directory, and what to do with a damaged one."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from collector.errors import (
    EXIT_IOERR,
    EXIT_NOPERM,
    JournalCorrupt,
    JournalIOError,
)
from collector.journal.writer import Journal
from collector.lock import LockFile

MARKER: Final = ".damaged"
"""Appended to the journal's name: a file that makes the next start quarantine the journal."""
_PARTS: Final = ("", "-wal", "-shm")


class Opened(Struct):
    """An open journal, its lock, and where a damaged predecessor was put."""

    journal: Journal
    lock: LockFile
    quarantined: Path | None = None


def open_journal(
    path: Path,
    on_corrupt: Literal["quarantine", "fail"],
    *,
    now: Callable[[], float],
    patience: float = 5.0,
) -> Opened:
    """The journal at `path`, locked. Raises `AlreadyRunning`, `JournalError`, `PathTaken`."""
    make_directory(path.parent)
    lock = LockFile(f"{path}.lock")
    try:
        quarantined = None
        marker = path.with_name(path.name + MARKER)
        if marker.exists():
            if on_corrupt != "quarantine":
                raise JournalCorrupt(
                    f"{path} was found to be damaged; move it away or mend it, then remove {marker}"
                )
            quarantined = quarantine(path, now())
            marker.unlink()
        try:
            journal = Journal.open(path, patience=patience)
        except JournalCorrupt as damage:
            if on_corrupt != "quarantine":
                raise JournalCorrupt(
                    f'{damage}; move it away, or set storage.on_corrupt = "quarantine"'
                ) from damage
            quarantined = quarantine(path, now())
            journal = Journal.open(path, patience=patience)
    except BaseException:
        lock.release()
        raise
    return Opened(journal, lock, quarantined)


def quarantine(path: Path, now: float) -> Path:
    """Move a damaged database and what belongs to it aside, together; returns its new place."""
    stamp = dt.datetime.fromtimestamp(now, dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.corrupt-{stamp}-{number}")
    for part in _PARTS:
        source = path.with_name(path.name + part)
        if source.exists():
            source.rename(aside.with_name(aside.name + part))
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return aside


def mark_damaged(path: Path) -> None:
    """Make the next start quarantine the journal."""
    try:
        path.with_name(path.name + MARKER).touch()
    except OSError:
        pass  # the next start may find the damage by itself


def make_directory(directory: Path) -> None:
    """A directory of ours, mode 0750 where it is made. Raises `JournalIOError`."""
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        code = EXIT_NOPERM if isinstance(error, PermissionError) else EXIT_IOERR
        raise JournalIOError(f"{directory}: {error.strerror}", code) from error
