"""How long the janitor sleeps: until time has passed, enough was recorded, or somebody asks for it."""

from __future__ import annotations

import asyncio

from collector.journal.writer import Journal


class Alarm:
    """Wakes the one who waits for it; a write-ahead log of `long_wal` pages is reason enough."""

    def __init__(self, journal: Journal, long_wal: float) -> None:
        self.resting = False
        """Whether nothing was left to do at the last look, so that the next commit is news."""
        self._journal, self._long_wal = journal, long_wal
        self._rung = asyncio.Event()
        self._at_seq = 0

    async def wait(self, seconds: float, entries: int) -> None:
        """Sleep for so long at most, and until so many more entries are recorded."""
        self._at_seq = self._journal.last_seq + entries
        self._rung.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            pass

    def ring(self) -> None:
        """End the sleep."""
        self._rung.set()

    def committed(self) -> None:
        """Called by the intake after each commit: one event at a time, a look each would cost more."""
        journal = self._journal
        long = journal.frames >= self._long_wal and journal.held.since is None
        if self.resting or long or journal.last_seq >= self._at_seq:
            self.resting = False
            self._rung.set()
