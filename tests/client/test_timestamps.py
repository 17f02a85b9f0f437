"""The library's own reading and writing of times says what datetime says."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from collector.client.timestamps import to_rfc3339, to_seconds
from collector.core.rfc3339 import rfc3339

OFFSETS = st.integers(-1439, 1439).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
TIMES = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30), timezones=OFFSETS)


@given(st.floats(-62135596800, 253402300799))
def test_text_of_seconds_is_that_of_datetime(seconds: float) -> None:
    assert to_rfc3339(seconds) == rfc3339(seconds)


@given(TIMES)
def test_seconds_of_a_time_are_those_of_datetime(at: dt.datetime) -> None:
    assert abs(to_seconds(at) - at.timestamp()) < 1e-4
