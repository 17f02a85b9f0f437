"""Two independent looks at a journal that SQLite calls damaged, taken in a process of their own.

SQLite reports some reads that failed as damage, so its word alone is no verdict. The first look is a
fresh connection that checks every page, every text and the facts that a start rests on. The second
reads every byte plainly, and then has SQLite judge them through a memory map: without a read call,
without a lock, without the write-ahead log.

The daemon must not open and close the file beside its own connection (it would lose its locks), and a
bad sector may kill whoever maps it. So `python -m collector.journal.looking PATH` looks, and prints
what it found; `command` is how to start it.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from collector.errors import (
    JournalCorrupt,
    JournalDamaged,
    JournalError,
    JournalIOError,
)
from collector.journal.connection import UNREADABLE
from collector.journal.files import part
from collector.journal.verifying import unreadable_parts

Look = Literal["sound", "damaged", "unreadable"]
BYTES: Final = 1 << 20
"""What is read at once."""
POLL: Final = 10.0
"""Seconds between two calls of `waiting` while a look goes on."""
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Findings(msgspec.Struct):
    """What each look has found, and of the first that found something the words for it."""

    connection: Look
    plain: Look
    text: str = ""

    @property
    def damaged(self) -> bool:
        """Whether both have found damage."""
        return self.connection == self.plain == "damaged"

    @property
    def sound(self) -> bool:
        """Whether neither has found anything: a read failed that does not fail again."""
        return self.connection == self.plain == "sound"

    def error(self, path: Path, reported: JournalCorrupt) -> JournalError:
        """What a report of damage comes to: `JournalDamaged`, or an error of the disk's (74)."""
        if self.damaged:
            return JournalDamaged(f"{reported} ({self.text})" if self.text else str(reported))
        if "unreadable" in (self.connection, self.plain):
            return JournalIOError(f"{path}: cannot be read: {self.text or reported}")
        if self.sound:
            return JournalIOError(f"{reported}, but two looks at the file find it sound")
        return JournalIOError(
            f"{reported}, but of two looks at the file only one finds it damaged ({self.text});"
            f" nothing was set aside. If `collector verify` finds it damaged too, remove the doubt"
            f" with: touch {path}.damaged"
        )


UNKNOWN: Final = Findings("unreadable", "unreadable", "the looks at it came to no end")
"""Where the process that looks was killed (a bad sector of a mapped file does that) or never began."""


# ── from outside ────────────────────────────────────────────────────────────────────────────────


def command(path: Path) -> tuple[list[str], Mapping[str, str]]:
    """The arguments and environment of a process that looks at `path`."""
    return [sys.executable, "-P", "-m", __name__, os.fspath(path.absolute())], home_environment()


def home_environment() -> Mapping[str, str]:
    """The environment of a Python process that imports the same collector as this one."""
    home = str(Path(__file__).parents[2])
    found = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{home}{os.pathsep}{found}" if found else home}


def parse(output: bytes) -> Findings:
    """What a process that looked has printed."""
    try:
        return msgspec.json.decode(output, type=Findings)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return UNKNOWN


def look_and_wait(path: Path, waiting: Callable[[], None] = lambda: None) -> Findings:
    """Have a process look, and wait for it; `waiting` is called every ten seconds meanwhile."""
    arguments, environment = command(path)
    try:
        with subprocess.Popen(
            arguments, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as process:
            while True:
                try:
                    output, _ = process.communicate(timeout=POLL)
                    return parse(output)
                except subprocess.TimeoutExpired:
                    waiting()
                except BaseException:
                    process.kill()
                    raise
    except OSError:
        return UNKNOWN


# ── in the process that looks ───────────────────────────────────────────────────────────────────


def look(path: Path) -> Findings:
    """Both looks, one after the other."""
    first, said = by_connection(path)
    second, also = plainly(path)
    return Findings(first, second, said or also)


def by_connection(path: Path) -> tuple[Look, str]:
    """What a fresh connection says that checks every page, the write-ahead log's among them."""
    return _checked(path, "mode=ro")


def plainly(path: Path) -> tuple[Look, str]:
    """What a plain read of every byte shows, and SQLite's judgement of them as mere memory."""
    try:
        size = _read(path)
        wal = part(path, "-wal")
        logged = _read(wal) if wal.exists() else 0
    except OSError as error:
        return "unreadable", f"{error.strerror}"
    return _checked(path, "mode=ro&immutable=1", mapped=size, whole=not logged)


def _read(path: Path) -> int:
    """Read a file to its end; its size in bytes."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        at = 0
        while data := os.pread(descriptor, BYTES, at):
            at += len(data)
        return at
    finally:
        os.close(descriptor)


def _checked(path: Path, mode: str, *, mapped: int = 0, whole: bool = True) -> tuple[Look, str]:
    """What SQLite makes of a file; where it is not `whole`, what is missing may be in the log."""
    uri = f"file:{quote(os.fspath(path.absolute()))}?{mode}"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA mmap_size = {mapped}")
            connection.execute("PRAGMA trusted_schema = OFF")
            for problem in unreadable_parts(connection, whole=whole):
                return "damaged", problem
    except sqlite3.Error as error:
        damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE
        return "damaged" if damaged else "unreadable", str(error)
    except UNREADABLE as error:
        return "damaged", f"{type(error).__name__}: {error}"
    return "sound", ""


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(look(Path(sys.argv[1]))))
