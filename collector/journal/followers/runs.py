"""Runs of the index of ids: written, folded into larger ones, cleared away.

Every step is a transaction that leaves the index whole: a run may be looked at from its first row on,
and a fold moves ids from its sources to its target, a few buckets at a time. So a crash, an error or a
job that is dropped loses nothing, needs no more room than there was, and leaves at most an id that is
there twice, until the next fold. Runs have ascending numbers that are never used again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from typing import Final

from collector.journal.connection import translated
from collector.journal.followers.base import Step, derived
from collector.journal.id_index import RECORD, Run, bucket_bits, records, rows_of
from collector.journal.writer import PAGE, Journal

FOLD_RUNS: Final = 16
"""Runs of like size that become one."""
TIER_BITS: Final = 4
"""Runs are of like size where the lengths of their sizes, in so many bits, agree."""
WRITE_ROWS: Final = 64
"""Buckets written or removed in one step and transaction."""
STEP_IDS: Final = 1_024
"""Ids put into buckets in one step."""
MOVE_PARTS: Final = 2
"""Buckets of each source whose ids are moved in one step and transaction."""


def all_runs(journal: Journal) -> list[Run]:
    """Every run, oldest number first."""
    with translated(journal.path):
        rows = journal.connection.execute("SELECT * FROM id_runs ORDER BY run")
        return [Run(*row) for row in rows]


def written(journal: Journal, ids: list[tuple[bytes, int]]) -> Step:
    """Write a run of ids and their seqs, which the sieve has already."""
    bits = bucket_bits(len(ids))
    seqs = [seq for _, seq in ids]
    run = _begun(journal, min(seqs), max(seqs), bits)
    buckets: list[list[bytes]] = [[] for _ in range(1 << bits)]
    for start in range(0, len(ids), STEP_IDS):
        part = ids[start : start + STEP_IDS]
        journal.ids.hash.put(part, buckets, bits)
        yield
    for start in range(0, len(buckets), WRITE_ROWS):
        rows = rows_of(run, start, buckets[start : start + WRITE_ROWS])
        with derived(journal):
            _add(journal, run, rows)
        yield


def cleared(journal: Journal, runs: Iterable[Run]) -> Step:
    """Take everything out of some runs. They stay, empty, since somebody may be at work on one."""
    for run in runs:
        gone = WRITE_ROWS
        while gone == WRITE_ROWS:
            with derived(journal):
                lengths = journal.connection.execute(
                    "DELETE FROM ids WHERE key IN (SELECT key FROM ids"
                    f" WHERE key BETWEEN ? AND ? LIMIT {WRITE_ROWS}) RETURNING length(entries)",
                    run.keys(),
                ).fetchall()
                shrink(journal, run, sum(length for (length,) in lengths))
            gone = len(lengths)
            yield
    journal.ids.unfolded = True


def forget_empty(journal: Journal) -> None:
    """Forget the runs that have nothing and take no part in a fold, while none is being written."""
    with derived(journal):
        journal.connection.execute(
            "DELETE FROM id_runs WHERE size = 0 AND target = 0"
            " AND run NOT IN (SELECT target FROM id_runs)"
        )


def begin_fold(journal: Journal) -> None:
    """Where there are enough runs of like size, have the smallest such become one, in `Fold.steps`."""
    runs = all_runs(journal)
    targets = {run.target for run in runs}
    free = [run for run in runs if run.size and not run.target and run.run not in targets]
    for _, tier in groupby(sorted(free, key=_tier), key=_tier):
        alike = sorted(tier)[:FOLD_RUNS]
        if len(alike) == FOLD_RUNS:
            first, last = min(run.first for run in alike), max(run.last for run in alike)
            bits = bucket_bits(sum(run.size for run in alike))
            with derived(journal):
                target = _begin(journal, first, last, bits)
                journal.connection.executemany(
                    "UPDATE id_runs SET target = ? WHERE run = ?",
                    [(target.run, run.run) for run in alike],
                )
            return


class Fold:
    """Moves the ids of some runs into one."""

    def __init__(self, journal: Journal, target: Run, sources: list[Run]) -> None:
        self.target = target
        self._journal, self._sources = journal, sources
        ordered = sorted(run[1:3] for run in sources)
        self._twice = any(one[1] >= two[0] for one, two in pairwise(ordered))
        """Whether an id may be there twice: then the runs' seqs overlap."""

    @classmethod
    def smallest(cls, journal: Journal) -> Fold | None:
        """The fold with the smallest target of those that are under way."""
        runs = {run.run: run for run in all_runs(journal)}
        targets = [runs[run.target] for run in runs.values() if run.target]
        if not targets:
            return None
        target = min(targets, key=lambda run: (run.bits, run.run))
        return cls(journal, target, [run for run in runs.values() if run.target == target.run])

    def steps(self) -> Iterator[int]:
        """Move everything; yields how many ids each step has moved."""
        coarse = min(self.target.bits, *(run.bits for run in self._sources))
        for part in range(0, 1 << coarse, MOVE_PARTS):
            yield self._move(part, min(MOVE_PARTS, (1 << coarse) - part), coarse)
        with derived(self._journal):
            self._journal.connection.executemany(
                "DELETE FROM id_runs WHERE run = ?",
                [(run.run,) for run in self._sources],
            )
        yield 0

    def _move(self, part: int, parts: int, coarse: int) -> int:
        """Move what the sources have in some of the 2^`coarse` parts of all hashes."""
        journal, target = self._journal, self.target
        run, moved = journal.connection.execute, 0
        finer = target.bits - coarse
        buckets: list[list[bytes]] = [[] for _ in range(parts << finer)]
        with derived(journal):
            for source in self._sources:
                keys = source.keys(part, coarse, parts)
                taken = run(
                    "DELETE FROM ids WHERE key BETWEEN ? AND ? RETURNING entries", keys
                ).fetchall()
                if taken:
                    entries = b"".join(row[0] for row in taken)
                    moved += len(entries) // RECORD
                    shrink(journal, source, len(entries))
                    journal.ids.hash.distribute(
                        records(entries), buckets, target.bits, part << finer
                    )
            if self._twice:
                buckets = [list(dict.fromkeys(bucket)) for bucket in buckets]
            if moved:
                _add(journal, target, rows_of(target, part << finer, buckets))
        return moved


