"""The yardsticks in SQLite itself: the same finished rows, the same durability, and nothing else."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.events import varied

BATCH: Final = 1_000
"""Rows a commit of the batched yardstick."""
_TABLE: Final = """
CREATE TABLE log (
  seq INTEGER PRIMARY KEY, id BLOB, occurred_at INTEGER, kind TEXT, outcome TEXT, channel TEXT,
  actor TEXT, object_type TEXT, object_id TEXT, object_name TEXT, correlation_id TEXT,
  message TEXT, metadata TEXT)
"""
_INDEXES: Final = """
CREATE INDEX by_time ON log (occurred_at);
CREATE INDEX by_kind ON log (kind);
CREATE INDEX by_actor ON log (actor);
CREATE INDEX by_object ON log (object_type, object_id);
"""
_INSERT: Final = f"INSERT INTO log VALUES ({', '.join('?' * 13)})"


def one_row_commits(place: Path, count: int) -> tuple[float, float]:
    """Commits a second of one row each, no index, and the median of one in ms."""
    connection, rows, times = _open(place / "one.db", ""), _rows(count), []
    for row in rows:
        start = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_INSERT, row)
        connection.execute("COMMIT")
        times.append((time.perf_counter() - start) * 1e3)
    connection.close()
    times.sort()
    return len(times) / sum(times) * 1e3, times[len(times) // 2]


def indexed_batches(place: Path, count: int, seconds: float) -> float:
    """Rows a second by `executemany`, 1,000 a commit, into a table with four ordinary indexes.

    For so many seconds: the table grows as the daemon's does, and the indexes with it.
    """
    connection, rows = _open(place / "many.db", _INDEXES), _rows(count)
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        at = done % count
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT, rows[at : at + BATCH])
        connection.execute("COMMIT")
        done += len(rows[at : at + BATCH])
    took = time.perf_counter() - start
    connection.close()
    return done / took


def _open(path: Path, indexes: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(_TABLE + ";" + indexes)
    return connection


def _rows(count: int) -> list[tuple[Any, ...]]:
    now = 1_790_000_000_000_000
    return [
        (None, b"", now + n, e.action, e.outcome, e.channel, e.actor, e.object_type, e.object_id,
         e.object_name, e.correlation_id, e.message, e.metadata)
        for n, e in enumerate(varied(count, seed=7))
    ]  # fmt: skip
