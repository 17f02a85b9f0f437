"""Who holds a snapshot of a journal: read from `/proc/locks`, without a look at the journal's files.

A reader in WAL mode has a shared lock on one of the bytes 123 to 127 of the `-shm` (WAL_READ_LOCK 0
to 4, https://www.sqlite.org/walformat.html#wal_locks), and the kernel lists every lock with its
owner. The file itself is only asked for its number: opening and closing it in a process that has
the journal open would drop all of SQLite's locks there.

The kernel does not list owners that the process's own pid namespace does not show. Who knows that a
reader is in the way and finds nobody knows that one is elsewhere: `described` calls that "unknown".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from collector.journal.files import part

FIRST_BYTE: Final = 123
LAST_BYTE: Final = 127
"""The locks that readers hold for as long as they look at a snapshot."""
PROC: Final = Path("/proc")
SHOWN: Final = 4
"""Readers that are named; the rest is counted."""

_LOCK: Final = re.compile(
    r"\d+: POSIX +\S+ +READ +(-?\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) (\d+) (\d+|EOF)$"
)
"""A line of `/proc/locks` (proc_locks(5)); one that only waits has an arrow before its kind."""
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_VERB: Final = re.compile(r"[a-z]{2,20}")


class Holder(Struct, frozen=True):
    """A process that holds a snapshot: `pid` None where it is of another pid namespace.

    `comm` is the command's name as the kernel knows it, `verb` that of our own command line; each is
    "" where there is none to be read.
    """

    pid: int | None
    comm: str = ""
    verb: str = ""

    def __str__(self) -> str:
        if self.pid is None:
            return "an unknown reader (of another pid namespace)"
        name = f"collector {self.verb}" if self.verb else self.comm
        return f"pid {self.pid} ({name})" if name else f"pid {self.pid}"


UNKNOWN: Final = Holder(None)


def holders(path: Path, proc: Path = PROC) -> list[Holder]:
    """The processes that hold a snapshot of the journal at `path` just now, each once, by pid.

    Empty where there are none, where all are of other pid namespaces, and where `/proc/locks` may
    not be read. This process is one of them while a reader of its own is in the midst of an answer.
    """
    shm = part(path, "-shm")
    try:
        stat = shm.stat()
        locks = (proc / "locks").read_text("ascii", "replace")
    except OSError:
        return []
    devices = set(_devices(shm, stat.st_dev, proc))
    pids = {
        max(0, pid)
        for pid, device, inode in _held(locks)
        if inode == stat.st_ino and device in devices
    }
    return [_holder(pid, proc) if pid else UNKNOWN for pid in sorted(pids)]


def described(found: Sequence[Holder]) -> str:
    """Who is in the way, for people; asked where it is known that somebody is."""
    shown = [str(each) for each in found[:SHOWN]] or [str(UNKNOWN)]
    more = len(found) - SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _held(locks: str) -> Iterator[tuple[int, tuple[int, int], int]]:
    """Owner, device and inode of each shared lock on a reader's byte."""
    for line in locks.splitlines():
        found = _LOCK.match(line)
        if found is None:
            continue
        pid, major, minor, inode, first, last = found.groups()
        if int(first) <= LAST_BYTE and (last == "EOF" or int(last) >= FIRST_BYTE):
            yield int(pid), (int(major, 16), int(minor, 16)), int(inode)


def _devices(file: Path, device: int, proc: Path) -> Iterator[tuple[int, int]]:
    """The numbers under which the kernel may list the device of a file.

    It lists the file system's; `stat` gives another where each subvolume has one of its own (btrfs),
    and those are anonymous.
    """
    yield os.major(device), os.minor(device)
    if not os.major(device):
        yield from _of_mount(str(file.parent.resolve()), proc)


def _of_mount(folder: str, proc: Path) -> Iterator[tuple[int, int]]:
    """The device of the file system that is mounted where `folder` is."""
    best, number = "", ""
    try:
        lines = (proc / "self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split(" ")
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4])
        inside = folder == point or folder.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # of two mounted over each other the later is seen
            best, number = point, fields[2]
    if number:
        major, minor = number.split(":")
        yield int(major), int(minor)


def _holder(pid: int, proc: Path) -> Holder:
    words = _read(proc / str(pid) / "cmdline").split("\0")
    return Holder(pid, _read(proc / str(pid) / "comm").rstrip("\n"), _verb(words))


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(4096).decode("utf-8", "replace")
    except OSError:
        return ""  # it is gone, or somebody else's and hidden


def _verb(words: Sequence[str]) -> str:
    """The verb of a command line of ours, started by its name or as a module; "" for any other."""
    at = 0
    if os.path.basename(words[0]).startswith("python"):
        at = next((i for i, word in enumerate(words) if i and not word.startswith("-")), 0)
    verb = words[at + 1] if at + 1 < len(words) else ""
    ours = os.path.basename(words[at]) == "collector"
    return verb if ours and _VERB.fullmatch(verb) else ""
