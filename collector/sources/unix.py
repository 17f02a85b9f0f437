"""The Unix socket: accepts producers, holds the limits that concern them all, and drains at the end.

Connections are accepted here and not by asyncio's server, because what to do when there are too many
(answer `busy`, close) or when descriptors run out (the same, with one kept in reserve) is part of
the protocol, and because a socket that systemd handed in must outlive us.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Protocol

from collector.core.control import Caller, Control
from collector.core.protocol import refusal, reply
from collector.core.rate import TokenBucket
from collector.errors import Rejected
from collector.event import Producer
from collector.intake import Intake, default_actor
from collector.sources.commands import carry_out
from collector.sources.connection import Connection
from collector.sources.connection import Limits as ConnectionLimits
from collector.sources.peer import is_admin, peer_of
from collector.sources.streams import Streams

SPARE_FOR_ADMINS: Final = 4
"""Connections beyond the limit that root and admins may open, so that `status` always answers."""
ACCEPT_BURST: Final = 64
"""Connections accepted in one turn of the loop."""
DRAIN: Final = 0.1
"""Seconds in which what producers had already sent is still read once the daemon stops."""
FAREWELL: Final = 2.0
"""Seconds that producers have to read their last replies."""
LINE_EVERY: Final = 10.0
"""Seconds between two lines in the log about peers that were turned away."""
RESPITE: Final = 1.0
"""Seconds for which nobody is accepted once not even the descriptor in reserve is left."""
_log = logging.getLogger(__name__)
_OUT_OF_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Limits(ConnectionLimits, Protocol):
    """`sources.unix.limits` of the configuration, whole."""

    @property
    def connections(self) -> int: ...
    @property
    def connections_per_uid(self) -> int: ...
    @property
    def rate(self) -> float: ...


class UnixSource:
    """Serves one listening socket. `lost(cause, count)` hears of everything a limit refused."""

    def __init__(
        self,
        listener: socket.socket,
        intake: Intake,
        control: Control,
        limits: Limits,
        admin_groups: tuple[str, ...],
        lost: Callable[[str, int], None],
    ) -> None:
        self.limits = limits
        self.admin_groups = admin_groups
        self.accepted = 0
        self._listener, self._intake, self._control = listener, intake, control
        self._lost = lost
        self._connections: set[Connection] = set()
        self._alone = asyncio.Event()
        self._by_uid: Counter[int] = Counter()
        self._buckets: dict[int, TokenBucket] = {}
        self._streams = Streams(intake.turned)
        self._spare = _reserve()
        self._said_at, self._unsaid = -LINE_EVERY, 0
        self._respite: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Begin to accept."""
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)

    def status(self) -> dict[str, Any]:
        """Connections now and since the start."""
        return {"connections": len(self._connections), "accepted": self.accepted}

    async def stop(self) -> None:
        """Accept no more, answer what was sent, and close every connection within a deadline."""
        if self._respite is not None:
            self._respite.cancel()
        self._loop.remove_reader(self._listener)
        if self._connections:
            await asyncio.sleep(DRAIN)
        self._intake.flush()
        self._intake.draining = True
        for connection in list(self._connections):
            connection.finish()
        if self._connections:
            self._alone.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await self._alone.wait()
        for connection in list(self._connections):
            connection.abort()
        self._streams.close()
        self._drop_spare()

    # ── Owner ───────────────────────────────────────────────────────────────────────────────────

    def lost(self, cause: str, count: int = 1) -> None:
        """See `connection.Owner`."""
        self._lost(cause, count)

    def left(self, connection: Connection) -> None:
        """See `connection.Owner`."""
        self._connections.discard(connection)
        if not self._connections:
            self._alone.set()
        uid = connection.caller.producer.uid or 0
        self._by_uid[uid] -= 1
        if self._by_uid[uid] <= 0:
            del self._by_uid[uid]

    # ── accepting ───────────────────────────────────────────────────────────────────────────────

    def _accept(self) -> None:
        for _ in range(ACCEPT_BURST):
            try:
                accepted, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _OUT_OF_DESCRIPTORS:
                    raise
                self._turn_away_without_descriptors()
                return
            self._welcome(accepted)

    def _welcome(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        producer = peer_of(accepted)
        admin = is_admin(producer, self.admin_groups)
        if self._full(producer, admin):
            self._turn_away(accepted)
            return
        caller = Caller(producer, default_actor("unix", producer), admin, "unix")
        connection = Connection(
            self._intake,
            self,
            caller,
            self.limits,
            self._carry_out,
            self._bucket(producer.uid or 0),
        )
        try:
            connection.begin(self._streams, accepted)
        except OSError:  # the system watches no more sockets
            self._turn_away(accepted)
            return
        self.accepted += 1
        self._connections.add(connection)
        self._by_uid[producer.uid or 0] += 1

    def _full(self, producer: Producer, admin: bool) -> bool:
        total = len(self._connections) >= self.limits.connections
        of_user = self._by_uid[producer.uid or 0] >= self.limits.connections_per_uid
        if not admin or not (total or of_user):
            return total or of_user
        spare = SPARE_FOR_ADMINS
        return (
            len(self._connections) >= self.limits.connections + spare
            or self._by_uid[producer.uid or 0] >= self.limits.connections_per_uid + spare
        )

    def _bucket(self, uid: int) -> TokenBucket | None:
        if not self.limits.rate:
            return None
        bucket = self._buckets.get(uid)
        if bucket is None or bucket.rate != self.limits.rate:
            bucket = self._buckets[uid] = TokenBucket(self.limits.rate, self._loop.time())
        return bucket

    def _turn_away(self, accepted: socket.socket) -> None:
        self._note_turned_away()
        line = reply(refusal(Rejected("busy", "too many connections; try again")))
        with contextlib.suppress(OSError), accepted:
            accepted.send(line)

    def _note_turned_away(self) -> None:
        """Count it, and say so now and then; the log's `events.lost` has the exact number."""
        self._lost("busy", 1)
        self._unsaid += 1
        now = self._loop.time()
        if now - self._said_at >= LINE_EVERY:
            few = "no descriptors are left" if self._spare < 0 else "see sources.unix.limits"
            _log.warning(
                "turned away: %d; connections open: %d (%s)",
                self._unsaid,
                len(self._connections),
                few,
            )
            self._said_at, self._unsaid = now, 0

    def _turn_away_without_descriptors(self) -> None:
        """Give the reserve away for the moment it takes to answer one peer."""
        self._drop_spare()
        try:
            accepted, _address = self._listener.accept()
            self._turn_away(accepted)
        except OSError:
            self._note_turned_away()
        try:
            self._spare = _reserve()
        except OSError:  # a thread took it: the peers wait, or the loop would turn for nothing
            self._loop.remove_reader(self._listener)
            self._respite = self._loop.call_later(RESPITE, self._accept_again)

    def _accept_again(self) -> None:
        self._respite = None
        if self._spare < 0:
            with contextlib.suppress(OSError):
                self._spare = _reserve()
        self._loop.add_reader(self._listener, self._accept)

    def _drop_spare(self) -> None:
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    async def _carry_out(self, command: dict[str, Any], caller: Caller) -> dict[str, Any]:
        return await carry_out(self._control, command, caller)


def _reserve() -> int:
    """A descriptor that only stands there to be given away."""
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
