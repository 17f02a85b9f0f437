"""A bell from callers that may be anywhere, in a signal handler too, to a thread that waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queue import SimpleQueue


class Bell:
    """`ring` wakes one waiter; ringing again before it woke costs nothing.

    `SimpleQueue.put` is re-entrant, which the primitives of `threading` are not.
    """

    def __init__(self) -> None:
        from queue import Empty, SimpleQueue  # with the first client, and not with the library

        self._empty = Empty
        self._queue: SimpleQueue[None] = SimpleQueue()
        self._rung = False

    def ring(self) -> None:
        """Wake who waits, or who will."""
        if not self._rung:
            self._rung = True
            self._queue.put(None)

    def wait(self, timeout: float) -> None:
        """Until it rings or `timeout` (s) has passed; look for the reason after, not before."""
        try:
            self._queue.get(timeout=timeout)
        except self._empty:
            return
        self._rung = False
