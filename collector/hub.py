"""Live fan-out: who listens hears of each commit, in order, and never slows one down.

A subscriber has a bounded buffer. When it is full, the subscriber is told that it lagged and from
which seq on it must read the journal; recording does not wait. Entries are only built where
somebody listens, and a commit too large to be worth it makes every subscriber lag instead.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from collector.event import Entry

BUFFER: Final = 256
"""Entries that one subscriber may be behind before it is told that it lagged."""
BURST: Final = 512
"""Entries of one commit above which subscribers read the journal instead."""


class Lagged(Exception):
    """The subscriber missed entries from `after_seq` on; they are in the journal."""

    def __init__(self, after_seq: int) -> None:
        self.after_seq = after_seq
        super().__init__(f"read on from the journal after seq {after_seq}")


class Subscription:
    """One subscriber. Iterate with `get`; leave with `close`."""

    def __init__(
        self, hub: Hub, wanted: Callable[[Entry], bool], after_seq: int, buffer: int
    ) -> None:
        self.last_seq = after_seq
        """The newest seq this subscriber was offered, wanted or not."""
        self._hub, self._wanted, self._buffer = hub, wanted, buffer
        self._entries: deque[Entry] = deque()
        self._lagged_at: int | None = None
        self._closed = False
        self._ready = asyncio.Event()

    async def get(self) -> Entry | None:
        """The next wanted entry; None once closed. Raises `Lagged` where some were missed."""
        while True:
            if self._entries:
                return self._entries.popleft()
            if self._lagged_at is not None:
                after, self._lagged_at = self._lagged_at, None
                raise Lagged(after)
            if self._closed:
                return None
            self._ready.clear()
            await self._ready.wait()

    def close(self) -> None:
        """Leave the hub; a waiting `get` returns None."""
        self._hub.remove(self)
        self._closed = True
        self._ready.set()

    def offer(self, entries: list[Entry], last_seq: int) -> None:
        """Called by the hub with a commit's entries."""
        if self._lagged_at is None:
            wanted = [entry for entry in entries if self._wanted(entry)]
            if len(self._entries) + len(wanted) > self._buffer:
                self.skip(last_seq)
                return
            self._entries.extend(wanted)
            if wanted:
                self._ready.set()
        self.last_seq = last_seq

    def skip(self, last_seq: int) -> None:
        """Called by the hub where a commit is not offered: the subscriber has lagged."""
        if self._lagged_at is None:
            self._lagged_at = self.last_seq
            self._hub.lagged += 1
        self.last_seq = last_seq
        self._ready.set()


class Hub:
    """The daemon's subscribers. `read` builds the entries of a range of seqs, both ends included."""

    def __init__(self, read: Callable[[int, int], list[Entry]]) -> None:
        self._read = read
        self._subscriptions: set[Subscription] = set()
        self.lagged = 0
        """How often a subscriber fell behind, since the start."""

    def __len__(self) -> int:
        return len(self._subscriptions)

    def subscribe(
        self, wanted: Callable[[Entry], bool], after_seq: int, buffer: int = BUFFER
    ) -> Subscription:
        """Hear of every wanted entry that is committed from now on; `after_seq` is the last so far."""
        subscription = Subscription(self, wanted, after_seq, buffer)
        self._subscriptions.add(subscription)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscriber."""
        self._subscriptions.discard(subscription)

    def publish(self, first_seq: int, last_seq: int) -> None:
        """Called right after a commit, with the range that it made durable."""
        if not self._subscriptions:
            return
        if last_seq - first_seq >= BURST:
            for subscription in self._subscriptions:
                subscription.skip(last_seq)
            return
        entries = self._read(first_seq, last_seq)
        for subscription in self._subscriptions:
            subscription.offer(entries, last_seq)

    def close(self) -> None:
        """End every subscription."""
        for subscription in list(self._subscriptions):
            subscription.close()
