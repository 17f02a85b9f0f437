"""Uptime is the share of known time; what is not known neither helps nor harms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.uptime import DAY, Transition, uptime

NOW = 100 * DAY
HOUR = DAY // 24


def test_without_transitions_the_state_was_what_it_is() -> None:
    assert uptime([], "online", 0, NOW) == {"24h": 1.0, "7d": 1.0, "30d": 1.0}
    assert uptime([], "offline", 0, NOW) == {"24h": 0.0, "7d": 0.0, "30d": 0.0}
    assert uptime([], "unknown", 0, NOW) == {"24h": None, "7d": None, "30d": None}


def test_each_window_counts_its_own_part() -> None:
    down = [Transition(NOW - 12 * HOUR, "online", "offline")]
    found = uptime(down, "offline", 0, NOW)
    assert found["24h"] == pytest.approx(0.5)
    assert found["7d"] == pytest.approx(1 - 0.5 / 7)
    assert found["30d"] == pytest.approx(1 - 0.5 / 30)


def test_time_before_it_was_first_seen_does_not_count() -> None:
    found = uptime([Transition(NOW - HOUR, "online", "offline")], "offline", NOW - 2 * HOUR, NOW)
    assert set(found.values()) == {0.5}


def test_a_suspect_device_is_up_until_it_is_found_offline() -> None:
    changes = [
        Transition(NOW - 4 * HOUR, "online", "suspect"),
        Transition(NOW - 2 * HOUR, "suspect", "offline"),
        Transition(NOW - HOUR, "offline", "unknown"),
    ]
    assert uptime(changes, "unknown", NOW - 4 * HOUR, NOW)["24h"] == pytest.approx(2 / 3)


STATES = st.sampled_from(["online", "suspect", "offline", "unknown"])


@given(st.lists(st.tuples(st.integers(0, NOW), STATES), max_size=10), STATES, st.integers(0, NOW))
def test_a_share_is_a_share(changes: list[tuple[int, str]], first: str, since: int) -> None:
    transitions, before = [], first
    for at, after in sorted(changes):
        transitions.append(Transition(at, before, after))
        before = after
    for share in uptime(transitions, before, since, NOW).values():
        assert share is None or 0 <= share <= 1
