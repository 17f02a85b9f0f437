"""Losses are added up by cause and reported once, or put back."""

from __future__ import annotations

from collector.core.losses import REPORT_AFTER, Losses


def test_losses_of_a_cause_become_one_report_after_a_while() -> None:
    losses = Losses()
    losses.add("busy", 2, 100.0)
    losses.add("busy", 3, 104.0)
    assert losses.due(100.0 + REPORT_AFTER - 1) == []
    (loss,) = losses.due(100.0 + REPORT_AFTER)
    assert (loss.cause, loss.count, loss.first, loss.last) == ("busy", 5, 100.0, 104.0)
    assert losses.rest() == []
    assert losses.totals == {"busy": 5}


def test_a_report_that_failed_is_counted_again_with_what_came_since() -> None:
    losses = Losses()
    losses.add("busy", 2, 100.0)
    (loss,) = losses.rest()
    losses.add("busy", 1, 120.0)
    losses.put_back(loss)
    (again,) = losses.rest()
    assert (again.count, again.first, again.last) == (3, 100.0, 120.0)
