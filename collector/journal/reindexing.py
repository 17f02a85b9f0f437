"""Reindexing: everything derived is forgotten and built anew from the log.

Totals are the exception. They outlive the entries behind them, so for pruned hours they are the only
record there is; they are kept, and only their ranges of time are derived again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from collector.journal import intents, sweeping
from collector.journal.connection import translated
from collector.journal.cursors import cursor_fact
from collector.journal.followers import Follower, all_followers, runs
from collector.journal.followers.base import Segmented, derived
from collector.journal.followers.ids import IDS_BATCH
from collector.journal.postings import CHUNK_BITS, SEGMENT_BITS
from collector.journal.ring import extent
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
    yield from _ids(journal)
    first, last = journal.first_seq(), journal.cursor("totals")
    for chunk in range(first >> CHUNK_BITS, (last >> CHUNK_BITS) + 1):
        with derived(journal):
            _range(journal, chunk)
        yield


def _ids(journal: Journal) -> Iterator[Any]:
    """Write new runs of ids beside the old, then remove those."""
    seq, end = extent(journal).first, journal.ids.cursor
    old = [run for run in runs.all_runs(journal) if run.last <= end]  # others are being written
    ids: list[tuple[bytes, int]] = []
    while seq <= end:
        last = min(seq + STEP_ROWS - 1, end)
        with translated(journal.path):
            ids += journal.connection.execute(
                "SELECT id, seq FROM log WHERE seq BETWEEN ? AND ? AND id <> x''", (seq, last)
            )
        seq = last + 1
        yield
        if ids and (len(ids) >= IDS_BATCH or seq > end):
            journal.ids.indexing(ids)
            yield
            yield from runs.written(journal, ids)
            ids = []
    yield from runs.cleared(journal, old)


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
        intents.finish(path)
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
