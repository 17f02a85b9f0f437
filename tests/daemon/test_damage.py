"""A read that fails, damage, lost files: no verdict from one error, and nothing is ever thrown away."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collector.daemon import failing
from collector.errors import (
    JournalCorrupt,
    JournalDamaged,
    JournalError,
    JournalIOError,
    JournalMissing,
)
from collector.journal import intents
from collector.journal.looking import Findings
from tests.crash.disk import WATCHING
from tests.daemon.harness import RunningDaemon, until
from tests.requirements import need_tool

Make = Callable[..., RunningDaemon]
GOOD = {"action": "thing.done", "message": "x" * 200}
COLLECTOR = (sys.executable, "-m", "collector")


def collector(*words: object) -> subprocess.CompletedProcess[str]:
    """One call of the command line; what it says is in `stderr`."""
    command = [*COLLECTOR, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def recorded(daemon: RunningDaemon, count: int = 1000) -> RunningDaemon:
    """The daemon with so many entries, stopped."""
    daemon.start()
    with daemon.line() as line:
        line.ask(*[GOOD] * count)
    assert daemon.stop() == 0
    return daemon


def set_aside(daemon: RunningDaemon) -> list[Path]:
    found = daemon.database.parent.glob("events.db.corrupt-*")
    return [file for file in found if not file.name.endswith(("-wal", "-shm"))]


def marker(daemon: RunningDaemon) -> Path:
    return daemon.database.with_name("events.db.damaged")


# ── one read error at start ─────────────────────────────────────────────────────────────────────


def test_a_read_error_at_start_never_sets_a_sound_journal_aside(make: Make, tmp_path: Path) -> None:
    """SQLite reports it as damage: every one of these set the journal aside when one look was enough."""
    strace = need_tool("strace")
    daemon = recorded(make())
    kept = tmp_path / "kept"
    shutil.copytree(daemon.database.parent, kept)
    reads = _reads_of_a_start(daemon, strace, tmp_path / "trace")
    ends: Counter[int] = Counter()
    for which in (f"{reads[2]}", f"{reads[len(reads) // 3]}", f"{reads[6]}+"):
        shutil.rmtree(daemon.database.parent)
        shutil.copytree(kept, daemon.database.parent)
        inject = ["-e", "trace=pread64", "-e", f"inject=pread64:error=EIO:when={which}"]
        daemon.spawn(prefix=[strace, *WATCHING, "-o", "/dev/null", *inject])
        until(lambda: daemon.process.poll() is not None or _answers(daemon), daemon.said)  # type: ignore[union-attr]
        ends[daemon.ended() if daemon.process.poll() is not None else daemon.stop()] += 1  # type: ignore[union-attr]
        assert set_aside(daemon) == []
        assert not marker(daemon).exists()
        assert "Traceback" not in daemon.said()
    assert set(ends) <= {0, 74}
    assert ends[74] >= 1
    daemon.start()
    assert daemon.stop() == 0
    assert len(daemon.entries("thing.done")) == 1000


def _answers(daemon: RunningDaemon) -> bool:
    try:
        return daemon.answers()
    except AssertionError:  # it has ended meanwhile
        return True


def _reads_of_a_start(daemon: RunningDaemon, strace: str, trace: Path) -> list[int]:
    """Which of a start's reads are the journal's, counted from 1."""
    daemon.start(prefix=[strace, *WATCHING, "-y", "-o", str(trace), "-e", "trace=pread64"])
    assert daemon.stop() == 0
    lines = [line for line in trace.read_text().splitlines() if "pread64(" in line]
    found = [number for number, line in enumerate(lines, 1) if "events.db>" in line]
    assert len(found) > 20
    return found


# ── and while running ───────────────────────────────────────────────────────────────────────────


class Watched:
    """`Failing` with looks that find what a test says, and what it does about it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path, *found: Findings) -> None:
        self.now, self.told, self.looks = 100.0, [], 0  # type: ignore[var-annotated]
        self._found = list(found)
        self.ended: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(failing, "_findings", self._look)
        self.failing = failing.Failing(path, lambda: self.now, self.ended, self._suspect)

    def _suspect(self, looking: bool, damage: JournalError | None) -> None:
        self.told.append((looking, damage))

    async def _look(self, path: Path) -> Findings:
        self.looks += 1
        await asyncio.sleep(0)
        return self._found.pop(0)

    async def note(self, since: float) -> None:
        self.failing.note(JournalCorrupt("events.db: malformed"), since)
        for _ in range(5):
            await asyncio.sleep(0)


