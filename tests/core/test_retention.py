"""Retention as arithmetic: limits hold within five per cent, each category has exactly one age."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.core.retention import (
    DAY,
    Limits,
    age_groups,
    cutoff,
    entries_for_bytes,
    surplus,
)

CATEGORIES = ("entity", "auth", "device", "capture", "system", "billing")


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_a_limit_holds_within_five_per_cent(stored: int, limit: int) -> None:
    left = stored - surplus(stored, limit)
    assert left <= limit * 1.05
    assert left in (stored, limit), "down to the limit itself, or not at all"
    assert left >= min(stored, limit)


@given(st.integers(0, 10**9))
def test_a_limit_of_nothing_is_no_limit(stored: int) -> None:
    assert surplus(stored, 0) == 0
    assert entries_for_bytes(stored, 0, stored) == 0


@given(st.integers(1, 10**12), st.integers(1, 10**12), st.integers(1, 10**8))
def test_the_entries_that_go_for_bytes_are_enough_and_never_more_than_there_are(
    used: int, limit: int, entries: int
) -> None:
    gone = entries_for_bytes(used, limit, entries)
    assert 0 <= gone <= entries
    if gone:
        assert used - gone * used / entries <= limit * 1.0000001
    assert entries_for_bytes(used, limit, 0) == 0


@given(
    st.integers(0, 3650),
    st.dictionaries(st.sampled_from(CATEGORIES), st.integers(0, 3650)),
)
def test_each_category_is_in_one_group_at_most_and_has_its_own_days(
    days: int, own: dict[str, int]
) -> None:
    groups = age_groups(Limits(max_days=days, categories=own))
    for category in CATEGORIES:
        mine = [
            group.max_days
            for group in groups
            if (category in group.only) or (not group.only and category not in group.but)
        ]
        expected = own.get(category, days)
        assert mine == ([expected] if expected else [])


def test_age_is_counted_back_from_now() -> None:
    assert cutoff(100 * DAY, 90) == 10 * DAY
