"""The bytes of many connections: one epoll for all of them, and one callback of the loop a turn.

asyncio's transports cost a callback, a context and five calls for each socket that has something to
say, and the loop another turn before what was said can be committed together. Where 64 producers send
an event each that is as much as the events themselves. Here what is ready is read in one go, then
`turned` is called, and where it asks for more the same epoll is asked again.

A `Stream` does for its listener what an asyncio transport does, by the same names, and calls it
by the names of `asyncio.Protocol`. Its descriptor is closed in a later turn of the loop than it is
lost in, behind `connection_lost`: its number cannot be another's while events are being served.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
from collections.abc import Callable
from typing import Final, Protocol

RECEIVE: Final = 256 * 1024
"""Bytes read from a connection at once."""
LOOKS: Final = 4
"""Polls in one turn of the loop at most, however long `turned` asks for more: others wait too."""
_READ: Final = select.EPOLLIN
_WRITE: Final = select.EPOLLOUT
_log = logging.getLogger(__name__)


class Listener(Protocol):
    """Who hears what a stream has to say."""

    def data_received(self, data: bytes) -> None:
        """So much has arrived."""

    def eof_received(self) -> None:
        """The peer sends no more; it may still read."""

    def pause_writing(self) -> None:
        """More than the limit waits to be sent."""

    def resume_writing(self) -> None:
        """A quarter of the limit, or less, waits."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The end: closed with None, or broken by an error. Nothing is called after it."""


class Streams:
    """The connections of one source. Everything happens on the event loop's thread."""

    def __init__(self, turned: Callable[[], bool]) -> None:
        """`turned` is called after reading: True asks to look once more whether more has come.

        After `LOOKS` it is not asked again: what it still has in hand it deals with by itself.
        """
        self._loop = asyncio.get_running_loop()
        self._turned = turned
        self._epoll = select.epoll()
        self._streams: dict[int, Stream] = {}
        self._buffer = memoryview(bytearray(RECEIVE))
        self._loop.add_reader(self._epoll.fileno(), self._ready)

    def open(self, peer: socket.socket, listener: Listener, unread: int) -> Stream:
        """Serve a connected socket that does not block, which is the stream's from now on.

        `unread`: see `Stream`. Raises `OSError` where the system watches no more sockets
        (`fs.epoll.max_user_watches`); the socket is still the caller's then.
        """
        return Stream(self, peer, listener, unread)

    def close(self) -> None:
        """Poll no more; streams that are left end."""
        if self._epoll.closed:
            return
        self._loop.remove_reader(self._epoll.fileno())
        for stream in list(self._streams.values()):
            stream.abort()
        self._epoll.close()

    def _ready(self) -> None:
        for _ in range(LOOKS):
            for number, events in self._epoll.poll(0):
                stream = self._streams.get(number)
                if stream is not None:
                    stream.ready(events)
            if not self._turned():
                return


class Stream:
    """One connection. `unread`: bytes that may wait to be sent before the listener is told to pause."""

    def __init__(
        self, streams: Streams, peer: socket.socket, listener: Listener, unread: int
    ) -> None:
        self._loop, self._epoll, self._streams = streams._loop, streams._epoll, streams._streams
        self._buffer = streams._buffer
        """Every stream receives into this and copies what came: one for each read costs more."""
        self._peer, self._number = peer, peer.fileno()
        self._receive, self._send = peer.recv_into, peer.send
        self._listener = listener
        self._high = unread
        self._waiting = bytearray()
        self._wanted = _READ
        self._paused = self._ended = self._closing = self._gone = False
        self._epoll.register(self._number, _READ)
        self._streams[self._number] = self

    # ── for the listener ────────────────────────────────────────────────────────────────────────

    @property
    def waiting(self) -> int:
        """Bytes that wait to be sent."""
        return len(self._waiting)

    @property
    def closing(self) -> bool:
        """Whether it is closed, or will be once what waits is sent."""
        return self._closing

    def write(self, data: bytes) -> None:
        """Send, or keep until the peer has room. Nothing is sent once the connection is broken."""
        if self._gone:
            return
        if not self._waiting:
            try:
                sent = self._send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self.lose(error)
                return
            if sent == len(data):
                return
            data = data[sent:]
        self._waiting += data
        self._want(self._wanted | _WRITE)
        if not self._paused and len(self._waiting) > self._high:
            self._paused = True
            try:
                self._listener.pause_writing()
            except Exception as error:  # whoever writes here has others to write to
                self._fail(error)

    def pause_reading(self) -> None:
        """Leave what the peer sends to the system, until `resume_reading`."""
        self._want(self._wanted & ~_READ)

    def resume_reading(self) -> None:
        """Read on, unless the peer has ended or this side is closing."""
        if not self._ended and not self._closing:
            self._want(self._wanted | _READ)

    def close(self) -> None:
        """Read no more, and end once what waits is sent."""
        if self._closing:
            return
        self._closing = True
        self.pause_reading()
        if not self._waiting:
            self.lose(None)

    def abort(self) -> None:
        """End at once, whatever waits."""
        self.lose(None)

    # ── for the poll ────────────────────────────────────────────────────────────────────────────

    def ready(self, events: int) -> None:
        """Act on what epoll has told: an error or a hang-up shows when it is read, or written to."""
        try:
            if self._wanted & _READ and events & ~_WRITE:
                self._read()
            if self._wanted & _WRITE and events & ~_READ:
                self._flush()
        except Exception as error:
            self._fail(error)

    def _read(self) -> None:
        try:
            size = self._receive(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.lose(error)
            return
        if size:
            self._listener.data_received(bytes(self._buffer[:size]))
            return
        self._ended = True
        self.pause_reading()
        self._listener.eof_received()

    def _flush(self) -> None:
        try:
            sent = self._send(self._waiting)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.lose(error)
            return
        del self._waiting[:sent]
        if not self._waiting:
            self._want(self._wanted & ~_WRITE)
            if self._closing:
                self.lose(None)
                return
        if self._paused and len(self._waiting) <= self._high // 4:
            self._paused = False
            self._listener.resume_writing()

    def _want(self, events: int) -> None:
        """Poll for these events; for none at all the socket is taken out, or a hang-up would spin."""
        before = self._wanted
        if events == before or self._gone:
            return
        try:
            if not before:
                self._epoll.register(self._number, events)
            elif events:
                self._epoll.modify(self._number, events)
            else:
                self._epoll.unregister(self._number)
        except OSError as error:  # no room to be watched again: see `Streams.open`
            self.lose(error)
            return
        self._wanted = events

    def _fail(self, error: Exception) -> None:
        """One connection's fault is the end of that one alone."""
        _log.error("a connection failed, and is closed", exc_info=error)
        self.lose(error)

    def lose(self, error: Exception | None) -> None:
        """It is broken: no more is sent or read, and the listener hears of it in the next turn."""
        if self._gone:
            return
        self._gone = self._closing = True
        self._waiting.clear()
        del self._streams[self._number]
        self._loop.call_soon(self._end, error)
        watched, self._wanted = self._wanted, 0
        if watched:
            self._epoll.unregister(self._number)

    def _end(self, error: Exception | None) -> None:
        try:
            self._listener.connection_lost(error)
        finally:
            self._peer.close()
