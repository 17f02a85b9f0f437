"""The bounded memory between `record` and delivery.

`record` may run anywhere: in threads, in a signal handler or a destructor that interrupts another
`record`. Hence a re-entrant lock, held for a few operations that commute.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from threading import RLock
from typing import Literal

from collector.client.bell import Bell
from collector.client.items import Item, fail
from collector.client.losses import Losses

OnOverflow = Literal["drop_oldest", "drop_newest"]


class Buffer:
    """At most `limit` events and `limit_bytes` of lines; beyond that `on_overflow` says who goes.

    What goes is counted in `losses` as `buffer_full`, by the time at which it was recorded.
    """

    def __init__(
        self, limit: int, limit_bytes: int, on_overflow: OnOverflow, losses: Losses
    ) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._drop_newest = on_overflow == "drop_newest"
        self._losses = losses
        self.after_fork()

    def after_fork(self) -> None:
        """Start empty: what the parent took is the parent's to deliver."""
        self._lock = RLock()
        self._items: deque[Item] = deque()
        self._returned: deque[Item] = deque()
        self._bytes = 0
        self.bell = Bell()

    def renew_locks(self) -> None:
        """No other thread is left, and one may have held the lock."""
        self._lock = RLock()

    def __len__(self) -> int:
        return len(self._items) + len(self._returned)

    def put(self, item: Item) -> None:
        """Take one event, and drop what no longer has room."""
        with self._lock:
            self._items.append(item)
            self._bytes += len(item.frame)
            while len(self._items) > self._limit or self._bytes > self._limit_bytes:
                self._drop()
        self.bell.ring()

    def take(self, most: int, most_bytes: int) -> list[Item]:
        """The oldest events, at least one where there is one."""
        taken: list[Item] = []
        with self._lock:
            while self._returned and len(taken) < most:
                taken.append(self._returned.popleft())
            while self._items and len(taken) < most and most_bytes > 0:
                item = self._items.popleft()
                self._bytes -= len(item.frame)
                most_bytes -= len(item.frame)
                taken.append(item)
        return taken

    def give_back(self, items: Sequence[Item]) -> None:
        """Events that were taken and not settled, before all others.

        They are never dropped, since they may be stored already, and what is stored must not be
        counted as lost. There are never more than can be in flight, beside the bound.
        """
        with self._lock:
            self._returned.extendleft(reversed(items))

    def settled(self, items: Sequence[Item]) -> None:
        """Nothing is kept of what was delivered."""

    def _drop(self) -> None:
        item = self._items.pop() if self._drop_newest else self._items.popleft()
        self._bytes -= len(item.frame)
        fail(item.receipt, "busy", "the buffer is full", retry=True)
        self._losses.add("buffer_full", item.at)
