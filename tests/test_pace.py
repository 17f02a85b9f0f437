"""The pace of housekeeping: little in a burst, enough in a flood, short slices beside single events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.janitor.pace import BUSY_SLICE, LAG, LAG_IDS, OVER, SLICE, Pace, need_of, share

RECORD, FOLLOW = 12e-6, 6e-6
"""Seconds that recording an event takes in this model, and deriving from it: about what they do."""


def flood(events: int, batch: int) -> tuple[int, float]:
    """How far followers are behind after so many events in batches, and their part of the time."""
    pace = Pace()
    now = recording = following = 0.0
    lag = most = recorded = 0
    while recorded < events:
        took = batch * RECORD
        now, recording = now + took, recording + took
        recorded, lag = recorded + batch, lag + batch
        most = max(most, lag)
        pace.earn(now, recording, 0.0, share(lag / LAG))
        seconds = min(pace.slice(took), lag * FOLLOW)
        if seconds:
            now, following = now + seconds, following + seconds
            lag -= int(seconds / FOLLOW)
            pace.spent(now, 0.0, seconds)
    return most, following / now


def test_a_burst_of_half_a_million_is_recorded_first() -> None:
    _, part = flood(500_000, 1_000)
    assert part < 0.1


def test_a_flood_that_goes_on_is_indexed_as_fast_as_it_is_recorded() -> None:
    behind_soon, _ = flood(3_000_000, 1_000)
    behind_late, part = flood(12_000_000, 1_000)
    assert behind_late < 1.05 * behind_soon < 1.5 * LAG
    assert part > 0.9 * FOLLOW / (RECORD + FOLLOW)


def test_beside_single_events_slices_are_short_and_take_a_third_of_the_time() -> None:
    pace = Pace()
    now = recording = following = 0.0
    for _ in range(10_000):  # an event each two milliseconds, of which recording takes half of one
        now, recording = now + 0.002, recording + 0.0005
        pace.earn(now, recording, 0.0, share(0.1))
        seconds = pace.slice(0.0005)
        assert seconds <= BUSY_SLICE
        now, following = now + seconds, following + seconds
        pace.spent(now, 0.0, seconds)
    assert 0.2 < following / now < 0.4


def test_a_loop_that_is_busy_with_sockets_is_not_idle() -> None:
    """Many senders of single events: the processor is busy, though recording is a third of it."""
    pace = Pace()
    now = recording = processor = following = 0.0
    for _ in range(10_000):
        now, recording, processor = now + 0.002, recording + 0.0007, processor + 0.0019
        pace.earn(now, recording, processor, share(0.1))
        seconds = pace.slice(0.0007)
        now, processor, following = now + seconds, processor + seconds, following + seconds
        pace.spent(now, processor, seconds)
    assert following / now < 0.1


def test_work_keeps_up_from_where_it_lags_and_pruning_always() -> None:
    assert need_of(LAG, 0, None) == need_of(0, LAG_IDS, None) == need_of(0, 0, 0.0) == 1
    assert need_of(LAG // 4, LAG_IDS // 2, None) == 0.5
    assert need_of(2 * LAG, 0, OVER) == 2
    assert need_of(LAG, 0, 2 * OVER) == 2.5


@given(st.floats(0, 10), st.floats(0, 10))
def test_more_need_never_earns_less(one: float, other: float) -> None:
    assert (share(one) <= share(other)) == (one <= other) or share(one) == share(other)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1), st.floats(0, 4)), max_size=30))
def test_nothing_is_saved_up_beyond_one_slice_and_no_debt_beyond_one(
    turns: list[tuple[float, float, float]],
) -> None:
    pace = Pace()
    now = recording = 0.0
    for elapsed, part, of_recording in turns:
        now, recording = now + elapsed, recording + elapsed * part
        pace.earn(now, recording, 0.0, of_recording)
        seconds = pace.slice(elapsed * part)
        assert seconds == 0 or BUSY_SLICE <= seconds <= SLICE
        pace.spent(now, 0.0, 3 * seconds)  # a step cannot be cut short
        assert -SLICE <= pace.earned <= SLICE
        assert pace.patience() > 0