def test_damage_is_believed_after_two_looks_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def run() -> None:
        path = tmp_path / "events.db"
        watched = Watched(monkeypatch, path, Findings("damaged", "sound"), Findings("damaged", "damaged"))  # fmt: skip # noqa: E501
        await watched.note(100)
        assert watched.told == [(True, None), (False, None)], "held back while it was looked at"
        assert not watched.ended.done()
        assert not path.with_name("events.db.damaged").exists()
        watched.now += 5
        await watched.note(100)
        assert watched.looks == 1, "a look reads the whole journal: not for every failure"
        watched.now += failing.LOOK_AGAIN
        await watched.note(100)
        assert isinstance(watched.ended.result(), JournalDamaged)
        assert isinstance(watched.told[-1][1], JournalDamaged)
        assert path.with_name("events.db.damaged").exists()

    asyncio.run(run())


def test_a_disk_that_cannot_be_read_ends_with_74_and_no_mark(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def run() -> None:
        watched = Watched(monkeypatch, tmp_path / "events.db", *[Findings("damaged", "unreadable")] * 9)  # fmt: skip # noqa: E501
        while not watched.ended.done():
            await watched.note(100)
            watched.now += 9
        error = watched.ended.result()
        assert isinstance(error, JournalIOError)
        assert error.exit_code == 74
        assert watched.now - 100 >= failing.GIVE_UP_AFTER
        assert os.listdir(tmp_path) == []

    asyncio.run(run())


def test_a_read_error_while_running_refuses_for_a_moment_and_goes_on(
    make: Make, tmp_path: Path
) -> None:
    strace = need_tool("strace")
    daemon = recorded(make())
    trace = tmp_path / "trace"
    daemon.start(prefix=[strace, *WATCHING, "-o", str(trace), "-e", "trace=pread64"])
    daemon.kill()
    count = trace.read_text().count("pread64(")
    # The killed run's log is read at this start besides, so this is an early one of the next life.
    daemon.start()
    assert daemon.stop() == 0
    inject = [
        "-e",
        "trace=pread64",
        "-e",
        f"inject=pread64:error=EIO:when={count + 3}..{count + 4}",
    ]
    daemon.start(prefix=[strace, *WATCHING, "-o", "/dev/null", *inject])
    codes: set[str | None] = set()
    foreign = sqlite3.connect(daemon.database, isolation_level=None)
    with daemon.line() as line:
        for number in range(40):
            # What is in the daemon's cache is read anew after a foreign write, which nobody should do.
            with contextlib.suppress(sqlite3.OperationalError):
                foreign.execute("INSERT OR REPLACE INTO facts VALUES ('foreign', ?)", (number,))
            until(lambda: _told(line.ask(GOOD), codes), daemon.said)
            if codes > {None}:
                break
    foreign.close()
    assert daemon.stop() == 0, daemon.said()
    assert codes == {None, "io_error"}, daemon.said()
    assert set_aside(daemon) == []
    assert not marker(daemon).exists()


def _told(answer: dict[str, Any], codes: set[str | None]) -> bool:
    codes.add(answer.get("code"))
    return bool(answer["ok"])


# ── set aside, and offered ──────────────────────────────────────────────────────────────────────


def test_what_was_set_aside_and_is_sound_is_offered_and_comes_back(make: Make) -> None:
    daemon = recorded(make(), 200)
    marker(daemon).touch()
    daemon.start()
    (aside,) = set_aside(daemon)
    until(lambda: daemon.status()["quarantined"][0]["sound"], daemon.said)
    assert daemon.status()["quarantined"] == [
        {"file": str(aside), "sound": True, "back_with": f"collector restore {aside}"}
    ]
    assert daemon.stop() == 0
    offered = collector("restore", "--db", daemon.database)
    assert offered.returncode == 2
    assert f"collector restore {aside}" in offered.stderr
    assert collector("restore", aside, "--db", daemon.database).returncode == 0
    daemon.start()
    assert daemon.stop() == 0
    assert len(daemon.entries("thing.done")) == 200
    (entry,) = daemon.entries("storage.restored")
    assert entry["metadata"]["from"] == str(aside)
    assert entry["metadata"]["file"].startswith("events.db.before-restore-")
    daemon.start()
    assert daemon.stop() == 0
    assert len(daemon.entries("storage.restored")) == 1


def test_a_damaged_one_is_named_as_that_and_not_offered(make: Make) -> None:
    daemon = recorded(make(), 200)
    with daemon.database.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)
    daemon.start()
    (aside,) = set_aside(daemon)
    until(lambda: daemon.status()["quarantined"][0]["sound"] is False, daemon.said)
    assert daemon.stop() == 0
    offered = collector("restore", "--db", daemon.database)
    assert f"{aside} was set aside as damaged: " in offered.stderr
    assert f"collector restore {aside}" not in offered.stderr


