"""A failing disk: when it is worth a line in the log, and when the daemon has to end.

Damage is believed after two looks only, which a process of their own takes: see `journal/looking.py`.
Until they are taken it counts as a disk that fails, and nothing is written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from collector.daemon.children import output_of
from collector.daemon.opening import mark_damaged
from collector.errors import (
    JournalBusy,
    JournalCorrupt,
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalIOError,
    JournalTorn,
)
from collector.intake import GIVE_UP_AFTER
from collector.journal.looking import UNKNOWN, Findings, command, parse

LINE_EVERY: Final = 10.0
"""Seconds between two lines about the same trouble."""

LOOK_AGAIN: Final = 10.0
"""Seconds from the end of a look that found no damage to the next: it reads the whole journal."""

_log = logging.getLogger(__name__)


class Failing:
    """Decides about failures of the journal. `ended` gets the error that ends the daemon.

    `suspect` hears that the journal is being looked at, and then that it is no more; with the damage
    where there is some.
    """

    def __init__(
        self,
        path: Path,
        monotonic: Callable[[], float],
        ended: asyncio.Future[BaseException],
        suspect: Callable[[bool, JournalError | None], None],
    ) -> None:
        self.ended = ended
        self._path, self._monotonic, self._suspect = path, monotonic, suspect
        self._said_at = -LINE_EVERY
        self._unsaid = 0
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = -LOOK_AGAIN

    def note(self, error: JournalError, since: float | None) -> None:
        """A write failed, or a read; writes have been failing `since` (monotonic seconds)."""
        now = self._monotonic()
        self._say(error, now)
        if isinstance(error, JournalCorrupt):
            self._look_at(error, now)
        if isinstance(error, JournalTorn):
            self.give_up(error)
        waits = isinstance(error, JournalFull | JournalBusy) or self._looking is not None
        if not waits and since is not None and now - since >= GIVE_UP_AFTER:
            suspicion = isinstance(error, JournalCorrupt)
            self.give_up(JournalIOError(str(error)) if suspicion else error)

    async def stop(self) -> None:
        """End a look that is under way."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    # ── damage ──────────────────────────────────────────────────────────────────────────────────

    def _look_at(self, reported: JournalCorrupt, now: float) -> None:
        if self._looking is None and now - self._looked_at >= LOOK_AGAIN:
            self._suspect(True, None)
            self._looking = asyncio.create_task(self._look(reported), name="looking for damage")

    async def _look(self, reported: JournalCorrupt) -> None:
        error: JournalError | None = None
        try:
            error = (await _findings(self._path)).error(self._path, reported)
            if isinstance(error, JournalDamaged):
                mark_damaged(self._path)
                self.give_up(error)
            else:
                _log.error("not set aside: %s", error)
        finally:
            self._looked_at = self._monotonic()
            self._looking = None
            self._suspect(False, error if isinstance(error, JournalDamaged) else None)

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


async def _findings(path: Path) -> Findings:
    """What a process finds that looks at the journal; it ends with this task."""
    done = await output_of(*command(path))
    return UNKNOWN if done is None else parse(done[1])
