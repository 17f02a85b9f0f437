"""How much of the event loop's time housekeeping may take, beside recording.

While nobody sends, all of it, in slices of 20 ms. While somebody does, it earns its time: half of
what the loop would idle away, and a share of what it works. That share is small at first, so
that a burst is recorded before it is indexed, and grows with what is left undone, so that a flood
that goes on and on is indexed as fast as it is recorded: the tail that readers must scan stays
below a million entries. A slice is as long as the commit before it, but 2 ms at least and 20 ms at
most: whoever waits for one event's acknowledgement waits for a short slice.
"""

from __future__ import annotations

from typing import Final

SLICE: Final = 0.020
BUSY_SLICE: Final = 0.002
"""Seconds of one slice, in quiet and while producers wait for single events."""
BUSY_FOR: Final = 0.05
"""Seconds after a commit in which producers count as sending."""
REST_SHARE: Final = 0.5
"""Seconds earned for each second in which the loop had nothing to do."""
LAG: Final = 512 * 1024
"""Entries behind which followers keep up with any flood: as far as readers should have to scan."""
LAG_IDS: Final = 64 * 1024
"""The same for ids that producers chose: until they are indexed they are kept in memory."""
OVER: Final = 0.025
"""The part of a limit by which it may be exceeded before pruning keeps up with any flood."""
_RAMP: Final = ((0.5, 0.05), (1.0, 0.25), (1.25, 1.0), (2.0, 4.0))
"""From the need, 1 where work should keep up from, to seconds earned for each second of recording."""


def need_of(lag: int, ids: int, over: float | None, *, sifted: bool = True) -> float:
    """How far behind the work is, 1 where it should keep up with any flood from now on.

    `lag` entries and `ids` are not indexed yet. While entries are pruned, `over` is the part by which
    their limit is exceeded, `OVER` where it is not one in entries. Where ids are not `sifted`, new ones
    cost as repeats do, until there is a sieve.
    """
    behind = max(lag / LAG, ids / LAG_IDS, 0.0 if sifted else 1.25)
    return behind if over is None else max(behind, 1.0, 1.25 * over / OVER)


def share(need: float) -> float:
    """The share of recording's time for work of such need, along straight lines between the points."""
    before, least = _RAMP[0]
    if need <= before:
        return least
    for at, value in _RAMP[1:]:
        if need <= at:
            return least + (value - least) * (need - before) / (at - before)
        before, least = at, value
    return least


class Pace:
    """What one kind of housekeeping has earned and not yet spent, in seconds."""

    def __init__(self) -> None:
        self.earned = 0.0
        self._at = self._recording = self._processor = 0.0

    def earn(self, now: float, recording: float, processor: float, of_work: float) -> None:
        """Take note of the time.

        `recording` is how long the loop has recorded so far, waits for the disk included, and
        `processor` the processor time of its thread, sockets included: the greater tells how long it
        has worked. `of_work` is the share of that which is earned. No more is saved up than a slice.
        """
        elapsed = now - self._at
        worked = max(recording - self._recording, processor - self._processor)
        self._at, self._recording, self._processor = now, recording, processor
        gain = worked * of_work + max(0.0, elapsed - worked) * REST_SHARE
        self.earned = min(SLICE, self.earned + gain)

    def spent(self, now: float, processor: float, seconds: float) -> None:
        """A slice has ended that took so long; nothing is earned by it, and no long debt remains."""
        self._at, self._processor = now, processor
        self.earned = max(-SLICE, self.earned - seconds)

    def slice(self, last_commit_took: float) -> float:
        """Seconds that the next slice may take; 0 where too little is earned yet."""
        if self.earned < BUSY_SLICE:
            return 0.0
        return min(self.earned, max(BUSY_SLICE, last_commit_took))

    def patience(self) -> float:
        """Seconds until a slice is earned, if nothing is recorded meanwhile."""
        return max(0.001, (BUSY_SLICE - self.earned) / REST_SHARE)
