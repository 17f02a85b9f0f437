"""The room that a migration takes, weighed before anything is written.

A migration is one transaction: all that it writes stands in the write-ahead log before any of it
reaches the database. What does not fit must not be begun: it would fill the disk, and fail.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from collector.errors import JournalFull
from collector.journal.wal import FRAME

BASE_BYTES: Final = 256 * 1024
"""Tables and indexes that are made, and the log's own index: 41 to 57 KB were measured."""
ID_BYTES: Final = 112
"""For each id that a producer chose, where its index is converted (schema 3): in the log the new rows
and the old pages, overwritten, and the new rows in the database. 80 to 90 were measured."""
_IDS_CONVERTED: Final = 3


def needed(connection: sqlite3.Connection, version: int, target: int) -> int:
    """Bytes that taking a journal of schema `version` over to `target` takes at most, about."""
    if version == target:
        return 0
    ids = 0
    if version < _IDS_CONVERTED <= target:
        ids = connection.execute("SELECT count(*) FROM ids").fetchone()[0]
    return BASE_BYTES + ID_BYTES * ids


def check_rest(connection: sqlite3.Connection, target: int, cache: int) -> None:
    """Raise `JournalFull` where a migration that is about to be committed would not fit after all.

    One that is committed and cannot be checkpointed would be none that left the journal as it was. At
    most the cache's pages, of `cache` bytes, are not in the log yet.
    """
    run = connection.execute
    path = run("PRAGMA database_list").fetchone()[2]
    if not path:
        return  # in memory
    pages, size = run("PRAGMA page_count").fetchone()[0], run("PRAGMA page_size").fetchone()[0]
    growth = max(0, pages * size - os.stat(path).st_size)
    need, free = growth + min(pages, cache // size) * (size + FRAME), _free(path)
    if need > free:
        raise JournalFull(
            f"{path}: bringing it to schema {target} needs {need:,} bytes on its disk,"
            f" {free:,} are free; nothing was changed",
            needed=need,
        )


def _free(path: str | Path) -> int:
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


def check_room(connection: sqlite3.Connection, path: Path, version: int, target: int) -> None:
    """Raise `JournalFull`, which tells the bytes, where a migration to `target` does not fit."""
    need, free = needed(connection, version, target), _free(path.parent)
    if need > free:
        raise JournalFull(
            f"{path}: taking the journal over from schema {version} to {target} needs {need:,} bytes"
            f" on its file system, and {free:,} are free; make room and start again."
            " Nothing was changed",
            needed=need,
        )
