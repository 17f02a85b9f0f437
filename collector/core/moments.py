"""Points in time as people write them, to microseconds since the epoch.

    2026-11-20T10:00:00Z    RFC 3339, with `Z` or an offset, a space for the `T` if you like
    2026-11-20 10:00        local time, seconds and their fraction optional
    2026-11-20              the start of that day, local time
    10:00                   today at that time
    now today yesterday tomorrow
    -2h  +30m  -1d12h       from now: ms, s, m (minutes), h, d, w in any length of name but months
    10 min ago              the same, in words
    @1763632800             seconds since the epoch

Days and weeks are 24 and 168 hours; only `today`, `yesterday`, `tomorrow` follow the calendar. A
local time that the clock skips in spring is read as if the clock had not been changed yet, one that
it shows twice in autumn as the first of the two.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from collector.core.rfc3339 import EPOCH, MICROSECOND, since_epoch
from collector.errors import QueryError

FORMS: Final = (
    'RFC 3339, "2026-11-20", "2026-11-20 10:00", now, today, yesterday, -2h, "10 min ago"'
)

_DAYS: Final = {"today": 0, "yesterday": -1, "tomorrow": 1}

_UNITS: Final = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1_000),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1_000_000),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60_000_000),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600_000_000),
    **dict.fromkeys(("d", "day", "days"), 86_400_000_000),
    **dict.fromkeys(("w", "week", "weeks"), 604_800_000_000),
}

_CLOCK: Final = r"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?"
_CALENDAR: Final = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
    rf"(?:[Tt ]{_CLOCK} ?(?P<offset>[Zz]|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_TODAY_AT: Final = re.compile(_CLOCK, re.ASCII)
# Ten digits are enough for three centuries of seconds; more would only be a way to cost time.
_PART: Final = re.compile(r"(\d{1,10}(?:\.\d{1,6})?) ?([a-z]+)[ ,]*", re.ASCII)
_UNIX: Final = re.compile(r"@(\d{1,12})(?:\.(\d{1,6}))?", re.ASCII)


def parse(text: str, *, now: int, zone: dt.tzinfo, field: str = "") -> int:
    """Microseconds since the epoch for `text`.

    `now` is in microseconds since the epoch; `zone` is what the reader calls local time. Raises
    `QueryError` that names `field` and the forms that are understood.
    """
    words = " ".join(text.split())
    try:
        found = _read(words, words.lower(), now, zone)
    except (ValueError, OverflowError) as error:
        raise QueryError(f"{text[:60]!r} is not a time: {error}", field) from None
    if found is None:
        raise QueryError(f"{text[:60]!r} is not a time; understood are {FORMS}", field)
    return found


def local(moment: int, zone: dt.tzinfo) -> dt.datetime:
    """The date and time in `zone` at `moment`, microseconds since the epoch."""
    return (EPOCH + moment * MICROSECOND).astimezone(zone)


def _read(words: str, lower: str, now: int, zone: dt.tzinfo) -> int | None:
    if lower == "now":
        return now
    if lower in _DAYS:
        return _day(now, zone, _DAYS[lower])
    if match := _CALENDAR.fullmatch(words):
        return _calendar(match, zone)
    if match := _TODAY_AT.fullmatch(words):
        today = local(now, zone)
        return _moment(dt.datetime(today.year, today.month, today.day, tzinfo=zone), match)
    if match := _UNIX.fullmatch(words):
        return int(match[1]) * 1_000_000 + int((match[2] or "").ljust(6, "0"))
    return _relative(lower, now)


def _relative(lower: str, now: int) -> int | None:
    """`-2h`, `+1h30m`, `10 min ago`, `in 5 minutes`; a bare `2h` is neither past nor future."""
    if lower.endswith(" ago"):
        sign, body = -1, lower[:-4]
    elif lower.startswith("in "):
        sign, body = 1, lower[3:]
    elif lower[:1] in ("-", "+"):
        sign, body = (-1 if lower[0] == "-" else 1), lower[1:].lstrip()
    else:
        return None
    span = _span(body)
    if span is None:
        return None
    local(now + sign * span, dt.UTC)  # raises where no calendar has such a year
    return now + sign * span


def _span(body: str) -> int | None:
    """Microseconds of `1h30m`, `2 hours, 5 min`; None where it is no duration."""
    total, at = 0, 0
    while at < len(body):
        part = _PART.match(body, at)
        unit = _UNITS.get(part[2]) if part else None
        if part is None or unit is None:
            return None
        total += round(float(part[1]) * unit)
        at = part.end()
    return total if at else None


def _day(now: int, zone: dt.tzinfo, days: int) -> int:
    date = local(now, zone).date() + dt.timedelta(days=days)
    return since_epoch(dt.datetime(date.year, date.month, date.day, tzinfo=zone))


def _calendar(match: re.Match[str], zone: dt.tzinfo) -> int:
    offset = match["offset"]
    if offset:
        zone = _zone(offset)
    day = dt.datetime(int(match["year"]), int(match["month"]), int(match["day"]), tzinfo=zone)
    return _moment(day, match) if match["hour"] else since_epoch(day)


def _moment(day: dt.datetime, match: re.Match[str]) -> int:
    second = int(match["second"] or 0)
    # RFC 3339 allows a leap second; no clock of ours has one, so it is the second after.
    leap = second == 60
    fraction = int((match["fraction"] or "")[:6].ljust(6, "0"))
    at = day.replace(
        hour=int(match["hour"]),
        minute=int(match["minute"]),
        second=59 if leap else second,
        microsecond=0 if leap else fraction,
    )
    return since_epoch(at) + (1_000_000 if leap else 0)


def _zone(offset: str) -> dt.tzinfo:
    if offset in "Zz":
        return dt.UTC
    hours, minutes = int(offset[1:3]), int(offset[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError("an offset is at most 23:59")
    span = dt.timedelta(hours=hours, minutes=minutes)
    return dt.timezone(-span if offset[0] == "-" else span)
