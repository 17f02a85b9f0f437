"""Times as entries have them: RFC 3339 in UTC, to and from microseconds since the epoch."""

from __future__ import annotations

import datetime as dt
from typing import Final

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND: Final = dt.timedelta(microseconds=1)
_UTC_EPOCH: Final = dt.datetime(1970, 1, 1)
_LEAST: Final = (dt.datetime.min - _UTC_EPOCH) // MICROSECOND
_MOST: Final = (dt.datetime.max - _UTC_EPOCH) // MICROSECOND


def since_epoch(at: dt.datetime) -> int:
    """Microseconds since the epoch of an aware time."""
    return (at - EPOCH) // MICROSECOND


def from_rfc3339(text: str) -> int:
    """Microseconds since the epoch for a time as entries have it. Raises ValueError otherwise."""
    return since_epoch(dt.datetime.fromisoformat(text))


def to_rfc3339(microseconds: int) -> str:
    """A time (µs since the epoch) as entries have it: RFC 3339 in UTC with microseconds and `Z`.

    One before year 1 or after 9999, which RFC 3339 cannot say, as the nearest that it can.
    """
    when = _UTC_EPOCH + dt.timedelta(microseconds=max(_LEAST, min(_MOST, microseconds)))
    return when.isoformat(timespec="microseconds") + "Z"


def rfc3339(seconds: float) -> str:
    """The same of seconds since the epoch, as clocks tell them."""
    return to_rfc3339(round(seconds * 1e6))
