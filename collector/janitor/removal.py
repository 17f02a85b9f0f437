"""What has to go: entries past a limit, and what nothing refers to any more when they are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from collector.clock import ClockWatch
from collector.core.retention import (
    DAY,
    Limits,
    age_groups,
    cutoff,
    entries_for_bytes,
    surplus,
)
from collector.journal import sweeping, thinning
from collector.journal.pruning import Pruner
from collector.journal.writer import Journal

SWEEP_EVERY: Final = 3600.0
"""Seconds between walks through the dictionaries, where anything was pruned since."""
QUERY_SECONDS: Final = 1.0
"""A reader that is in the way for longer is no query that will be over in a moment."""
PRUNE: Final = "prune."
"""What the names of jobs begin with that remove entries."""

Job = tuple[str, Iterator[Any]]
"""The name of a kind of job, and its steps."""


class Removal:
    """Finds what is to be removed, as jobs. The times it is given are on the monotonic clock."""

    def __init__(
        self,
        journal: Journal,
        pruner: Pruner,
        limits: Callable[[], Limits],
        *,
        wall: Callable[[], float],
        clock: ClockWatch,
        forget: Callable[[], None],
        wipe: Callable[[], bool],
    ) -> None:
        self._journal, self._pruner, self._limits = journal, pruner, limits
        self._wall, self._clock, self._forget = wall, clock, forget
        self._wipe = wipe
        self.unswept = bool(pruner.take_account())
        """Whether entries were removed since the last sweep."""
        self._aged_at = self._swept_at = -1e9

    def over(self, now: float, interval: float) -> list[Job]:
        """The jobs that make the limits hold again; ages are looked at once an interval (s)."""
        pruner, limits = self._pruner, self._limits()
        entries = pruner.entries
        if excess := surplus(entries, limits.max_entries):
            return self._prune("entries", pruner.oldest(excess, "entries"))
        if excess := self._used_excess(entries, limits.max_bytes):
            return self._prune("bytes", self._lightened(excess, limits.max_bytes))
        if now - self._aged_at < interval or not self._clock.trusted():
            return []
        self._aged_at = now
        jobs: list[Job] = []
        for group in age_groups(limits):
            before = cutoff(int(self._wall() * 1e6), group.max_days)
            jobs += self._prune("age", pruner.aged(group, before))
        return [*jobs, ("totals", self._old_totals())]

    def look_soon(self) -> None:
        """Look at ages the next time, however short ago they were looked at."""
        self._aged_at = -1e9

    def sweep_is_due(self, now: float) -> bool:
        """Whether a sweep is worth it; asked when there is nothing else to do, and taken as begun."""
        if now - self._swept_at < SWEEP_EVERY:
            return False
        if not self.unswept and not sweeping.is_due(self._journal):
            return False
        self._swept_at = now
        self.unswept = False
        return True

    def sweep(self) -> list[Job]:
        """The jobs that clear away everything that the log no longer refers to."""
        journal = self._journal
        return [
            ("sweep", sweeping.stale_segments(journal)),
            ("sweep", sweeping.stale_postings(journal)),
            ("sweep", thinning.stale_ids(journal)),
            ("sweep", sweeping.stale_texts(journal, self._forget)),
            ("sweep", sweeping.give_back(journal)),
            ("sweep", sweeping.wipe(journal)),
        ]

    def _prune(self, cause: str, steps: Iterator[int]) -> list[Job]:
        self.unswept = True
        return [
            (f"{PRUNE}{cause}", steps),
            ("sweep", sweeping.stale_segments(self._journal)),
            ("sweep", sweeping.give_back(self._journal)),
        ]

    def _used_excess(self, entries: int, limit: int) -> int:
        """How many entries have to go for their bytes: none for those that only a checkpoint frees.

        The log counts, so it is emptied first. Where a reader keeps it from that, pruning waits: it
        would add to the log. Queries that overlap, each of which is soon over, are no reason to wait.
        """
        if not limit:
            return 0
        used, _free = self._journal.page_bytes()
        log = self._journal.wal_bytes()
        if not surplus(used + log, limit):
            return 0
        emptied, held = not log or self._wipe(), self._journal.held
        if not emptied and held.since is not None:
            queries = held.passed and held.seconds < QUERY_SECONDS
            if not queries:
                return 0
        return entries_for_bytes(used, limit, entries)

    def _lightened(self, excess: int, limit: int) -> Iterator[int]:
        """Remove the oldest, so many at most, until the rest is within the limit in bytes.

        The oldest may be larger than most: their number alone could take more than has to go.
        """
        for count in self._pruner.oldest(excess, "bytes"):
            yield count
            if self._journal.page_bytes()[0] <= limit:
                return

    def _old_totals(self) -> Iterator[None]:
        if days := self._limits().totals_days:
            oldest = cutoff(int(self._wall() * 1e6), days)
            yield from self._pruner.forget_totals(oldest // DAY)
