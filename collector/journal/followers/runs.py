"""Runs of the index of ids: written, folded into larger ones, cleared away.

A run that is being written has the size 0, as has one that is about to go, and nobody looks at such
a run. So a crash, an error or a change of mind leaves waste, which `cleared` removes later. Writing and
folding go on in small steps, each a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from itertools import groupby
from typing import Final

from collector.journal.connection import translated
from collector.journal.followers.base import Step, derived
from collector.journal.id_index import (
    RECORD,
    Run,
    bucket_bits,
    distributed,
    joined,
    record,
    records,
)
from collector.journal.writer import PAGE, Journal

FOLD_RUNS: Final = 16
"""Runs of like size that become one."""
TIER_BITS: Final = 4
"""Runs are of like size where the lengths of their sizes, in so many bits, agree."""
WRITE_ROWS: Final = 128
"""Buckets written in one step and transaction."""
STEP_IDS: Final = 1_024
"""Ids put into buckets in one step."""


def all_runs(journal: Journal) -> list[Run]:
    """Every run, those that nobody looks at included."""
    with translated(journal.path):
        return [Run(*row) for row in journal.connection.execute("SELECT * FROM id_runs")]


def written(
    journal: Journal, ids: list[tuple[bytes, int]], first: int, last: int
) -> Generator[None, None, Run]:
    """Write a run of ids and their seqs, and add them to the sieve; see `publish` for what is next.

    All seqs lie between `first` and `last`, both ends included.
    """
    count = len(ids)
    bits = bucket_bits(count)
    run = _begun(journal, first, last, bits)
    buckets: list[list[bytes]] = [[] for _ in range(1 << bits)]
    for start in range(0, count, STEP_IDS):
        part = ids[start : start + STEP_IDS]
        distributed([record(raw, seq) for raw, seq in part], buckets, bits, 0)
        journal.ids.sieve.add([raw for raw, _ in part])
        yield
    for start in range(0, len(buckets), WRITE_ROWS):
        _write(journal, joined(run, start, buckets[start : start + WRITE_ROWS]))
        yield
    return run._replace(size=count)


def publish(journal: Journal, run: Run) -> None:
    """Have a run looked at from now on; within a transaction."""
    journal.connection.execute("UPDATE id_runs SET size = ? WHERE run = ?", (run.size, run.run))
    journal.ids.unfolded = True


def retire(journal: Journal, runs: Iterable[Run]) -> None:
    """Have runs looked at no more; within a transaction."""
    journal.connection.executemany(
        "UPDATE id_runs SET size = 0 WHERE run = ?", [(run.run,) for run in runs]
    )


def unread(journal: Journal) -> list[Run]:
    """The runs that nobody looks at."""
    return [run for run in all_runs(journal) if not run.size]


def cleared(journal: Journal, runs: Iterable[Run]) -> Step:
    """Remove runs that nobody looks at any more."""
    for run in runs:
        gone = WRITE_ROWS
        while gone == WRITE_ROWS:
            with derived(journal):
                gone = journal.connection.execute(
                    "DELETE FROM ids WHERE key IN (SELECT key FROM ids"
                    f" WHERE key BETWEEN ? AND ? LIMIT {WRITE_ROWS})",
                    run.keys(),
                ).rowcount
            yield
        with derived(journal):
            journal.connection.execute("DELETE FROM id_runs WHERE run = ?", (run.run,))
        yield


def foldable(runs: Iterable[Run]) -> list[Run]:
    """The smallest runs of which there are enough of like size; none where there are not."""
    looked_at = sorted((run for run in runs if run.size), key=_tier)
    for _, tier in groupby(looked_at, key=_tier):
        alike = sorted(tier)
        if len(alike) >= FOLD_RUNS:
            return alike[:FOLD_RUNS]
    return []


class Fold:
    """One run made of several. `steps` yields how many ids each step has moved."""

    def __init__(self, journal: Journal, runs: list[Run]) -> None:
        self._journal, self._runs = journal, runs
        first, last = min(run.first for run in runs), max(run.last for run in runs)
        bits = bucket_bits(sum(run.size for run in runs))
        self.run = _begun(journal, first, last, bits)

    def steps(self) -> Iterator[int]:
        """Write the new run part by part, then have it looked at in place of the others."""
        journal, run = self._journal, self.run
        coarse = min(run.bits, *(one.bits for one in self._runs))
        finer = run.bits - coarse
        rows: list[tuple[int, bytes]] = []
        count = 0
        for part in range(1 << coarse):
            entries = self._part(part, coarse)
            buckets: list[list[bytes]] = [[] for _ in range(1 << finer)]
            for start in range(0, len(entries) or 1, STEP_IDS * RECORD):
                piece = entries[start : start + STEP_IDS * RECORD]
                distributed(records(piece), buckets, run.bits, part << finer)
                count += len(piece) // RECORD
                yield len(piece) // RECORD
            rows += joined(run, part << finer, buckets)
            if len(rows) >= WRITE_ROWS:
                _write(journal, rows)
                rows = []
                yield 0
        _write(journal, rows)
        self._switch(run._replace(size=count))
        yield 0

    def _part(self, part: int, coarse: int) -> bytes:
        """What the old runs have in one of the 2^`coarse` parts of all checksums."""
        run = self._journal.connection.execute
        with translated(self._journal.path):
            return b"".join(
                entries
                for one in self._runs
                for (entries,) in run(
                    "SELECT entries FROM ids WHERE key BETWEEN ? AND ?", one.keys(part, coarse)
                )
            )

    def _switch(self, run: Run) -> None:
        """Unless one of the old runs has changed since: what left it must not come back."""
        journal = self._journal
        if set(self._runs) <= set(all_runs(journal)):
            with derived(journal):
                publish(journal, run)
                retire(journal, self._runs)


def _tier(run: Run) -> int:
    return (run.size.bit_length() - 1) // TIER_BITS


def _begun(journal: Journal, first: int, last: int, bits: int) -> Run:
    with derived(journal):
        number = journal.connection.execute(
            "INSERT INTO id_runs (first, last, bits, size) VALUES (?, ?, ?, 0) RETURNING run",
            (first, last, bits),
        ).fetchone()[0]
    return Run(number, first, last, bits, 0)


def _write(journal: Journal, rows: list[tuple[int, bytes]]) -> None:
    if rows:
        with derived(journal):
            journal.connection.executemany("INSERT INTO ids VALUES (?, ?)", rows)
        journal.frames += sum(len(entries) for _, entries in rows) / PAGE
