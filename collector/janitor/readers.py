"""Readers that hold a snapshot: when a checkpoint is worth another try, and what is said of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from collector.janitor.announcements import Announcements
from collector.journal.holders import described, holders
from collector.journal.writer import Journal

TRY_EVERY: Final = 1.0
"""Seconds after which a checkpoint is tried again though everybody known is still reading."""
LOOK_EVERY: Final = 0.05
"""Seconds between looks whether one of them has left."""
TRY_SHARE: Final = 100
"""A try costs more the longer the log is: it gets one part in so many of the time at most."""

_log = logging.getLogger(__name__)


class Readers:
    """Watches one journal's `held`. `monotonic` gives seconds."""

    def __init__(
        self, journal: Journal, announcements: Announcements, monotonic: Callable[[], float]
    ) -> None:
        self._journal, self._announcements = journal, announcements
        self._monotonic = monotonic
        self._told: float | None = None
        """When the hold began that was told, as `held.since` has it."""
        self._longest = 0.0
        self._next_try = self._next_look = 0.0

    def worth_trying(self) -> bool:
        """Whether a checkpoint may do more than the last: somebody has left, or it is time again."""
        held, now = self._journal.held, self._monotonic()
        if held.since is None or now >= self._next_try:
            return True
        if now < self._next_look or not held.by:
            return False
        self._next_look = now + LOOK_EVERY
        return not held.look()

    def suspected(self) -> bool:
        """Whether somebody reads of whom no checkpoint has shown yet whether it is in the way."""
        return self._journal.held.since is None and bool(holders(self._journal.path))

    def tried(self, seconds: float) -> None:
        """A checkpoint was tried, which took so long."""
        self._next_try = self._monotonic() + max(TRY_EVERY, TRY_SHARE * seconds)

    def watch(self) -> None:
        """Tell once of a hold that lasts, and once of its end."""
        held = self._journal.held
        if self._told is not None and held.since == self._told:
            self._longest = held.seconds
        elif self._told is not None:
            self._released()
        if self._told is None and held.lasts:
            self._told, self._longest = held.since, held.seconds
            self._held()

    def _held(self) -> None:
        held, journal = self._journal.held, self._journal
        facts: dict[str, Any] = {"pid": None, "comm": None}
        if held.by:
            first = held.by[0]
            facts = {"pid": first.pid, "comm": first.comm or None}
            if first.verb:
                facts["verb"] = first.verb
        if len(held.by) > 1:
            facts["readers"] = len(held.by)
        log = journal.wal_bytes()
        facts |= {"seconds": round(held.seconds, 1), "wal_bytes": log}
        self._announcements.add("journal.held", facts)
        _log.warning(
            "%s holds an old snapshot of the journal: its log of %.1f MiB cannot be checkpointed,"
            " and no room comes back by pruning until that ends",
            described(held.by),
            log / (1 << 20),
        )

    def _released(self) -> None:
        self._told = None
        self._announcements.add("journal.released", {"seconds": round(self._longest, 1)})
        _log.info("the snapshot was released: the journal is checkpointed again")
