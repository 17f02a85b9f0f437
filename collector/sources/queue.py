"""Queues inside the process: for tasks, for threads, and for the plugins that the daemon loads.

A plugin is an installed package with an entry point in the group `collector.sources`: an `async`
function that takes a `DraftQueue` and its own table of options, runs until it is cancelled, and hands
in drafts. Its queue is bounded; what does not fit is counted and never blocks the plugin's threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import msgspec

from collector.core.protocol import refusal
from collector.errors import Rejected
from collector.event import Draft, Principal, Producer, Receipt
from collector.intake import Intake, ReceiptSink, Sender, default_actor, validated

GROUP: Final = "collector.sources"
Plugin = Callable[["DraftQueue", Mapping[str, Any]], Awaitable[None]]
"""What an entry point names."""


class DraftQueue:
    """A bounded way in. `record` is for tasks, `record_threadsafe` for any thread.

    At most `size` drafts wait for their commit; one more gets a receipt with the code `busy`, and
    `lost(cause, count)` hears of it.
    """

    def __init__(
        self,
        intake: Intake,
        *,
        size: int,
        lost: Callable[[str, int], None],
        plugin: str | None = None,
        actor: Principal | None = None,
    ) -> None:
        producer = Producer(assurance="internal", plugin=plugin)
        self.size = size
        self.waiting = 0
        self._sender = Sender("queue", producer, actor or default_actor("queue", producer))
        self._intake, self._lost = intake, lost
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._pending: deque[tuple[Draft, Future[Receipt]]] = deque()
        self._closed = False

    async def record(self, draft: Draft | Mapping[str, Any]) -> Receipt:
        """Hand in a draft and wait for its receipt; it is on the disk if the receipt is `ok`."""
        return await asyncio.wrap_future(self.record_threadsafe(draft))

    def record_threadsafe(self, draft: Draft | Mapping[str, Any]) -> Future[Receipt]:
        """Hand in a draft from any thread; never blocks, never raises. The future has the receipt."""
        future: Future[Receipt] = Future()
        try:
            whole = draft if isinstance(draft, Draft) else msgspec.convert(draft, Draft)
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            future.set_result(refusal(Rejected("invalid_event", str(error))))
            return future
        with self._lock:
            full = self.waiting >= self.size
            if not full and not self._closed:
                self.waiting += 1
                self._pending.append((whole, future))
                if len(self._pending) == 1:
                    self._loop.call_soon_threadsafe(self.drain)
                return future
        if self._closed:
            future.set_result(refusal(Rejected("draining", "the daemon is stopping")))
        else:
            self._lost_threadsafe()
            future.set_result(refusal(Rejected("busy", f"{self.size} drafts are waiting already")))
        return future

    def close(self) -> None:
        """Take no more; what was taken is handed on."""
        with self._lock:
            self._closed = True
        self.drain()

    def _lost_threadsafe(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._lost, "queue_full", 1)
        except RuntimeError:
            pass  # the loop is gone, and with it the log that the loss would be told to

    def drain(self) -> None:
        """Hand on what waits; for the event loop's thread."""
        with self._lock:
            taken = list(self._pending)
            self._pending.clear()
        if taken:
            futures = [future for _, future in taken]
            sink = ReceiptSink(lambda receipts: self._resolve(futures, receipts))
            self._intake.submit([validated(draft) for draft, _ in taken], self._sender, sink)

    def _resolve(self, futures: list[Future[Receipt]], receipts: list[Receipt]) -> None:
        """Receipts come in the order of the drafts, in one piece or several."""
        with self._lock:
            self.waiting -= len(receipts)
        for receipt in receipts:
            future = futures.pop(0)
            if future.set_running_or_notify_cancel():
                future.set_result(receipt)


def plugins(wanted: tuple[str, ...]) -> dict[str, EntryPoint]:
    """The installed plugins by name; `wanted` names them, `*` means all, `-name` leaves one out."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    excluded = {name[1:] for name in wanted if name.startswith("-")}
    return {
        name: point
        for name, point in sorted(found.items())
        if name not in excluded and ("*" in wanted or name in wanted)
    }


async def run_plugin(point: EntryPoint, queue: DraftQueue, options: Mapping[str, Any]) -> None:
    """Load a plugin and run it until it is cancelled. Raises what it raises."""
    plugin: Plugin = point.load()
    await plugin(queue, options)
