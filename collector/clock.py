"""Time: whether the wall clock has stepped, and whether anything keeps it right.

Ages are only as good as the clock. `ClockWatch` compares the wall clock with CLOCK_BOOTTIME, which
no one sets, and knows from the kernel whether time is synchronised at all.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from typing import Final

STEP: Final = 2.0
"""Seconds that the clock must jump to count as stepped; less is slewing, or a leap second."""
PATIENCE: Final = 86_400.0
"""Seconds for which pruning by age waits for time to be synchronised."""
_TIME_ERROR: Final = 5
"""`adjtimex(2)`: the clock is not synchronised."""
_TIMESYNC: Final = "/run/systemd/timesync/synchronized"


def boottime() -> float:
    """Seconds since boot, suspension included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def synchronised() -> bool:
    """Whether the kernel, or systemd-timesyncd, says that the clock is kept right."""
    if os.path.exists(_TIMESYNC):
        return True
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        state: int = libc.adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return True  # nothing to ask: the clock is all there is
    return state != _TIME_ERROR  # -1: not allowed to ask, and the clock is all there is


class ClockWatch:
    """Notices steps and says when ages may be trusted."""

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = boottime,
        synchronised: Callable[[], bool] = synchronised,
    ) -> None:
        self._wall, self._steady, self._synchronised = wall, steady, synchronised
        self._offset = wall() - steady()
        self._since = steady()
        self.shift = 0.0
        """Seconds by which the wall clock has jumped in all."""

    def stepped(self) -> float:
        """Seconds by which the wall clock has jumped since the last call; 0.0 where it has not."""
        offset = self._wall() - self._steady()
        step, self._offset = offset - self._offset, offset
        if abs(step) <= STEP:
            return 0.0
        self._since = self._steady()
        self.shift += step
        return step

    def trusted(self) -> bool:
        """Whether ages may be acted on: time is synchronised, or we have waited for a day."""
        return self._synchronised() or self._steady() - self._since >= PATIENCE
