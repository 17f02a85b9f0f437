"""When a call that waits tries again, how long it rests, and when it gives up: no clock, no socket."""

from __future__ import annotations

from collector.client.items import Item, item
from collector.client.tries import BACKOFF_FIRST, BACKOFF_MOST, PROBE, Tries, patience


def some(count: int) -> list[Item]:
    return [item(b"{}\n", f"id-{number}", []) for number in range(count)]


def test_answered_call_is_over_and_the_daemon_is_there() -> None:
    tries = Tries(some(2), away=True)
    tries.answered([])
    assert (tries.rest(5.0), tries.away) == (None, False)


def test_broken_connection_is_tried_again_with_what_was_not_answered() -> None:
    done, refused, open_ = items = some(3)
    done.receipt.seq = 7
    refused.receipt.ok = False
    tries = Tries(items, away=False)
    tries.failed("gone")
    assert tries.rest(5.0) is not None
    assert list(tries.items) == [open_]


def test_rests_double_to_a_bound_and_never_march_in_step() -> None:
    tries = Tries(some(1), away=False)
    for expected in (BACKOFF_FIRST, BACKOFF_FIRST * 2, BACKOFF_FIRST * 4, *[BACKOFF_MOST] * 9):
        tries.failed("gone")
        rest = tries.rest(1000.0)
        assert rest is not None
        assert rest <= BACKOFF_MOST
        assert rest >= min(expected, BACKOFF_MOST) / 2 or expected == BACKOFF_MOST
    assert rest >= BACKOFF_MOST / 2


def test_call_without_time_for_another_rest_says_why_and_may_be_sent_again() -> None:
    (only,) = some(1)
    tries = Tries([only], away=False)
    tries.failed("no daemon answers")
    assert tries.rest(BACKOFF_FIRST / 2) is None
    assert tries.away
    receipt = only.receipt
    assert (receipt.ok, receipt.code, receipt.retry) == (False, "timeout", True)
    assert receipt.error == "no daemon answers"


def test_daemon_that_only_says_try_again_is_not_away() -> None:
    tries = Tries(some(1), away=False)
    tries.answered(tries.items)
    assert tries.rest(0.0) is None
    assert not tries.away


def test_daemon_that_was_away_is_looked_for_once() -> None:
    assert patience(5.0, away=False) == 5.0
    assert (patience(5.0, away=True), patience(0.1, away=True)) == (PROBE, 0.1)
    tries = Tries(some(1), away=True)
    tries.failed("still away")
    assert tries.rest(1000.0) is None
