"""The token bucket: one second's worth at once, then the rate, exactly."""

from __future__ import annotations

from collector.core.rate import TokenBucket


def test_a_burst_is_one_seconds_worth_and_time_fills_it_again() -> None:
    bucket = TokenBucket(10.0, 0.0)
    assert bucket.take(25, 0.0) == 10
    assert bucket.take(1, 0.05) == 0
    assert bucket.take(5, 0.35) == 3
    assert bucket.take(100, 1000.0) == 10


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(10.0, 100.0)
    assert bucket.take(10, 100.0) == 10
    assert bucket.take(1, 50.0) == 0
