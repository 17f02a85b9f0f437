"""A failing disk: when it is worth a line in the log, and when the daemon has to end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from collector.daemon.opening import mark_damaged
from collector.errors import JournalBusy, JournalCorrupt, JournalError, JournalFull, JournalTorn
from collector.intake import GIVE_UP_AFTER

LINE_EVERY: Final = 10.0
"""Seconds between two lines about the same trouble."""

_log = logging.getLogger(__name__)


class Failing:
    """Decides about failures of the journal. `ended` gets the error that ends the daemon."""

    def __init__(
        self,
        path: Path,
        monotonic: Callable[[], float],
        ended: asyncio.Future[BaseException],
    ) -> None:
        self.ended = ended
        self._path, self._monotonic = path, monotonic
        self._said_at = -LINE_EVERY
        self._unsaid = 0

    def note(self, error: JournalError, since: float | None) -> None:
        """A write failed; writes have been failing `since` (monotonic seconds)."""
        now = self._monotonic()
        self._say(error, now)
        if isinstance(error, JournalCorrupt):
            mark_damaged(self._path)
            self.give_up(error)
        elif isinstance(error, JournalTorn) or (
            not isinstance(error, JournalFull | JournalBusy)
            and since is not None
            and now - since >= GIVE_UP_AFTER
        ):
            self.give_up(error)

    def give_up(self, error: BaseException) -> None:
        """End the daemon with this error."""
        if not self.ended.done():
            _log.critical("giving up: %s", error)
            self.ended.set_result(error)

    def _say(self, error: JournalError, now: float) -> None:
        if now - self._said_at < LINE_EVERY:
            self._unsaid += 1
            return
        more = f" (and {self._unsaid} more like it)" if self._unsaid else ""
        _log.critical("the journal cannot be written: %s%s", error, more)
        self._said_at, self._unsaid = now, 0
