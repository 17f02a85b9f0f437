"""Thinning: takes the ids of entries that are gone out of their index.

A run whose entries are all gone goes as a whole. One that has lost some is looked through, which is not
needed while only the oldest entries are ever removed and the run is younger than those.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from collector.journal.connection import translated
from collector.journal.followers import runs
from collector.journal.followers.base import derived
from collector.journal.id_index import Run, ids_at, records, seq_of
from collector.journal.ring import extent
from collector.journal.writer import Journal

THIN_ROWS: Final = 12
"""Buckets looked through in one step."""


def stale_ids(journal: Journal) -> Iterator[None]:
    """Take the ids of entries that are gone out of their index."""
    first, gaps = extent(journal)  # the daemon's own entries bear no ids that could be indexed
    for run in runs.all_runs(journal):
        if run.last < first:
            yield from runs.cleared(journal, [run])
        elif gaps or run.first < first:
            yield from _thin(journal, run, first)


def _thin(journal: Journal, run: Run, first: int) -> Iterator[None]:
    """Take the ids of entries that are gone out of one run; `first` is the first that is stored."""
    after, last = run.keys()
    after -= 1
    while True:
        with translated(journal.path):
            rows = journal.connection.execute(
                "SELECT key, entries FROM ids WHERE key > ? AND key <= ?"
                f" ORDER BY key LIMIT {THIN_ROWS}",
                (after, last),
            ).fetchall()
        if not rows:
            break
        after = rows[-1][0]
        _thin_rows(journal, run, rows)
        yield
    with derived(journal):
        journal.connection.execute(
            "UPDATE id_runs SET first = max(first, ?) WHERE run = ?", (first, run.run)
        )
    yield


def _thin_rows(journal: Journal, run: Run, rows: list[tuple[int, bytes]]) -> None:
    seqs = [seq_of(one) for _, entries in rows for one in records(entries)]
    with translated(journal.path):
        live = {seq for _, seq in ids_at(journal.ids.fetch, seqs)}
    kept = [
        (key, entries, b"".join(one for one in records(entries) if seq_of(one) in live))
        for key, entries in rows
    ]
    gone = sum(len(entries) - len(left) for _, entries, left in kept)
    if gone:
        with derived(journal):
            run_many = journal.connection.executemany
            run_many(
                "UPDATE ids SET entries = ? WHERE key = ?",
                [(left, key) for key, entries, left in kept if left and left != entries],
            )
            run_many("DELETE FROM ids WHERE key = ?", [(key,) for key, _, left in kept if not left])
            runs.shrink(journal, run, gone)
        journal.ids.unfolded = True
