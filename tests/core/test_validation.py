"""The checks refuse what no reader could show."""

from __future__ import annotations

import datetime as dt

import pytest

from collector.core.validation import EARLIEST, LATEST, microseconds
from collector.errors import InvalidEvent


@pytest.mark.parametrize("offset", ["+14:00", "-14:00"])
def test_a_time_that_has_no_year_in_utc_is_refused(offset: str) -> None:
    hours = dt.timedelta(hours=int(offset[:3]))
    zone = dt.timezone(hours)
    edge = dt.datetime.min if hours > dt.timedelta() else dt.datetime(9999, 12, 31, 23, 59, 59)
    with pytest.raises(InvalidEvent, match="occurred_at"):
        microseconds(edge.replace(tzinfo=zone))
    assert microseconds(edge.replace(tzinfo=dt.UTC)) in (EARLIEST, LATEST - 999_999)
