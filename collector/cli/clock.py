"""The command line's clock and local time: the only place of it that reads either."""

from __future__ import annotations

import datetime as dt
import time


def now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


def zone() -> dt.tzinfo:
    """Local time as the C library has it, every past and future change of the clocks included."""
    return _Local()


class _Local(dt.tzinfo):
    """What `$TZ` or /etc/localtime say, as the C library understands it."""

    def utcoffset(self, moment: dt.datetime | None) -> dt.timedelta | None:
        return None if moment is None else _naive(moment).astimezone().utcoffset()

    def dst(self, moment: dt.datetime | None) -> dt.timedelta | None:
        return None  # nobody asks; None is "unknown"

    def tzname(self, moment: dt.datetime | None) -> str | None:
        return None if moment is None else _naive(moment).astimezone().tzname()

    def fromutc(self, moment: dt.datetime) -> dt.datetime:
        aware = _naive(moment).replace(tzinfo=dt.UTC).astimezone()
        return aware.replace(tzinfo=self)


def _naive(moment: dt.datetime) -> dt.datetime:
    return moment.replace(tzinfo=None)
