"""The bytes of many connections: one epoll for all of them, and one callback of the loop a turn.

asyncio's transports cost a callback, a context and five calls for each socket that has something to
say, and the loop another turn before what was said can be committed together. Where 64 producers send
an event each that is as much as the events themselves. Here what is ready is read in one go; then
the same epoll is asked again, and once nobody has more to say, `turned` is called.

A `Stream` does for its protocol what an asyncio transport does, by the same names, and calls it
by the names of `asyncio.Protocol`; `connection_lost` comes in a turn of its own.
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
_READ: Final = select.EPOLLIN
_WRITE: Final = select.EPOLLOUT
_BUFFER: Final = memoryview(bytearray(RECEIVE))
"""Every stream receives into this and copies what came: a buffer for each read costs more."""


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
        """`turned` is called after reading: True asks to look once more whether more has come."""
        self._loop = asyncio.get_running_loop()
        self._turned = turned
        self._epoll = select.epoll()
        self._streams: dict[int, Stream] = {}
        self._loop.add_reader(self._epoll.fileno(), self._ready)

    def open(self, peer: socket.socket, listener: Listener, unread: int) -> Stream:
        """Serve a connected socket, which is the stream's from now on. `unread`: see `Stream`."""
        return Stream(self._loop, self._epoll, self._streams, peer, listener, unread)

    def close(self) -> None:
        """Poll no more. Streams that are left hear nothing of it."""
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def _ready(self) -> None:
        more = True
        while more:
            for number, events in self._epoll.poll(0):
                stream = self._streams.get(number)
                if stream is not None:
                    self._serve(stream, events)
            more = self._turned()

    def _serve(self, stream: Stream, events: int) -> None:
        """One connection's fault is the end of that one alone."""
        try:
            stream.ready(events)
        except Exception as error:
            _log.exception("a connection failed, and is closed")
            stream.lose(error)


class Stream:
    """One connection. `unread`: bytes that may wait to be sent before the listener is told to pause."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        epoll: select.epoll,
        streams: dict[int, Stream],
        peer: socket.socket,
        listener: Listener,
        unread: int,
    ) -> None:
        self._loop, self._epoll, self._streams = loop, epoll, streams
        self._peer, self._number = peer, peer.fileno()
        self._receive, self._send = peer.recv_into, peer.send
        self._listener = listener
        self._high = unread
        self._waiting = bytearray()
        self._wanted = self._registered = 0
        self._paused = self._ended = self._closing = self._gone = False
        streams[self._number] = self
        self._want(_READ)

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
            self._want(self._wanted | _WRITE)
        self._waiting += data
        if not self._paused and len(self._waiting) > self._high:
            self._paused = True
            self._listener.pause_writing()

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
        if self._wanted & _READ and events & ~_WRITE:
            self._read()
        if self._wanted & _WRITE and events & ~_READ:
            self._flush()

    def _read(self) -> None:
        try:
            size = self._receive(_BUFFER)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.lose(error)
            return
        if size:
            self._listener.data_received(bytes(_BUFFER[:size]))
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
        self._wanted = events
        if events == self._registered or self._gone:
            return
        if not self._registered:
            self._epoll.register(self._number, events)
        elif events:
            self._epoll.modify(self._number, events)
        else:
            self._epoll.unregister(self._number)
        self._registered = events

    def lose(self, error: Exception | None) -> None:
        """It is broken: no more is sent or read, and the listener hears of it in the next turn."""
        if self._gone:
            return
        self._want(0)
        self._gone = self._closing = True
        self._waiting.clear()
        del self._streams[self._number]
        self._loop.call_soon(self._end, error)

    def _end(self, error: Exception | None) -> None:
        try:
            self._listener.connection_lost(error)
        finally:
            self._peer.close()
