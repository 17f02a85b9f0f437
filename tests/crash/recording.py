"""Records what programs do to the files of a folder, and what they acknowledge, in one order.

`recorder.c` is compiled with the machine's own compiler and loaded into each program by LD_PRELOAD; what
it writes down is read here as `Call`s. The test itself adds marks (`note`): what it asked for, and when.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

_HEAD: Final = struct.Struct("<IBBHIiq")
OPEN, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, LINK, TOLD, MARK, SYNC_FOLDER = range(1, 12)
NAMES: Final = {
    OPEN: "open",
    WRITE: "write",
    TRUNCATE: "truncate",
    SYNC: "sync",
    RENAME: "rename",
    UNLINK: "unlink",
    MKDIR: "mkdir",
    LINK: "link",
    TOLD: "told",
    MARK: "mark",
    SYNC_FOLDER: "sync of the folder",
}
SOURCE: Final = Path(__file__).with_name("recorder.c")


class Call(NamedTuple):
    """One call that succeeded, a sync that did not, an acknowledgement, or a mark of the test's."""

    kind: int
    pid: int = 0
    fd: int = -1
    at: int = 0
    """Offset of a write, length after a truncation."""
    failed: bool = False
    created: bool = False
    data: bytes = b""
    """What was written or told; names, where there are two with a zero byte between."""


def compiled(folder: Path) -> Path | None:
    """The recorder, compiled into `folder`; None where the machine has no C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "recorder.so"
    subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl", "-lpthread"],
        check=True,
    )
    return library


class Recorder:
    """One recording: of `folder`, written to `log`. Programs take part by `environment`."""

    def __init__(self, library: Path, folder: Path, log: Path) -> None:
        self.folder, self.log = folder, log
        self.faults = log.with_name(log.name + ".faults")
        self.faults.mkdir()
        log.touch()
        self._library = library

    @property
    def environment(self) -> dict[str, str]:
        """What a program that is to be recorded needs in its environment."""
        return os.environ | {
            "LD_PRELOAD": str(self._library),
            "CRASH_RECORD_LOG": str(self.log),
            "CRASH_RECORD_FOLDER": str(self.folder),
            "CRASH_RECORD_FAULTS": str(self.faults),
        }

    def fail_syncs(self, which: str, count: int) -> None:
        """Let the next `count` syncs of `which` ("wal", "main", "other") fail with EIO."""
        temporary = self.faults / f".{which}"
        temporary.write_bytes(b"x" * count)
        temporary.rename(self.faults / which)

    def failing(self, which: str) -> int:
        """How many syncs are still to fail."""
        file = self.faults / which
        return file.stat().st_size if file.exists() else 0

    def note(self, **what: Any) -> None:
        """Add a mark to the recording."""
        data = json.dumps(what).encode()
        with self.log.open("ab", buffering=0) as log:
            log.write(_HEAD.pack(len(data), MARK, 0, 0, 0, -1, 0) + data)

    def calls(self) -> Iterator[Call]:
        """What was recorded so far."""
        return calls(self.log.read_bytes())


def calls(log: bytes) -> Iterator[Call]:
    """The calls of a recording; a last one that was cut off by `kill -9` is left out."""
    at = 0
    while at + _HEAD.size <= len(log):
        size, kind, failed, created, pid, fd, offset = _HEAD.unpack_from(log, at)
        at += _HEAD.size
        if at + size > len(log):
            return
        yield Call(kind, pid, fd, offset, bool(failed), bool(created), log[at : at + size])
        at += size
