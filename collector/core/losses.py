"""Losses: what was turned away or dropped, counted by cause until it is itself in the log."""

from __future__ import annotations

from msgspec import Struct

REPORT_AFTER = 10.0
"""Seconds for which losses of one kind are added up before they become an `events.lost` entry."""


class Loss(Struct):
    """So many, for one cause, between two times (seconds since the epoch)."""

    cause: str
    count: int
    first: float
    last: float


class Losses:
    """Adds up losses by cause. Causes are a closed set of our own words, so this is bounded."""

    def __init__(self) -> None:
        self._open: dict[str, Loss] = {}
        self.totals: dict[str, int] = {}

    def add(self, cause: str, count: int, now: float) -> None:
        """Count `count` losses at time `now`."""
        self.totals[cause] = self.totals.get(cause, 0) + count
        loss = self._open.get(cause)
        if loss is None:
            self._open[cause] = Loss(cause, count, now, now)
        else:
            loss.count += count
            loss.last = now

    def due(self, now: float) -> list[Loss]:
        """Losses old enough to be reported; they are taken out."""
        return self._take(
            [loss for loss in self._open.values() if now - loss.first >= REPORT_AFTER]
        )

    def rest(self) -> list[Loss]:
        """Everything that is not reported yet; it is taken out."""
        return self._take(list(self._open.values()))

    def put_back(self, loss: Loss) -> None:
        """The report could not be recorded: count it again next time."""
        known = self._open.setdefault(loss.cause, loss)
        if known is not loss:
            known.count += loss.count
            known.first = min(known.first, loss.first)

    def _take(self, losses: list[Loss]) -> list[Loss]:
        for loss in losses:
            del self._open[loss.cause]
        return losses
