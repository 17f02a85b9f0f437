"""Durations and sizes: what is read, what is refused, and that writing is reading backwards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.config import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15.0),
        ("1h", 3600.0),
        ("2d", 172_800.0),
        ("1w", 604_800.0),
        ("1h30m", 5400.0),
        ("1h 30min", 5400.0),
        ("500ms", 0.5),
        ("1s500ms", 1.5),
        ("0.5s", 0.5),
        ("2 sec", 2.0),
        ("15", 15.0),
        (" 15s ", 15.0),
        (15, 15.0),
        (0.25, 0.25),
        (0, 0.0),
    ],
)
def test_a_duration_is_read_as_seconds(text: object, seconds: float) -> None:
    assert units.duration(text) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "s",
        "-5s",
        "5 parsecs",
        "5s!",
        "5s,5s",
        "1e9s",
        "inf",
        "٣s",
        "9" * 40 + "d",
        -1,
        True,
        None,
        [],
        float("nan"),
        float("inf"),
    ],
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        units.duration(value)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1GiB", 1 << 30),
        ("256KiB", 256 << 10),
        ("256 kib", 256 << 10),
        ("1.5MiB", 3 << 19),
        ("500MB", 500_000_000),
        ("10kB", 10_000),
        ("4K", 4096),
        ("2T", 2 << 40),
        ("7B", 7),
        ("1_000", 1000),
        (0, 0),
        (12, 12),
    ],
)
def test_a_size_is_read_as_bytes(text: object, size: int) -> None:
    assert units.size(text) == size


@pytest.mark.parametrize(
    "value", ["", "GiB", "-1", "1XB", "1 GiB!", "1e9", "٣", "9" * 40, -1, 1.5, True, None, {}]
)
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="size"):
        units.size(value)


@given(st.integers(0, 10_000_000_000))
def test_a_written_duration_reads_as_itself(milliseconds: int) -> None:
    assert units.duration(units.format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(0, 1 << 50))
def test_a_written_size_reads_as_itself(size: int) -> None:
    assert units.size(units.format_size(size)) == size


@given(st.text(max_size=40) | st.integers() | st.floats() | st.booleans() | st.none())
def test_no_value_breaks_the_reading(value: object) -> None:
    for read in (units.duration, units.size):
        try:
            result = read(value)
        except ValueError:
            continue
        assert result >= 0