# ── killed for real ─────────────────────────────────────────────────────────────────────────────


def _killed_at(rename: int, command: list[str]) -> int:
    """Run a command that is killed before one of its renames: the first declares, the second moves."""
    strace = need_tool("strace")
    inject = f"inject=rename,renameat,renameat2:signal=SIGKILL:when={rename}"
    watched = [strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=rename,renameat,renameat2"]
    return subprocess.run([*watched, "-e", inject, *command], check=False).returncode


@pytest.mark.parametrize("reader", [False, True], ids=["alone", "with a reader"])
def test_a_quarantine_that_is_killed_is_finished_and_recorded(make: Make, reader: bool) -> None:
    daemon = recorded(make(), 200)
    marker(daemon).touch()
    held = sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True, isolation_level=None)
    if reader:
        held.execute("BEGIN")
        held.execute("SELECT count(*) FROM log").fetchone()
    run = [sys.executable, "-m", "collector", "run", "--config", str(daemon.config)]
    assert _killed_at(3, run) in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert not daemon.database.exists()
    if reader:
        assert held.execute("SELECT count(*) FROM log WHERE seq > 2").fetchone()[0] > 190
    held.close()
    daemon.start()
    assert daemon.stop() == 0
    (entry,) = daemon.entries("storage.quarantined")
    told = entry["metadata"]
    assert uuid.UUID(told.pop("journal_id"))
    assert told == {"file": set_aside(daemon)[0].name, "interrupted": True}
    assert len(set_aside(daemon)) == 1
    assert daemon.entries("collector.started")[0]["metadata"]["previous"] == "first"


def test_a_restore_that_is_killed_is_finished_and_recorded(make: Make, tmp_path: Path) -> None:
    daemon = recorded(make(), 200)
    copy = tmp_path / "copy.db"
    assert collector("backup", copy, "--db", daemon.database).returncode == 0
    recorded(daemon, 50)
    restore = [*COLLECTOR, "restore", str(copy), "--db", str(daemon.database)]
    assert _killed_at(3, restore) in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert not daemon.database.exists()
    assert collector("query", "--db", daemon.database).returncode == 65
    daemon.start()
    assert daemon.stop() == 0
    assert len(daemon.entries("thing.done")) == 200
    (entry,) = daemon.entries("storage.restored")
    assert entry["metadata"]["interrupted"]
    assert entry["metadata"]["from"] == str(copy)
    (started,) = (e["metadata"] for e in daemon.entries("collector.started")[-1:])
    assert started["previous"] == "clean"
    assert intents.pending(daemon.database) is None


# ── a main file of 0 bytes ──────────────────────────────────────────────────────────────────────


def test_a_main_file_of_0_bytes_beside_its_log_is_touched_by_nobody(
    make: Make, tmp_path: Path
) -> None:
    daemon = make().start()
    with daemon.line() as line:
        assert line.ask(*[GOOD] * 500)["ok"]
    daemon.kill()
    kept = daemon.database.read_bytes()
    wal = daemon.database.with_name("events.db-wal")
    os.truncate(daemon.database, 0)
    before = wal.read_bytes()
    assert daemon.fails() == 65
    for verb, *words in (
        ("query",), ("tail",), ("stats",), ("export", "--format", "json"), ("verify",), ("devices",),
        ("backup", tmp_path / "copy.db"), ("reindex",), ("keys", "list"),
        ("restore", daemon.database, "--db", tmp_path / "other.db"),
    ):  # fmt: skip
        named = words if "--db" in words else [*words, "--db", daemon.database]
        command = importlib.import_module(f"collector.cli.{verb}").command
        with pytest.raises(JournalMissing, match="has 0 bytes but its write-ahead log is there"):
            command.main([str(word) for word in named], standalone_mode=False)
        assert wal.read_bytes() == before, verb
        assert daemon.database.stat().st_size == 0
    assert collector("query", "--db", daemon.database).returncode == 65
    daemon.database.write_bytes(kept)
    daemon.start()
    assert daemon.stop() == 0
    assert len(daemon.entries("thing.done")) == 500
