"""Recording into a `Collector` that runs in this very process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from collector.client.wire import Wire
from collector.event import Draft, Receipt


class Embedded:
    """Drafts to a `Collector`: committed at once on its event loop, handed over from any thread.

    It redacts by the journal's own key, so nothing is redacted here. A receipt from another thread
    has no `seq`: the event is with the loop, and not on the disk yet.
    """

    def __init__(self, collector: Any) -> None:
        self._collector = collector
        self._wire = Wire(None)
        self.dropped = 0

    def submit(self, drafts: Sequence[Draft], warnings: Sequence[list[str]]) -> list[Receipt]:
        """See `Outlet.submit`."""
        here = _in_event_loop()
        receipts = []
        for draft, notes in zip(drafts, warnings, strict=True):
            sent = self._wire.bounded(draft, notes)
            if here:
                receipt = self._collector.record(sent)
            else:
                self._collector.record_threadsafe(sent)
                receipt = Receipt(ok=True, id=sent.id)
            if notes:
                receipt.warnings = [*notes, *(receipt.warnings or ())]
            self.dropped += not receipt.ok
            receipts.append(receipt)
        return receipts

    def refuse(self, code: str) -> None:
        """An event did not become a draft."""
        self.dropped += 1

    def flush(self, timeout: float) -> bool:
        """The collector's own shutdown commits what it has."""
        return True

    def close(self, timeout: float) -> bool:
        """The collector is its owner's to close."""
        return True


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
