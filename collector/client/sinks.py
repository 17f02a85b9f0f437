"""Where drafts go. One protocol class; the socket, a `Collector` in this process, a test's memory,
nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from threading import RLock
from typing import Any, Protocol, runtime_checkable

from collector.event import Draft, Receipt


@runtime_checkable
class Sink(Protocol):
    """Takes drafts. `record` answers at once and never raises because of the draft.

    A sink may have `flush(timeout) -> bool` and `close(timeout) -> bool` beside it.
    """

    def record(self, draft: Draft, /) -> Receipt:
        """Take one draft; a receipt without `seq` is a promise to deliver it."""


class Outlet(ABC):
    """What stands below the recording calls: takes finished drafts, in order, and answers each."""

    def submit_one(self, draft: Draft, warnings: list[str]) -> Receipt:
        """`submit` for the common case."""
        return self.submit((draft,), (warnings,))[0]

    @abstractmethod
    def submit(self, drafts: Sequence[Draft], warnings: Sequence[list[str]]) -> list[Receipt]:
        """One receipt a draft; `warnings` are what was mended in each."""

    @property
    @abstractmethod
    def dropped(self) -> int:
        """Drafts that were taken and then lost, or refused."""

    @abstractmethod
    def refuse(self, code: str) -> None:
        """Count an event that did not become a draft."""

    def flush(self, timeout: float) -> bool:
        """Wait until everything taken so far is settled; False if `timeout` (s) was too short."""
        return True

    def close(self, timeout: float) -> bool:
        """Flush, then let go of everything; False if something was left."""
        return self.flush(timeout)


class Counting(Outlet):
    """Counts refusals, and nothing else."""

    def __init__(self) -> None:
        self._dropped = 0
        self._counting = RLock()

    @property
    def dropped(self) -> int:
        return self._dropped

    def refuse(self, code: str) -> None:
        with self._counting:
            self._dropped += 1


class Null(Counting):
    """Takes everything and keeps nothing."""

    def submit(self, drafts: Sequence[Draft], warnings: Sequence[list[str]]) -> list[Receipt]:
        return [Receipt(ok=True, id=draft.id) for draft in drafts]


class Ended(Counting):
    """Where there is no way to a daemon any more: refuses everything."""

    def submit(self, drafts: Sequence[Draft], warnings: Sequence[list[str]]) -> list[Receipt]:
        why = "the interpreter has ended"
        return [Receipt(ok=False, id=draft.id, code="failed", error=why) for draft in drafts]


class Through(Counting):
    """Hands drafts to anything that has a sink's `record`: a plugin's queue, a sink of your own."""

    def __init__(self, sink: Any) -> None:
        super().__init__()
        self._sink = sink

    def submit(self, drafts: Sequence[Draft], warnings: Sequence[list[str]]) -> list[Receipt]:
        receipts = []
        for draft, notes in zip(drafts, warnings, strict=True):
            receipt = self._sink.record(draft)
            if not isinstance(receipt, Receipt):
                receipt = Receipt(ok=True, id=draft.id)
            if not receipt.ok:
                self.refuse(receipt.code or "failed")
            if notes:
                receipt.warnings = [*notes, *(receipt.warnings or ())]
            receipts.append(receipt)
        return receipts

    def flush(self, timeout: float) -> bool:
        flush = getattr(self._sink, "flush", None)
        return bool(flush(timeout)) if flush is not None else True
