"""A journal whose sync fails while derived commits in its log are not synced, for strace to watch.

    python -m tests.crash.life_with_a_failed_sync DATABASE whole|first|second alone|reader [MUTANT]

It says on a socket what it acknowledges, and `SYNC` from where on a sync is to fail, the next one or a
later one. A reader holds a snapshot, in a process of its own, from before the derived commits until
the last part. The first part ends, as by kill -9, with a commit that fails; the second is a start.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from collector.errors import JournalError
from collector.event import Draft
from tests.journal.world import World, rooms

READER: Final = """
import sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM log").fetchone()
print(flush=True)
sys.stdin.read()
"""
LATER: Final = 40
"""Events acknowledged after the failure while the reader is there, one at a time."""


class Life:
    """One run, with its own socket."""

    def __init__(self, database: Path, mutant: str) -> None:
        self.database = database
        if mutant == "start":
            rooms(True).connection.recovery.write_log_again = lambda *arguments: None
        self.w = World(database, small=True)
        self.here, self._there = socket.socketpair()
        self._there.setblocking(False)
        self._reader: subprocess.Popen[bytes] | None = None
        if mutant in MUTANTS:
            journal: Any = type(self.w.journal).__mro__[1]  # one of the rooms' second copies
            journal._mend = MUTANTS[mutant]

    def say(self, line: str) -> None:
        """One line that the trace shows."""
        self.here.sendall(line.encode())
        self._there.recv(1024)

    def record(self, count: int) -> bool:
        """Record events in one commit, and acknowledge them; whether they were stored."""
        drafts = [
            Draft(action="power.cut", object_id=f"{n}", message="x" * 200) for n in range(count)
        ]
        receipts = self.w.record(drafts)
        for receipt in receipts:
            if receipt.ok:
                self.say(f'{{"ok":true,"seq":{receipt.seq}')
        return all(receipt.ok for receipt in receipts)

    def store(self, count: int) -> None:
        """Record events, again and again until they are stored."""
        for _ in range(5):
            if self.record(count):
                return
            self.w.now += 10  # a failing disk is left alone for less than that
        raise AssertionError(self.w.intake.failing.error)

    def derive(self) -> None:
        """Let the followers commit, without a sync, as far as they come."""
        try:
            self.w.follow()
        except JournalError:
            self.w.jobs.clear()

    def checkpoint(self) -> None:
        """Try a checkpoint, as the janitor does."""
        with suppress(JournalError):
            self.w.journal.checkpoint()

    def read(self) -> None:
        """Begin to hold a snapshot."""
        self._reader = subprocess.Popen(
            [sys.executable, "-c", READER, str(self.database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._reader.stdout is not None
        self._reader.stdout.readline()

    def stop_reading(self) -> None:
        """Give the snapshot up."""
        if self._reader is not None:
            self._reader.communicate()

    def begin(self, reader: bool) -> None:
        """Everything up to where a sync is to fail."""
        for _ in range(3):
            self.store(70)
            self.derive()
        self.checkpoint()
        self.store(30)
        if reader:
            self.read()
        self.store(70)
        self.checkpoint()
        self.store(30)
        self.derive()
        self.say("SYNC")

    def go_on(self) -> None:
        """Acknowledge more, with the reader, then without."""
        self.store(60)
        for _ in range(LATER):
            self.store(1)
        self.derive()
        self.checkpoint()
        self.store(1)
        self.stop_reading()
        self.store(1)
        self.checkpoint()
        self.store(20)
        self.derive()
        self.checkpoint()
        self.derive()
        self.store(1)
        self.w.close()


def _no_mending(journal: Any) -> None:
    journal._doubtful = False


def _checkpoint_first(journal: Any) -> None:
    """As it was before: a checkpoint, whether or not it comes to the end."""
    journal.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    journal._doubtful = False


def _empty_first(journal: Any) -> None:
    """A checkpoint that has to come to the end, and lets the log start anew."""
    assert not journal.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    journal._doubtful = False


MUTANTS: Final = {"none": _no_mending, "passive": _checkpoint_first, "emptied": _empty_first}


def main(database: str, part: str, reader: str, mutant: str = "") -> None:
    """Live the part of the life that is asked for."""
    life = Life(Path(database), mutant)
    if part != "second":
        life.begin(reader == "reader")
    if part == "first":
        life.record(60)
        os._exit(0)
    life.go_on()


if __name__ == "__main__":
    main(*sys.argv[1:])
