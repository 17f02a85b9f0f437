"""A failing disk: how long it is left alone, and what producers hear meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from collector.errors import JournalDamaged, JournalError, JournalFull, JournalHeld, Rejected
from collector.event import Draft

RETRY_FIRST, RETRY_MOST = 0.1, 5.0
"""Seconds for which a failed disk is left alone before the next commit is tried, doubled each time."""
GIVE_UP_AFTER: Final = 60.0
"""Seconds of failing commits after which the daemon ends with exit code 74."""
SPARE: Final = 1 << 48
"""Below this are the seqs in the ids of events that never had one: no journal grows up to there."""


class Failing:
    """Whether writing fails at present, since when, and when it is worth another try."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        on_failure: Callable[[JournalError], None],
        counters: Counter[str],
    ) -> None:
        self.since: float | None = None
        """When the first of the failures was, on the monotonic clock; None while writing works."""
        self.error: JournalError | None = None
        """The last failure."""
        self.suspected = False
        """The journal may be damaged and is being looked at: nothing is tried meanwhile."""
        self._monotonic, self._on_failure, self._counters = monotonic, on_failure, counters
        self._retry_at = 0.0
        self._backoff = RETRY_FIRST

    @property
    def resting(self) -> bool:
        """Whether it is too early for another try."""
        if self.suspected:
            return True
        return self.since is not None and self._monotonic() < self._retry_at

    def failed(self, error: JournalError) -> Rejected:
        """A write has failed; what to tell producers."""
        self._counters["commit_failures"] += 1
        now = self._monotonic()
        self.error = error
        if self.since is None:
            self.since = now
            self._backoff = RETRY_FIRST
        else:
            self._backoff = min(self._backoff * 2, RETRY_MOST)
        self._retry_at = now + self._backoff
        self._on_failure(error)
        return rejection(error)

    def recovered(self) -> None:
        """A write has worked."""
        if self.since is not None:
            self.since = None
            self.error = None


def rejection(error: JournalError | None) -> Rejected:
    """The answer to an event that could not be written."""
    if isinstance(error, JournalDamaged):
        return Rejected("failed", "the journal is damaged; the daemon restarts with a fresh one")
    if isinstance(error, JournalHeld):
        return Rejected(
            "storage_full",
            "no space is left for the journal's log while a reader holds an old snapshot; `collector"
            " status` names it; send again when it has ended",
        )
    if isinstance(error, JournalFull):
        return Rejected("storage_full", "no space is left for the journal; free some, send again")
    return Rejected("io_error", "the journal cannot be written; send again with the same id")


def named(draft: Draft, prefix: str, seq: int) -> Draft:
    """An event that was not stored, with an id to send it again with."""
    return draft if draft.id else msgspec.structs.replace(draft, id=f"{prefix}{seq:012x}")
