"""From a foreign thread to the event loop: one pending map and one scheduled drain.

A flood is bounded by the map: for each key only the last item is kept, and beyond `capacity` keys
items are dropped and counted. The loop takes at most `SLICE` items at a time, so that it is free in
between.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

CAPACITY: Final = 4_096
SLICE: Final = 64


class Mailbox(Generic[Item]):
    """`deliver` is called on `loop` with each item; an error reaches the loop's handler, alone."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deliver: Callable[[Item], None],
        capacity: int = CAPACITY,
    ) -> None:
        self.dropped = 0
        self._loop, self._deliver, self._capacity = loop, deliver, capacity
        self._lock = threading.Lock()
        self._pending: dict[Hashable, Item] = {}
        self._scheduled = False
        self._closed = False

    def put(self, key: Hashable, item: Item) -> None:
        """Hand in an item, from any thread; never blocks for long and never raises."""
        with self._lock:
            if self._closed:
                return
            if key not in self._pending and len(self._pending) >= self._capacity:
                self.dropped += 1
                return
            self._pending.pop(key, None)
            self._pending[key] = item
            if self._scheduled:
                return
            self._scheduled = True
        try:
            self._loop.call_soon_threadsafe(self._drain)
        except RuntimeError:
            self.close()

    def close(self) -> None:
        """Take nothing more; what is pending is dropped."""
        with self._lock:
            self._closed = True
            self._pending.clear()

    def _drain(self) -> None:
        with self._lock:
            keys = list(self._pending)[:SLICE]
            items = [self._pending.pop(key) for key in keys]
            self._scheduled = bool(self._pending)
        for item in items:
            try:
                self._deliver(item)
            except Exception as error:
                self._loop.call_exception_handler({"message": "news failed", "exception": error})
        if self._scheduled and not self._loop.is_closed():
            self._loop.call_soon(self._drain)
