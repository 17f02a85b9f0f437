"""What a migration moves that SQL alone cannot; called behind its script, in the same transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from collector.journal.id_index import SECRET, Hash, Run, bucket_bits, rows_of

RUN_IDS: Final = 32_768
"""Ids that are moved at once."""


def ids_to_runs(connection: sqlite3.Connection) -> None:
    """Schema 3: the ids of each block become runs."""
    run = connection.execute
    hash_ = Hash(run("SELECT value FROM facts WHERE name = ?", (SECRET,)).fetchone()[0])
    blocks = run("SELECT DISTINCT block FROM ids_in_blocks").fetchall()
    for (block,) in blocks:
        after = b""
        while ids := run(
            f"SELECT id, seq FROM ids_in_blocks WHERE block = ? AND id > ? ORDER BY id LIMIT {RUN_IDS}",
            (block, after),
        ).fetchall():
            after = ids[-1][0]
            _move(connection, hash_, ids)
    run("DROP TABLE ids_in_blocks")


def _move(connection: sqlite3.Connection, hash_: Hash, ids: list[tuple[bytes, int]]) -> None:
    seqs = [seq for _, seq in ids]
    new = (min(seqs), max(seqs), bucket_bits(len(ids)), len(ids))
    number = connection.execute(
        "INSERT INTO id_runs (first, last, bits, size, target) VALUES (?, ?, ?, ?, 0) RETURNING run",
        new,
    ).fetchone()[0]
    run = Run(number, *new)
    buckets: list[list[bytes]] = [[] for _ in range(1 << run.bits)]
    hash_.put(ids, buckets, run.bits)
    connection.executemany("INSERT INTO ids VALUES (?, ?)", rows_of(run, 0, buckets))


CONVERSIONS: Final[dict[int, Callable[[sqlite3.Connection], None]]] = {3: ids_to_runs}
"""By the version of the migration that they belong to."""
