"""What the janitor records: what was pruned, what was lost, and that the clock was set."""

from __future__ import annotations

from typing import Final

import msgspec

from collector.core.losses import Losses
from collector.core.rfc3339 import rfc3339
from collector.event import Draft
from collector.intake import Intake
from collector.journal.pruning import Pruner

REPORT_EVERY: Final = 60.0
"""Seconds between `events.pruned` entries while pruning goes on and on."""


class Reports:
    """Tells the journal what housekeeping did and found."""

    def __init__(self, intake: Intake, pruner: Pruner, losses: Losses) -> None:
        self._intake, self._pruner, self.losses = intake, pruner, losses
        self._pruned_at = -1e9

    def pruned_soon(self, now: float, *, busy: bool) -> None:
        """Record what was pruned, unless more is to come and the last report is young."""
        if not busy or now - self._pruned_at >= REPORT_EVERY:
            self._pruned_at = now
            self.pruned()

    def pruned(self) -> None:
        """Record what was pruned since the last report."""
        account = self._pruner.take_account()
        if account is None:
            return
        removed = msgspec.structs.replace(account, causes=dict(account.causes))
        receipt = self._intake.record(
            Draft(
                action="events.pruned",
                object_type="journal",
                metadata=self._pruner.metadata(removed),
            ),
            source="collector",
            settles=lambda: self._pruner.settle(removed),
        )
        if receipt.ok:
            self._pruner.settled(removed)

    def lost(self, now: float, *, all_of_them: bool) -> None:
        """Record `events.lost` for losses that are old enough at wall time `now`, or for all."""
        for loss in self.losses.rest() if all_of_them else self.losses.due(now):
            receipt = self._intake.record(
                Draft(
                    action="events.lost",
                    outcome="failure",
                    metadata={
                        "count": loss.count,
                        "cause": loss.cause,
                        "from": rfc3339(loss.first),
                        "to": rfc3339(loss.last),
                    },
                ),
                source="collector",
            )
            if not receipt.ok:
                self.losses.put_back(loss)

    def clock(self, step: float) -> None:
        """Record that the wall clock was set, by so many seconds."""
        self._intake.record(
            Draft(action="clock.stepped", severity="warning", metadata={"seconds": round(step, 3)}),
            source="collector",
        )
