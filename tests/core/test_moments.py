"""Times as people write them become the one moment they mean, or a refusal that helps."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.moments import local, parse
from collector.core.rfc3339 import from_rfc3339, rfc3339, to_rfc3339
from collector.errors import QueryError

BERLIN = ZoneInfo("Europe/Berlin")
NOW = from_rfc3339("2026-11-20T12:34:56.789012+01:00")
SECOND = 1_000_000
HOUR = 3600 * SECOND


def read(text: str, zone: dt.tzinfo = BERLIN) -> str:
    moment = parse(text, now=NOW, zone=zone)
    return local(moment, dt.UTC).isoformat().removesuffix("+00:00")


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00"),
        ("2026-11-20t10:00:00z", "2026-11-20T10:00:00"),
        ("2026-11-20 10:00:00Z", "2026-11-20T10:00:00"),
        ("2026-11-20T10:00:00.5+05:30", "2026-11-20T04:30:00.500000"),
        ("2026-11-20T10:00:00,123456789-0100", "2026-11-20T11:00:00.123456"),
        ("2026-12-31T23:59:60Z", "2027-01-01T00:00:00"),
        ("2026-11-20", "2026-11-19T23:00:00"),
        ("2026-07-01", "2026-06-30T22:00:00"),
        ("2026-11-20 10:00", "2026-11-20T09:00:00"),
        ("2026-11-20  10:00:30", "2026-11-20T09:00:30"),
        ("10:15", "2026-11-20T09:15:00"),
        ("now", "2026-11-20T11:34:56.789012"),
        ("NOW", "2026-11-20T11:34:56.789012"),
        ("today", "2026-11-19T23:00:00"),
        ("yesterday", "2026-11-18T23:00:00"),
        ("tomorrow", "2026-11-20T23:00:00"),
        ("-2h", "2026-11-20T09:34:56.789012"),
        ("- 2 h", "2026-11-20T09:34:56.789012"),
        ("+30min", "2026-11-20T12:04:56.789012"),
        ("-1d12h", "2026-11-18T23:34:56.789012"),
        ("-1.5h", "2026-11-20T10:04:56.789012"),
        ("10 min ago", "2026-11-20T11:24:56.789012"),
        ("2 hours, 5 min ago", "2026-11-20T09:29:56.789012"),
        ("1 week ago", "2026-11-13T11:34:56.789012"),
        ("in 5 minutes", "2026-11-20T11:39:56.789012"),
        ("@0", "1970-01-01T00:00:00"),
        ("@1763632800.25", "2025-11-20T10:00:00.250000"),
    ],
)
def test_each_form_means_one_moment(text: str, utc: str) -> None:
    assert read(text) == utc


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "soon",
        "2h",
        "ago",
        "- ",
        "-2 fortnights",
        "10 min",
        "2026-13-01",
        "2026-02-30",
        "2026-11-20 25:00",
        "2026-11-20T10:00:00+99:99",
        "20261120",
        "2026-11-20T10",
        "0000-01-01",
        "0001-01-01T00:00:00+14:00x",
        "-9999999999w",
        "+99999999999999999999h",
        "９999-01-01",
        "-2h\x00",
        "٢٠٢٦-١١-٢٠",
    ],
)
def test_what_is_no_time_is_refused_with_the_field_and_the_forms(text: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text, now=NOW, zone=BERLIN, field="since")
    assert caught.value.field == "since"
    assert caught.value.exit_code == 2


def test_today_begins_at_local_midnight_even_where_utc_has_another_date() -> None:
    now = from_rfc3339("2026-11-20T23:30:00Z")
    assert parse("today", now=now, zone=BERLIN) == from_rfc3339("2026-11-20T23:00:00Z")
    assert parse("today", now=now, zone=dt.UTC) == from_rfc3339("2026-11-20T00:00:00Z")


def test_yesterday_is_a_calendar_day_across_the_change_of_the_clocks() -> None:
    now = from_rfc3339("2026-10-26T12:00:00+01:00")
    start = parse("yesterday", now=now, zone=BERLIN)
    assert parse("today", now=now, zone=BERLIN) - start == 25 * HOUR


def test_a_local_time_shown_twice_is_the_first() -> None:
    assert read("2026-10-25 02:30") == "2026-10-25T00:30:00"


def test_a_local_time_the_clock_skips_is_read_as_before_the_change() -> None:
    assert read("2026-03-29 02:30") == "2026-03-29T01:30:00"


@given(
    st.datetimes(timezones=st.sampled_from([dt.UTC, BERLIN, dt.timezone(dt.timedelta(hours=9))]))
)
def test_rfc3339_survives_to_the_microsecond(moment: dt.datetime) -> None:
    utc = (
        moment.astimezone(dt.UTC) if moment.year not in (1, 9999) else moment.replace(tzinfo=dt.UTC)
    )
    found = parse(utc.isoformat(), now=NOW, zone=BERLIN)
    assert local(found, dt.UTC) == utc
    assert from_rfc3339(utc.isoformat()) == found


@given(st.text(max_size=40))
def test_any_text_is_a_moment_or_a_query_error(text: str) -> None:
    try:
        assert isinstance(parse(text, now=NOW, zone=BERLIN), int)
    except QueryError:
        pass


@given(st.integers(0, 10**5), st.sampled_from(["s", "m", "h", "d"]))
def test_minus_and_ago_are_the_same(number: int, unit: str) -> None:
    text = f"{number}{unit}"
    assert parse(f"-{text}", now=NOW, zone=dt.UTC) == parse(f"{text} ago", now=NOW, zone=dt.UTC)


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_a_moment_is_written_as_it_is_read(moment: int) -> None:
    text = to_rfc3339(moment)
    assert from_rfc3339(text) == moment
    assert len(text) == len("2026-11-20T10:00:00.000000Z")
    assert text.endswith("Z")


def test_a_moment_that_no_year_holds_is_written_as_the_nearest() -> None:
    assert to_rfc3339(1 << 62) == "9999-12-31T23:59:59.999999Z"
    assert to_rfc3339(-(1 << 62)) == "0001-01-01T00:00:00.000000Z"


def test_a_clocks_seconds_are_written_with_all_their_microseconds() -> None:
    assert rfc3339(1_763_632_800.123457) == "2025-11-20T10:00:00.123457Z"
    assert rfc3339(1_763_632_800) == "2025-11-20T10:00:00.000000Z"
