"""Where drafts go. One protocol class; the socket, a `Collector` in this process, a test's memory,
nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from collector.event import Draft, Receipt


@runtime_checkable
class Sink(Protocol):
    """Takes drafts. `record` answers at once and never raises because of the draft.

    A sink may have `flush(timeout) -> bool` and `close(timeout) -> bool` beside it.
    """

    def record(self, draft: Draft, /) -> Receipt:
        """Take one draft; a receipt without `seq` is a promise to deliver it."""


class Outlet(Protocol):
    """What stands below the recording calls: takes finished drafts, in order, and answers each."""

    def submit(self, drafts: Sequence[Draft], warnings: Sequence[list[str]]) -> list[Receipt]:
        """One receipt a draft."""

    @property
    def dropped(self) -> int:
        """Drafts that were taken and then lost, or refused."""

    def refuse(self, code: str) -> None:
        """Count an event that did not become a draft."""

    def flush(self, timeout: float) -> bool:
        """Wait until everything taken so far is settled; False if `timeout` (s) was too short."""

    def close(self, timeout: float) -> bool:
        """Flush, then let go of everything; False if something was left."""


class Null:
    """Takes everything and keeps nothing."""

    dropped = 0

    def submit(self, drafts: Sequence[Draft], warnings: Sequence[list[str]]) -> list[Receipt]:
        return [Receipt(ok=True, id=draft.id) for draft in drafts]

    def refuse(self, code: str) -> None:
        pass

    def flush(self, timeout: float) -> bool:
        return True

    def close(self, timeout: float) -> bool:
        return True


class Through:
    """Hands drafts to anything that has a sink's `record`: a plugin's queue, a sink of your own."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self.dropped = 0

    def submit(self, drafts: Sequence[Draft], warnings: Sequence[list[str]]) -> list[Receipt]:
        receipts = []
        for draft, notes in zip(drafts, warnings, strict=True):
            receipt = self._sink.record(draft)
            if not isinstance(receipt, Receipt):
                receipt = Receipt(ok=True, id=draft.id)
            self.dropped += not receipt.ok
            if notes:
                receipt.warnings = [*notes, *(receipt.warnings or ())]
            receipts.append(receipt)
        return receipts

    def refuse(self, code: str) -> None:
        self.dropped += 1

    def flush(self, timeout: float) -> bool:
        flush = getattr(self._sink, "flush", None)
        return bool(flush(timeout)) if flush is not None else True

    def close(self, timeout: float) -> bool:
        return self.flush(timeout)
