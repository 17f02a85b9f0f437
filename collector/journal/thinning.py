"""Thinning: takes the ids of entries that are gone out of their index.

A run whose entries are all gone goes as a whole. One that has lost some is looked through, which is not
needed while only the oldest entries are ever removed and the run is younger than those.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from collector.journal.connection import translated
from collector.journal.followers import runs
from collector.journal.followers.base import derived
from collector.journal.id_index import RECORD, Run, records, seq_of
from collector.journal.writer import Journal

THIN_ROWS: Final = 12
"""Buckets looked through in one step."""


def stale_ids(journal: Journal) -> Iterator[None]:
    """Take the ids of entries that are gone out of their index."""
    first, holes = journal.first_seq(), journal.fact("holes", 0)
    for run in runs.all_runs(journal):
        if run.size and (holes or run.first < first):
            if run.last < first:
                with derived(journal):
                    runs.retire(journal, [run])
            else:
                yield from _thin(journal, run)
            yield from runs.cleared(
                journal, (one for one in runs.unread(journal) if one.run == run.run)
            )


def _thin(journal: Journal, run: Run) -> Iterator[None]:
    """Take the ids of entries that are gone out of one run."""
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
            return
        after = rows[-1][0]
        live = _stored(
            journal, [seq_of(one, run.first) for _, all_ in rows for one in records(all_)]
        )
        kept = [
            (key, entries, b"".join(o for o in records(entries) if seq_of(o, run.first) in live))
            for key, entries in rows
        ]
        gone = sum(len(entries) - len(new) for _, entries, new in kept) // RECORD
        if gone:
            with derived(journal):
                run_many = journal.connection.executemany
                run_many(
                    "UPDATE ids SET entries = ? WHERE key = ?",
                    [(new, key) for key, old, new in kept if new and new != old],
                )
                run_many(
                    "DELETE FROM ids WHERE key = ?", [(key,) for key, _, new in kept if not new]
                )
                run_many("UPDATE id_runs SET size = size - ? WHERE run = ?", [(gone, run.run)])
        yield


def _stored(journal: Journal, seqs: list[int]) -> set[int]:
    """Those seqs whose entries are stored."""
    with translated(journal.path):
        rows = journal.connection.execute(
            "SELECT seq FROM log WHERE seq IN (SELECT value FROM json_each(?))",
            (msgspec.json.encode(seqs).decode(),),
        )
        return {seq for (seq,) in rows}
