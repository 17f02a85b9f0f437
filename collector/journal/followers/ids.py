"""The follower that indexes the ids that producers chose, behind the tail that is kept in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from collector.journal.followers import runs
from collector.journal.followers.base import Follower, Step, derived
from collector.journal.writer import Journal

IDS_BATCH: Final = 32_768
"""Ids that become a run while producers send, and at most."""
IDS_SMALL: Final = 4_096
"""Ids that are worth a run when there is nothing else to do."""
IDS_LAG: Final = 65_536
"""Entries behind which the cursor may stay at most, however few ids they brought: a start, and a look
for an id, go through the log from there on."""
FOLD_SHARE: Final = 3
"""Ids moved to larger runs for each that is new: none moves more often among a thousand million."""


class Ids(Follower):
    """Makes runs of the tail's ids, and larger runs of those."""

    name = "ids"

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self._fold: runs.Fold | None = None
        self._folding: Iterator[int] = iter(())

    def due(self, idle: bool) -> bool:
        ids, far = len(self.journal.ids.tail), self.lag >= IDS_LAG
        if idle:
            return ids >= IDS_SMALL or far or self.journal.ids.unfolded
        return ids >= IDS_BATCH or (far and ids < IDS_SMALL)

    def steps(self) -> Step:
        known = self.journal.ids
        yield from self._tidy()
        taken = list(islice(known.tail.items(), IDS_BATCH))
        if len(taken) >= IDS_SMALL or self.lag >= IDS_LAG:
            yield from self._merge(taken)
        if known.unfolded:
            yield from self._fold_on(FOLD_SHARE * IDS_BATCH)

    def _merge(self, taken: list[tuple[bytes, int]]) -> Step:
        """Index what was taken off the tail's old end."""
        journal = self.journal
        up_to = journal.last_seq if len(taken) == len(journal.ids.tail) else taken[-1][1]
        yield
        run = None
        if taken:
            run = yield from runs.written(journal, taken, self.cursor + 1, up_to)
        with derived(journal):
            if run:
                runs.publish(journal, run)
            self.advance(up_to)
        self.cursor = journal.ids.cursor = up_to
        yield
        for start in range(0, len(taken), runs.STEP_IDS):
            journal.ids.indexed(taken[start : start + runs.STEP_IDS])
            yield

    def _tidy(self) -> Step:
        """Remove the runs that nobody looks at, but for the one that is being written."""
        writing = self._fold and self._fold.run.run
        waste = [run for run in runs.unread(self.journal) if run.run != writing]
        yield from runs.cleared(self.journal, waste)

    def _fold_on(self, ids: int) -> Step:
        """Fold runs, or go on with it, until about so many ids have moved."""
        journal = self.journal
        while ids > 0:
            if self._fold is None:
                alike = runs.foldable(runs.all_runs(journal))
                if not alike:
                    journal.ids.unfolded = False
                    return
                self._fold = runs.Fold(journal, alike)
                self._folding = self._fold.steps()
            moved = next(self._folding, None)
            if moved is None:  # it is done, or failed the last time
                self._fold = None
                yield from self._tidy()
            else:
                ids -= moved
                yield
