"""The three ways to a daemon, each an `Outlet`: wait for it, deliver in the background, spool.

The latter two report what they lost as `events.lost` when the daemon is back. A caller of `wait` is
told at once, and may send the event again: that is counted and not reported. See `lifetime` for what
an end is beside a close.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from sys import is_finalizing
from time import time

from collector.client import notices
from collector.client.buffer import Buffer, OnOverflow
from collector.client.connection import Connection
from collector.client.courier import Backlog, Courier
from collector.client.exchange import Exchange
from collector.client.items import Item, fail, item
from collector.client.losses import CLOSED, Losses
from collector.client.sinks import Outlet
from collector.client.wire import Wire
from collector.event import Draft, Receipt

Connect = Callable[[], Connection]


class Delivery(Outlet):
    """Drafts to frames, frames to `_send`. A closed one refuses what comes.

    One that has ended, with its process, takes it still, and delivers it before the call returns.
    """

    receipts: type[Receipt] = Receipt
    """The class of the receipts that are handed out."""

    def __init__(self, wire: Wire, losses: Losses | None = None) -> None:
        self.losses = losses or Losses()
        self._wire = wire
        self._closed = False

    @property
    def dropped(self) -> int:
        """Events lost or refused so far, in this process."""
        return self.losses.total

    def refuse(self, code: str) -> None:
        """An event did not become a draft."""
        self.losses.add(code)

    def submit(self, drafts: Sequence[Draft], warnings: Sequence[list[str]]) -> list[Receipt]:
        """See `Outlet.submit`."""
        items = self.items(drafts, warnings)
        if items and not self._closed:
            self._send(items)
        return [one.receipt for one in items]

    def items(self, drafts: Sequence[Draft], warnings: Sequence[list[str]]) -> list[Item]:
        """The drafts ready to travel; of a closed client they are refused here."""
        items = [
            item(self._wire.frame(draft, notes), draft.id, notes, self.receipts)
            for draft, notes in zip(drafts, warnings, strict=True)
        ]
        if self._closed:
            for one in items:
                fail(one.receipt, "failed", "the client is closed", retry=False)
                self.losses.add(CLOSED, one.at)
        return items

    @abstractmethod
    def _send(self, items: Sequence[Item]) -> None:
        """Take the items; their receipts say at once what became of them, or later."""

    @abstractmethod
    def end(self, timeout: float) -> bool:
        """The process ends: deliver what is there within `timeout` (s), and from now on each event
        before its call returns. False where something could not be delivered."""

    @abstractmethod
    def after_fork(self) -> None:
        """In a forked child: nothing of the parent's is ours."""


class Waiting(Delivery):
    """Each call returns with the daemon's receipt, or with a failure after `timeout` (s)."""

    def __init__(self, wire: Wire, connect: Connect, timeout: float) -> None:
        super().__init__(wire)
        self._exchange = Exchange(connect, timeout)

    def _send(self, items: Sequence[Item]) -> None:
        self._exchange.deliver(items)
        for one in items:
            if not one.receipt.ok:
                self.losses.add(one.receipt.code or "failed", one.at)

    def flush(self, timeout: float) -> bool:
        """Every call has waited already."""
        return True

    def close(self, timeout: float) -> bool:
        """Let go of the connection."""
        self._closed = True
        self._exchange.close()
        return True

    def end(self, timeout: float) -> bool:
        """Every call has waited already; the later ones do over connections of their own."""
        self._exchange.end()
        return True

    def after_fork(self) -> None:
        self.losses.forget()
        self._exchange.after_fork()


class Behind(Delivery):
    """Delivery behind the caller's back: a backlog and the courier that empties it."""

    def __init__(self, wire: Wire, backlog: Backlog, losses: Losses, connect: Connect) -> None:
        super().__init__(wire, losses)
        self._backlog = backlog
        self._courier = Courier(backlog, losses, connect)

    def submit(self, drafts: Sequence[Draft], warnings: Sequence[list[str]]) -> list[Receipt]:
        if self._courier.ended and is_finalizing():
            self._courier.take_over()
        return super().submit(drafts, warnings)

    def refuse(self, code: str) -> None:
        super().refuse(code)
        self._wake()

    def _wake(self) -> None:
        self._courier.wake()
        if self._courier.ended:
            self._deliver_now()

    def _deliver_now(self) -> bool:
        """After the end: in the caller's thread. False where it could not be."""
        return self._courier.deliver_now()

    def flush(self, timeout: float) -> bool:
        return self._courier.flush(timeout)

    def end(self, timeout: float) -> bool:
        self._courier.end(timeout)
        return self._deliver_now()

    def after_fork(self) -> None:
        self.losses.forget()
        self._backlog.after_fork()
        self._courier.after_fork()


class Background(Behind):
    """Each call returns at once; a thread delivers from a bounded buffer."""

    def __init__(
        self, wire: Wire, connect: Connect, limit: int, limit_bytes: int, on_overflow: OnOverflow
    ) -> None:
        losses = Losses()
        self._buffer = Buffer(limit, limit_bytes, on_overflow, losses)
        super().__init__(wire, self._buffer, losses, connect)

    def submit_one(self, draft: Draft, warnings: list[str]) -> Receipt:
        """What every recording call pays: a line, a receipt, a place in the buffer."""
        if self._closed or self._courier.ended:
            return super().submit_one(draft, warnings)
        frame = self._wire.frame(draft, warnings)
        receipt = self.receipts(ok=True, id=draft.id, warnings=warnings or None)
        self._buffer.put(Item(frame, receipt, time()))
        self._wake()
        return receipt

    def _send(self, items: Sequence[Item]) -> None:
        for one in items:
            self._buffer.put(one)
        self._wake()

    def _deliver_now(self) -> bool:
        done = super()._deliver_now()
        if not done:
            self._abandon("the process ended before delivery")
        return done

    def _abandon(self, reason: str) -> None:
        left = self._courier.abandon(CLOSED)
        if left:
            notices.lost(left, reason)

    def close(self, timeout: float) -> bool:
        if self._closed:
            return True
        self._closed = True
        done = self._courier.close(timeout)
        self._abandon("the client was closed before delivery")
        return done


class Spooled(Behind):
    """Each call returns when the event is on this machine's disk; a thread delivers from there."""

    def __init__(self, wire: Wire, connect: Connect, directory: str, limit: int) -> None:
        from pathlib import Path

        from collector.client.spool import Spool  # `pathlib` and `fcntl`, for those who spool

        losses = Losses()
        self._spool = Spool(Path(directory), limit, losses)
        super().__init__(wire, self._spool, losses, connect)
        if os.path.isdir(directory):
            self._courier.wake()  # an earlier process may have left something

    def _send(self, items: Sequence[Item]) -> None:
        self._spool.put(items)
        self._wake()

    def close(self, timeout: float) -> bool:
        """Deliver within `timeout` (s); what is left stays on the disk for the next process."""
        if self._closed:
            return True
        self._closed = True
        done = self._courier.close(timeout)
        self._spool.close()
        return done
