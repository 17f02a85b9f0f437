"""Delivery behind the caller's back: one thread, one connection, batches out, replies in order.

    backlog.take → send → (in flight) → reply → settled
                                      ↘ the connection breaks, or "try again" → give_back → back-off

What was sent and not answered is sent again with its id: the daemon stores it once.

At the process's end the thread stops, and callers do its work, one after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Event, Lock, Thread, get_ident
from time import monotonic, sleep
from typing import Final, Protocol

from collector.client import notices
from collector.client.bell import Bell
from collector.client.connection import Connection
from collector.client.ids import jitter
from collector.client.items import Item, answer, fail
from collector.client.losses import CLOSED, Losses, Report
from collector.errors import DaemonUnreachable
from collector.event import Receipt

BATCH: Final = 2000
BATCH_BYTES: Final = 512 * 1024
"""One `send`; half of what may be in flight."""
LINGER: Final = 0.002
"""Seconds between waking and taking, so that a burst of calls travels together."""
BACKOFF_FIRST: Final = 0.05
BACKOFF_MOST: Final = 5.0
IDLE: Final = 60.0
"""Seconds between two looks at an empty backlog; a call wakes the courier at once."""


class Backlog(Protocol):
    """What waits for delivery: a buffer in memory, or a spool on the disk."""

    bell: Bell

    def take(self, most: int, most_bytes: int) -> list[Item]: ...
    def give_back(self, items: Sequence[Item]) -> None: ...
    def settled(self, items: Sequence[Item]) -> None: ...
    def after_fork(self) -> None: ...
    def renew_locks(self) -> None: ...
    def __len__(self) -> int: ...


class Courier:
    """Delivers a backlog. The thread starts with the first `wake` and is a daemon thread; where no
    thread can be started any more (the interpreter ends), `flush` delivers in its caller's."""

    def __init__(
        self,
        backlog: Backlog,
        losses: Losses,
        connect: Callable[[], Connection],
        on_settled: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._backlog = backlog
        self._losses = losses
        self._connect = connect
        self._on_settled = on_settled
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the parent's thread and connection. The descriptor is closed, not shut down."""
        old: Connection | None = getattr(self, "_connection", None)
        if old is not None:
            old.close()
        self._connection: Connection | None = None
        self._thread: Thread | None = None
        self._starting = Lock()
        self._running = Lock()  # held by whoever delivers: the thread, or a closing caller
        self._quiet = Condition(Lock())
        self._hurry = Event()  # ends a back-off early
        self._in_flight: deque[Item | Report] = deque()
        self._again: list[Item] = []
        self._backoff = BACKOFF_FIRST
        self._stopping = False
        self._idle = True
        self._inside: set[int] = set()  # threads of callers that do this one's work
        self._stuck = False  # the thread waits for a daemon that hangs, past the end
        self._closing = False
        self.ended = False
        self._patience = 0.0  # seconds that callers may still wait after the end
        self._taken_over = False

    def wake(self) -> None:
        """There is something to deliver."""
        self._idle = False
        if self._thread is None and not self.ended:
            self._start()

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return  # another thread does, or the call that this one interrupted
        try:
            if self._thread is None and not self._stopping:
                thread = Thread(target=self._run, name="collector-courier", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError:
            pass  # at the interpreter's end; `flush` delivers
        finally:
            self._starting.release()

    def flush(self, timeout: float) -> bool:
        """Wait until the backlog is empty and every reply is there; False after `timeout` (s)."""
        deadline = monotonic() + timeout
        self._hurry.set()
        self._backlog.bell.ring()
        if self._thread is None and not self.ended:
            self._start()
        if self._thread is None or not self._thread.is_alive():
            return self._deliver_here(deadline)
        with self._quiet:
            while not self._is_quiet():
                left = deadline - monotonic()
                if left <= 0:
                    return False
                self._quiet.wait(min(left, 0.1))
        return True

    def close(self, timeout: float) -> bool:
        """Deliver within `timeout` (s), stop the thread; what is left stays in the backlog."""
        deadline = monotonic() + timeout
        self._closing = True
        done = self.flush(timeout)
        self._stop(deadline)
        if done and self._losses.untold() and self._running.acquire(blocking=False):
            self._step(now=True)  # once: whoever goes on recording is refused, and told, for ever
            self._disconnect()
            self._running.release()
        return done

    def _stop(self, deadline: float) -> None:
        self._stopping = True
        self._hurry.set()
        self._backlog.bell.ring()
        thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(max(deadline - monotonic(), 0.1))
        self._stuck = not self._running.acquire(timeout=0.1)
        if not self._stuck:
            self._disconnect()
            self._running.release()

    # ── the process's end ───────────────────────────────────────────────────────────────────────

    def end(self, timeout: float) -> None:
        """Deliver within `timeout` (s) and stop the thread; `deliver_now` does its work after."""
        if self.ended:
            return
        self._patience = timeout
        self.ended = True
        deadline = monotonic() + timeout
        done = self.flush(timeout)
        self._stop(deadline)
        self._patience = timeout if done else 0.0

    def deliver_now(self) -> bool:
        """After `end`: all that waits, in the caller's thread. False where nobody takes it; how long
        all callers together wait for that is what `end` was given."""
        begun = monotonic()
        while self._waiting() and get_ident() not in self._inside:
            if not self._deliver_here(begun + self._patience):
                self._patience = max(self._patience - (monotonic() - begun), 0.0)
                return False
        return True

    def take_over(self) -> None:
        """The interpreter is being finalized: every other thread is gone, with the locks it held."""
        if self._taken_over:
            return
        self._taken_over = True
        self._thread = None
        self._running = Lock()
        self._quiet = Condition(Lock())
        self._inside.clear()
        self._backlog.renew_locks()
        self._losses.renew_locks()
        self._disconnect()
        self._backlog.give_back(self._take_open())

    def _is_quiet(self) -> bool:
        return (
            not len(self._backlog)
            and not self._in_flight
            and not self._again
            and not self._untold()
            and self._idle
        )

    # ── the thread ──────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        with self._running:
            while not self._stopping:
                if not self._step():
                    self._rest()

    def _deliver_here(self, deadline: float) -> bool:
        """Do the thread's work. A signal handler that interrupts it leaves its event to it: so ask
        for what is waiting once more afterwards."""
        me = get_ident()
        if me in self._inside:
            return False
        self._inside.add(me)
        try:
            if not self._running.acquire(timeout=max(deadline - monotonic(), 0)):
                return False
            try:
                return self._deliver_until(deadline)
            finally:
                self._running.release()
        finally:
            self._inside.discard(me)

    def _deliver_until(self, deadline: float) -> bool:
        while self._waiting():
            if (left := deadline - monotonic()) <= 0:
                return False
            if self._connection is not None:
                self._connection.timeout = left
            if not self._step(now=True) and self._waiting():
                sleep(min(self._pause(), max(deadline - monotonic(), 0)))
        if self.ended:
            self._disconnect()  # nobody knows whether another call follows
        return True

    def _waiting(self) -> bool:
        return bool(len(self._backlog) or self._in_flight or self._again or self._untold())

    def _untold(self) -> int:
        return self._losses.untold(but=CLOSED if self._closing else None)

    def _rest(self) -> None:
        """Nothing to do, or nobody to deliver to."""
        if self._waiting():
            if self._hurry.wait(self._pause()):
                self._hurry.clear()
            return
        with self._quiet:
            self._idle = True
            self._quiet.notify_all()
        self._backlog.bell.wait(IDLE)
        self._idle = False
        if not self._stopping:
            sleep(LINGER)

    def _pause(self) -> float:
        pause = self._backoff * jitter()
        self._backoff = min(self._backoff * 2, BACKOFF_MOST)
        return pause

    def _step(self, *, now: bool = False) -> bool:
        """Send one batch, read the replies of the one before; False where nothing moved on."""
        try:
            sent = self._send_batch(now)
            # One batch stays under way while the next is read from the backlog.
            most = BATCH if sent else 0
            moved = sent
            while len(self._in_flight) > most:
                moved = self._read_replies() or moved
        except Exception as error:  # DaemonUnreachable, or the disk under a spool
            self._broken(error)
            return False
        return moved and not self._again

    def _send_batch(self, now: bool) -> bool:
        if self._again:
            self._backlog.give_back(self._again)
            self._again = []
        if self._connection is None:
            if not self._waiting():
                return False
            self._connection = self._connect()  # before taking: the bound of a buffer is exact
        report = self._losses.report(now=now or self.ended)
        if report in self._in_flight:
            report = None
        items = self._backlog.take(BATCH, BATCH_BYTES)
        if not items and report is None:
            return False
        batch: list[Item | Report] = [*([report] if report is not None else ()), *items]
        self._in_flight.extend(batch)
        self._connection.send_and_gather(b"".join([one.frame for one in batch]))
        return True

    def _read_replies(self) -> bool:
        assert self._connection is not None
        replies = self._connection.receive_some()
        if len(replies) > len(self._in_flight):
            raise DaemonUnreachable(f"{self._connection.path} answers what nobody asked")
        done: list[Item] = []
        for reply in replies:
            one = self._in_flight.popleft()
            if isinstance(one, Report):
                if reply.ok or not reply.retry:
                    self._losses.told(one)
            elif reply.ok or not reply.retry:
                self._settle(one, reply)
                done.append(one)
            else:
                self._again.append(one)
        if not self._again:
            self._backoff = BACKOFF_FIRST
        if done:
            self._backlog.settled(done)
            self._on_settled(len(done))
        return True

    def _settle(self, item: Item, reply: Receipt) -> None:
        answer(item.receipt, reply)
        if not reply.ok:
            code = reply.code or "failed"
            self._losses.add(code, item.at)
            notices.refused(code, reply.error or "")

    def _broken(self, error: Exception) -> None:
        self._disconnect()
        self._backlog.give_back(self._take_open())
        notices.unreachable(str(error))

    def _take_open(self) -> list[Item]:
        """What is under way or to be sent again, and no longer is."""
        left = [*self._again, *(one for one in self._in_flight if isinstance(one, Item))]
        self._in_flight.clear()
        self._again = []
        return left

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abandon(self, cause: str) -> int:
        """Count what is left as lost, after `close` or `end`; the number of events."""
        mine = self._running.acquire(blocking=False)
        left = self._take_open() if mine or self._stuck else []
        while taken := self._backlog.take(BATCH, BATCH_BYTES):
            left += taken
        if mine:
            self._running.release()
        for item in left:
            fail(item.receipt, "timeout", f"not delivered: {cause}", retry=True)
            self._losses.add(cause, item.at)
        return len(left)
