"""Recording into a `Collector` that runs in this very process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from collector.client.items import answer
from collector.client.sinks import Counting
from collector.client.wire import Wire
from collector.event import Draft, Receipt


class Embedded(Counting):
    """Drafts to a `Collector`: committed at once on its event loop, handed over from any thread.

    It redacts by the journal's own key, so nothing is redacted here. A receipt from another thread
    gets its `seq` when the loop has committed the event.
    """

    def __init__(self, collector: Any) -> None:
        super().__init__()
        self._collector = collector
        self._loop = _event_loop()
        self._wire = Wire(None)

    def submit(self, drafts: Sequence[Draft], warnings: Sequence[list[str]]) -> list[Receipt]:
        """See `Outlet.submit`."""
        receipts = []
        for draft, notes in zip(drafts, warnings, strict=True):
            receipt = Receipt(ok=True, id=draft.id, warnings=notes or None)
            self._hand_in(self._wire.bounded(draft, notes), receipt)
            receipts.append(receipt)
        return receipts

    def _hand_in(self, draft: Draft, receipt: Receipt) -> None:
        here = _event_loop()
        if here is not None and (self._loop is None or here is self._loop):
            self._answered(receipt, self._collector.record(draft))
            return
        future: Future[Receipt] = self._collector.record_threadsafe(draft)
        future.add_done_callback(lambda done: self._answered(receipt, done.result()))

    def _answered(self, receipt: Receipt, reply: Receipt) -> None:
        answer(receipt, reply)
        if not reply.ok:
            self.refuse(reply.code or "failed")


def _event_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
