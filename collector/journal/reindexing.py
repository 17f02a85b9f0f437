"""Reindexing: everything derived is forgotten and built anew from the log.

Totals are the exception. They outlive the entries behind them, so for pruned hours they are the only
record there is; they are kept, and only their ranges of time are derived again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from collector.journal import sweeping
from collector.journal.connection import translated
from collector.journal.cursors import cursor_fact
from collector.journal.followers import Follower, all_followers
from collector.journal.followers.base import Segmented, derived
from collector.journal.postings import CHUNK_BITS, SEGMENT_BITS
from collector.journal.sieve import ID_BLOCK_BITS
from collector.journal.writer import Journal
from collector.lock import LockFile

STEP_ROWS: Final = 512
_TABLES: Final = (
    ("postings", "segment, term"),
    ("occurrences", "block, bucket, segment"),
    ("words", "segment, word"),
    ("checksums", "chunk"),
)


def forget(journal: Journal, followers: list[Follower]) -> Iterator[Any]:
    """Set the cursors back first, so that no reader trusts what is being removed; then remove it."""
    start = ((journal.first_seq() >> SEGMENT_BITS) << SEGMENT_BITS) - 1
    with derived(journal):
        for follower in followers:
            if isinstance(follower, Segmented):
                journal.set_fact(cursor_fact(follower.name), max(0, start))
    for follower in followers:
        if isinstance(follower, Segmented):
            follower.cursor = max(0, start)
    yield
    for table, key in _TABLES:
        yield from sweeping.emptied(journal, table, key)


def rebuild(journal: Journal) -> Iterator[Any]:
    """Derive ids and ranges of time again, up to where their followers stand."""
    journal.sieve.complete = False
    seq, end = journal.first_seq(), journal.last_seq
    while seq <= end:
        last = min(seq + STEP_ROWS, ((seq >> CHUNK_BITS) + 1) << CHUNK_BITS, end + 1) - 1
        with derived(journal):
            journal.connection.execute(
                f"INSERT OR REPLACE INTO ids SELECT seq >> {ID_BLOCK_BITS}, id, seq FROM log"
                " WHERE seq BETWEEN ? AND ? AND seq <= ? AND id <> x'' ORDER BY id",
                (seq, last, journal.ids_cursor),
            )
            if seq <= journal.cursor("totals"):
                _range(journal, seq >> CHUNK_BITS)
        seq = last + 1
        yield
    yield from sweeping.stale_ids(journal)
    yield from journal.fill_sieve()


def _range(journal: Journal, chunk: int) -> None:
    first = chunk << CHUNK_BITS
    journal.connection.execute(
        "INSERT OR REPLACE INTO chunks SELECT * FROM (SELECT ?, min(occurred_at) AS least,"
        " max(occurred_at) FROM log WHERE seq BETWEEN ? AND ?) WHERE least IS NOT NULL",
        (chunk, first, first + (1 << CHUNK_BITS) - 1),
    )


def reindex(path: Path) -> int:
    """Do it all at once, with no daemon running; returns the number of entries.

    Raises `AlreadyRunning`, `JournalError`.
    """
    with LockFile(f"{path}.lock"):
        journal = Journal.open(path)
        try:
            with translated(path):
                return _reindex(journal)
        finally:
            journal.close()


def _reindex(journal: Journal) -> int:
    followers = all_followers(journal)
    for job in (forget(journal, followers), rebuild(journal)):
        for _ in job:
            _checkpoint(journal)
    for follower in followers:
        while follower.due(True):
            for _ in follower.steps():
                _checkpoint(journal)
    count: int = journal.connection.execute("SELECT count(*) FROM log").fetchone()[0]
    return count


def _checkpoint(journal: Journal) -> None:
    if journal.frames >= 1024:
        journal.checkpoint()
