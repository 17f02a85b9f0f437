"""Starting where something is wrong, and ending: exit codes, what is left alone, what is recorded."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from collector.journal.verifying import verify
from tests.daemon.harness import RunningDaemon, until
from tests.journal.readers import held_elsewhere
from tests.requirements import need, need_root, need_tool

Make = Callable[..., RunningDaemon]
GOOD = {"action": "thing.done"}


# ── two of them ─────────────────────────────────────────────────────────────────────────────────


def test_a_second_daemon_on_the_same_journal_leaves_the_first_alone(make: Make) -> None:
    first = make("one").start()
    second = make("two", state=first.database.parent)
    assert second.fails() == 69
    assert "already running" in second.said()
    assert f"pid {first.pid()}" in second.said()
    assert not second.socket.exists()
    with first.line() as line:
        assert line.ask(GOOD)["ok"]
    assert len(first.entries("collector.started")) == 1


def test_a_second_daemon_on_the_same_socket_leaves_the_first_alone(make: Make) -> None:
    first = make("one").start()
    second = make("two")
    second.config.write_text(
        second.config.read_text().replace(str(second.socket), str(first.socket))
    )
    assert second.fails() == 69
    assert f"pid {first.pid()}" in second.said()
    with first.line() as line:
        assert line.ask(GOOD)["ok"]


def test_a_start_that_failed_is_no_start_and_no_crash(make: Make) -> None:
    daemon = make()
    daemon.socket.write_text("not a socket")
    assert daemon.fails() == 73
    daemon.socket.unlink()
    daemon.start()
    assert daemon.stop() == 0
    (started,) = daemon.entries("collector.started")
    assert started["metadata"]["previous"] in ("first", "clean")


# ── the socket's path ───────────────────────────────────────────────────────────────────────────


def test_a_stale_socket_is_replaced(make: Make) -> None:
    daemon = make().start()
    daemon.kill()
    assert stat.S_ISSOCK(daemon.socket.lstat().st_mode)
    daemon.start()
    assert daemon.stop() == 0
    assert not daemon.socket.exists()


@pytest.mark.parametrize("kind", ["file", "symlink", "directory"])
def test_what_is_not_our_socket_is_left_alone(make: Make, kind: str, tmp_path: Path) -> None:
    daemon = make()
    target = tmp_path / "target"
    if kind == "file":
        daemon.socket.write_text("precious")
    elif kind == "directory":
        daemon.socket.mkdir()
    else:
        target.write_text("precious")
        daemon.socket.symlink_to(target)
    before = daemon.socket.lstat()
    assert daemon.fails() == 73
    after = daemon.socket.lstat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    if kind != "directory":
        assert daemon.socket.read_text() == "precious"
    assert str(daemon.socket) in daemon.said()


def test_a_foreign_live_socket_is_not_taken(make: Make) -> None:
    daemon = make()
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(str(daemon.socket))
        foreign.listen()
        assert daemon.fails() == 69
        with socket.socket(socket.AF_UNIX) as still:
            still.connect(str(daemon.socket))


def test_a_socket_that_is_handed_in_is_served_and_outlives_the_daemon(make: Make) -> None:
    daemon = make()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(daemon.socket))
        listener.listen()
        before = daemon.socket.lstat()
        with daemon.line() as early:
            early.send(GOOD)  # before there is anybody to read it
            daemon.spawn(activated=listener)
            assert early.reply()["ok"]
        assert daemon.status()["socket"] == str(daemon.socket)
        assert daemon.stop() == 0
        assert daemon.socket.lstat().st_ino == before.st_ino
        with daemon.line() as late:
            late.send(GOOD)
            daemon.spawn(activated=listener)
            assert late.reply()["ok"]
        assert daemon.stop() == 0
    assert len(daemon.entries("thing.done")) == 2


def test_the_socket_never_stands_there_with_other_permissions(make: Make) -> None:
    daemon = make(unix='mode = "0600"')
    seen: set[int] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            try:
                seen.add(stat.S_IMODE(os.lstat(daemon.socket).st_mode))
            except FileNotFoundError:
                continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(3):
            daemon.start(prefix=["sh", "-c", 'umask 0; exec "$@"', "sh"])
            daemon.kill()
    finally:
        over.set()
        watcher.join()
    assert seen == {0o600}


def test_the_socket_gets_its_group_and_mode(make: Make) -> None:
    need_root()
    import grp

    group = next(entry for entry in grp.getgrall() if entry.gr_gid not in (0, os.getgid()))
    daemon = make(unix=f'mode = "0660"\ngroup = "{group.gr_name}"').start()
    status = daemon.socket.stat()
    assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (group.gr_gid, 0o660)


# ── the journal ─────────────────────────────────────────────────────────────────────────────────


def _once(daemon: RunningDaemon) -> int:
    """Record a little and stop cleanly; the number of entries."""
    daemon.start()
    with daemon.line() as line:
        line.ask(*[GOOD] * 200)
    assert daemon.stop() == 0
    return len(daemon.entries())


def test_somebody_elses_database_is_left_alone(make: Make) -> None:
    daemon = make()
    daemon.database.parent.mkdir()
    with sqlite3.connect(daemon.database) as connection:
        connection.execute("CREATE TABLE precious (a)")
    connection.close()
    before = daemon.database.read_bytes()
    assert daemon.fails() == 73
    assert daemon.database.read_bytes() == before
    assert [file.name for file in daemon.database.parent.glob("*corrupt*")] == []


def test_a_newer_schema_is_left_untouched(make: Make) -> None:
    daemon = make()
    _once(daemon)
    with sqlite3.connect(daemon.database) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = daemon.database.read_bytes()
    assert daemon.fails() == 78
    assert daemon.database.read_bytes() == before
    assert "upgrade" in daemon.said()


def test_a_journal_whose_file_is_gone_keeps_its_write_ahead_log(make: Make) -> None:
    daemon = make().start()
    with daemon.line() as line:
        assert line.ask(GOOD)["ok"]
    daemon.kill()
    wal = daemon.database.with_name("events.db-wal")
    before = wal.read_bytes()
    assert before
    aside = daemon.database.with_name("aside")
    daemon.database.rename(aside)
    assert daemon.fails() == 65
    assert wal.read_bytes() == before
    assert not daemon.database.exists()
    aside.rename(daemon.database)
    daemon.start()
    assert daemon.stop() == 0
    assert len(daemon.entries("thing.done")) == 1


@pytest.mark.parametrize("damage", ["header", "schema"])
def test_a_damaged_journal_is_put_aside_and_a_fresh_one_begun(make: Make, damage: str) -> None:
    daemon = make()
    _once(daemon)
    _damage(daemon.database, damage)
    broken = daemon.database.read_bytes()
    daemon.start()
    with daemon.line() as line:
        assert line.ask(GOOD)["ok"]
        assert line.ask({"op": "status"})["status"]["removed"] == {}
    assert daemon.stop() == 0
    (aside,) = (
        file
        for file in daemon.database.parent.glob("events.db.corrupt-*")
        if not file.name.endswith(("-wal", "-shm"))
    )
    assert aside.read_bytes()[4096:8192] == broken[4096:8192]
    (entry,) = daemon.entries("storage.quarantined")
    assert entry["metadata"]["file"] == aside.name
    assert entry["metadata"]["journal_id"] is None, "it cannot be read"
    assert entry["severity"] == "error"
    (started,) = daemon.entries("collector.started")
    assert started["metadata"]["previous"] == "first"
    daemon.start()  # and once is enough
    assert daemon.stop() == 0
    assert len(daemon.entries("storage.quarantined")) == 1


def test_a_damaged_journal_ends_the_start_where_it_should_fail(make: Make) -> None:
    daemon = make(storage='on_corrupt = "fail"')
    _once(daemon)
    _damage(daemon.database, "header")
    before = daemon.database.read_bytes()
    assert daemon.fails() == 65
    assert daemon.database.read_bytes() == before
    assert not list(daemon.database.parent.glob("*corrupt-*"))


def _damage(database: Path, how: str) -> None:
    with database.open("r+b") as file:
        if how == "header":
            file.write(b"this is no database at all")
        else:
            file.seek(100)
            file.write(b"\xff" * 3000)


def test_damage_found_while_running_ends_with_65_and_the_next_start_begins_anew(
    make: Make,
) -> None:
    daemon = make()
    _once(daemon)
    root, known = _root_page(daemon.database, "log"), _journal_id(daemon.database)
    daemon.start()
    with daemon.database.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)
    # The daemon has that page in its cache. A foreign write, which nobody should do, empties it.
    foreign = sqlite3.connect(daemon.database, isolation_level=None)
    foreign.execute("INSERT INTO facts VALUES ('foreign', 1)")
    marker = daemon.database.with_name("events.db.damaged")
    codes: set[str | None] = set()
    with daemon.line() as line, contextlib.suppress(EOFError, OSError):
        while True:  # refused while two looks are taken, and then the daemon ends
            codes.add(line.ask(GOOD).get("code"))
    assert "io_error" in codes
    assert codes <= {None, "io_error", "failed"}
    foreign.close()
    assert daemon.ended() == 65, daemon.said()
    assert marker.exists()
    daemon.start()
    assert daemon.stop() == 0
    assert not marker.exists()
    (entry,) = daemon.entries("storage.quarantined")
    assert entry["metadata"]["journal_id"] == known


def test_a_journal_marked_as_damaged_ends_the_start_where_it_should_fail(make: Make) -> None:
    daemon = make(storage='on_corrupt = "fail"')
    _once(daemon)
    marker = daemon.database.with_name("events.db.damaged")
    marker.touch()
    assert daemon.fails() == 65
    assert str(marker) in daemon.said()  # how to go on
    marker.unlink()
    daemon.start()
    assert daemon.stop() == 0


def _journal_id(database: Path) -> str:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT value FROM facts WHERE name = 'journal_id'").fetchone()
    return str(row[0])


def _root_page(database: Path, table: str) -> int:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        row = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)
        ).fetchone()
    finally:
        connection.close()
    return int(row[0])


def test_after_a_crash_a_reader_with_an_old_snapshot_makes_the_start_try_again_later(
    make: Make,
) -> None:
    daemon = make().start()
    with daemon.line() as line:
        line.ask(*[GOOD] * 50)
    with held_elsewhere(daemon.database) as pid:
        with daemon.line() as line:
            line.ask(*[GOOD] * 50)
        daemon.kill()
        assert daemon.fails() == 75
        assert f"a reader holds an old snapshot: pid {pid} (python" in daemon.said()
    daemon.start()
    assert daemon.stop() == 0
    assert len(daemon.entries("thing.done")) == 100


def test_after_a_clean_stop_a_reader_does_not_keep_the_daemon_down(make: Make) -> None:
    daemon = make().start()
    with held_elsewhere(daemon.database) as pid:
        for _ in range(2):
            with daemon.line() as line:
                assert line.ask(*[GOOD] * 50)["ok"]
            assert daemon.stop() == 0
            daemon.start()
            assert f"a reader holds a snapshot: pid {pid} (python" in daemon.said()
        with daemon.line() as line:
            assert line.ask(GOOD)["ok"]
        daemon.kill()
        assert daemon.fails() == 75, "that was no clean stop"
    daemon.start()
    assert daemon.stop() == 0
    assert len(daemon.entries("thing.done")) == 101
    started = [entry["metadata"]["previous"] for entry in daemon.entries("collector.started")]
    assert started == ["first", "clean", "clean", "unclean"]
    assert verify(daemon.database) == []


def test_a_start_that_fails_beside_a_reader_leaves_a_clean_journal_clean(make: Make) -> None:
    daemon = make().start()
    with held_elsewhere(daemon.database):
        assert daemon.stop() == 0
        daemon.socket.write_text("not a socket")
        assert daemon.fails() == 73
        daemon.socket.unlink()
        daemon.start()
        assert daemon.stop() == 0


def test_a_read_only_file_system_is_74(make: Make, tmp_path: Path) -> None:
    need_root()
    mount = need_tool("mount")
    folder = tmp_path / "state"
    folder.mkdir()
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=16m", "none", folder])
    need(done.returncode == 0, "may not mount")
    try:
        daemon = make()
        entries = _once(daemon)
        subprocess.run([mount, "-o", "remount,ro", folder], check=True)
        assert daemon.fails() == 74, daemon.said()
        assert not daemon.socket.exists()
        subprocess.run([mount, "-o", "remount,rw", folder], check=True)
        assert len(daemon.entries()) == entries
    finally:
        subprocess.run(["umount", folder], check=False)


@pytest.mark.parametrize("what", ["directory", "file"])
def test_no_permission_is_77_and_nothing_is_put_aside(make: Make, what: str) -> None:
    need_root()
    setpriv = need_tool("setpriv", "util-linux")
    daemon = make()
    _once(daemon)
    if what == "directory":
        os.chown(daemon.database.parent, 65534, 65534)
        daemon.database.parent.chmod(0o700)
    else:
        os.chown(daemon.database, 65534, 65534)
        daemon.database.chmod(0o600)
    # Root without the right to pass over permissions, since others may not read these sources.
    dropped = "-dac_override,-dac_read_search"
    code = daemon.fails(prefix=[setpriv, f"--bounding-set={dropped}", f"--inh-caps={dropped}"])
    assert code == 77, daemon.said()
    assert not list(daemon.database.parent.glob("*corrupt-*"))


# ── the end ─────────────────────────────────────────────────────────────────────────────────────


def test_an_unclean_end_is_recorded_with_its_gap(make: Make) -> None:
    daemon = make().start()
    with daemon.line() as line:
        assert line.ask(GOOD)["ok"]
    last = daemon.entries()[-1]["recorded_at"]
    daemon.kill()
    daemon.start()
    assert daemon.stop() == 0
    daemon.start()
    assert daemon.stop() == 0
    started = [entry["metadata"] for entry in daemon.entries("collector.started")]
    assert [metadata["previous"] for metadata in started] == ["first", "unclean", "clean"]
    assert started[1]["from"] == last
    assert started[1]["from"] < started[1]["to"]
    assert daemon.entries("collector.started")[1]["severity"] == "warning"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_answers_what_was_received_and_exits_0(make: Make, number: int) -> None:
    daemon = make().start()
    with daemon.line() as line:
        assert line.ask(GOOD)["ok"]
        line.send(*[GOOD] * 3000)
        os.kill(daemon.pid(), number)
        answers = line.rest()
    assert daemon.ended() == 0
    stored = daemon.entries("thing.done")
    assert len(answers) == 3000
    acknowledged = [answer["seq"] for answer in answers if answer["ok"]]
    assert {answer["code"] for answer in answers if not answer["ok"]} <= {"draining"}
    assert {entry["seq"] for entry in stored} >= set(acknowledged)
    assert len(stored) == 1 + len(acknowledged)
    assert daemon.entries()[-1]["action"] in ("collector.stopping", "thing.done")
    assert len(daemon.entries("collector.stopping")) == 1
    assert not daemon.database.with_name("events.db-wal").exists()
    assert not daemon.socket.exists()


@pytest.mark.alone
def test_a_second_signal_leaves_at_once(make: Make) -> None:
    daemon = make().start()
    with daemon.line() as deaf:
        deaf.send(*[{"op": "status"}] * 3000)  # replies unread: a clean end waits for the peer
        time.sleep(0.2)
        began = time.monotonic()
        os.kill(daemon.pid(), signal.SIGTERM)
        until(lambda: daemon.entries("collector.stopping"))
        os.kill(daemon.pid(), signal.SIGTERM)
        assert daemon.ended() == 128 + signal.SIGTERM
        assert time.monotonic() - began < 1.5
    daemon.start()
    assert daemon.stop() == 0
    assert daemon.entries("collector.started")[-1]["metadata"]["previous"] == "unclean"
