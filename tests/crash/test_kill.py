"""kill -9 at any moment: acknowledged ⊆ stored ⊆ sent, each once, no seq missing without account.

Half of the kills come at a random time, from the first instant of the start on. The other half come
at the N-th write or sync of the process (by strace), so that starts, checkpoints, prunes and the
followers' writes are hit in their midst and not only when a clock happens to point there.
After each kill the files are copied as they lie, and the copy is what a new start would find.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from collector.journal.backup import verify
from tests.crash.producers import Producer
from tests.daemon.harness import RunningDaemon, until
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


class Ledger:
    """Lays what is stored beside what was sent and acknowledged."""

    def __init__(self, producers: list[Producer]) -> None:
        self._producers = producers
        self._reports: dict[int, int] = {}
        """The counts of `events.pruned` entries by seq: they are pruned themselves in time."""
        self.starts: set[int] = set()
        self._last = 0

    def check(self, database: Path, where: str) -> None:
        """Check a journal that nobody writes to. Acknowledgements that come later are not asked for."""
        told = [dict(producer.acknowledged.copy()) for producer in self._producers]
        if not database.exists():
            assert not any(told), where
            return
        connection = sqlite3.connect(database)
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
        first = None
        for seq, id_, action, name, metadata in connection.execute(
            "SELECT seq, id, action, object_id, metadata FROM entries ORDER BY seq"
        ):
            first = first or seq
            if action == "load.sent":
                assert name not in stored, f"{name} is stored twice, {where}"
                stored[name] = (seq, id_)
            elif action == "events.pruned":
                self._reports[seq] = json.loads(metadata)["count"]
            elif action == "collector.started":
                self.starts.add(seq)
        for producer, acknowledged in zip(self._producers, told, strict=True):
            assert producer.wrong == [], where
            lost = {
                name: answer
                for name, answer in acknowledged.items()
                if stored.get(name) != answer and answer[0] >= (first or 0)
            }
            assert not lost, f"acknowledged and not stored so: {list(lost.items())[:5]}, {where}"
        sent = set().union(*(producer.sent for producer in self._producers))
        assert stored.keys() <= sent, where
        self._holes(connection, where)

    def _holes(self, connection: sqlite3.Connection, where: str) -> None:
        """Every seq that is gone was counted: in an `events.pruned`, or in the account still open."""
        first, last, count = connection.execute(
            "SELECT min(seq), max(seq), count(*) FROM log"
        ).fetchone()
        pending = connection.execute(
            "SELECT value ->> '$.count' FROM facts WHERE name = 'pruned.pending'"
        ).fetchone()
        counted = sum(self._reports.values()) + (pending[0] if pending else 0)
        facts = (self._last, first, last, self._reports, pending)
        assert (last or 0) - count == counted, f"{facts}, {where}"
        self._last = last

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
            "pruned": sum(self._reports.values()),
            "starts": len(self.starts),
            "bytes": database.stat().st_size,
        }
