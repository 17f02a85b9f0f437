"""What can lie where a journal's files belong: each part of its folder in each of six states.

A sample of a journal is recorded once by the daemon: `QUIET` entries and a clean stop, then `LATER` more
and a kill, so that the main file holds some and the write-ahead log the rest. A cell begins with that,
and puts a part of it into another state.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from tests.daemon.harness import RunningDaemon

State = Literal["absent", "empty", "cut", "whole", "unreadable", "foreign"]
Part = Literal["main", "wal", "shm", "marker", "reserve", "aside", "reader"]
STATES: Final[tuple[State, ...]] = ("absent", "empty", "cut", "whole", "unreadable", "foreign")
PARTS: Final[tuple[Part, ...]] = ("main", "wal", "shm", "marker", "reserve", "aside", "reader")
NAMES: Final[dict[Part, str]] = {
    "main": "events.db",
    "wal": "events.db-wal",
    "shm": "events.db-shm",
    "marker": "events.db.damaged",
    "reserve": "events.db.reserve",
    "aside": "events.db.corrupt-20200101T000000Z",
}
AS_KILLED: Final[dict[Part, State]] = {
    "main": "whole",
    "wal": "whole",
    "shm": "whole",
    "marker": "absent",
    "reserve": "whole",
    "aside": "absent",
    "reader": "absent",
}
"""A daemon was killed, and nobody has touched anything since."""
QUIET, LATER = 60, 60

READER: Final = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None)
if sys.argv[2] == "holds":
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM log").fetchone()
else:
    connection.execute("SELECT count(*) FROM log").fetchone()
print("there", flush=True)
sys.stdin.read()
"""


class Sample(Struct):
    """The files of a journal whose daemon was killed, and of one whose daemon was stopped while a
    reader held a snapshot."""

    killed: Path
    stopped: Path


def sample(daemon: RunningDaemon, folder: Path) -> Sample:
    """Have a daemon record, and keep what it leaves."""
    state = daemon.database.parent
    _record(daemon, QUIET)
    assert daemon.stop() == 0
    _record(daemon, LATER)
    daemon.kill()
    shutil.copytree(state, folder / "killed")
    daemon.start()
    with reading(state, "whole"):
        assert daemon.stop() == 0
        shutil.copytree(state, folder / "stopped")
    return Sample(folder / "killed", folder / "stopped")


def _record(daemon: RunningDaemon, count: int) -> None:
    daemon.start()
    with daemon.line() as line:
        events = [{"action": "cell.filled", "message": "x" * 900}] * count
        line.send(*events)
        assert all(answer["ok"] for answer in line.replies(count))


def seqs(folder: Path, copy: Path | None = None) -> set[int]:
    """The seqs of the journal in a folder, of a copy of it where it must not be touched."""
    if copy is not None:
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for part in ("main", "wal"):
            if (folder / NAMES[part]).exists():
                shutil.copy(folder / NAMES[part], copy)
        folder = copy
    connection = sqlite3.connect(folder / "events.db")
    try:
        return {seq for (seq,) in connection.execute("SELECT seq FROM log")}
    finally:
        connection.close()


# ── making them ─────────────────────────────────────────────────────────────────────────────────


def make(folder: Path, sample: Sample, states: dict[Part, State]) -> None:
    """Fill an empty folder. (`reader` is a process: see `reading`.)"""
    stopped = states["reader"] == "foreign"
    for part, name in NAMES.items():
        source = (sample.stopped if stopped else sample.killed) / name
        _put(folder / name, part, source, states[part])
    if any(states[part] != "absent" for part in ("main", "wal")):
        shutil.copy(sample.killed / "events.db.lock", folder)


def _put(file: Path, part: Part, source: Path, state: State) -> None:
    if state == "absent":
        return
    if state == "foreign":
        _foreign(file, part)
        return
    content = _whole(part, source)
    if content is None:
        return  # SQLite took it away at a clean end
    if part == "reserve":
        _allocate(file, len(content) if state != "empty" else 0, state == "cut")
    else:
        cut = len(content) * 5 // 9  # in the midst of a page, and of a frame
        file.write_bytes({"empty": b"", "cut": content[:cut]}.get(state, content))
    file.chmod(0 if state == "unreadable" else 0o640)


def _whole(part: Part, source: Path) -> bytes | None:
    if part == "marker":
        return b"damaged\n"
    if part == "aside":
        source = source.with_name(NAMES["main"])
    if part == "reserve":
        return bytes(1)
    return source.read_bytes() if source.exists() else None


def _allocate(file: Path, held: int, cut: bool) -> None:
    """The reserve is blocks, not bytes: a twentieth of the file system, as the daemon makes it."""
    stat = os.statvfs(file.parent)
    size = min(8 << 20, stat.f_blocks * stat.f_frsize // 20) // (2 if cut else 1)
    with file.open("wb") as opened:
        if held:
            os.posix_fallocate(opened.fileno(), 0, size)


def _foreign(file: Path, part: Part) -> None:
    """Somebody else's: another program's database, noise, a folder where a file belongs."""
    if part == "main":
        connection = sqlite3.connect(file)
        connection.execute("CREATE TABLE precious (a)")
        connection.executemany("INSERT INTO precious VALUES (?)", [("x" * 500,)] * 200)
        connection.commit()
        connection.close()
    elif part in ("wal", "shm"):
        file.write_bytes(random.Random(13).randbytes(40_000))
    elif part == "aside":
        file.mkdir()
    else:
        file.mkdir()
        (file / "precious").write_text("not ours")


@contextmanager
def reading(folder: Path, state: State) -> Iterator[None]:
    """The other process that a cell is about, while the block runs.

    `empty`: a connection without a transaction; `cut`: killed within one; `whole`: holds a snapshot;
    `unreadable`: the same from another pid namespace; `foreign`: the same over a clean stop.
    """
    if state == "absent":
        yield
        return
    command = [sys.executable, "-c", READER, str(folder / "events.db")]
    command.append("idle" if state == "empty" else "holds")
    if state == "unreadable":
        own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        command = ["unshare", *own, "--pid", "--fork", "--kill-child", *command]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    try:
        if state == "cut":
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        yield
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
