"""What is under way over one connection: lines out, replies in, in order. No I/O, no waiting.

    ask(items) → the lines are to be sent → hand_out(replies) … → ticket.left is 0
                                          ↘ broke(problem): every ticket that waits is broken

The exchanges of threads and of coroutines do the reading, the writing and the waiting around it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from collector.client import notices
from collector.client.items import Item, answer
from collector.event import Receipt


class Ticket:
    """One call's lines: how many are open, which are to be sent again, and what ended it."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.left = len(items)
        self.again: list[Item] = []
        self.broken: str | None = None


class Conversation:
    """The tickets of several calls that share a connection, in the order of their lines."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Ticket, Item]] = deque()

    def ask(self, items: Sequence[Item]) -> Ticket:
        """These lines go out next."""
        ticket = Ticket(items)
        self._waiting.extend((ticket, item) for item in items)
        return ticket

    def hand_out(self, replies: Sequence[Receipt]) -> None:
        """Give each reply to the oldest open line; what nobody asked for is left alone."""
        for reply in replies:
            if not self._waiting:
                return
            ticket, item = self._waiting.popleft()
            ticket.left -= 1
            if reply.ok or not reply.retry:
                answer(item.receipt, reply)
                if not reply.ok:
                    notices.refused(reply.code or "failed", reply.error or "")
            else:
                ticket.again.append(item)

    def broke(self, problem: str) -> None:
        """Nothing more comes."""
        for ticket, _ in self._waiting:
            ticket.broken = problem
        self._waiting.clear()
