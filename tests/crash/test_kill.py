"""kill -9 at any moment: acknowledged ⊆ stored ⊆ sent, each once, no seq missing without account.

Half of the kills come at a random time, from the first instant of the start on. The other half come
at the N-th write or sync of the process (by strace), so that starts, checkpoints, prunes and the
followers' writes are hit in their midst and not only when a clock happens to point there.
After each kill the files are copied as they lie, and the copy is what a new start would find.
In half of the rounds somebody looks at the journal all the time, one snapshot after the other.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

from collector.journal.backup import verify
from tests.crash.producers import Producer
from tests.daemon.harness import RunningDaemon, until
from tests.journal.readers import holding
from tests.requirements import need_tool

ROUNDS: Final = int(os.environ.get("COLLECTOR_KILL_ROUNDS", "20"))
RETENTION: Final = 'max_entries = 25_000\nmax_bytes = 0\ninterval = "1s"'
SYSCALLS: Final = (("pwrite64", 2500), ("fdatasync", 250))
"""What to be killed at, and within how many calls."""


def test_what_was_acknowledged_outlives_kill_9_at_any_moment(
    make: Callable[..., RunningDaemon], tmp_path: Path
) -> None:
    strace = need_tool("strace")
    seed = int(os.environ.get("COLLECTOR_SEED", random.randrange(1 << 32)))
    chance = random.Random(seed)
    daemon = make(retention=RETENTION)
    producers = [
        Producer(daemon.socket, "a", "v4"),
        Producer(daemon.socket, "b", "v7"),
        Producer(daemon.socket, "c", "none"),
        Producer(daemon.socket, "d", "v4", pause=0.01),
    ]
    ledger = Ledger(producers)
    for producer in producers:
        producer.start()
    for number in range(ROUNDS):
        with Viewer(daemon.database) if number % 4 < 2 else nullcontext():
            if number % 2:
                _killed_at_a_time(daemon, chance)
            else:
                _killed_at_a_call(daemon, chance, strace)
        ledger.check(_copied(daemon, tmp_path / "copy"), f"round {number}, seed {seed}")
    daemon.start()
    for producer in producers:
        producer.finish()
    assert daemon.stop() == 0
    ledger.check(daemon.database, f"the end, seed {seed}")
    ledger.check_whole(daemon.database)
    print(f"{ROUNDS} kills (seed {seed}): {ledger.figures(daemon.database)}")


def _killed_at_a_time(daemon: RunningDaemon, chance: random.Random) -> None:
    daemon.spawn()
    time.sleep(chance.uniform(0.0, 2.0))  # the moment is the subject of the test
    daemon.kill()


def _killed_at_a_call(daemon: RunningDaemon, chance: random.Random, strace: str) -> None:
    call, most = chance.choice(SYSCALLS)
    when = int(most ** chance.random())
    inject = f"inject={call}:signal=SIGKILL:when={when}"
    daemon.spawn(
        prefix=[strace, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
    )
    assert daemon.process is not None
    until(lambda: daemon.process is None or daemon.process.poll() is not None, daemon.said)
    assert daemon.ended() == -signal.SIGKILL, daemon.said()


def _copied(daemon: RunningDaemon, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for part in ("", "-wal"):
        file = daemon.database.with_name(daemon.database.name + part)
        if file.exists():
            shutil.copy(file, folder)
    return folder / daemon.database.name


class Viewer(threading.Thread):
    """Holds snapshots of a journal, each for some tenths of a second, for as long as the block lasts.

    A start waits for them; without a pause it would end with 75, since it comes after a crash.
    """

    def __init__(self, database: Path) -> None:
        super().__init__(daemon=True)
        self._database = database
        self._over = threading.Event()

    def __enter__(self) -> Viewer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.1):
            try:
                with holding(self._database):
                    self._over.wait(0.3)
            except sqlite3.Error:
                continue  # there is no journal yet, or it is not for reading just now


class Ledger:
    """Lays what is stored beside what was sent and acknowledged."""

    def __init__(self, producers: list[Producer]) -> None:
        self._producers = producers
        self._removed = 0
        self.starts: set[int] = set()

    def check(self, database: Path, where: str) -> None:
        """Check a journal that nobody writes to. Acknowledgements that come later are not asked for."""
        told = [dict(producer.acknowledged.copy()) for producer in self._producers]
        if not database.exists():
            assert not any(told), where
            return
        # Read only: the last writer to close would take the log away, as no daemon does that was killed.
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], where
            if connection.execute("PRAGMA user_version").fetchone()[0]:
                self._compare(connection, told, where)
        finally:
            connection.close()
        if any(told):
            assert verify(database) == [], where

    def _compare(
        self, connection: sqlite3.Connection, told: list[dict[str, tuple[int, str]]], where: str
    ) -> None:
        stored: dict[str, tuple[int, str]] = {}
        gone = connection.execute("SELECT coalesce(max(last_seq), 0) FROM removed").fetchone()[0]
        for seq, id_, action, name in connection.execute(
            "SELECT seq, id, action, object_id FROM entries ORDER BY seq"
        ):
            if action == "load.sent":
                assert name not in stored, f"{name} is stored twice, {where}"
                stored[name] = (seq, id_)
            elif action == "collector.started":
                self.starts.add(seq)
        for producer, acknowledged in zip(self._producers, told, strict=True):
            assert producer.wrong == [], where
            lost = {
                name: answer
                for name, answer in acknowledged.items()
                if stored.get(name) != answer and answer[0] > gone
            }
            assert not lost, f"acknowledged and not stored so: {list(lost.items())[:5]}, {where}"
        sent = set().union(*(producer.sent for producer in self._producers))
        assert stored.keys() <= sent, where
        self._holes(connection, where)

    def _holes(self, connection: sqlite3.Connection, where: str) -> None:
        """Every seq that was handed out is an entry, or one that the ledger counts as removed."""
        last, count = connection.execute("SELECT max(seq), count(*) FROM log").fetchone()
        rows = connection.execute("SELECT * FROM removed").fetchall()
        removed = sum(row[1] for row in rows)
        assert (last or 0) == count + removed, f"{last}, {count}, {rows}, {where}"
        assert removed >= self._removed, where
        self._removed = removed

    def check_whole(self, database: Path) -> None:
        """At the end everything that was sent with an id is acknowledged."""
        for producer in self._producers:
            assert producer.wrong == []
            if producer.name != "c":
                assert producer.acknowledged.keys() == producer.sent

    def figures(self, database: Path) -> dict[str, Any]:
        """How much the test has seen."""
        return {
            "sent": sum(len(producer.sent) for producer in self._producers),
            "acknowledged": sum(len(producer.acknowledged) for producer in self._producers),
            "pruned": self._removed,
            "starts": len(self.starts),
            "bytes": database.stat().st_size,
        }
