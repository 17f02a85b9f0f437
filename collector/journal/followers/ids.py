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
"""Entries behind which the cursor may stay, however few ids they brought: a start, and a reader's look
for an id, go through the log from there on."""
FOLD_SHARE: Final = 4
"""Ids moved to larger runs for each that may be new: more than there are sizes of runs."""


class Ids(Follower):
    """Makes runs of the tail's ids, and larger runs of those."""

    name = "ids"

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self._folding: dict[int, Iterator[int]] = {}
        """Folds under way by the run that they fill: a smaller one goes before a larger."""

    def due(self, idle: bool) -> bool:
        ids, far = len(self.journal.ids.tail), self.lag >= IDS_LAG
        if idle:
            return ids >= IDS_SMALL or far or self.journal.ids.unfolded
        return ids >= IDS_BATCH or far

    def steps(self) -> Step:
        known = self.journal.ids
        taken = list(islice(known.tail.items(), IDS_BATCH))
        if len(taken) >= IDS_SMALL or self.lag >= IDS_LAG:
            yield from self._merge(taken)
        if known.unfolded:
            yield from self._fold(FOLD_SHARE * IDS_BATCH)

    def _merge(self, taken: list[tuple[bytes, int]]) -> Step:
        """Index what was taken off the tail's old end."""
        journal = self.journal
        up_to = journal.last_seq if len(taken) == len(journal.ids.tail) else taken[-1][1]
        yield
        if taken:
            yield from runs.written(journal, taken)
        up_to = max(up_to, self.cursor)
        with derived(journal):
            self.advance(up_to)
        self.cursor = journal.ids.cursor = up_to
        yield
        for start in range(0, len(taken), runs.STEP_IDS):
            journal.ids.indexed(taken[start : start + runs.STEP_IDS])
            yield

    def _fold(self, ids: int) -> Step:
        """Begin folds, or go on with them, until about so many ids have moved."""
        journal = self.journal
        while ids > 0:
            runs.begin_fold(journal)
            fold = runs.Fold.smallest(journal)
            if fold is None:
                runs.forget_empty(journal)
                journal.ids.unfolded = False
                return
            folding = self._folding.setdefault(fold.target.run, fold.steps())
            moved = next(folding, None)
            while moved is not None and ids > 0:
                ids -= moved
                yield
                moved = next(folding, None)
            if moved is None:  # it is done, or has failed and begins anew
                del self._folding[fold.target.run]
