"""Seconds since the epoch to RFC 3339 and from a datetime, without arithmetic of `datetime`.

That ends the process (SIGSEGV, Python 3.13.0) where a destructor comes to it at the interpreter's
end, and what is recorded there goes the same way as everything else.
"""

from __future__ import annotations

import datetime as dt
from time import gmtime
from typing import Final

_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()
_DAY: Final = 86_400


def to_rfc3339(seconds: float) -> str:
    """Seconds since the epoch as entries have times: in UTC, with microseconds and `Z`."""
    whole, micro = divmod(round(seconds * 1e6), 1_000_000)
    year, month, day, hour, minute, second = gmtime(whole)[:6]
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z"


def to_seconds(at: dt.datetime) -> float:
    """Seconds since the epoch of a time; one without an offset is taken to be in UTC."""
    seconds = (at.toordinal() - _EPOCH_DAY) * _DAY + at.hour * 3600 + at.minute * 60 + at.second
    offset = at.utcoffset()
    if offset is not None:
        seconds -= offset.days * _DAY + offset.seconds
    return seconds + at.microsecond / 1e6
