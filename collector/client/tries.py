"""The tries of one call that waits: what is left to send, how long to rest, when to give up.

No I/O and no clock. Within the call's time a broken connection and a reply that says "try again" are
tried again, with the same ids. Once a call has found no daemon for its whole time, later calls only
look whether it is back, for `PROBE` seconds at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from collector.client import notices
from collector.client.ids import jitter
from collector.client.items import Item, fail

BACKOFF_FIRST: Final = 0.02
BACKOFF_MOST: Final = 0.5
PROBE: Final = 0.25
"""Seconds that a call takes to see whether a daemon that was away is back."""


def patience(timeout: float, away: bool) -> float:
    """How long a call may take (s); `away` as the last one left it."""
    return min(timeout, PROBE) if away else timeout


class Tries:
    """`items` are what is still open; `away` whether the daemon is to be taken for gone."""

    def __init__(self, items: Sequence[Item], away: bool) -> None:
        self.items = items
        self.away = away
        self._hopeless = away
        self._why = "the daemon said: try again"
        self._refused = False
        self._pause = BACKOFF_FIRST

    def answered(self, again: Sequence[Item]) -> None:
        """The daemon answered every line; it wants these again."""
        self.items = again
        self._refused = bool(again)
        self.away = self._hopeless = False

    def failed(self, why: str) -> None:
        """The connection broke, or there was none; what was not answered is open."""
        self._why = why
        self._refused = False
        self.items = [one for one in self.items if one.receipt.seq is None and one.receipt.ok]

    def rest(self, left: float) -> float | None:
        """Seconds until the next try, of the `left` ones; None where this was the last.

        If something is open then, its receipts say why it was given up.
        """
        if not self.items:
            return None
        if self._hopeless or left <= self._pause:
            self._give_up()
            return None
        pause = self._pause * jitter()
        self._pause = min(self._pause * 2, BACKOFF_MOST)
        return pause

    def _give_up(self) -> None:
        self.away = not self._refused
        for item in self.items:
            if item.receipt.ok:
                fail(item.receipt, "timeout", self._why, retry=True)
        notices.unreachable(self._why)