def _tier(run: Run) -> int:
    return (run.size.bit_length() - 1) // TIER_BITS


def _begun(journal: Journal, first: int, last: int, bits: int) -> Run:
    with derived(journal):
        return _begin(journal, first, last, bits)


def _begin(journal: Journal, first: int, last: int, bits: int) -> Run:
    """A new run, within a transaction."""
    journal.ids.unfolded = True
    number = journal.connection.execute(
        "INSERT INTO id_runs (first, last, bits, size, target) VALUES (?, ?, ?, 0, 0)"
        " RETURNING run",
        (first, last, bits),
    ).fetchone()[0]
    return Run(number, first, last, bits, 0)


def shrink(journal: Journal, run: Run, size: int) -> None:
    """Take note that so many bytes of a run's rows are gone, within a transaction."""
    journal.connection.execute(
        "UPDATE id_runs SET size = size - ? WHERE run = ?", (size // RECORD, run.run)
    )


def _add(journal: Journal, run: Run, rows: list[tuple[int, bytes]]) -> None:
    """Add rows to a run, within a transaction."""
    size = sum(len(entries) for _, entries in rows)
    journal.connection.executemany("INSERT INTO ids VALUES (?, ?)", rows)
    journal.connection.execute(
        "UPDATE id_runs SET size = size + ? WHERE run = ?", (size // RECORD, run.run)
    )
    journal.frames += 2 * size / PAGE
