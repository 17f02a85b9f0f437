"""What was lost, by cause, until the log knows of it.

    add → counted → report (an `events.lost` event with an id of its own) → told

A report that was sent and not answered is sent again as it is: its id makes it count once.
Losses that come meanwhile wait for the next report.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from threading import RLock
from time import monotonic, time
from typing import Any, Final

import msgspec

from collector.client import notices
from collector.client.ids import new_id
from collector.client.timestamps import to_rfc3339
from collector.event import Draft

CLOSED: Final = "closed"
"""The cause of what was not delivered before the end, and of what came after a close."""
REPORT_EVERY: Final = 1.0
"""Seconds between two reports, so that a flood does not report each of its events."""


class Report:
    """One `events.lost` on its way. `frame` is its line; `tally` what it tells."""

    def __init__(self, tally: dict[str, tuple[int, float, float]], cause: str) -> None:
        self.cause = cause
        self.tally = tally
        count, first, last = tally[cause]
        window = {"from": to_rfc3339(first), "to": to_rfc3339(last)}
        draft = Draft(
            action="events.lost",
            id=new_id(),
            occurred_at=dt.datetime.now(dt.UTC),
            category="system",
            severity="warning",
            message=f"{notices.tally(count)} lost before delivery ({cause})",
            metadata={"count": count, "cause": cause, **window},
        )
        self.count = count
        self.frame = msgspec.json.encode(draft) + b"\n"


class Losses:
    """Counts losses and hands out reports, one at a time; `wall` is in epoch seconds."""

    def __init__(self, wall: Callable[[], float] = time) -> None:
        self._lock = RLock()
        self._wall = wall
        self._tally: dict[str, tuple[int, float, float]] = {}
        self._open: Report | None = None
        self._next = 0.0
        self.total = 0

    def add(self, cause: str, at: float | None = None, count: int = 1) -> None:
        """`count` events were lost; `at` is when they had been recorded, in epoch seconds."""
        at = self._wall() if at is None else at
        with self._lock:
            known, first, last = self._tally.get(cause, (0, at, at))
            self._tally[cause] = (known + count, min(first, at), max(last, at))
            self.total += count

    def report(self, *, now: bool = False) -> Report | None:
        """The report to send, if one is due; until `told`, always the same one."""
        with self._lock:
            if self._open is None and self._tally and (now or monotonic() >= self._next):
                cause = next(iter(self._tally))
                self._open = Report({cause: self._tally.pop(cause)}, cause)
                self._next = monotonic() + REPORT_EVERY
            return self._open

    def told(self, report: Report) -> None:
        """The log has it, or refuses it for good."""
        with self._lock:
            if self._open is report:
                self._open = None

    def untold(self, but: str | None = None) -> int:
        """Losses that the log does not know of yet, without those of the cause `but`."""
        with self._lock:
            waiting = sum(count for cause, (count, _, _) in self._tally.items() if cause != but)
            return waiting + (self._open.count if self._open is not None else 0)

    def renew_locks(self) -> None:
        """No other thread is left, and one may have held the lock."""
        self._lock = RLock()

    def forget(self) -> None:
        """In a forked child: what the parent lost is the parent's to report."""
        self._lock = RLock()
        self._tally = {}
        self._open = None
        self.total = 0

    def snapshot(self) -> dict[str, Any]:
        """Counts by cause that are not yet told."""
        with self._lock:
            return {cause: count for cause, (count, _, _) in self._tally.items()}
