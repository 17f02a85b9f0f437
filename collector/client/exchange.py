"""`wait`: lines out and receipts back within the call, many threads over one connection.

Whoever waits reads: the first becomes the reader and hands every reply to its owner, until its own
is there; then the next one reads. So the calls of several threads travel together and are committed
together, and no thread of ours is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Condition, Lock, get_ident
from time import monotonic, sleep
from typing import Final

from collector.client.connection import Connection, ReplyTimeout
from collector.client.conversation import Conversation, Ticket
from collector.client.items import Item
from collector.client.tries import Tries, patience
from collector.errors import DaemonUnreachable
from collector.event import Receipt

Attempt = Callable[[Sequence[Item], float], list[Item]]
"""Sends items until a deadline; what the daemon wants sent again. Raises DaemonUnreachable."""
WINDOW: Final = 4000
"""Lines of one call under way; their replies stay far below the daemon's limit of unread bytes."""


class Exchange:
    """Sends items and waits for their receipts, at most `timeout` (s) a call; see `Tries`."""

    def __init__(self, connect: Callable[[], Connection], timeout: float) -> None:
        self._connect = connect
        self._timeout = timeout
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the parent's connection; the descriptor is closed, not shut down."""
        for old in (*getattr(self, "_dead", ()), getattr(self, "_connection", None)):
            if old is not None:
                old.close()
        self._connection: Connection | None = None
        self._dead: list[Connection] = []
        self._sending = Lock()
        self._turn = Condition(Lock())
        self._reading = False
        self._talk = Conversation()
        self._busy: set[int] = set()
        self._away = False
        self._ended = False

    def deliver(self, items: Sequence[Item]) -> None:
        """Fill in the receipt of each item."""
        deadline = monotonic() + patience(self._timeout, self._away)
        me = get_ident()
        # After the end, or in a signal handler that interrupted a delivery of this thread.
        if self._ended or me in self._busy:
            self._persist_all(items, deadline, self._attempt_aside)
            return
        self._busy.add(me)
        try:
            self._persist_all(items, deadline, self._attempt)
        finally:
            self._busy.discard(me)

    def end(self) -> None:
        """The process ends: from now on each call has a connection of its own, and shares no lock
        with a thread that may be gone."""
        self._ended = True
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        with self._sending:
            self._drop("the client was closed")
            with self._turn:
                self._turn.wait_for(lambda: not self._reading, 1.0)
                self._bury()

    def _persist_all(self, items: Sequence[Item], deadline: float, attempt: Attempt) -> None:
        for start in range(0, len(items), WINDOW):
            self._persist(items[start : start + WINDOW], deadline, attempt)

    def _persist(self, items: Sequence[Item], deadline: float, attempt: Attempt) -> None:
        tries = Tries(items, self._away)
        while True:
            try:
                tries.answered(attempt(tries.items, deadline))
                self._away = False
            except DaemonUnreachable as error:
                tries.failed(str(error))
            if (rest := tries.rest(deadline - monotonic())) is None:
                self._away = tries.away
                return
            sleep(rest)

    def _attempt(self, items: Sequence[Item], deadline: float) -> list[Item]:
        """One try; the items that the daemon wants sent again."""
        with self._sending:
            with self._turn:
                self._bury()
                if self._connection is None:
                    self._connection = self._connect()
                connection = self._connection
                ticket = self._talk.ask(items)
                alone, self._reading = not self._reading, True
            send = connection.send_and_gather if alone else connection.send
            try:
                send(b"".join([item.frame for item in items]))
            except BaseException as error:
                self._drop(str(error))
                raise
            finally:
                if alone:
                    with self._turn:
                        self._reading = False
                        self._turn.notify_all()
        self._await(ticket, connection, deadline)
        return ticket.again

    def _await(self, ticket: Ticket, connection: Connection, deadline: float) -> None:
        with self._turn:
            while ticket.left:
                if ticket.broken is not None:
                    raise DaemonUnreachable(ticket.broken)
                left = deadline - monotonic()
                if left <= 0:
                    raise DaemonUnreachable(f"{connection.path} gave no answer in time")
                if self._reading:
                    self._turn.wait(left)
                    continue
                self._reading = True
                self._turn.release()
                replies: list[Receipt] = []
                problem: str | None = "the reader was interrupted"
                try:
                    replies = connection.receive_some(left)
                    problem = None
                except ReplyTimeout:
                    problem = None
                except DaemonUnreachable as error:
                    problem = str(error)
                finally:
                    self._turn.acquire()
                    self._reading = False
                    self._talk.hand_out(replies)
                    if problem is not None:
                        self._break(connection, problem)
                    self._turn.notify_all()

    def _break(self, connection: Connection, problem: str) -> None:
        """With `_turn` held: nothing more comes over this connection."""
        if self._connection is connection:
            self._connection = None
            self._talk.broke(problem)
            connection.shut()
            self._dead.append(connection)

    def _bury(self) -> None:
        """With both locks held: close what nobody sends to or reads from any more."""
        if not self._reading:
            while self._dead:
                self._dead.pop().close()

    def _drop(self, problem: str) -> None:
        with self._turn:
            if self._connection is not None:
                self._break(self._connection, problem)
            self._turn.notify_all()

    def _attempt_aside(self, items: Sequence[Item], deadline: float) -> list[Item]:
        """One try, over a connection of its own."""
        talk = Conversation()
        ticket = talk.ask(items)
        with self._connect() as connection:
            connection.send_and_gather(b"".join([item.frame for item in items]))
            while ticket.left:
                talk.hand_out(connection.receive_some(max(deadline - monotonic(), 0)))
        return ticket.again
